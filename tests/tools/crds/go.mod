module tools

go 1.26.0

// Their definitions of kinds are files in these modules; nothing of them is built.
require (
	github.com/cert-manager/cert-manager v1.21.2
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
