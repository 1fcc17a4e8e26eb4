"""Who may do what at the console, and what it refuses to everybody."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import SecretStr

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.errors import MetriqGymError
from metriq_gym.service.pool import Pool
from metriq_gym.service.service import Context
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from services.console import Console, pages
from services.console.access import COOKIE, Access, Role
from services.console.guard import HEADERS
from tests.support.console import REQUEST, TOKENS, WITH_TOKENS, ServedConsole, served_console
from tests.support.patience import PATIENCE
from tests.support.plain import plain_client

LOOKING = ["/jobs", "/benchmarks", "/devices", "/schedules", "/results", "/status", "/benchmarks/WIT/schema"]
ASKING = [
    ("POST", "/jobs"),
    ("POST", "/suites"),
    ("POST", "/estimates"),
    ("POST", "/jobs/x/cancel"),
    ("POST", "/jobs/x/resume"),
]
ASKING += [("POST", "/schedules"), *(("POST", f"/schedules/x/{act}") for act in ("pause", "resume", "run"))]
FOR_STRANGERS = ("/login", "/logout")
OPERATING = [
    ("POST", "/jobs/x/upload"),
    ("POST", "/jobs/x/resolve"),
    ("DELETE", "/jobs/x"),
    ("GET", "/dead-letters"),
    ("POST", "/dead-letters/x/replay"),
    ("DELETE", "/dead-letters/x"),
    ("DELETE", "/schedules/x"),
]


@pytest.fixture
async def console(mongo_url: str, mongo_database: str, tmp_path: Path) -> AsyncIterator[ServedConsole]:
    async with served_console(mongo_url, mongo_database, tmp_path, services=False, **WITH_TOKENS) as served:
        yield served


async def test_without_a_token_nothing_is_told(console: ServedConsole) -> None:
    for path in LOOKING:
        answer = await console.http.get(path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    for method, path in ASKING + OPERATING:
        assert (await console.http.request(method, path, json=REQUEST)).status_code == 401
    wrong = await console.http.get("/jobs", headers={"Authorization": "Bearer guessed"})
    assert wrong.status_code == 401


async def test_every_route_asks_who_it_is_and_lets_one_who_may_look_change_nothing(console: ServedConsole) -> None:
    """Also those that are added later: what is for strangers is listed here."""
    as_viewer = {"Authorization": f"Bearer {TOKENS['viewer']}"}
    async with plain_client(base_url=console.url, timeout=PATIENCE) as client:
        document = (await client.get("/api/openapi.json")).raise_for_status().json()
        asked = [(path, method.upper()) for path, methods in document["paths"].items() for method in methods]
        for route in pages.router.routes:
            assert isinstance(route, APIRoute)
            asked += [(route.path, method) for method in route.methods or () if route.path not in FOR_STRANGERS]
        assert len(asked) > 60
        for path, method in asked:
            address = re.sub(r"\{[^}]*\}", "x", path)
            answer = await client.request(method, address)
            if path.startswith("/api/v1"):
                assert answer.status_code == 401, (method, path)
            else:
                assert (answer.status_code, answer.headers["location"][:6]) == (303, "/login"), (method, path)
            if method != "GET":
                assert (await client.request(method, address, headers=as_viewer)).status_code == 403, (method, path)


@pytest.mark.parametrize(
    ("role", "may_ask", "may_operate"),
    [("viewer", False, False), ("submitter", True, False), ("operator", True, True)],
)
async def test_each_role_may_what_it_says_and_no_more(
    console: ServedConsole, role: str, may_ask: bool, may_operate: bool
) -> None:
    async with console.as_role(role) as client:
        for path in LOOKING:
            assert (await client.get(path)).status_code == 200, path
        for group, may in ((ASKING, may_ask), (OPERATING, may_operate)):
            for method, path in group:
                answer = await client.request(method, path, json={})
                assert (answer.status_code == 403) is not may, (path, answer.text)


async def test_a_session_gives_the_role_of_its_token_until_the_token_changes(console: ServedConsole) -> None:
    session = console.console.access.session(Role.VIEWER)
    assert (await console.http.get("/jobs", cookies={COOKIE: session})).status_code == 200
    assert (await console.http.post("/jobs", json=REQUEST, cookies={COOKIE: session})).status_code == 403
    forged = session.replace(f"{Role.VIEWER.value}.", f"{Role.OPERATOR.value}.", 1)
    assert (await console.http.get("/jobs", cookies={COOKIE: forged})).status_code == 401
    changed = Access(Settings(console_viewer_token=SecretStr("another token")))
    assert changed._role_of_session(session) is None


@pytest.mark.parametrize(
    "session", ["", ".", "1.99999999999.00", "9.9999999999.00", "1.x.y", "³.9999999999.00", "1.٣.0"]
)
async def test_a_cookie_that_is_no_session_is_nobody(console: ServedConsole, session: str) -> None:
    assert console.console.access._role_of_session(session) is None


async def test_an_expired_session_is_nobody(console: ServedConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    session = console.console.access.session(Role.VIEWER)
    monkeypatch.setattr("time.time", lambda: 2e10)
    assert console.console.access._role_of_session(session) is None


async def test_a_request_from_another_sites_page_changes_nothing(console: ServedConsole) -> None:
    cookies = {COOKIE: console.console.access.session(Role.OPERATOR)}
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        answer = await console.http.post("/jobs", json=REQUEST, headers=headers, cookies=cookies)
        assert answer.status_code == 403, headers
    own = {"Origin": console.url, "Sec-Fetch-Site": "same-origin"}
    assert (await console.http.post("/jobs", json={}, headers=own, cookies=cookies)).status_code == 422


async def test_a_name_that_is_not_the_consoles_is_refused(console: ServedConsole) -> None:
    for host in ("evil.example", "evil.example:80", "localhost.evil.example", "", "[::2]:80"):
        answer = await console.http.get("/jobs", headers={"Host": host})
        assert answer.status_code in (400, 421), host
    assert (await console.http.get("/jobs", headers={"Host": f"localhost:{console.console.port}"})).status_code == 401


async def test_every_answer_has_the_strict_headers(console: ServedConsole) -> None:
    for answer in (await console.http.get("/jobs"), await console.http.get("/jobs", headers={"Host": "evil.example"})):
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


async def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(
    mongo_url: str, mongo_database: str, tmp_path: Path
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    async with served_console(mongo_url, mongo_database, tmp_path, services=False, max_message_bytes=1000) as console:
        assert (await console.http.post("/jobs", content=b"x" * 1001)).status_code == 413
        assert (await console.http.post("/jobs", content=pieces())).status_code == 413
        assert (await console.http.post("/jobs", content=b"{" + b" " * 900)).status_code == 422


async def test_a_client_that_asks_too_often_is_told_when_to_go_on(
    mongo_url: str, mongo_database: str, tmp_path: Path
) -> None:
    async with served_console(
        mongo_url, mongo_database, tmp_path, services=False, console_requests_per_second=0.001
    ) as console:
        assert (await console.http.get("/jobs")).status_code == 200
        refused = await console.http.get("/jobs")
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0


async def test_a_client_that_never_ends_its_body_is_cut_off(
    console: ServedConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.console.guard.BODY_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", console.console.port)
    head = f"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKENS['operator']}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
    async with asyncio.timeout(PATIENCE):
        assert b" 408 " in await reader.readline()
    writer.close()


async def test_a_trusted_proxy_says_the_role(mongo_url: str, mongo_database: str, tmp_path: Path) -> None:
    settings = {"console_trusted_proxies": ("127.0.0.0/8",), "console_allowed_hosts": ("metriq.example",)}
    async with served_console(mongo_url, mongo_database, tmp_path, services=False, **settings) as console:

        async def status(method: str, groups: str | None) -> int:
            headers = {"Host": "metriq.example"} | ({} if groups is None else {"X-Forwarded-Groups": groups})
            return (await console.http.request(method, "/jobs", json={}, headers=headers)).status_code

        assert await status("GET", None) == 401
        assert await status("GET", "staff") == 401
        assert await status("GET", "staff, metriq-viewer") == 200
        assert await status("POST", "metriq-viewer") == 403
        assert await status("POST", "metriq-viewer,metriq-submitter") == 422


async def test_a_header_from_elsewhere_says_nothing(mongo_url: str, mongo_database: str, tmp_path: Path) -> None:
    settings = {"console_trusted_proxies": ("192.0.2.1",)}
    async with served_console(mongo_url, mongo_database, tmp_path, services=False, **settings) as console:
        answer = await console.http.get("/jobs", headers={"X-Forwarded-Groups": "metriq-operator"})
        assert answer.status_code == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "console.example"])
def test_without_tokens_it_listens_on_this_machine_alone(host: str) -> None:
    with pytest.raises(MetriqGymError, match="METRIQ_CONSOLE_OPERATOR_TOKEN"):
        Console(Context(Settings(console_host=host), MemoryBus(), Store({"metriq": _Anything()}), Pool(0)))
    Console(
        Context(
            Settings(console_host=host, console_viewer_token=SecretStr("to look")),
            MemoryBus(),
            Store({"metriq": _Anything()}),
            Pool(0),
        )
    )


class _Anything:
    def __getattr__(self, name: str) -> None:
        return None


async def test_a_wrong_network_of_proxies_is_told_at_the_start() -> None:
    with pytest.raises(MetriqGymError, match="METRIQ_CONSOLE_TRUSTED_PROXIES"):
        Access(Settings(console_trusted_proxies=("300.0.0.1",)))


async def test_errors_do_not_repeat_a_token(console: ServedConsole) -> None:
    answer = await console.http.get("/jobs", headers={"Authorization": "Bearer sesame-open"})
    assert "sesame" not in answer.text
    assert isinstance(answer, httpx.Response)
