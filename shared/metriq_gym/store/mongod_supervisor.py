"""Runs a private `mongod` until no process holds the lock on its folder: ``mongod_supervisor LOCK COMMAND…``."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import threading

_SHUTDOWN_SECONDS = 7
"""After which the server is killed: what it has confirmed is in its journal."""
_PR_SET_PDEATHSIG = 1


def main(lock: str, command: list[str]) -> None:
    """Start `command`, wait for the exclusive lock on the file `lock`, then stop it."""
    # Signals that are sent to all processes at once end the users first. A handler, unlike SIG_IGN, is not inherited.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _go_on)
    with open(lock, "ab") as users:
        server = subprocess.Popen(command, preexec_fn=_end_with_parent)  # noqa: S603  (one thread so far)
        threading.Thread(target=_exit_with, args=(server,), daemon=True).start()
        fcntl.flock(users, fcntl.LOCK_EX)
        server.terminate()
        try:
            server.wait(_SHUTDOWN_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _go_on(*_: object) -> None:
    """Outlive the signal."""


def _end_with_parent() -> None:
    """Let the kernel end the server with this process, however that ends; only Linux knows how."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _exit_with(server: subprocess.Popen[bytes]) -> None:
    os._exit(server.wait())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
