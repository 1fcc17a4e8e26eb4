"""The process that worker processes are forked from: it imports what they need once, and never starts a thread.

``python -c … FD PATH``: the parent's `metriq_gym.service.pool` starts it. Orders arrive on a socket: `FORK`, with the
worker's end of a connection, and `KILL`. When the parent is gone, however it ended, so are its workers.

Forking is only safe while a process has one thread: here nothing runs but imports and the loop below, and the linear
algebra library is told to start no threads of its own. Simulators start theirs in the workers.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import select
import signal
import socket
import struct
import sys
import traceback
from contextlib import suppress
from typing import Any, NoReturn

from metriq_gym.errors import means

PRELOAD = (
    "qiskit.qpy",
    "qiskit_aer",
    "metriq_gym.benchmarks.statistics",
    "metriq_gym.jobs.plan",
    "metriq_gym.jobs.scoring",
)
"""What is imported before the first worker is forked; what is not installed is passed over."""

ORDER = struct.Struct("!cQ")
"""An order, and the number of the worker that it is about."""
FORK, KILL = b"F", b"K"
HERE = b"H"
"""What a worker says before anything else: until then, whatever fails is not the fault of its work."""
LENGTH = struct.Struct("!Q")
"""Comes before each call and each outcome: the bytes of its pickle."""


class InWorker(Exception):
    """Where in the worker process an error was raised."""

    def __str__(self) -> str:
        """The traceback, as the worker saw it."""
        return f'\n"""\n{self.args[0]}"""'


def serve(descriptor: int) -> NoReturn:
    """Fork and kill workers as the parent orders, until it is gone; then end them all."""
    # Ctrl-C and SIGTERM are for the parent to handle, which then decides what becomes of its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for name in PRELOAD:
        with suppress(ModuleNotFoundError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what workers share with this process is not copied for the sake of counting it
    workers: dict[int, int] = {}
    killed: set[int] = set()
    # A handler alone would not do: the end of a worker may come just before a wait for orders begins.
    ends, wakes = socket.socketpair()
    ends.setblocking(False)
    wakes.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    awaited = select.poll()
    for each in (descriptor, ends.fileno()):
        awaited.register(each, select.POLLIN)
    with socket.socket(fileno=descriptor) as orders:
        while True:
            ready = [number for number, _ in awaited.poll()]
            if ends.fileno() in ready:
                ends.recv(1024)
                _reap(killed)
            if descriptor not in ready:
                continue
            message, descriptors, _, _ = socket.recv_fds(orders, ORDER.size, 1)
            if len(message) < ORDER.size:
                os.killpg(0, signal.SIGKILL)
            order, number = ORDER.unpack(message)
            if order == KILL and number in workers:
                killed.add(workers[number])
                os.kill(workers.pop(number), signal.SIGKILL)
                _reap(killed)  # it may have ended by itself
            for each in descriptors:
                try:
                    pid = os.fork()
                except OSError:
                    os.close(each)  # which tells the parent
                    continue
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    for ours in (orders, ends, wakes):
                        ours.close()
                    _work(socket.socket(fileno=each))
                os.close(each)
                workers[number] = pid


def _reap(killed: set[int]) -> None:
    """Clear away workers that have ended; none that may yet be killed, as another could have its number by then."""
    for pid in [*killed]:
        if os.waitpid(pid, os.WNOHANG)[0]:
            killed.discard(pid)


def _work(connection: socket.socket) -> NoReturn:
    """Answer calls until the parent closes the connection."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        with connection, connection.makefile("rb") as calls:
            connection.sendall(HERE)
            while len(header := calls.read(LENGTH.size)) == LENGTH.size:
                call = calls.read(*LENGTH.unpack(header))
                connection.sendall(frame(_outcome(call)))
    except OSError:
        pass  # the parent is gone
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def frozen(thing: Any) -> bytes:
    """Return the pickle of a call or an outcome."""
    return pickle.dumps(thing, pickle.HIGHEST_PROTOCOL)


def frame(content: bytes) -> bytes:
    """Return what is sent of a pickle."""
    return LENGTH.pack(len(content)) + content


def _outcome(call: bytes) -> bytes:
    """Make a call, and return the pickle of whether it was done, and what it returned or raised."""
    try:
        function, arguments, options = pickle.loads(call)  # noqa: S301  (the parent's own)
        with means():
            return frozen((True, function(*arguments, **options)))
    except Exception as error:
        where = InWorker("".join(traceback.format_exception(error)))
        try:
            content = frozen((False, (error, where)))
            pickle.loads(content)  # noqa: S301  (just made: whether the parent can read it)
        except Exception:
            return frozen((False, (RuntimeError(f"{type(error).__name__}: {error}"), where)))
        return content
