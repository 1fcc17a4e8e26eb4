"""The sandbox: an ASGI application with TyxonQ's four endpoints, and its own controls below ``/_sandbox``."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from tests.sandbox import answers, strangers
from tests.sandbox.clock import Clock
from tests.sandbox.control import control_routes
from tests.sandbox.delivery import GARBLING, REPLACING, deliver
from tests.sandbox.devices import HOMEBREW_S2, Device
from tests.sandbox.faults import Endpoint, Fault, Faults
from tests.sandbox.refusals import Problem, Refused, refusal
from tests.sandbox.results import Results
from tests.sandbox.submission import as_batch, read_submission
from tests.sandbox.switches import Switches
from tests.sandbox.tasks import Task, TaskBook

BASE_PATH = "/qau-cloud/tyxonq"
PATHS: dict[str, Endpoint] = {
    "/api/v1/devices/list": "devices",
    "/api/v1/tasks/submit_task": "submit",
    "/api/v1/tasks/detail": "detail",
    "/api/v1/tasks/api_key/list": "list",
    "/api/v1/task/remove": "remove",
}
"""The page's endpoints, and one that only the vendor's SDK calls."""
TOKEN = "sandbox-token"

_SUCCESS_STATES = frozenset({"completed", "done", "success", "finished"})
_DOCUMENTED_SUCCESS = frozenset({"submit", "detail"})


class Sandbox:
    """TyxonQ's cloud for one run: its tasks, clock, switches and faults.

    Each of `tokens` is an account of its own that sees its own tasks only.
    """

    def __init__(
        self,
        *,
        switches: Switches | None = None,
        faults: Iterable[Fault] = (),
        seed: int = 0,
        clock: Clock | None = None,
        tokens: Iterable[str] = (TOKEN,),
        devices: Iterable[Device] = (HOMEBREW_S2,),
    ) -> None:
        self.switches = switches or Switches()
        self.faults = Faults(faults, seed=seed)
        self.clock = clock or Clock()
        self.devices: Mapping[str, Device] = {device.id: device for device in devices}
        self.tokens = tuple(tokens)
        self.tasks = TaskBook(seed=seed)
        self.calls: Counter[str] = Counter()
        self._results = Results(seed=seed)
        endpoints = [Route(path, _Endpoint(self, endpoint), methods=["POST"]) for path, endpoint in PATHS.items()]
        self._app = Starlette(
            routes=[Mount(BASE_PATH, routes=endpoints), Mount("/_sandbox", routes=control_routes(self))]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def close(self) -> None:
        """Give up the simulations that nobody waits for any more."""
        self._results.close()

    def submit(self, body: Mapping[str, Any], owner: str, failure: str | None = None) -> Task:
        """Accept a submit_task request; Refused says what is wrong with it."""
        return self.tasks.accept(
            read_submission(body, self.devices),
            owner=owner,
            now=self.clock.now(),
            switches=self.switches,
            failure=failure,
        )

    async def answer(
        self, endpoint: Endpoint, body: Mapping[str, Any], owner: str, faults: Mapping[str, Fault]
    ) -> dict[str, Any]:
        """The good answer to a request, or Refused."""
        if refused := faults.get("refused"):
            raise Refused([Problem(None, refused.message)], status=refused.status or 422)
        match endpoint:
            case "devices":
                answer = self._list_devices()
            case "submit":
                answer = self._submit_task(body, owner, faults)
            case "detail":
                answer = await self._task_detail(body, owner, faults)
            case "list":
                answer = self._list_tasks(body, owner, faults)
            case "remove":
                answer = self._remove_task(body, owner)
        always = self.switches.success_field == "always"
        documented = self.switches.success_field == "documented" and endpoint in _DOCUMENTED_SUCCESS
        return {"success": True, **answer} if always or documented else answer

    def _list_devices(self) -> dict[str, Any]:
        rows = (device.row(self.switches.device_state) for device in self.devices.values())
        strange = strangers.DEVICES if self.switches.stranger_devices else ()
        return {"devices": [*strange, *(answers.device_row(row, self.switches) for row in rows)]}

    def _submit_task(self, body: Mapping[str, Any], owner: str, faults: Mapping[str, Fault]) -> dict[str, Any]:
        failing = faults.get("task_fails")
        task = self.submit(body, owner, failing.message if failing else None)
        answer = answers.submitted(task, self.switches)
        if "no_id" in faults:
            answer = answer | {"id": None, "job_name": None}
        return answer

    async def _task_detail(self, body: Mapping[str, Any], owner: str, faults: Mapping[str, Fault]) -> dict[str, Any]:
        task_id = body.get("task_id")
        if not isinstance(task_id, str) or not task_id:
            raise Refused([Problem("task_id", "a task ID is required")])
        task = self.tasks.find(task_id, owner)
        if task is None:
            raise Refused([Problem("task_id", "there is no such task")], status=404)
        if "no_task" in faults:
            return {}
        now = self._seen_at(task, faults)
        counts = None
        if task.state(now) == "completed" and not task.target.dry:
            counts = await self._results.counts(task, self.switches)
            if counts is None:
                now = task.before(task.ended_at)
        shown = answers.detail(task, now, counts, self.switches)
        return {"task": shown | {"state": faults["state"].state} if "state" in faults else shown}

    def _remove_task(self, body: Mapping[str, Any], owner: str) -> dict[str, Any]:
        if not self.tasks.remove(str(body.get("id") or ""), owner):
            raise Refused([Problem("id", "there is no such task")], status=404)
        return {"error": None}

    def _list_tasks(self, body: Mapping[str, Any], owner: str, faults: Mapping[str, Fault]) -> dict[str, Any]:
        switches, now = self.switches, self.clock.now()
        device, task_type = body.get("device"), body.get("task_type", answers.TASK_TYPE)

        def wanted(task: Task) -> bool:
            name = task.target.text if switches.device_filter == "exact" else task.target.device.id
            return (
                (device is None or name == device)
                and task_type == answers.TASK_TYPE
                and task.accepted_at + switches.list_delay_seconds <= now
            )

        tasks = self.tasks.newest(owner, wanted)
        paging: dict[str, Any] = {}
        if switches.list_limit is not None and switches.list_paged:
            page = body.get("page", 1)
            if not isinstance(page, int) or page < 1:
                raise Refused([Problem("page", "must be a positive integer")])
            everything, size = list(tasks), switches.list_limit
            tasks = iter(everything[(page - 1) * size : page * size])
            paging = {"page": page, "page_size": size, "total": len(everything)}
        elif switches.list_limit is not None:
            tasks = islice(tasks, switches.list_limit)
        rows = [answers.row(task, self._seen_at(task, faults), switches) for task in tasks]
        if "state" in faults:
            rows = [row | {"status": faults["state"].state} for row in rows]
        strange = strangers.ROWS if switches.stranger_rows else ()
        return {"tasks": [*rows, *strange], **paging}

    def _seen_at(self, task: Task, faults: Mapping[str, Fault]) -> float:
        """The time at which an answer shows the task: now, unless a fault shows the past."""
        now = self.clock.now()
        if stale := faults.get("stale_state"):
            return max(task.accepted_at, now - stale.seconds) if stale.seconds else task.before(now)
        if (shown := faults.get("state")) and shown.state not in _SUCCESS_STATES:
            # A task that shows another word than success has no result to show.
            return min(now, task.pending_at)
        return now


class _Endpoint:
    """One documented endpoint over HTTP: faults, authentication, JSON in and out."""

    def __init__(self, sandbox: Sandbox, endpoint: Endpoint) -> None:
        self._sandbox = sandbox
        self._endpoint = endpoint
        self._free_at = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._sandbox.calls[self._endpoint] += 1
        request = Request(scope, receive)
        faults = self._sandbox.faults.draw(self._endpoint)
        await request.body()
        if self._is_too_fast():
            refused = Fault("rate_limited", retry_after=self._sandbox.switches.retry_after)
            await deliver(Response(), refused, scope, receive, send)
            return
        for fault in faults:
            if fault.kind == "latency":
                await asyncio.sleep(fault.seconds)
        spoiling = next((fault for fault in faults if fault.kind in REPLACING | GARBLING), None)
        if spoiling is None or spoiling.kind in GARBLING or spoiling.kind == "lost_response" or spoiling.handled:
            response = await self._response(request, {fault.kind: fault for fault in reversed(faults)})
        else:
            response = Response()
        await deliver(response, spoiling, scope, receive, send)

    async def _response(self, request: Request, faults: Mapping[str, Fault]) -> Response:
        status = 200
        try:
            owner = self._account(request)
            body = await _json(request)
            if self._endpoint == "submit" and isinstance(body, list):
                body = as_batch(body)
            if not isinstance(body, dict):
                raise Refused([Problem(None, "the body must be a JSON object")])
            answer = await self._sandbox.answer(self._endpoint, body, owner, faults)
        except Refused as refused:
            status, answer = refusal(refused, self._endpoint, self._sandbox.switches)
        # A stranger's half characters leave as bytes that are no text, and NaN as what is no JSON.
        body = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")
        return Response(body, status, media_type="application/json")

    def _is_too_fast(self) -> bool:
        """Whether the endpoint has answered as many requests as it does in a second."""
        per_second, now = self._sandbox.switches.per_second, self._sandbox.clock.now()
        if per_second is None:
            return False
        if now < self._free_at:
            return True
        self._free_at = now + 1 / per_second
        return False

    def _account(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if (valid := self._sandbox.switches.valid_token) is not None:
            if scheme.lower() == "bearer" and hmac.compare_digest(token.encode(), valid.encode()):
                return self._sandbox.tokens[0]
            raise Refused([Problem(None, "the bearer token has expired")], status=401)
        for known in self._sandbox.tokens:
            if scheme.lower() == "bearer" and hmac.compare_digest(token.encode(), known.encode()):
                return known
        raise Refused([Problem(None, "a valid bearer token is required")], status=401)


async def _json(request: Request) -> Any:
    """The JSON in the body."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Refused([Problem("Content-Type", "must be application/json")], status=415)
    try:
        return await request.json()
    except ValueError as error:
        raise Refused([Problem(None, f"the body is not JSON: {error}")], status=400) from error
