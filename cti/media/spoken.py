"""Makes the bundled message to people whom no agent could take: `python -m cti.media.spoken`, with espeak-ng.

It writes abandoned.wav beside this file and names no company: whoever runs campaigns records a message of
their own that does, and uploads it.
"""

import subprocess
import tempfile
from pathlib import Path

from cti.media.message import read_message
from cti.media.tones import ABANDONED

WORDS = "Olá. No momento todos os nossos atendentes estão ocupados. Retornaremos a ligação. Obrigado."
VOICE = ("-v", "pt-br+f2", "-s", "150", "-p", "45", "-a", "120")

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        subprocess.run(("espeak-ng", *VOICE, "-w", path, WORDS), check=True)
        ABANDONED.write_bytes(read_message(path).file())
