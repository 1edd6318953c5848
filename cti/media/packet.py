"""The one packet buffer of a worker: a packet is read, rewritten, encrypted and sent where it lies.

A worker has one thread for packets and handles one packet at a time, so one buffer is enough, and nothing is
copied on the way from socket to socket.
"""

import struct

SIZE = 2048
HEADER = 12

PACKET = bytearray(SIZE)
PREFIX = [memoryview(PACKET)[:size] for size in range(SIZE + 1)]  # PREFIX[n]: the first n bytes, no slicing
PAYLOAD = [memoryview(PACKET)[HEADER : max(size, HEADER)] for size in range(SIZE + 1)]

# RFC 3550 section 5.1: V P X CC, M PT, sequence number, timestamp, SSRC
_HEADER = struct.Struct("!BBHII")
unpack_header = _HEADER.unpack_from
pack_header = _HEADER.pack_into


def flatten(size: int) -> int:
    """Strip CSRCs, header extension and padding from the packet. Returns its new size, 0 if it is not RTP."""
    first = PACKET[0]
    start = HEADER + 4 * (first & 0x0F)
    if first >> 6 != 2 or size < start:
        return 0
    if first & 0x10:
        if size < start + 4:
            return 0
        start += 4 + 4 * int.from_bytes(PACKET[start + 2 : start + 4], "big")
    end = size - PACKET[size - 1] if first & 0x20 else size
    if end < start:
        return 0
    PACKET[HEADER : HEADER + end - start] = bytes(PREFIX[end][start:])
    PACKET[0] = 0x80
    return HEADER + end - start
