"""An HTTP/1.1 server with known delays: GET /MS answers after MS milliseconds.

usage: delays.py ADDRESS PORT
Keep-alive, a thread a connection, no work but the wait: what a probe measures beyond MS is the machine.
"""

import socket
import sys
import threading
import time

ANSWER = b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"


def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    waiting = b""
    with connection:
        while True:
            while b"\r\n\r\n" not in waiting:
                read = connection.recv(65536)
                if not read:
                    return
                waiting += read
            head, waiting = waiting.split(b"\r\n\r\n", 1)
            time.sleep(float(head.split(b" ", 2)[1].lstrip(b"/")) / 1000)
            connection.sendall(ANSWER)


listener = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=512)
print("listening", flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
