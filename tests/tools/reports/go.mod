module tools

go 1.26.0

// Their definitions of kinds are files in these modules; nothing of them is built.
require (
	github.com/kyverno/kyverno v1.15.2
	github.com/openreports/reports-api v0.2.1
)
