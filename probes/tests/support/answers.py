"""An HTTP/1 server that answers in the form its path names. Requests that came together are answered
together, so that answers share segments."""

import socket
import sys
import threading

OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    b"/length": OK + b"content-LENGTH:  5 \r\n\r\nhello",
    b"/chunked": OK
    + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nHTTP/\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
    b"/none": b"HTTP/1.1 204 No Content\r\n\r\n",
    b"/header": b"HTTP/1.1 206 Partial Content\r\nContent-Length: 500\r\n\r\n",
    b"/interim": b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    b"/upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n",
    b"/wordless": b"hello, and no status line",
}


def behind_chunks(stream, waiting):
    """What is here behind a body in chunks that begins so, and its trailer."""
    at = 0

    def line():
        nonlocal waiting, at
        while b"\r\n" not in waiting[at:]:
            waiting += stream.recv(65536)
        found, _ = waiting[at:].split(b"\r\n", 1)
        at += len(found) + 2
        return found

    while size := int(line().split(b";")[0], 16):
        at += size + 2
    while line():
        pass
    return waiting[at:]


def converse(stream):
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    waiting = b""
    while data := stream.recv(65536):
        waiting += data
        out = b""
        while b"\r\n\r\n" in waiting:
            head, waiting = waiting.split(b"\r\n\r\n", 1)
            path = head.split(b" ")[1]
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
                    while len(waiting) < length:
                        waiting += stream.recv(65536)
                    waiting = waiting[length:]
            if b"\r\ntransfer-encoding: chunked" in head.lower():
                waiting = behind_chunks(stream, waiting)
            if path == b"/slowly":
                for byte in ANSWERS[b"/length"]:
                    stream.send(bytes([byte]))
                continue
            out += ANSWERS[path]
        stream.sendall(out)
        if out == ANSWERS[b"/wordless"]:
            break
        if out == ANSWERS[b"/upgrade"]:
            # What is echoed looks like HTTP, and is none.
            while data := stream.recv(65536):
                stream.sendall(data)
    stream.close()


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    threading.Thread(target=converse, args=(listener.accept()[0],), daemon=True).start()
