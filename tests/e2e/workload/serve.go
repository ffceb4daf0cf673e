package main

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"
)

const chunkBytes, chunksPerSecond = 1024, 20

func stringFlag(name, value, usage string) *string { return flag.String(name, value, usage) }

func durationFlag(name string, value time.Duration, usage string) *time.Duration {
	return flag.Duration(name, value, usage)
}

func parseFlags() {
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "what is %q?\n%s\n", flag.Arg(0), usage)
		os.Exit(2)
	}
}

// serve is a server as many are written: nothing is done about SIGTERM but to end.
//
//	/          a small body
//	/slow?s=N  a body that takes N seconds
func serve() error {
	listen := stringFlag("listen", ":8080", "address")
	parseFlags()
	endOnTERM()
	pod, err := os.Hostname()
	if err != nil {
		return err
	}
	small := bytes.Repeat([]byte("x"), chunkBytes)
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Pod", pod)
		w.Write(small)
	})
	http.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		seconds, err := strconv.Atoi(r.URL.Query().Get("s"))
		if err != nil || seconds < 1 || seconds > 60 {
			http.Error(w, "s: 1 to 60 seconds", http.StatusBadRequest)
			return
		}
		w.Header().Set("X-Pod", pod)
		w.Header().Set("Content-Length", strconv.Itoa(chunkBytes*chunksPerSecond*seconds))
		for range chunksPerSecond * seconds {
			if _, err := w.Write(small); err != nil {
				return
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				return
			}
			time.Sleep(time.Second / chunksPerSecond)
		}
	})
	return http.ListenAndServe(*listen, nil)
}
