package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	account       = "/var/run/secrets/kubernetes.io/serviceaccount/"
	readInterval  = 200 * time.Millisecond
	endpointLimit = 3 * time.Second
)

// moment is what the endpoint slices said at some time.
type moment struct {
	at        time.Time
	endpoints []string
}

// balancer passes connections on to the endpoints that a Service had a while ago.
type balancer struct {
	lag     time.Duration
	mutex   sync.Mutex
	history []moment
	next    atomic.Uint64
}

// balance is a load balancer that hears of endpoints late, as those outside of a cluster do. It passes
// TCP connections on; open ones stay where they are. Where an endpoint can't be reached, the client's
// connection is closed.
func balance() error {
	listen := stringFlag("listen", ":8000", "address")
	namespace := stringFlag("namespace", "", "the Service's namespace")
	service := stringFlag("service", "web", "the Service")
	lag := durationFlag("lag", 0, "how late it hears of changes")
	parseFlags()
	endOnTERM()
	read, err := endpointReader(*namespace, *service)
	if err != nil {
		return err
	}
	first, err := read()
	if err != nil {
		return err
	}
	// The first state is that of the past as well.
	b := &balancer{lag: *lag, history: []moment{{endpoints: first}}}
	go b.follow(read)
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		go b.pass(client.(*net.TCPConn))
	}
}

func (b *balancer) follow(read func() ([]string, error)) {
	for {
		time.Sleep(readInterval)
		endpoints, err := read()
		if err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			continue
		}
		b.mutex.Lock()
		b.history = append(b.history, moment{time.Now(), endpoints})
		b.mutex.Unlock()
	}
}

// known is what it has heard of by now.
func (b *balancer) known() []string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	then := time.Now().Add(-b.lag)
	for len(b.history) > 1 && !b.history[1].at.After(then) {
		b.history = b.history[1:]
	}
	return b.history[0].endpoints
}

func (b *balancer) pass(client *net.TCPConn) {
	defer client.Close()
	endpoints := b.known()
	if len(endpoints) == 0 {
		return
	}
	chosen := endpoints[b.next.Add(1)%uint64(len(endpoints))]
	opened, err := net.DialTimeout("tcp", chosen, endpointLimit)
	if err != nil {
		return
	}
	defer opened.Close()
	server := opened.(*net.TCPConn)
	var both sync.WaitGroup
	copyHalf := func(to, from *net.TCPConn) {
		io.Copy(to, from)
		to.CloseWrite()
	}
	both.Go(func() { copyHalf(server, client) })
	both.Go(func() { copyHalf(client, server) })
	both.Wait()
}

// endpointReader reads the endpoints of a Service that are ready, with the rights of this pod.
func endpointReader(namespace, service string) (func() ([]string, error), error) {
	if namespace == "" {
		return nil, errors.New("-namespace is missing")
	}
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	api := http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
	}
	server := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	address := fmt.Sprintf("https://%s/apis/discovery.k8s.io/v1/namespaces/%s/endpointslices?labelSelector=kubernetes.io/service-name=%s",
		server, namespace, service)
	request, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	return func() ([]string, error) {
		answer, err := api.Do(request)
		if err != nil {
			return nil, err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("endpoint slices: %s", answer.Status)
		}
		return readyEndpoints(answer.Body)
	}, nil
}

func readyEndpoints(list io.Reader) ([]string, error) {
	var slices struct {
		Items []struct {
			Ports     []struct{ Port int }
			Endpoints []struct {
				Addresses  []string
				Conditions struct{ Ready *bool }
			}
		}
	}
	if err := json.NewDecoder(list).Decode(&slices); err != nil {
		return nil, err
	}
	var ready []string
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			// Missing means ready.
			if endpoint.Conditions.Ready != nil && !*endpoint.Conditions.Ready {
				continue
			}
			for _, port := range slice.Ports {
				for _, address := range endpoint.Addresses {
					ready = append(ready, net.JoinHostPort(address, fmt.Sprint(port.Port)))
				}
			}
		}
	}
	return ready, nil
}
