"""The turns of HTTP/1 inside TLS 1.3 in a packet capture, told by its records, with no knowledge of slowburn.

usage: pair_tls.py CAPTURE PORT
Prints one line a turn, in the form of pair_turns.py: from the last byte of a record of the client's to the first byte
of the server's next. The client's first record is its Finished and no request. Tickets may come between the first
request and its answer, so the last record before the client speaks again is that answer: it has to be a record alone.
"""

from pair import main

APPLICATION_DATA = 23
# Level and description, the kind that they really are, and a tag: the connection's end.
ALERT = 2 + 1 + 16


def records(direction):
    """When the first and when the last byte of each record was there, of those whose kind is encrypted."""
    at, stream = 0, direction.bytes
    while at + 5 <= len(stream):
        kind, length = stream[at], int.from_bytes(stream[at + 3 : at + 5], "big")
        end = at + 5 + length
        if kind == APPLICATION_DATA and length != ALERT and end <= len(stream):
            yield direction.time(at), direction.time(end - 1)
        at = end


def turns(asking, answering):
    asked = [end for _, end in records(asking)][1:]
    answered = [begin for begin, _ in records(answering)]
    for number, (at, next) in enumerate(zip(asked, [*asked[1:], float("inf")])):
        said = [time for time in answered if at < time < next]
        if said:
            yield "-", "-", "answered", said[-1 if number == 0 else 0] - at


main(turns)
