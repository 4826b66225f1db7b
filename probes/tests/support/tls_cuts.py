"""Asks a server of peer.py by TLS whose segments it cuts: `tls_cuts.py PORT CUT TURNS WHAT`.

Of a hello, of what ends the handshake (`finished`) or of each line (`line`), whichever is named, the first CUT bytes
are sent in a segment of their own.
"""
import socket, ssl, sys

port, cut, turns = (int(text) for text in sys.argv[1:4])
what = sys.argv[4]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
client = context.wrap_bio(incoming, outgoing)
stream = socket.create_connection(("127.0.0.1", port))
stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def send(which):
    said = outgoing.read()
    pieces = (said[:cut], said[cut:]) if which == what else (said,)
    for piece in pieces:
        if piece:
            stream.sendall(piece)


def until(work, which):
    while True:
        try:
            done = work()
            send(which)
            return done
        except ssl.SSLWantReadError:
            send(which)
            incoming.write(stream.recv(65536))
            which = "finished" if which == "hello" else ""


until(client.do_handshake, "hello")
for turn in range(turns):
    # Long enough to be a request of HTTP/1 in size.
    word = f"turn-number-{turn:08}"
    client.write(f"say {word}\n".encode())
    send("line")
    heard = b""
    while not heard.endswith(b"\n"):
        heard += until(lambda: client.read(1000), "")
    assert heard.decode().strip() == word
stream.close()
