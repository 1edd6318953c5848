"""A real Chromium with a tone as its microphone, and ears on every sound it receives."""

import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from playwright.async_api import Browser as Chromium
from playwright.async_api import BrowserContext, Page, Playwright, async_playwright

from tests.e2e.network import REWRITE_CANDIDATES, Network
from tests.e2e.product import PATIENCE, until
from tests.e2e.sounds import microphone

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--use-fake-device-for-media-stream",
]

# Listens to each remote track: every 40 ms the loudest frequency and the level, with the page's clock.
EARS = """
(() => {
  window.ears = { heard: [], connections: [] };
  const Real = window.RTCPeerConnection;
  let context;
  window.ears.asked = "the microphone was not asked for";
  const getUserMedia = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
  if (getUserMedia) navigator.mediaDevices.getUserMedia = async (wanted) => {
    window.ears.asked = "the microphone is being asked for";
    try {
      return await getUserMedia(wanted);
    } finally {
      window.ears.asked = "the microphone has answered";
    }
  };
  window.RTCPeerConnection = class extends Real {
    constructor(...args) {
      super(...args);
      window.ears.connections.push(this);
      this.addEventListener("track", (event) => listen(event.track));
    }
  };
  function listen(track) {
    context = context || new AudioContext();
    const stream = new MediaStream([track]);
    const silent = new Audio();  // Chromium feeds WebAudio only while an element plays the track too
    silent.muted = true;
    silent.srcObject = stream;
    silent.play();
    const analyser = context.createAnalyser();
    analyser.fftSize = 4096;
    analyser.smoothingTimeConstant = 0;
    context.createMediaStreamSource(stream).connect(analyser);
    const bins = new Float32Array(analyser.frequencyBinCount);
    const wave = new Float32Array(analyser.fftSize);
    setInterval(() => {
      if (track.readyState !== "live") return;
      analyser.getFloatFrequencyData(bins);
      analyser.getFloatTimeDomainData(wave);
      let best = 0;
      for (let i = 1; i < bins.length; i++) if (bins[i] > bins[best]) best = i;
      const level = Math.sqrt(wave.reduce((sum, x) => sum + x * x, 0) / wave.length);
      const hertz = (best * context.sampleRate) / analyser.fftSize;
      window.ears.heard.push([Date.now() / 1000, level, hertz, track.id]);
      if (window.ears.heard.length > 3000) window.ears.heard.splice(0, 1000);
    }, 40);
  }
})();
"""


class Browser:
    """`async with Browser(700) as browser:` one Chromium whose microphone hears 700 Hz."""

    def __init__(self, hertz: int, permission: bool = True, microphone: bool = True) -> None:
        self.hertz = hertz
        self._permission, self._microphone = permission, microphone
        self._playwright: Playwright | None = None
        self._chromium: Chromium | None = None

    async def __aenter__(self) -> "Browser":
        self._folder = tempfile.TemporaryDirectory(prefix="ramal-microphone-")
        sound = microphone(Path(self._folder.name) / "microphone.wav", self.hertz)
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={sound}"]
        if not self._microphone:
            flags = [flag for flag in FLAGS if "fake-device" not in flag]
        elif self._permission:
            flags.append("--use-fake-ui-for-media-stream")
        self._playwright = await async_playwright().start()
        self._chromium = await self._playwright.chromium.launch(
            executable_path="/usr/bin/chromium", headless=True, args=flags
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._chromium is not None and self._playwright is not None
        await self._chromium.close()
        await self._playwright.stop()
        self._folder.cleanup()

    async def person(
        self,
        url: str,
        network: Network | None = None,
        language: str = "pt-BR",
        viewport: tuple[int, int] = (1366, 768),
    ) -> "Person":
        """Somebody with cookies of their own at this browser; reaches the product at `url`."""
        assert self._chromium is not None
        context = await self._chromium.new_context(
            locale=language,
            timezone_id="America/Sao_Paulo",
            viewport={"width": viewport[0], "height": viewport[1]},
            accept_downloads=True,
        )
        await context.add_init_script(EARS)
        if network is not None:
            await context.expose_function("relayMedia", network.media)
            await context.add_init_script(REWRITE_CANDIDATES)
        person = Person(context, url)
        await person.open_tab()
        return person


class Person:
    """One person at a browser: a context with its tabs; `page` is the tab in front."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context, self.url = context, url
        self.page: Page
        self.complaints: list[str] = []  # uncaught errors and what the browser refused, such as by CSP

    async def __aenter__(self) -> "Person":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.context.close()

    async def open_tab(self) -> Page:
        self.page = await self.context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._console)
        return self.page

    def _console(self, message: Any) -> None:
        if message.type == "error" and "Content Security Policy" in message.text:
            self.complaints.append(message.text)

    async def heard(self, seconds: float) -> list[tuple[float, float, float]]:
        """What the page received in the last seconds: (time, level, loudest frequency)."""
        return await self.page.evaluate(
            """(seconds) => {
                const now = Date.now() / 1000;
                return (window.ears?.heard || []).filter(([at]) => at > now - seconds)
                    .map(([at, level, hertz]) => [at, level, hertz]);
            }""",
            seconds,
        )

    async def hears(self, hertz: float, seconds: float = 0.6) -> bool:
        """Whether nearly all of what it received in these last seconds is this tone."""
        heard = await self.heard(seconds)
        right = [at for at, level, loudest in heard if level > 0.01 and abs(loudest - hertz) < 20]
        return len(heard) >= seconds / 0.04 * 0.4 and len(right) >= 0.9 * len(heard)

    async def until_hears(self, hertz: float, seconds: float = PATIENCE) -> None:
        async def condition() -> bool:
            return await self.hears(hertz)

        try:
            await until(condition, seconds)
        except AssertionError:
            raise AssertionError(f"no {hertz} Hz but {(await self.heard(1))[-10:]}") from None

    async def media(self) -> str:
        """The state of the page's connections, for whoever looks for what went wrong."""
        found: str = await self.page.evaluate(
            """async () => {
                const said = [];
                for (const each of window.ears.connections) {
                    const stats = [...(await each.getStats()).values()];
                    const pairs = stats.filter((s) => s.type === "candidate-pair")
                        .map((s) => `${s.state} ${s.requestsSent}/${s.responsesReceived}`);
                    said.push([each.signalingState, each.connectionState, ...pairs].join(" "));
                }
                return `connections: ${said.join("; ") || "none"}; ${window.ears.asked}`;
            }"""
        )
        return found

    async def picture(self, name: str) -> None:
        """A picture for whoever looks for what went wrong, where RAMAL_PICTURES names a folder."""
        if folder := os.environ.get("E2E_PICTURES"):
            await self.page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)
