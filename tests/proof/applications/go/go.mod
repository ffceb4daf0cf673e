module proof/server

go 1.19
