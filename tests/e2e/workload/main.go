// What the pods of the tests in a real cluster run: a server that ends at once on SIGTERM, a client that
// counts every request that is dropped, and small things that need no shell.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const usage = `workload serve  [-listen :8080]           an HTTP server that ends at once on SIGTERM
workload load   -address HOST:PORT [...]  requests, until SIGTERM; what became of them as JSON
workload balance -namespace N -lag 20s    a load balancer that hears of a Service's endpoints late
workload stop                             SIGTERM to process 1, from within its container
workload kill   -container ID [-signal 9] a signal to a container's processes; needs hostPID and root
workload wait   -duration 1s              ends after that, at once on SIGTERM`

func main() {
	name := ""
	if len(os.Args) > 1 {
		name = os.Args[1]
		os.Args = append([]string{"workload " + name}, os.Args[2:]...)
	}
	commands := map[string]func() error{
		"serve": serve, "load": load, "balance": balance, "stop": stop, "kill": kill, "wait": wait,
	}
	command, known := commands[name]
	if !known {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	if err := command(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// endOnTERM makes process 1 obey SIGTERM, which the kernel ignores for it otherwise.
func endOnTERM() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() { <-signals; os.Exit(0) }()
}

func stop() error {
	return syscall.Kill(1, syscall.SIGTERM)
}

func wait() error {
	duration := durationFlag("duration", time.Second, "how long")
	parseFlags()
	endOnTERM()
	time.Sleep(*duration)
	return nil
}

// kill sends a signal from outside to the processes of one container; SIGKILL, as the kernel does when
// memory runs out, unless it is told another one.
func kill() error {
	container := stringFlag("container", "", "the container's ID, without containerd://")
	signalNumber := flag.Int("signal", int(syscall.SIGKILL), "number of the signal")
	parseFlags()
	if len(*container) < 12 {
		return fmt.Errorf("-container %q is not an ID", *container)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	killed := 0
	for _, entry := range entries {
		var process int
		if _, err := fmt.Sscan(entry.Name(), &process); err != nil {
			continue
		}
		groups, err := os.ReadFile("/proc/" + entry.Name() + "/cgroup")
		if err != nil || !strings.Contains(string(groups), *container) {
			continue // another container's, or gone meanwhile
		}
		if err := syscall.Kill(process, syscall.Signal(*signalNumber)); err != nil {
			return fmt.Errorf("process %d: %w", process, err)
		}
		killed++
	}
	if killed == 0 {
		return fmt.Errorf("no process of container %s is seen here", *container)
	}
	fmt.Println("signalled", killed)
	return nil
}
