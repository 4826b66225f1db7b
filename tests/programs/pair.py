"""Pairs the HTTP/1 requests and responses of a packet capture, with no knowledge of slowburn.

usage: pair.py CAPTURE PORT
Prints one line a pair: method, path, status, and the nanoseconds from the last byte of the request to the first
byte of the response, as the packet socket at the server's side saw them. Both directions of each connection are put
in order by sequence number, a byte counts from when everything before it was there, and the n-th response answers
the n-th request. Interim responses are passed over, except 101, which ends HTTP on its connection.
"""

import bisect
import re
import struct
import sys

NANOSECOND_MAGIC = 0xA1B23C4D


def packets(path):
    with open(path, "rb") as capture:
        magic, _, _, _, _, _, link = struct.unpack("<IHHiIII", capture.read(24))
        assert magic == NANOSECOND_MAGIC, "capture with --time-stamp-precision=nano"
        assert link == 1, "capture on an Ethernet device"
        while head := capture.read(16):
            seconds, nanoseconds, kept, _ = struct.unpack("<IIII", head)
            yield seconds * 1_000_000_000 + nanoseconds, capture.read(kept)


def segments(path):
    """Time, the two ends, sequence number, flags, what was kept of the data, and how long it was."""
    for at, frame in packets(path):
        kind = struct.unpack("!H", frame[12:14])[0]
        if kind == 0x0800:
            header = (frame[14] & 15) * 4
            total = struct.unpack("!H", frame[16:18])[0]
            if frame[23] != 6:
                continue
            addresses, start, length = (frame[26:30], frame[30:34]), 14 + header, total - header
        elif kind == 0x86DD:
            if frame[20] != 6:
                continue
            addresses, start = (frame[22:38], frame[38:54]), 54
            length = struct.unpack("!H", frame[18:20])[0]
        else:
            continue
        source, target, sequence = struct.unpack("!HHI", frame[start : start + 8])
        offset, flags = (frame[start + 12] >> 4) * 4, frame[start + 13]
        data = frame[start + offset : start + length]
        yield at, (addresses[0], source), (addresses[1], target), sequence, flags, data, length - offset


class Direction:
    """The bytes of one direction in order; what the capture cut off is zeros."""

    def __init__(self):
        self.next, self.waiting = None, {}
        self.bytes = bytearray()
        self.ends, self.times = [], []

    def take(self, at, sequence, flags, data, length):
        if flags & 2:
            self.next = (sequence + 1) % 2**32
            return
        if length == 0:
            return
        if self.next is None:
            self.next = sequence
        self.waiting.setdefault(sequence, (data, length))
        while self.waiting:
            ready = [s for s in self.waiting if (s - self.next) % 2**32 == 0 or (s - self.next) % 2**32 >= 2**31]
            if not ready:
                return
            for sequence in ready:
                data, length = self.waiting.pop(sequence)
                known = (self.next - sequence) % 2**32
                if known >= length:
                    continue
                self.bytes += data[known:] + bytes(length - max(len(data), known))
                self.next = (sequence + length) % 2**32
                self.ends.append(len(self.bytes))
                self.times.append(at)

    def time(self, offset):
        return self.times[bisect.bisect_right(self.ends, offset)]

    def last_before(self, start, end, at):
        """When the last byte of a range came, of those that came before a moment."""
        first, last = bisect.bisect_right(self.ends, start), bisect.bisect_right(self.ends, end - 1)
        return max((time for time in self.times[first : last + 1] if time <= at), default=self.times[first])


def body_end(stream, head, start, close_delimits):
    if re.search(rb"\r\ntransfer-encoding:[^\r]*chunked", head, re.I):
        while (line := stream.find(b"\r\n", start)) >= 0:
            size = int(stream[start:line].split(b";")[0], 16)
            start = line + 2 + size + 2
            if size == 0:
                return start
        return len(stream)
    if length := re.search(rb"\r\ncontent-length: *(\d+)", head, re.I):
        return start + int(length[1])
    return len(stream) if close_delimits else start


def messages(stream, body_follows):
    """The head, the start and the end of each message; `body_follows` says what is known of a response's body."""
    at = 0
    while (end := stream.find(b"\r\n\r\n", at)) >= 0:
        head = bytes(stream[at : end + 2])
        follows = body_follows(head)
        after = end + 4 if follows is None else body_end(stream, head, end + 4, follows)
        yield head, at, after
        if head.startswith(b"HTTP/1.1 101") or re.search(rb"\r\nupgrade: *websocket", head, re.I):
            return
        at = after


def pairs(asking, answering):
    asked = list(messages(asking.bytes, lambda head: False))
    waiting = iter(asked)
    request = next(waiting, None)

    def body_follows(head):
        status = head[9:12]
        if status[:1] == b"1" or status in (b"204", b"304") or (request and request[0].startswith(b"HEAD ")):
            return None
        return True

    for head, start, _ in messages(answering.bytes, body_follows):
        status = head[9:12].decode()
        if status[0] == "1" and status != "101":
            continue
        if request is None:
            return
        method, path = request[0].split(b" ", 2)[:2]
        answered = answering.time(start)
        yield method.decode(), path.decode(), status, answered - asking.last_before(*request[1:], answered)
        request = next(waiting, None)


def conversations(capture, port):
    """The two directions of each connection to this port: what was asked, and what was answered."""
    connections = {}
    for at, source, target, sequence, flags, data, length in segments(capture):
        is_asking = target[1] == port
        client, server = (source, target) if is_asking else (target, source)
        # A SYN that is not an answer to one begins a connection, also where the ports were used before.
        if flags & 0x12 == 2 and (client, server) in connections:
            first = connections[client, server][-1][0]
            if first.bytes and first.next != (sequence + 1) % 2**32:
                connections[client, server].append((Direction(), Direction()))
        both = connections.setdefault((client, server), [(Direction(), Direction())])[-1]
        both[0 if is_asking else 1].take(at, sequence, flags, data, length)
    return [both for lives in connections.values() for both in lives]


def main(pairs):
    for asking, answering in conversations(sys.argv[1], int(sys.argv[2])):
        for pair in pairs(asking, answering):
            print(*pair)


if __name__ == "__main__":
    main(pairs)
