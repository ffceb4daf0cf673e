module prestop.dev/bench/net-http

go 1.26
