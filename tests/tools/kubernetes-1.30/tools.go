//go:build tools

// Keeps the command that tests/tools/install builds in go.mod.
package tools

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
