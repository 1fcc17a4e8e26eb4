"""IBM Cloud's IAM and the Qiskit Runtime REST API as IBM's description has them, with devices from snapshots.

Each endpoint that `qiskit-ibm-runtime` asks on behalf of the provider is here; jobs of the program ``sampler`` run on
Aer without noise. What is asked for otherwise is answered with 404, as IBM does.
"""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "test-api-key"
CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/0:00000000-0000-0000-0000-000000000000::"
DEVICES = {"ibm_lagos": 7, "ibm_sherbrooke": 127}
RETRY_AFTER = 60
USAGE_SECONDS = 3


@cache
def snapshot(device: str, part: str) -> dict[str, Any]:
    """Return the ``conf`` or ``props`` of a device."""
    name = device.removeprefix("ibm_")
    folder = resources.files("qiskit_ibm_runtime.fake_provider.backends") / name
    found: dict[str, Any] = json.loads((folder / f"{part}_{name}.json").read_text(encoding="utf-8"))
    return found | {"backend_name": device}


class IBMCloud(ThreadingHTTPServer):
    """Runs each job when its results are asked for, unless jobs are `held`."""

    daemon_threads = True

    def __init__(self, *, held: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.held = held
        self.fault: str | None = None
        self.script: dict[str, deque[str]] = {}
        """What strikes the coming requests of a kind, as `calls` counts them, one after the other, before `fault`."""
        self.retry_after = str(RETRY_AFTER)
        self.odd: list[Any] = []
        """Rows that come before those of the devices and of the jobs."""
        self.spoil: Callable[[list[str], Any], Any] = lambda _, document: document
        """Makes of a good answer, by the parts of its path, the one that is sent: bytes are sent as they are, and what
        gives some one by one is sent as it comes."""
        self.healed = threading.Event()
        self.key = KEY
        self.tokens: set[str] = set()
        self.jobs: dict[str, dict[str, Any]] = {}
        self.sessions: dict[str, dict[str, Any]] = {}
        self.calls: Counter[str] = Counter()
        self._numbers = count()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def token(self) -> dict[str, Any]:
        """Return IAM's answer to a key."""
        now = int(time.time())
        parts = [{"alg": "HS256", "typ": "JWT"}, {"iat": now, "exp": now + 3600, "jti": next(self._numbers)}]
        coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
        token = ".".join([*coded, "c2lnbmVk"])
        self.tokens.add(token)
        return {
            "access_token": token,
            "refresh_token": "not_supported",
            "token_type": "Bearer",
            "expires_in": 3600,
            "expiration": now + 3600,
        }

    def accept(self, body: bytes, *, fails: bool) -> dict[str, Any]:
        """Create a job."""
        asked = json.loads(body)
        with self.lock:
            job_id = f"d{next(self._numbers):019d}"
            self.jobs[job_id] = {
                "id": job_id,
                "backend": asked["backend"],
                "state": {"status": "Queued"},
                "status": "Queued",
                "created": datetime.now(UTC).isoformat(),
                "program": {"id": asked["program_id"]},
                "tags": asked.get("tags", []),
                "session_id": asked.get("session_id"),
                "fails": fails,
                "params": json.dumps(asked["params"]),
            }
        return {"id": job_id, "backend": asked["backend"]}

    def submissions(self) -> dict[str, list[str]]:
        """Return the ids of accepted jobs by their tags."""
        given = defaultdict[str, list[str]](list)
        for job in list(self.jobs.values()):
            for tag in job["tags"]:
                given[tag].append(job["id"])
        return given

    def waiting(self) -> set[str]:
        """Return the ids of jobs in the queue."""
        return {job["id"] for job in list(self.jobs.values()) if job["status"] == "Queued"}

    def shown(self, job: dict[str, Any]) -> dict[str, Any]:
        """Return a job as it is now."""
        if not self.held and job["status"] == "Queued":
            job["status"] = "Failed" if job["fails"] else "Completed"
        status = "Meditating" if self.fault == "odd_state" else job["status"]
        state = {"status": status}
        if status == "Failed":
            state |= {"reason": "Backend went for maintenance", "reason_code": 1517}
        hidden = ("params", "fails")
        return {key: value for key, value in job.items() if key not in hidden} | {"status": status, "state": state}


class _Handler(BaseHTTPRequestHandler):
    server: IBMCloud
    fault: str | None
    parts: list[str]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    do_PATCH = do_POST  # noqa: N815

    def _serve(self, body: bytes) -> None:
        at = urlsplit(self.path)
        query = parse_qs(at.query)
        parts = self.parts = [part for part in at.path.removeprefix("/api/v1").split("/") if part]
        kind = f"{self.command} /{parts[0] if parts else ''}"
        self.server.calls[kind] += 1
        script = self.server.script.get(kind)
        self.fault = script.popleft() if script else self.server.fault
        if parts == ["identity", "token"]:
            self._iam(parse_qs(body.decode()))
        elif not self._fails():
            match self.command, parts:
                case "GET", ["backends"]:
                    rows = [{"name": name, "qubits": n, "status": {"name": "online"}} for name, n in DEVICES.items()]
                    self._answer(200, {"devices": [*self.server.odd, *rows]})
                case "GET", ["backends", device, "status"] if device in DEVICES:
                    self._answer(200, {"state": True, "status": "active", "length_queue": 3, "backend_version": "1"})
                case "GET", ["backends", device, "configuration"] if device in DEVICES:
                    self._answer(200, snapshot(device, "conf"))
                case "GET", ["backends", device, "properties"] if device in DEVICES:
                    self._answer(200, snapshot(device, "props"))
                case "POST", ["sessions"]:
                    session = {"id": f"batch-{len(self.server.sessions)}", "open": True, **json.loads(body)}
                    self.server.sessions[session["id"]] = session
                    self._answer(200, session)
                case "PATCH", ["sessions", session_id] if session_id in self.server.sessions:
                    self.server.sessions[session_id]["open"] = json.loads(body)["accepting_jobs"]
                    self._answer(204, b"")
                case "POST", ["jobs"]:
                    self._submitted(body)
                case "GET", ["jobs"]:
                    self._jobs(query)
                case _, ["jobs", job_id, *rest] if job_id in self.server.jobs:
                    self._job(self.server.jobs[job_id], rest)
                case _:
                    self._refuse(404, "Not found", 1234)

    def _iam(self, form: dict[str, list[str]]) -> None:
        if form.get("apikey") == [self.server.key]:
            self._answer(200, self.server.token())
        else:
            self._answer(400, {"errorCode": "BXNIM0415E", "errorMessage": "Provided API key could not be found."})

    def _fails(self) -> bool:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.fault == "credential" or token not in self.server.tokens or self.headers["Service-CRN"] != CRN:
            self._refuse(401, "Unauthorized. Provide valid credentials.", 1212)
        elif self.fault == "busy":
            self._refuse(429, "Too many requests", 1429, {"Retry-After": self.server.retry_after})
        elif self.fault == "down":
            self._refuse(503, "Down for maintenance", 1503)
        else:
            return False
        return True

    def _submitted(self, body: bytes) -> None:
        server, fault = self.server, self.fault
        if fault == "refused":
            self._refuse(400, "Input is invalid", 1234)
            return
        session_id = json.loads(body).get("session_id")
        if session_id is not None and not server.sessions[session_id]["open"]:
            self._refuse(400, "The session is closed", 1217)
            return
        answer = server.accept(body, fails=fault == "task_fails")
        if fault == "slow_answer":
            server.healed.wait()
        if fault == "error_after":
            self._refuse(502, "Bad gateway", 1502)
        elif fault == "lost_answer":
            self._drop()
        else:
            self._answer(200, answer)

    def _jobs(self, query: dict[str, list[str]]) -> None:
        found = [self.server.shown(job) for job in reversed(list(self.server.jobs.values()))]
        if "pending" in query:
            pending = query["pending"] == ["true"]
            found = [job for job in found if (job["status"] in ("Queued", "Running")) is pending]
        found = [job for job in found if set(query.get("tags", [])) <= set(job["tags"])]
        first, limit = int(query.get("offset", ["0"])[0]), int(query.get("limit", ["200"])[0])
        found = [*self.server.odd, *found]
        page = found[first : first + limit]
        self._answer(200, {"jobs": page, "count": len(found), "limit": limit, "offset": first})

    def _job(self, job: dict[str, Any], rest: list[str]) -> None:
        match self.command, rest:
            case "GET", []:
                self._answer(200, self.server.shown(job))
            case "GET", ["results"] if self.server.shown(job)["status"] == "Completed":
                self._answer(200, executed(job["params"]))
            case "GET", ["metrics"]:
                self._answer(200, self._metrics(self.server.shown(job)["status"]))
            case "POST", ["cancel"] if self.server.shown(job)["status"] == "Queued":
                job["status"] = "Cancelled"
                self._answer(204, b"")
            case "POST", ["cancel"]:
                self._refuse(409, "Job is in a terminal state", 1211)
            case _:
                self._refuse(404, "Not found", 1234)

    def _metrics(self, status: str) -> dict[str, Any]:
        if status != "Completed":
            starts = datetime.now(UTC) + timedelta(hours=1)
            return {"position_in_queue": 4, "estimated_start_time": starts.isoformat().replace("+00:00", "Z")}
        return {"usage": {"status": "final", "qpu_charge_time_seconds": USAGE_SECONDS}}

    def _refuse(self, status: int, message: str, code: int, headers: dict[str, str] | None = None) -> None:
        self._answer(status, {"errors": [{"code": code, "message": message}]}, headers)

    def _answer(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        if status == HTTPStatus.OK:
            document = self.server.spoil(self.parts, document)
        if isinstance(document, Iterator):
            self._stream(document)
            return
        if isinstance(document, bytes):
            body = document
        else:
            body = (document if isinstance(document, str) else json.dumps(document)).encode()
        try:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            if body:
                self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # the client has gone

    def _stream(self, parts: Iterator[bytes]) -> None:
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        with suppress(OSError):  # the client has gone
            for part in parts:
                self.wfile.write(part)

    def _drop(self) -> None:
        self.close_connection = True
        # Closing a socket that does not linger sends RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def executed(params: str) -> str:
    """Return the results of a job of the program ``sampler``."""
    from qiskit_aer.primitives import SamplerV2
    from qiskit_ibm_runtime import RuntimeDecoder, RuntimeEncoder

    asked = json.loads(params, cls=RuntimeDecoder)
    pubs = [(used(circuit), None, shots) for circuit, _, shots in asked["pubs"]]
    return json.dumps(SamplerV2(seed=1).run(pubs).result(), cls=RuntimeEncoder)


def used(circuit: Any) -> Any:
    """Return the circuit without the qubits that nothing is done to."""
    from qiskit import QuantumCircuit, QuantumRegister

    busy = {qubit for instruction in circuit.data for qubit in instruction.qubits if instruction.name != "barrier"}
    there = [qubit for qubit in circuit.qubits if qubit in busy]
    compact = QuantumCircuit(QuantumRegister(len(there), "q"), *circuit.cregs)
    for instruction in circuit.data:
        qubits = [compact.qubits[there.index(qubit)] for qubit in instruction.qubits if qubit in busy]
        if instruction.name != "barrier":
            compact.append(instruction.operation, qubits, instruction.clbits)
    return compact


@contextmanager
def serving(*, held: bool = False) -> Iterator[IBMCloud]:
    """Serve from a thread while inside."""
    with IBMCloud(held=held) as cloud:
        thread = threading.Thread(target=cloud.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield cloud
        finally:
            cloud.healed.set()
            cloud.shutdown()
            thread.join()
