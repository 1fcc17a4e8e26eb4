"""Run a command and kill our whole process group when our standard input closes: whoever started us is gone.

To be started as the leader of a new session.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def end_of_input() -> None:
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=end_of_input, daemon=True).start()
    subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, check=False)
    os.killpg(0, signal.SIGKILL)
