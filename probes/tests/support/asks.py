"""Asks servers twice each, which speak one protocol or another: `asks.py HOW KIND,PORT...`.

HOW is `again`: on one socket, which is let go of each before it is connected to the next (connect(2), AF_UNSPEC);
or `fast`: on a socket each, and what is said first is in the SYN (TCP Fast Open).
"""
import ctypes, socket, ssl, sys

how, *servers = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


class Calls:
    def __init__(self):
        self.socket = socket.socket()

    def open(self, port):
        self.there = ("127.0.0.1", port)
        if how == "again":
            self.socket.connect(self.there)
            self.there = None

    def say(self, words):
        if self.there:
            # All of it: what the SYN has no room for is not asked here.
            assert self.socket.sendto(words, socket.MSG_FASTOPEN, self.there) == len(words)
            self.there = None
        else:
            self.socket.sendall(words)

    def hear(self, is_all):
        heard = b""
        while not is_all(heard):
            more = self.socket.recv(65536)
            assert more, heard
            heard += more
        return heard

    def leave(self):
        if how == "again":
            unspecified = bytes(16)
            assert ctypes.CDLL(None).connect(self.socket.fileno(), unspecified, 16) == 0
        else:
            self.socket.close()
            self.socket = socket.socket()


def http1(calls):
    for _ in range(2):
        calls.say(b"GET /one HTTP/1.1\r\nHost: near\r\n\r\n")
        calls.hear(lambda heard: heard.endswith(b"\r\n\r\n"))


def http2(calls):
    def ends(frames, stream):
        while len(frames) >= 9:
            length, kind, flags = int.from_bytes(frames[:3], "big"), frames[3], frames[4]
            if int.from_bytes(frames[5:9], "big") == stream and kind < 2 and flags & 1:
                return True
            frames = frames[9 + length :]
        return False

    block = b"\x82\x86\x04\x04/one\x01\x04near"
    words = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
    for stream in 1, 3:
        words += bytes([0, 0, len(block), 1, 5, 0, 0, 0, stream]) + block
        calls.say(words)
        calls.hear(lambda heard: ends(heard, stream))
        words = b""


def line(calls):
    for _ in range(2):
        calls.say(b"say something-longer\n")
        calls.hear(lambda heard: heard.endswith(b"\n"))


def tls(calls):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing)

    def until(work):
        while True:
            try:
                return work()
            except ssl.SSLWantReadError:
                if outgoing.pending:
                    calls.say(outgoing.read())
                incoming.write(calls.hear(len))

    until(client.do_handshake)
    for _ in range(2):
        client.write(b"say something-longer\n")
        heard = b""
        while not heard.endswith(b"\n"):
            heard += until(lambda: client.read(1000))


calls = Calls()
for server in servers:
    kind, port = server.split(",")
    calls.open(int(port))
    globals()[kind](calls)
    calls.leave()
