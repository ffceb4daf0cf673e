"""A server for rehearsals: server.py PORT [SECONDS]. TERM lets it finish what it has.

/slow takes so many seconds; /shutdown ends the server at once.
"""

import http.server
import os
import signal
import sys
import threading
import time

port = int(sys.argv[1])
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 1
lock = threading.Lock()
active = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self):
        global active
        with lock:
            active += 1
        if self.path == "/slow":
            time.sleep(seconds)
        body = b"hello\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        if self.path == "/shutdown":
            os._exit(0)
        with lock:
            active -= 1

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


def finish():
    server.socket.close()
    while active > 0:
        time.sleep(0.05)
    os._exit(0)


server = Server(("", port), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=finish).start())
server.serve_forever()
