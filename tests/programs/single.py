"""A single-threaded HTTP server: Python's own, one request at a time, one connection a request.

usage: single.py ADDRESS PORT BACKLOG SERVICE_MS LOG
Writes how long each request took by the server's own clock, in milliseconds, a line a request: from
the connection's accept to the end of its handling.
"""

import socketserver
import sys
import time
from http.server import BaseHTTPRequestHandler

address, port, backlog, service_ms, log = sys.argv[1:]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(float(service_ms) / 1000)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(socketserver.TCPServer):
    allow_reuse_address = True
    request_queue_size = int(backlog)

    def process_request(self, request, client_address):
        began = time.monotonic()
        super().process_request(request, client_address)
        own_log.write(f"{(time.monotonic() - began) * 1000:.3f}\n")


with open(log, "w", buffering=1) as own_log, Server((address, int(port)), Handler) as server:
    print("listening", flush=True)
    server.serve_forever()
