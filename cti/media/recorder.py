"""Recordings: two parties' voices, left and right, in a stereo mu-law WAV file.

Each voice is laid on the recording's own clock by its RTP timestamps; where a party is not heard there is
silence. Once a second what is older than half a second goes to a thread that writes it, header included: a
file whose worker was killed can be played, and lacks its last second.
"""

import logging
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path

from cti.media import wav
from cti.media.g711 import SAMPLES_PER_SECOND, ULAW_SILENCE

WINDOW = 4 * SAMPLES_PER_SECOND  # samples of a voice kept before they are written
LATE = SAMPLES_PER_SECOND // 2  # a packet may be so late and still get its place
DRIFT_MAX = SAMPLES_PER_SECOND // 5  # between a party's clock and ours, then its place is found anew
WAITING_MAX = 4096  # pieces of a second that may wait for a slow disk: beyond that they are lost

log = logging.getLogger(__name__)


class Voice:
    """One channel: the last seconds of what one party said, by the recording's clock."""

    __slots__ = ("_base", "_base_timestamp", "_ring", "_since", "_written")

    def __init__(self, since: float) -> None:
        self._since = since
        self._ring = bytearray([ULAW_SILENCE]) * WINDOW
        self._written = 0
        self._base = -1
        self._base_timestamp = 0

    def put(self, timestamp: int, payload: bytes, now: float) -> None:
        """Lay 20 ms, or what a packet holds, at its place."""
        clock = int((now - self._since) * SAMPLES_PER_SECOND)
        at = self._base + ((timestamp - self._base_timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        if self._base < 0 or not -DRIFT_MAX <= at - clock <= DRIFT_MAX:
            self._base = at = clock  # the first packet, a new source, or a clock unlike ours
            self._base_timestamp = timestamp
        if at < self._written:
            return
        size = len(payload)
        start = at % WINDOW
        if start + size <= WINDOW:
            self._ring[start : start + size] = payload
        else:
            for offset, sample in enumerate(payload):
                self._ring[(start + offset) % WINDOW] = sample

    def take(self, until: int) -> bytes:
        """The samples up to this one that were not taken yet, at most a window of them."""
        start, end = self._written % WINDOW, until % WINDOW
        silence = bytes([ULAW_SILENCE])
        if start <= end:
            taken = bytes(self._ring[start:end])
            self._ring[start:end] = silence * (end - start)
        else:
            taken = bytes(self._ring[start:]) + bytes(self._ring[:end])
            self._ring[start:] = silence * (WINDOW - start)
            self._ring[:end] = silence * end
        self._written = until
        return taken


class Recording:
    def __init__(self, path: Path, writer: "Writer", now: float) -> None:
        self.left = Voice(now)
        self.right = Voice(now)
        self._since = now
        self._written = 0
        self._writer = writer
        self._file = writer.open(path)

    def flush(self, now: float) -> None:
        """Hand on what can no longer change. To be called about each second."""
        self._take(int((now - self._since) * SAMPLES_PER_SECOND) - LATE)

    def stop(self, now: float, stopped: Callable[[float], None]) -> None:
        """Write the rest, close the file, then call stopped(seconds) in the writer's thread."""
        self._take(int((now - self._since) * SAMPLES_PER_SECOND))
        seconds = self._written / SAMPLES_PER_SECOND
        self._writer.close(self._file, lambda: stopped(seconds))

    def _take(self, until: int) -> None:
        while self._written < until:
            step = min(until, self._written + WINDOW - 1)
            left, right = self.left.take(step), self.right.take(step)
            both = bytearray(2 * len(left))
            both[0::2] = left
            both[1::2] = right
            self._writer.write(self._file, both)
            self._written = step


class File:
    """What the writer's thread knows of one recording."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = -1
        self.size = 0  # of the data


class Writer:
    """The thread that touches the disk, so that the packets' thread never waits for one."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.lost = 0  # pieces refused because the disk is too slow
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def open(self, path: Path) -> File:
        file = File(path)
        self._jobs.put(lambda: _open(file))
        return file

    def write(self, file: File, data: bytes | bytearray) -> None:
        if self._jobs.qsize() < WAITING_MAX:
            self._jobs.put(lambda: _write(file, data))
        else:
            self.lost += 1

    def close(self, file: File, closed: Callable[[], None]) -> None:
        self._jobs.put(lambda: _close(file))
        self._jobs.put(closed)

    def do(self, job: Callable[[], None]) -> None:
        """Any other work with files."""
        self._jobs.put(job)

    def stop(self) -> None:
        """Write everything handed on so far, then end."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:
                log.exception("writing a recording")


def _open(file: File) -> None:
    file.path.parent.mkdir(parents=True, exist_ok=True)
    file.descriptor = os.open(file.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    os.pwrite(file.descriptor, wav.header(2, 0), 0)


def _write(file: File, data: bytes | bytearray) -> None:
    os.pwrite(file.descriptor, data, wav.HEADER_BYTES + file.size)
    file.size += len(data)
    os.pwrite(file.descriptor, wav.header(2, file.size // 2), 0)


def _close(file: File) -> None:
    if file.descriptor >= 0:
        os.close(file.descriptor)
        file.descriptor = -1
