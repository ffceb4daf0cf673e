"""A server for rehearsals: server.py PORT [BEHAVIOUR]. It exits at once on TERM, as many programs do.

BEHAVIOUR: ignore-term, hang (each 50th request), never-ready (503 for /ready), refuse (does not start),
close (no connection is kept)
"""

import http.server
import itertools
import os
import signal
import sys
import time

port = int(sys.argv[1])
behaviour = sys.argv[2] if len(sys.argv) > 2 else ""
numbers = itertools.count(1)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one piece, and no waiting for more.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self):
        if behaviour == "hang" and next(numbers) % 50 == 0:
            time.sleep(600)
        if self.path == "/slow":
            time.sleep(1)
        if self.path == "/slower":
            time.sleep(3)
        status = 503 if behaviour == "never-ready" and self.path == "/ready" else 200
        body = b"hello\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if behaviour == "close":
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


if behaviour == "refuse":
    sys.exit("no licence file found")
on_term = signal.SIG_IGN if behaviour == "ignore-term" else lambda *_: os._exit(0)
signal.signal(signal.SIGTERM, on_term)
print(f"listening on {port}", flush=True)
Server(("", port), Handler).serve_forever()
