"""Digits sent to a party: RFC 4733 events where it takes them, audible tones where it does not."""

from cti.media import tones
from cti.media.g711 import SAMPLES_PER_PACKET
from cti.media.rtp import DIGITS, Leg

PRESS_PACKETS = 5  # 100 ms
END_PACKETS = 3  # the last packet three times, RFC 4733 section 2.5.1.4
PAUSE_PACKETS = 3
VOLUME_DBM0 = 10  # below 0 dBm0


class Dialer:
    """The digits on their way to one leg. While they are sent, the leg hears nothing else."""

    def __init__(self, leg: Leg, digits: str) -> None:
        self._leg = leg
        self._digits = digits
        self._step = 0
        self._timestamp = 0
        self._tone = b""

    def add(self, digits: str) -> None:
        self._digits += digits

    def tick(self, now: float) -> bool:
        """Send the packet of these 20 ms. False: all digits are sent."""
        if not self._digits:
            return False
        if self._leg.format.digits_out is None:
            self._tone_packet(now)
        else:
            self._event_packet(now)
        self._step += 1
        if self._step == PRESS_PACKETS + END_PACKETS + PAUSE_PACKETS:
            self._step = 0
            self._digits = self._digits[1:]
        return True

    def _event_packet(self, now: float) -> None:
        if self._step == 0:
            self._timestamp = self._leg.begin_event(now)
        if self._step < PRESS_PACKETS + END_PACKETS:
            end = self._step >= PRESS_PACKETS
            duration = min(self._step + 1, PRESS_PACKETS) * SAMPLES_PER_PACKET
            payload = bytes((DIGITS.index(self._digits[0]), 0x80 * end | VOLUME_DBM0))
            self._leg.say_event(payload + duration.to_bytes(2, "big"), self._step == 0, self._timestamp)

    def _tone_packet(self, now: float) -> None:
        if self._step == 0:
            self._tone = tones.digit(self._digits[0], self._leg.format.law, PRESS_PACKETS)
        at = self._step * SAMPLES_PER_PACKET
        if at < len(self._tone):
            self._leg.say(self._tone[at : at + SAMPLES_PER_PACKET], self._step == 0, now)
