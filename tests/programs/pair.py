"""Pairs the requests and responses of a packet capture, with no knowledge of slowburn.

usage: pair.py CAPTURE PORT
Prints one line a pair: the request's path, the status, and the nanoseconds from the last byte of the request
to the first byte of the response, both as the packet socket at the server's side saw them.
Segments seen before (by sequence number) are left out; a request ends where the next response begins.
"""

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
        offset = (frame[start + 12] >> 4) * 4
        yield at, (addresses[0], source), (addresses[1], target), sequence, frame[start + offset : start + length]


def main():
    port = int(sys.argv[2])
    asking, seen = {}, {}
    for at, source, target, sequence, payload in segments(sys.argv[1]):
        if not payload:
            continue
        flow = (source, target)
        if flow in seen and (sequence - seen[flow]) % 2**32 >= 2**31:
            continue
        seen[flow] = (sequence + len(payload)) % 2**32
        if target[1] == port:
            path, _ = asking.get(flow, (None, None))
            asking[flow] = (path or payload.split(b" ", 2)[1].decode(), at)
        elif source[1] == port and (target, source) in asking:
            path, asked = asking.pop((target, source))
            print(path, payload[9:12].decode(), at - asked)


main()
