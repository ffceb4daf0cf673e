package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// For a connection; generous, so that a busy machine is not taken for a dropped request.
const connectLimit = 5 * time.Second

const firstPort, ports = 10000, 50000

type client struct {
	address  string
	report   *report
	nextPort atomic.Uint32
}

// outcome is what became of one exchange.
type outcome struct {
	cause    string // empty: the whole answer arrived
	err      error
	received int64
	closing  bool // the server says that it closes
}

// connection counts what it reads.
type connection struct {
	net.Conn
	reader *bufio.Reader
	read   int64
}

func (c *connection) Read(buffer []byte) (int, error) {
	n, err := c.Conn.Read(buffer)
	c.read += int64(n)
	return n, err
}

// dial takes ports in turn. The kernel would come back to a port within seconds, and one whose last
// connection died unanswered stays tied to the dead pod in the node's connection tracking: one failure
// would be counted again and again.
func (c *client) dial() (*connection, outcome) {
	var opened net.Conn
	var err error
	for range 100 {
		port := firstPort + int(c.nextPort.Add(1))%ports
		dialer := net.Dialer{Timeout: connectLimit, LocalAddr: &net.TCPAddr{Port: port}}
		if opened, err = dialer.Dial("tcp", c.address); !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	if err != nil {
		return nil, outcome{cause: cause(err, "on connect"), err: err}
	}
	made := &connection{Conn: opened}
	made.reader = bufio.NewReader(made)
	return made, outcome{}
}

func cause(err error, phase string) string {
	var network net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "unreachable"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset " + phase
	case errors.As(err, &network) && network.Timeout():
		return "timeout " + phase
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed " + phase
	}
	return "other " + phase
}

// exchange sends one request and reads the whole answer.
func (c *connection) exchange(path, header string, limit time.Duration) (o outcome) {
	before := c.read
	defer func() { o.received = c.read - before }()
	c.SetDeadline(time.Now().Add(limit))
	request := "GET " + path + " HTTP/1.1\r\nHost: load\r\nConnection: " + header + "\r\n\r\n"
	if _, err := io.WriteString(c, request); err != nil {
		return outcome{cause: cause(err, "before the answer"), err: err}
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return outcome{cause: cause(err, "before the answer"), err: err}
	}
	o.closing = response.Close
	_, err = io.Copy(io.Discard, response.Body)
	switch {
	case response.StatusCode != http.StatusOK:
		o.cause, o.err = fmt.Sprintf("status %d", response.StatusCode), errors.New(response.Status)
	case err != nil:
		o.cause, o.err = cause(err, "in the body"), err
	}
	return o
}

// once is one request on a connection of its own.
func (c *client) once(stream, path string, limit time.Duration) {
	start := time.Now()
	made, o := c.dial()
	if made != nil {
		o = made.exchange(path, "close", limit)
		made.Close()
	}
	c.report.add(stream, start, o)
}

func (c *client) openLoop(stop <-chan struct{}, pace *pace, stream, path string, limit time.Duration) {
	var underWay sync.WaitGroup
	for pace.wait(stop) {
		underWay.Go(func() { c.once(stream, path, limit) })
	}
	underWay.Wait()
}

// kept is one connection, used again and again. A server may close an idle connection at any time, also
// in the instant of a request: before any byte of an answer a client may try once more on a new one (RFC
// 9110, 9.2.2). That is counted as stale; if the second one fails, the request has failed.
func (c *client) kept(stop <-chan struct{}, pace *pace) {
	const stream, limit = "kept", 10 * time.Second
	var made *connection
	for pace.wait(stop) {
		start := time.Now()
		if made != nil && made.closedByServer() {
			made.Close()
			made = nil
			c.report.reopened(stream)
		}
		isReused := made != nil
		o := c.onKept(&made, limit)
		if isReused && o.cause != "" && o.received == 0 {
			c.report.stale(stream)
			o = c.onKept(&made, limit)
		}
		c.report.add(stream, start, o)
	}
	if made != nil {
		made.Close()
	}
}

// onKept leaves nil behind where the connection can't be used again.
func (c *client) onKept(made **connection, limit time.Duration) outcome {
	if *made == nil {
		opened, o := c.dial()
		if opened == nil {
			return o
		}
		*made = opened
	}
	o := (*made).exchange("/", "keep-alive", limit)
	if o.cause != "" || o.closing {
		(*made).Close()
		*made = nil
	}
	return o
}

// closedByServer looks before writing, as clients do.
func (c *connection) closedByServer() bool {
	raw, err := c.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return true
	}
	isClosed := false
	err = raw.Control(func(descriptor uintptr) {
		_, _, err := syscall.Recvfrom(int(descriptor), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		isClosed = !errors.Is(err, syscall.EAGAIN)
	})
	return err != nil || isClosed
}
