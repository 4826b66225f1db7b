"""A server that speaks a line protocol nobody else knows, in clear or inside TLS.

Each line is a command, answered by a line:
  say TEXT       TEXT, at once
  sleep MS       `slept`, after MS milliseconds
  wait PATH      `waited`, once there is a file of that name
  parts N MS     N lines, MS milliseconds between them
  eat BYTES      `eaten`, once that many more bytes have come
  send BYTES     that many bytes, by sendfile(2) in clear
  nothing        no answer
  close, reset   the connection ends without one
With --greet the server speaks first.
"""
import argparse, os, socket, ssl, struct, tempfile, threading, time

options = argparse.ArgumentParser()
options.add_argument("--port", type=int, required=True)
options.add_argument("--greet", action="store_true")
options.add_argument("--certificate", help="speaks TLS with this file of a key and a certificate")
options.add_argument("--version", choices=["1.2", "1.3"], help="of TLS, and no other")
options.add_argument("--tickets", type=int, help="how many session tickets a TLS 1.3 handshake is followed by")
options.add_argument("--clients", help="asks clients for a certificate of this authority")
options.add_argument("--defer", action="store_true", help="accepts connections once their first data is there")
options = options.parse_args()

blob = tempfile.TemporaryFile()
blob.write(b"x" * (8 << 20))
blob.flush()

context = None
if options.certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.certificate)
    if options.version:
        only = ssl.TLSVersion.TLSv1_2 if options.version == "1.2" else ssl.TLSVersion.TLSv1_3
        context.minimum_version = context.maximum_version = only
    if options.tickets is not None:
        context.num_tickets = options.tickets
    if options.clients:
        context.load_verify_locations(options.clients)
        context.verify_mode = ssl.CERT_REQUIRED


def converse(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context:
        connection = context.wrap_socket(connection, server_side=True)
    if options.greet:
        connection.sendall(b"220 ready\n")
    lines = connection.makefile("rb")
    for line in lines:
        word, *rest = line.decode().split()
        if word == "say":
            connection.sendall((rest[0] + "\n").encode())
        elif word == "sleep":
            time.sleep(int(rest[0]) / 1000)
            connection.sendall(b"slept\n")
        elif word == "wait":
            while not os.path.exists(rest[0]):
                time.sleep(0.02)
            connection.sendall(b"waited\n")
        elif word == "parts":
            for part in range(int(rest[0])):
                if part:
                    time.sleep(int(rest[1]) / 1000)
                connection.sendall(b"part\n")
        elif word == "eat":
            lines.read(int(rest[0]))
            connection.sendall(b"eaten\n")
        elif word == "send":
            count = int(rest[0])
            if context:
                connection.sendall(b"x" * count)
            else:
                connection.sendfile(blob, 0, count)
        elif word == "close":
            break
        elif word == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            break
    lines.close()
    connection.close()


def guarded(connection):
    try:
        converse(connection)
    except (OSError, ValueError):
        connection.close()


listener = socket.create_server(("127.0.0.1", options.port), backlog=128)
if options.defer:
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
while True:
    connection, _ = listener.accept()
    threading.Thread(target=guarded, args=(connection,), daemon=True).start()
