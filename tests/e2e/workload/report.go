package main

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Of the failures that are told one by one.
const toldFailures = 50

type failure struct {
	Stream   string  `json:"stream"`
	Cause    string  `json:"cause"`
	At       float64 `json:"at_seconds"` // when the request began, since the first
	Took     float64 `json:"took_seconds"`
	Received int64   `json:"received_bytes"`
	Error    string  `json:"error"`
}

type tally struct {
	Requests int            `json:"requests"`
	Failed   int            `json:"failed"`
	Stale    int            `json:"stale_retried"`
	Reopened int            `json:"reopened"`
	Causes   map[string]int `json:"causes"`
	P50      float64        `json:"p50_seconds"`
	P99      float64        `json:"p99_seconds"`
	Max      float64        `json:"max_seconds"`
	took     []float64
}

type report struct {
	began    time.Time
	mutex    sync.Mutex
	streams  map[string]*tally
	failures []failure
	late     time.Duration
}

func newReport() *report {
	r := &report{began: time.Now(), streams: map[string]*tally{}}
	for _, name := range []string{"new", "kept", "short", "long"} {
		r.streams[name] = &tally{Causes: map[string]int{}}
	}
	return r
}

func (r *report) stale(stream string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.streams[stream].Stale++
}

func (r *report) reopened(stream string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.streams[stream].Reopened++
}

func (r *report) add(stream string, start time.Time, o outcome) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	tally := r.streams[stream]
	took := time.Since(start).Seconds()
	tally.Requests++
	if o.cause == "" {
		tally.took = append(tally.took, took)
		return
	}
	tally.Failed++
	tally.Causes[o.cause]++
	if len(r.failures) < toldFailures {
		at := start.Sub(r.began).Seconds()
		r.failures = append(r.failures, failure{stream, o.cause, at, took, o.received, fmt.Sprint(o.err)})
	}
}

func (r *report) summary(seed uint64, sent time.Duration) map[string]any {
	requests, failed := 0, 0
	for _, tally := range r.streams {
		requests += tally.Requests
		failed += tally.Failed
		slices.Sort(tally.took)
		if n := len(tally.took); n > 0 {
			tally.P50, tally.P99, tally.Max = tally.took[n/2], tally.took[n*99/100], tally.took[n-1]
		}
	}
	return map[string]any{
		"seed": seed, "seconds": sent.Seconds(), "requests": requests, "failed": failed,
		"late_seconds": r.late.Seconds(),
		"streams":      r.streams, "failures": r.failures,
	}
}
