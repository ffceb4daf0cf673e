// Two paths: an answer at once, and one that takes 20 s. Without -shutdown TERM has Go's own effect,
// which is what a program has that does nothing about it.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"net/http"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	shutdown := flag.Bool("shutdown", false, "finish requests on SIGTERM")
	flag.Parse()

	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Second)
		io.WriteString(w, "ok\n")
	})
	server := &http.Server{Addr: ":8080", Handler: mux}
	if !*shutdown {
		log.Fatal(server.ListenAndServe())
	}

	told, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()
	<-told.Done()
	if err := server.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
}
