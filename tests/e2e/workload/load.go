package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// plan is what is asked for: four streams at once against one address.
type plan struct {
	address             string
	seed                uint64
	bound               time.Duration
	newRate, keptRate   float64
	keptConnections     int
	shortRate, longRate float64
	shortPath, longPath string
}

func readPlan() (plan, error) {
	var p plan
	flag.StringVar(&p.address, "address", "", "host:port")
	flag.Uint64Var(&p.seed, "seed", 1, "of the times between requests")
	flag.DurationVar(&p.bound, "bound", 5*time.Minute, "ends after that at the latest")
	flag.Float64Var(&p.newRate, "new", 300, "requests per second, each on a connection of its own")
	flag.IntVar(&p.keptConnections, "kept", 20, "kept connections")
	flag.Float64Var(&p.keptRate, "kept-rate", 10, "requests per second on each kept connection")
	flag.Float64Var(&p.shortRate, "short", 10, "short downloads per second")
	flag.Float64Var(&p.longRate, "long", 3, "long downloads per second")
	flag.StringVar(&p.shortPath, "short-path", "/slow?s=2", "of the short download")
	flag.StringVar(&p.longPath, "long-path", "/slow?s=8", "of the long download")
	parseFlags()
	if p.address == "" {
		return p, errors.New("-address is missing")
	}
	return p, nil
}

// load sends requests until SIGTERM or the bound; those under way are finished. Nothing is repeated
// silently: see kept.
func load() error {
	p, err := readPlan()
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		select {
		case <-signals:
		case <-time.After(p.bound):
		}
		close(stop)
	}()
	if err := awaitServer(p.address); err != nil {
		return err
	}
	fmt.Println("begun")
	r := newReport()
	c := client{address: p.address, report: r}
	var all sync.WaitGroup
	single := func(number uint64, name, path string, rate float64, limit time.Duration) {
		pace := newPace(p.seed, number, rate)
		all.Go(func() { c.openLoop(stop, pace, name, path, limit) })
	}
	single(1, "new", "/", p.newRate, 10*time.Second)
	single(2, "short", p.shortPath, p.shortRate, 20*time.Second)
	single(3, "long", p.longPath, p.longRate, 40*time.Second)
	for number := range p.keptConnections {
		pace := newPace(p.seed, 100+uint64(number), p.keptRate)
		all.Go(func() { c.kept(stop, pace) })
	}
	late := make(chan time.Duration, 1)
	go func() { late <- longestDelay(stop) }()
	<-stop
	sent := time.Since(r.began)
	r.late = <-late
	all.Wait()
	return json.NewEncoder(os.Stdout).Encode(r.summary(p.seed, sent))
}

// longestDelay tells how long this program had to wait for a processor at worst. Seconds of that are a
// machine that has no time for the test, not a fault of whoever is tested.
func longestDelay(stop <-chan struct{}) time.Duration {
	const interval = 50 * time.Millisecond
	var longest time.Duration
	for {
		start := time.Now()
		select {
		case <-stop:
			return longest
		case <-time.After(interval):
			longest = max(longest, time.Since(start)-interval)
		}
	}
}

// awaitServer returns when there are answers; until then nothing is counted.
func awaitServer(address string) error {
	c := client{address: address}
	var o outcome
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		var made *connection
		if made, o = c.dial(); made == nil {
			continue
		}
		o = made.exchange("/", "close", connectLimit)
		made.Close()
		if o.cause == "" {
			return nil
		}
	}
	return fmt.Errorf("no answer from %s within a minute: %w", address, o.err)
}

// pace gives the times of a Poisson process: as if by many clients that know nothing of each other.
// Somebody who is late sends at once and the next are not put off: what is slow must not ease the load.
type pace struct {
	random *rand.Rand
	rate   float64
	next   time.Time
}

func newPace(seed, number uint64, rate float64) *pace {
	return &pace{random: rand.New(rand.NewPCG(seed, number)), rate: rate, next: time.Now()}
}

// wait returns false when it is time to stop.
func (p *pace) wait(stop <-chan struct{}) bool {
	if p.rate <= 0 {
		<-stop
		return false
	}
	gap := p.random.ExpFloat64() / p.rate
	p.next = p.next.Add(time.Duration(gap * float64(time.Second)))
	select {
	case <-stop:
		return false
	case <-time.After(time.Until(p.next)):
		return true
	}
}
