# A worker serves one request at a time.
worker_processes 32
