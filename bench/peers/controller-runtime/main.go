// A webhook as most are written today: sigs.k8s.io/controller-runtime with a Defaulter of pods. It
// makes of a pod what prestop makes of it where no profile and no annotation says otherwise.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

const (
	delaySeconds = 10
	annotation   = "prestop.dev/status"
)

type status struct {
	Version    int         `json:"version"`
	Grace      grace       `json:"grace"`
	Containers []container `json:"containers"`
}

type grace struct {
	Before int64 `json:"before"`
	After  int64 `json:"after"`
}

type container struct {
	Name      string `json:"name"`
	Hook      string `json:"hook"`
	Delay     int64  `json:"delay"`
	DelayFrom string `json:"delayFrom"`
}

type injector struct{}

// Default gives every container a hook that has none, and the pod the time for it.
func (injector) Default(_ context.Context, pod *corev1.Pod) error {
	var injected []container
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		if c.Lifecycle != nil && c.Lifecycle.PreStop != nil {
			continue
		}
		if c.Lifecycle == nil {
			c.Lifecycle = &corev1.Lifecycle{}
		}
		c.Lifecycle.PreStop = &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: delaySeconds}}
		injected = append(injected, container{c.Name, "sleep", delaySeconds, "default"})
	}
	if injected == nil {
		return nil
	}
	before := int64(30)
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		before = *pod.Spec.TerminationGracePeriodSeconds
	}
	after := before + delaySeconds
	pod.Spec.TerminationGracePeriodSeconds = &after
	text, err := json.Marshal(status{1, grace{before, after}, injected})
	if err != nil {
		return err
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[annotation] = string(text)
	return nil
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:9443", "address and port")
	certificate := flag.String("tls-cert", "tls.crt", "certificate, in the folder of the key")
	key := flag.String("tls-key", "tls.key", "key")
	flag.Parse()
	host, text, err := net.SplitHostPort(*listen)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	ctrl.SetLogger(logr.Discard())
	server := webhook.NewServer(webhook.Options{
		Host: host, Port: port,
		CertDir: filepath.Dir(*key), CertName: filepath.Base(*certificate), KeyName: filepath.Base(*key),
	})
	server.Register("/mutate", admission.WithDefaulter[*corev1.Pod](clientgoscheme.Scheme, injector{}))
	return server.Start(ctrl.SetupSignalHandler())
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
