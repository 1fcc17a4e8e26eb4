"""Servers that end with their users, however those end: ``guard LOCK COMMAND…``, to be the leader of a new session.

A user holds a shared lock on the file LOCK. Once the kernel grants the exclusive one, no user lives, and the whole
process group is killed: at once, since what a server of the tests has written is of no more use.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1


class Guarded:
    """A server in a process group of its own, which ends when this process does unless another uses it too."""

    def __init__(
        self,
        lock: Path,
        command: Sequence[str],
        *,
        output: IO[bytes] | int = subprocess.DEVNULL,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._use = use(lock)
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(lock), *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and to all it has started, and not to the guard, which goes on watching."""
        import psutil

        for process in psutil.Process(self._process.pid).children(recursive=True):
            process.send_signal(number)

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End it as kill -9 does."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self.leave()

    def leave(self) -> None:
        """Use it no more, which ends it only if no other process does."""
        self._use.close()


def use(lock: Path) -> IO[bytes]:
    """Return an open file that keeps what LOCK stands for alive until it is closed."""
    users = lock.open("ab")
    fcntl.flock(users, fcntl.LOCK_SH)
    return users


def end_group(*_: object) -> None:
    os.killpg(0, signal.SIGKILL)


def _until_unused(lock: str) -> None:
    with open(lock, "ab") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        end_group()


def die_with_parent() -> None:
    """Let the kernel kill this process when the one that started it ends; only Linux knows how."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end_group)
    threading.Thread(target=_until_unused, args=(sys.argv[1],), daemon=True).start()
    subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL, check=False, preexec_fn=die_with_parent)
    end_group()
