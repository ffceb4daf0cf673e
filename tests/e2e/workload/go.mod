module prestop.dev/e2e/workload

go 1.25
