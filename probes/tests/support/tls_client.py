"""Asks a server of peer.py by TLS: `tls_client.py PORT CONNECTIONS TURNS [resume] [h2] [certificate=FILE]`.

Each connection says TURNS lines, each after the answer to the one before, and begins with the first as soon as
the handshake allows. With `resume` all but the first connection resume its session.
"""
import socket, ssl, sys

port, connections, turns = (int(text) for text in sys.argv[1:4])
options = sys.argv[4:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
if "h2" in options:
    context.set_alpn_protocols(["h2", "http/1.1"])
for option in options:
    if option.startswith("certificate="):
        context.load_cert_chain(option.removeprefix("certificate="))

session = None
resumed = 0
for _ in range(connections):
    stream = socket.create_connection(("127.0.0.1", port))
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = context.wrap_socket(stream, session=session)
    lines = stream.makefile("rb")
    for turn in range(turns):
        # Long enough to be a request of HTTP/1 in size.
        word = f"turn-number-{turn:08}"
        stream.sendall(f"say {word}\n".encode())
        assert lines.readline().decode().strip() == word
    resumed += stream.session_reused
    if "resume" in options:
        session = session or stream.session
    lines.close()
    stream.close()
assert "resume" not in options or resumed == connections - 1, resumed
