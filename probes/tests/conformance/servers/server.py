"""Python's own HTTP server. Logs what it answered to its standard output: method, path, status.

usage: server.py [CERTIFICATE]
GET /slow/MS waits that many milliseconds, /chunked answers in chunks, POST or PUT is read whole, and all
else is 200 unless its name says otherwise.
"""

import http.server
import os
import socket
import ssl
import sys
import time

NAMED = {"/missing": 404, "/broken": 500, "/busy": 503, "/moved": 302}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        while length > 0:
            length -= len(self.rfile.read(min(length, 65536)))
        if self.path.startswith("/slow/"):
            time.sleep(int(self.path.split("/")[2]) / 1000)
        self.send_response(NAMED.get(self.path, 200))
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in (b"one", b"two" * 1000, b"three"):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
            return
        body = b"fine\n"
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def log_request(self, code="-", size="-"):
        if code != 100:
            # One write a line: threads do not mix inside of it.
            os.write(1, f"{self.command} {self.path} {int(code)}\n".encode())

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    # One socket for both: IPv4 comes mapped into IPv6.
    address_family = socket.AF_INET6
    request_queue_size = 512
    daemon_threads = True


server = Server(("::", 8080), Handler)
if len(sys.argv) > 1:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1])
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
