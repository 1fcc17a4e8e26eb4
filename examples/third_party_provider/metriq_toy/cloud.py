"""The toy cloud itself: ``python -m metriq_toy.cloud`` serves it, and tests have it misbehave."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

from qiskit import QuantumCircuit
from qiskit.providers.basic_provider import BasicSimulator

TOKEN = "toy-token"
DEVICES = [{"id": "bear", "qubits": 7}]


class ToyCloud(ThreadingHTTPServer):
    """Runs each task when it is asked for, unless tasks are `held`."""

    daemon_threads = True

    def __init__(self, port: int = 0, *, held: bool = False) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.held = held
        self.fault: str | None = None
        self.healed = threading.Event()
        self.tasks: dict[str, dict[str, Any]] = {}
        self._numbers = count()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def accept(self, body: dict[str, Any]) -> str:
        task_id = f"t{next(self._numbers)}"
        state = "failing" if self.fault == "task_fails" else "queued"
        self.tasks[task_id] = {"id": task_id, "state": state, **body}
        return task_id

    def shown(self, task: dict[str, Any]) -> dict[str, Any]:
        if not self.held and task["state"] == "failing":
            task |= {"state": "failed", "error": "the bear is asleep"}
        elif not self.held and task["state"] == "queued":
            circuit = QuantumCircuit.from_qasm_str(task["qasm"])
            counts = BasicSimulator().run(circuit, shots=task["shots"]).result().get_counts()
            task |= {"state": "done", "seconds": 0.1, "counts": {key[::-1]: n for key, n in counts.items()}}
        state = "queued" if task["state"] == "failing" else task["state"]
        return task | {"state": "meditating" if self.fault == "odd_state" else state}


class _Handler(BaseHTTPRequestHandler):
    server: ToyCloud

    def do_GET(self) -> None:
        if self._fails():
            return
        tasks = self.server.tasks
        if self.path == "/devices":
            self._answer(200, DEVICES)
        elif self.path == "/tasks":
            self._answer(200, [self.server.shown(each) for each in tasks.values()])
        elif (task := tasks.get(self.path.removeprefix("/tasks/"))) is not None:
            self._answer(200, self.server.shown(task))
        else:
            self._answer(404, "no such task")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._fails():
            return
        if self.server.fault == "refused":
            self._answer(400, "no such gate")
            return
        task_id = self.server.accept(body)
        if self.server.fault == "slow_answer":
            self.server.healed.wait()
        if self.server.fault != "lost_answer":
            self._answer(201, {"id": task_id})

    def do_DELETE(self) -> None:
        if self._fails():
            return
        task = self.server.tasks.get(self.path.removeprefix("/tasks/"))
        if task is None or self.server.shown(task)["state"] != "queued":
            self._answer(409, "not in the queue")
        else:
            task |= {"state": "failed", "error": "cancelled"}
            self._answer(200, self.server.shown(task))

    def _fails(self) -> bool:
        fault = self.server.fault
        if fault == "credential" or self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._answer(401, "unknown token")
        elif fault == "busy":
            self._answer(429, "one moment", {"Retry-After": "60"})
        elif fault == "down":
            self._answer(503, "gone fishing")
        else:
            return False
        return True

    def _answer(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(document).encode()
        try:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # the client has gone

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


if __name__ == "__main__":
    with ToyCloud(8070) as cloud:
        print(f"{cloud.url}, token {TOKEN}", flush=True)
        cloud.serve_forever()
