// A webhook of the standard library alone: structs with the fields that are needed, a patch written by
// hand. It makes of a pod what prestop makes of it where no profile and no annotation says otherwise.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
)

const (
	delaySeconds = 10
	annotation   = "prestop.dev/status"
	largestBody  = 7 << 20
)

type review struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Request    *request  `json:"request,omitempty"`
	Response   *response `json:"response,omitempty"`
}

type request struct {
	UID    string `json:"uid"`
	Object pod    `json:"object"`
}

type response struct {
	UID       string `json:"uid"`
	Allowed   bool   `json:"allowed"`
	PatchType string `json:"patchType,omitempty"`
	Patch     []byte `json:"patch,omitempty"`
}

type pod struct {
	Metadata struct {
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Containers []struct {
			Name      string `json:"name"`
			Lifecycle *struct {
				PreStop *struct{} `json:"preStop"`
			} `json:"lifecycle"`
		} `json:"containers"`
		Grace *int64 `json:"terminationGracePeriodSeconds"`
	} `json:"spec"`
}

type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

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

type handler struct {
	Sleep struct {
		Seconds int64 `json:"seconds"`
	} `json:"sleep"`
}

type lifecycle struct {
	PreStop handler `json:"preStop"`
}

func patch(pod *pod) ([]operation, error) {
	var operations []operation
	var injected []container
	var hook handler
	hook.Sleep.Seconds = delaySeconds
	for i, c := range pod.Spec.Containers {
		path := fmt.Sprintf("/spec/containers/%d/lifecycle", i)
		switch {
		case c.Lifecycle == nil:
			operations = append(operations, operation{"add", path, lifecycle{hook}})
		case c.Lifecycle.PreStop == nil:
			operations = append(operations, operation{"add", path + "/preStop", hook})
		default:
			continue
		}
		injected = append(injected, container{c.Name, "sleep", delaySeconds, "default"})
	}
	if injected == nil {
		return nil, nil
	}
	before := int64(30)
	if pod.Spec.Grace != nil {
		before = *pod.Spec.Grace
	}
	after := before + delaySeconds
	operations = append(operations, operation{"add", "/spec/terminationGracePeriodSeconds", after})
	text, err := json.Marshal(status{1, grace{before, after}, injected})
	if err != nil {
		return nil, err
	}
	if pod.Metadata.Annotations == nil {
		all := map[string]string{annotation: string(text)}
		return append(operations, operation{"add", "/metadata/annotations", all}), nil
	}
	return append(operations, operation{"add", "/metadata/annotations/prestop.dev~1status", string(text)}), nil
}

func answer(body []byte) ([]byte, error) {
	var review review
	if err := json.Unmarshal(body, &review); err != nil {
		return nil, err
	}
	if review.Request == nil {
		return nil, fmt.Errorf("no request")
	}
	operations, err := patch(&review.Request.Object)
	if err != nil {
		return nil, err
	}
	review.Response = &response{UID: review.Request.UID, Allowed: true}
	review.Request = nil
	if operations != nil {
		review.Response.PatchType = "JSONPatch"
		if review.Response.Patch, err = json.Marshal(operations); err != nil {
			return nil, err
		}
	}
	return json.Marshal(review)
}

func mutate(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largestBody))
	if err == nil {
		body, err = answer(body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

func main() {
	listen := flag.String("listen", "127.0.0.1:9443", "address and port")
	certificate := flag.String("tls-cert", "tls.crt", "certificate")
	key := flag.String("tls-key", "tls.key", "key")
	flag.Parse()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /mutate", mutate)
	if err := http.ListenAndServeTLS(*listen, *certificate, *key, mux); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
