"""The process that programs are forked from (`tests.support.forks`): it has imported what they need.

``python -m tests.support.forking LISTENER LIFE`` forks a program for each connection that it is offered, as an order
says that comes with the program's descriptors. What is forked answers with its number, and when it has ended, how is
answered for it. When nobody holds the other end of LIFE, this process ends, and so does all that it has forked.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import json
import logging
import os
import runpy
import selectors
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from tests.servers.guard import die_with_parent
from tests.support import forks
from tests.support.forks import NUMBER

PRELOAD = (
    *("services.dispatcher", "services.poller", "services.scorer", "services.exporter", "services.embedded"),
    *("metriq_gym.service.service", "metriq_gym.service.healthcheck", "metriq_gym.run", "metriq_gym.exporters"),
    *("metriq_gym.cli.job", "metriq_gym.cli.status", "metriq_gym.cli.pictures", "metriq_gym.terminal.estimates"),
    *("metriq_gym.providers.aer.plugin", "metriq_gym.providers.aer.provider", "metriq_gym.providers.aer.methods"),
    *("metriq_gym.providers.ibm.plugin", "metriq_gym.providers.tyxonq.plugin", "metriq_gym.providers.tyxonq.provider"),
    *("metriq_gym.benchmarks.wit", "httpcore", "anyio._backends._asyncio"),
    *("metriq_gym.exporters.json_exporter", "metriq_gym.exporters.github_pr_exporter", "jsonschema", "uvloop"),
    *("tests.faults.doomed", "metriq_gym.service.pool"),
)
_ORDER_BYTES = 2**20
_BEYOND = 256
"""Descriptors from here on are in nobody's way while others are put in their places."""


def serve(listener: socket.socket, life: int) -> dict[str, Any]:
    """Fork what is ordered; return only there, with the order."""
    _import()
    ends: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(life, selectors.EVENT_READ)
        while True:
            ready = [key.fd for key, _ in selector.select()]
            if life in ready:
                sys.exit()
            for fd in ready:
                if fd in ends:
                    selector.unregister(fd)
                    _answer(fd, *ends.pop(fd))
            if listener.fileno() in ready:
                connection, _ = listener.accept()
                message, descriptors, *_ = socket.recv_fds(connection, _ORDER_BYTES, 64)
                number = os.fork()
                if number == 0:
                    for fd, (_, other) in ends.items():
                        os.close(fd)
                        other.close()
                    break
                for each in descriptors:
                    os.close(each)
                fd = os.pidfd_open(number)
                selector.register(fd, selectors.EVENT_READ)
                ends[fd] = number, connection
    forks.listens.append(listener.getsockname().decode())
    listener.close()
    os.close(life)
    order: dict[str, Any] = json.loads(message)
    die_with_parent()
    if order["session"]:
        os.setsid()
    with connection:
        connection.send(NUMBER.pack(os.getpid()))
    _become(order, descriptors)
    return order


def _import() -> None:
    from metriq_gym.service import forkserver

    for name in (*PRELOAD, *forkserver.PRELOAD):
        importlib.import_module(name)
    # With its first circuit Qiskit imports all that was installed with passes for it: that takes a second.
    importlib.import_module("qiskit.transpiler").generate_preset_pass_manager(1, basis_gates=["cz", "u"])
    for each in gc.get_objects():
        if type(each).__name__ == "NpzFile":  # which was read, and left open
            each.close()
    gc.collect()
    gc.freeze()
    assert len(os.listdir("/proc/self/task")) == 1, "with other threads it is not safe to fork"


def _answer(fd: int, number: int, connection: socket.socket) -> None:
    _, status = os.waitpid(number, 0)
    os.close(fd)
    with connection, suppress(OSError):  # nobody asks any more
        connection.send(NUMBER.pack(os.waitstatus_to_exitcode(status)))


def _become(order: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Take on all that a program that is started has of its own."""
    with ExitStack() as stack:
        for given, wanted in zip(descriptors, order["descriptors"], strict=True):
            beyond = fcntl.fcntl(given, fcntl.F_DUPFD_CLOEXEC, _BEYOND)
            os.close(given)
            stack.callback(os.close, beyond)
            stack.callback(os.dup2, beyond, wanted)
    for each in (sys.stdout, sys.stderr):
        each.reconfigure(line_buffering=each is sys.stderr or each.isatty())  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(order["variables"])
    time.tzset()
    os.chdir(order["folder"])
    sys.path[0] = order["folder"]
    vars(sys.modules["metriq_gym.service.pool"]).update(forks.FOR_WORKERS)


def main() -> None:
    """Serve, and run what is ordered as the interpreter would, with its way of ending.

    But for the last step: to take apart all that was imported costs half as much as a service's whole life in a test.
    """
    listener, life = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    codes: list[object] = []
    atexit.register(_leave, codes)  # before all others, so that it is called when they have been
    order = serve(listener, life)
    try:
        match order["arguments"]:
            case ["-m", module, *arguments]:
                sys.argv = ["-m", *arguments]
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            case ["-c", code, *arguments]:
                sys.argv = ["-c", *arguments]
                exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as error:
        codes.append(error.code)
        raise
    codes.append(None)


def _leave(codes: Sequence[object]) -> None:
    """End the process at once, if it is known with which code."""
    if codes and isinstance(code := codes[0] or 0, int):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
