"""A telephone made of one UDP socket: it sends a tone, keeps what it hears, and says what that was."""

import asyncio
import random
import re
import socket
import struct
import time

import numpy as np

from cti.media import g711
from tests.waiting import until

SILENT_RMS = 60


def tone(hertz: float, seconds: float = 1.0, law: str = "PCMA") -> bytes:
    at = np.arange(int(seconds * 8000)) / 8000
    samples = (8000 * np.sin(2 * np.pi * hertz * at)).astype(np.int16)
    return g711.pcm_to_ulaw(samples) if law == "PCMU" else g711.pcm_to_alaw(samples)


def pitch(samples: np.ndarray) -> float | None:
    """The loudest frequency in hertz, None when it is silent."""
    samples = samples.astype(float)
    if len(samples) < 800 or np.sqrt(np.mean(samples**2)) < SILENT_RMS:
        return None
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * 8000 / len(samples))


class Phone:
    """`hertz` is its voice. `packets` heard are (second byte, sequence, timestamp, ssrc, payload)."""

    def __init__(self, law="PCMA", hertz=440.0, digits=101, address="127.0.0.1"):
        self.law = law
        self.payload_type = 0 if law == "PCMU" else 8
        self.digits = digits
        self.address = address
        self.version = "IP6" if ":" in address else "IP4"
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((address, 0))
        self.port = self.socket.getsockname()[1]
        self.voice = tone(hertz, 1.0, law)  # a whole number of periods
        self.peer = None
        self.packets = []
        self.sequence = random.getrandbits(16)
        self.timestamp = random.getrandbits(32)
        self.ssrc = random.getrandbits(32)
        self.at = 0
        self.talking = None

    def sdp(self, direction="sendrecv", port=None):
        digits = f" {self.digits}" if self.digits else ""
        text = (
            f"v=0\r\no=- 1 1 IN {self.version} {self.address}\r\ns=-\r\n"
            f"c=IN {self.version} {self.address}\r\nt=0 0\r\n"
            f"m=audio {port or self.port} RTP/AVP {self.payload_type}{digits}\r\n"
        )
        if self.digits:
            text += f"a=rtpmap:{self.digits} telephone-event/8000\r\n"
        return text + f"a={direction}\r\n"

    def learn(self, sdp):
        """Take the engine's SDP: where to send."""
        self.peer = (
            re.search(rf"c=IN {self.version} (\S+)", sdp)[1],
            int(re.search(r"m=audio (\d+)", sdp)[1]),
        )

    def start(self):
        loop = asyncio.get_running_loop()
        loop.add_reader(self.socket, self.hear)
        self.talking = loop.create_task(self.talk())

    async def talk(self):
        due = time.monotonic()
        while True:
            self.say()
            due += 0.02
            await asyncio.sleep(max(0, due - time.monotonic()))

    def say(self):
        payload = self.voice[self.at : self.at + 160]
        self.at = (self.at + 160) % len(self.voice)
        self.timestamp += 160
        self.put(self.payload_type, self.timestamp, payload)

    def put(self, second, timestamp, payload, sender=None):
        self.sequence = (self.sequence + 1) & 0xFFFF
        head = struct.pack("!BBHII", 0x80, second, self.sequence, timestamp & 0xFFFFFFFF, self.ssrc)
        (sender or self.socket).sendto(head + payload, self.peer)

    def press(self, digit):
        """One RFC 4733 press: three packets and the end three times."""
        code = "0123456789*#ABCD".index(digit)
        at = self.timestamp = self.timestamp + 160
        for number in range(6):
            end = 0x80 if number >= 3 else 0
            duration = 160 * min(number + 1, 4)
            marker = 0x80 if number == 0 else 0
            self.put(marker | self.digits, at, struct.pack("!BBH", code, end | 10, duration))

    def hear(self):
        while True:
            try:
                data = self.socket.recv(2048)
            except (BlockingIOError, ConnectionRefusedError):
                return
            _, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
            self.packets.append((second, sequence, timestamp, ssrc, data[12:]))

    def forget(self):
        self.packets.clear()

    def heard(self, seconds=0.4):
        """The pitch of the last so many seconds, None for silence or too few packets."""
        audio = [packet[4] for packet in self.packets if packet[0] & 0x7F == self.payload_type]
        if len(audio) < seconds * 50:
            return None
        data = b"".join(audio[-int(seconds * 50) :])
        return pitch(g711.ulaw_to_pcm(data) if self.law == "PCMU" else g711.alaw_to_pcm(data))

    def pressed(self):
        """The digits heard as events, each press once."""
        presses = {p[2]: p[4][0] for p in self.packets if p[0] & 0x7F == self.digits}
        return "".join("0123456789*#ABCD"[code] for code in presses.values())

    async def hears(self, hertz, seconds=0.4):
        """Wait until what is heard from now on is this pitch."""
        self.forget()
        await until(lambda: (found := self.heard(seconds)) and abs(found - hertz) < 6)

    async def stop(self):
        if self.talking:
            self.talking.cancel()
            self.talking = None
        asyncio.get_running_loop().remove_reader(self.socket)

    def close(self):
        asyncio.get_running_loop().remove_reader(self.socket)
        if self.talking:
            self.talking.cancel()
        self.socket.close()
