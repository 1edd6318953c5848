"""The reports of RFC 3550 section 6.4, as much as a peer needs to see that we are there."""

import struct
import time

from cti.media.rtp import Leg

SENDER_REPORT = 200
RECEIVER_REPORT = 201
SOURCE_DESCRIPTION = 202

REPORT_SECONDS = 5

_NTP_EPOCH = 2208988800  # 1900 to 1970
_SR = struct.Struct("!BBHIIIIII")
_RR = struct.Struct("!BBHI")
_BLOCK = struct.Struct("!IIIIII")
_SDES = struct.Struct("!BBHIBB")
_NAME = b"ramal"


def report(leg: Leg, now: float) -> bytes:
    """A sender report (a receiver report if nothing was sent), about what was heard, and a name."""
    heard = leg.packets_in > 0
    block = _block(leg) if heard else b""
    if leg.packets_out:
        ntp = time.time() + _NTP_EPOCH
        timestamp = (leg.timestamp + int((now - leg.sent_at) * 8000)) & 0xFFFFFFFF
        head = _SR.pack(
            0x80 | heard,
            SENDER_REPORT,
            6 + len(block) // 4,
            leg.ssrc,
            int(ntp) & 0xFFFFFFFF,
            int(ntp % 1 * 2**32),
            timestamp,
            leg.packets_out & 0xFFFFFFFF,
            leg.octets_out & 0xFFFFFFFF,
        )
    else:
        head = _RR.pack(0x80 | heard, RECEIVER_REPORT, 1 + len(block) // 4, leg.ssrc)
    return head + block + _description(leg.ssrc)


def _block(leg: Leg) -> bytes:
    lost = max(-0x800000, min(0x7FFFFF, leg.packets_expected - leg.packets_in)) & 0xFFFFFF
    return _BLOCK.pack(leg.ssrc_in, lost, leg.sequence_in, leg.jitter, 0, 0)


def _description(ssrc: int) -> bytes:
    item = _SDES.pack(0x81, SOURCE_DESCRIPTION, 0, ssrc, 1, len(_NAME)) + _NAME
    item += bytes(4 - len(item) % 4)
    return item[:2] + struct.pack("!H", len(item) // 4 - 1) + item[4:]
