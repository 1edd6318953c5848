"""Headless Chromium as an agent: its microphone is a tone from a file, its ear an FFT in the page."""

import wave

import numpy as np

from tests.waiting import until

ADDRESS = "http://127.0.0.1:9/agent"  # never asked for: the page below is put in its place

PAGE = """<!doctype html><title>agent</title><audio id=ear autoplay></audio><script>
let connection, analyser
async function offer() {
  const microphone = await navigator.mediaDevices.getUserMedia(
    {audio: {echoCancellation: false, noiseSuppression: false, autoGainControl: false}})
  connection = new RTCPeerConnection()
  connection.ontrack = event => {
    const stream = new MediaStream([event.track])
    ear.srcObject = stream
    const context = new AudioContext()
    analyser = context.createAnalyser()
    analyser.fftSize = 8192
    context.createMediaStreamSource(stream).connect(analyser)
  }
  connection.addTrack(microphone.getAudioTracks()[0], microphone)
  await connection.setLocalDescription(await connection.createOffer())
  return connection.localDescription.sdp
}
const accept = sdp => connection.setRemoteDescription({type: 'answer', sdp})
function heard() {
  if (!analyser) return null
  const loudness = new Float32Array(analyser.frequencyBinCount)
  analyser.getFloatFrequencyData(loudness)
  const peak = loudness.indexOf(Math.max(...loudness))
  return loudness[peak] < -60 ? null : peak * analyser.context.sampleRate / analyser.fftSize
}
async function restart() {
  await connection.setLocalDescription(await connection.createOffer({iceRestart: true}))
  return connection.localDescription.sdp
}
</script>"""


def write_microphone(path, hertz):
    at = np.arange(48000) / 48000
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 48000, 0, "NONE", ""))
        file.writeframes((8000 * np.sin(2 * np.pi * hertz * at)).astype("<i2").tobytes())


def arguments(microphone):
    return [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}",
        "--allow-loopback-in-peer-connection",
        "--autoplay-policy=no-user-gesture-required",
    ]


class Agent:
    """One tab."""

    def __init__(self, page):
        self.page = page

    async def open(self):
        await self.page.route(ADDRESS, lambda route: route.fulfill(body=PAGE, content_type="text/html"))
        await self.page.goto(ADDRESS)

    async def connect(self, engine, leg, function="offer"):
        offer = await self.page.evaluate(f"{function}()")
        answer = await engine.webrtc_answer(leg, offer)
        await self.page.evaluate("sdp => accept(sdp)", answer)

    async def press(self, digits):
        await self.page.evaluate("digits => connection.getSenders()[0].dtmf.insertDTMF(digits)", digits)

    async def hears(self, hertz):
        async def right():
            found = await self.page.evaluate("heard()")
            return found and abs(found - hertz) < 10

        await until(right, f"{hertz} Hz in the browser")
