"""Pairs the HTTP/2 requests and responses of a packet capture, with no knowledge of slowburn.

usage: pair_http2.py CAPTURE PORT
Prints what pair.py does. A stream's request ends with the frame that ends its side of the stream, its response begins
with the first header block that is no interim one, and a call of gRPC has the status that its trailers say.
"""

import hpack
from pair import main

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, CONTINUATION = 0, 1, 3, 9
END_STREAM, END_HEADERS, PADDED, PRIORITY = 1, 4, 8, 32


def events(direction, at):
    """Each end of headers or data: stream, kind, the headers, whether the stream ends, where it begins and ends."""
    decoder = hpack.Decoder()
    decoder.max_allowed_table_size = 65536
    stream_bytes, block, begun = direction.bytes, b"", None
    while at + 9 <= len(stream_bytes):
        length, kind, flags = int.from_bytes(stream_bytes[at : at + 3], "big"), stream_bytes[at + 3], stream_bytes[at + 4]
        stream = int.from_bytes(stream_bytes[at + 5 : at + 9], "big") & 0x7FFFFFFF
        end = at + 9 + length
        if end > len(stream_bytes):
            return
        if kind in (HEADERS, CONTINUATION):
            payload = bytes(stream_bytes[at + 9 : end])
            if kind == HEADERS:
                begun = (at, flags & END_STREAM)
                if flags & PADDED:
                    payload = payload[1 : len(payload) - payload[0]]
                if flags & PRIORITY:
                    payload = payload[5:]
            block += payload
            if flags & END_HEADERS:
                yield stream, HEADERS, dict(decoder.decode(block)), begun[1], begun[0], end
                block = b""
        elif kind == DATA:
            yield stream, DATA, {}, flags & END_STREAM, at, end
        elif kind == RST_STREAM:
            yield stream, RST_STREAM, {}, True, at, end
        at = end


def streams(asking, answering):
    # Ports are asked whether they listen by connections that say nothing.
    if not asking.bytes.startswith(PREFACE):
        return
    asked, given_up, answered = {}, set(), {}
    for stream, kind, headers, ends, _, end in events(asking, len(PREFACE)):
        if kind == RST_STREAM:
            given_up.add(stream)
            continue
        request = asked.setdefault(stream, {"times": []})
        if ":method" in headers:
            request["is"] = headers[":method"], headers[":path"]
        request["times"].append(asking.time(end - 1))
    for stream, kind, headers, ends, start, _ in events(answering, 0):
        if kind != HEADERS:
            continue
        if headers.get(":status", "1")[0] != "1":
            answered[stream] = headers[":status"], answering.time(start)
        if "grpc-status" in headers:
            answered[stream] = f"grpc:{headers['grpc-status']}", answered[stream][1]
    for stream, request in asked.items():
        status, at = answered.get(stream, (None, None))
        if stream in given_up and not (status or "").startswith("grpc"):
            status = "outcome:client_gave_up"
        if status and at is not None:
            yield *request["is"], status, at - max(time for time in request["times"] if time <= at)


main(streams)
