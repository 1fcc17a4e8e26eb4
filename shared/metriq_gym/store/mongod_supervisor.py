"""Runs a private `mongod` until no process holds the lock on its folder: ``mongod_supervisor LOCK COMMAND…``."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time

FRESH_SECONDS = 2.0
"""A wish that is older when the last user has gone was not the last user's."""
LONGEST_SECONDS = 600.0

_SHUTDOWN_SECONDS = 7
"""After which the server is killed: what it has confirmed is in its journal."""
_PR_SET_PDEATHSIG = 1


def main(lock: str, command: list[str]) -> None:
    """Start `command`, wait for the exclusive lock on the file `lock`, then stop it."""
    # Signals that are sent to all processes at once end the users first. A handler, unlike SIG_IGN, is not inherited.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _go_on)
    with open(lock, "a+b") as users:
        server = subprocess.Popen(command, preexec_fn=_end_with_parent)  # noqa: S603  (one thread so far)
        threading.Thread(target=_exit_with, args=(server,), daemon=True).start()
        await_end(users.fileno(), lock)
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


def await_end(users: int, lock: str) -> None:
    """Return with the exclusive lock, once there are no users and none of them has wished the server to stay.

    A user that ends as it should may leave such a wish in the file: when it ended, and for how many seconds. A new user
    wipes it out, and so does the command that stops the server; it counts for nothing once the file is deleted.
    """
    granted = b""
    while True:
        fcntl.flock(users, fcntl.LOCK_EX)
        wish = os.pread(users, 100, 0)
        if not stays(wish, granted) or not _is_there(users, lock):
            return
        granted = wish
        fcntl.flock(users, fcntl.LOCK_UN)
        time.sleep(0.5)


def stays(wish: bytes, granted: bytes) -> bool:
    """Whether a wish in the file counts: a new one at once, or one that has been granted before for its time."""
    if not wish:
        return False
    ended, seconds = map(float, wish.split())
    return 0 <= time.time() - ended < (min(seconds, LONGEST_SECONDS) if wish == granted else FRESH_SECONDS)


def _is_there(users: int, lock: str) -> bool:
    try:
        return os.path.samestat(os.stat(lock), os.fstat(users))
    except FileNotFoundError:
        return False


def _exit_with(server: subprocess.Popen[bytes]) -> None:
    os._exit(server.wait())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
