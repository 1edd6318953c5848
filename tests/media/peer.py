"""A WebRTC agent made of aiortc: it sends a tone and says what pitch it hears."""

import asyncio
import fractions
import time

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from tests.media.phone import pitch
from tests.waiting import until


class Tone(MediaStreamTrack):
    kind = "audio"

    def __init__(self, hertz):
        super().__init__()
        self.hertz = hertz
        self.at = 0
        self.started = None

    async def recv(self):
        self.started = self.started or time.monotonic()
        await asyncio.sleep(max(0, self.started + self.at / 8000 - time.monotonic()))
        wave = 8000 * np.sin(2 * np.pi * self.hertz * np.arange(self.at, self.at + 160) / 8000)
        frame = av.AudioFrame.from_ndarray(wave.astype(np.int16).reshape(1, -1), layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, self.at, fractions.Fraction(1, 8000)
        self.at += 160
        return frame


class Peer:
    def __init__(self, hertz=700.0):
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.connection.addTrack(Tone(hertz))
        self.samples = []
        self.listening = None

        @self.connection.on("track")
        def track(track):
            self.listening = asyncio.create_task(self.listen(track))

    async def connect(self, engine, leg):
        """Offer to this leg of the engine, and take its answer."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        answer = await engine.webrtc_answer(leg, self.connection.localDescription.sdp)
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def called(self, engine, leg, accepts=True):
        """Answer the leg's offer; without `accepts` the engine has not heard of it yet."""
        offer = await engine.webrtc_offer(leg)
        await self.connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        answer = self.connection.localDescription.sdp
        if accepts:
            await engine.webrtc_accept(leg, answer)
        return answer

    async def listen(self, track):
        try:
            while True:
                frame = await track.recv()
                self.samples.append(frame.to_ndarray().reshape(-1)[:: len(frame.layout.channels)])
                self.rate = frame.sample_rate
        except MediaStreamError:
            pass

    async def hears(self, hertz):
        self.samples.clear()

        def right():
            if len(self.samples) < 30:
                return False
            found = pitch(np.concatenate(self.samples[-20:]))
            return found and abs(found * self.rate / 8000 - hertz) < 8

        await until(right, f"{hertz} Hz at the peer")

    async def close(self):
        await self.connection.close()
        if self.listening:
            self.listening.cancel()

    def vanish(self):
        """As a closed tab: nothing is sent any more, no goodbye either."""
        for sender in self.connection.getSenders():
            for pair in sender.transport.transport._connection._nominated.values():
                pair.protocol.transport.abort()
