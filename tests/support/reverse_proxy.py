"""A reverse proxy in a process of its own, as one with OpenID Connect is: it knows people, and says their groups.

It asks from 127.0.0.2, so that what comes from elsewhere on this machine is told from what comes through it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.console_process import script
from tests.support.patience import PATIENCE

ADDRESS = "127.0.0.2"
PEOPLE = {"vera": "staff metriq-viewer", "sam": "metriq-viewer,metriq-submitter", "olga": "metriq-operator", "eve": ""}
"""By the cookie that each got when they logged in."""
PROXY = """
import asyncio, json, sys
import httpx, uvicorn

async def main(console, address, people):
    people = json.loads(people)
    transport = httpx.AsyncHTTPTransport(verify=False, local_address=address)
    async with httpx.AsyncClient(base_url=console, transport=transport, timeout=None) as client:
        async def app(scope, receive, send):
            headers = [(name, value) for name, value in scope["headers"]
                       if name not in (b"x-forwarded-groups", b"transfer-encoding", b"connection", b"authorization")]
            cookies = dict(headers).get(b"cookie", b"").decode()
            user = cookies.partition("user=")[2]
            if user not in people:
                await send({"type": "http.response.start", "status": 401, "headers": [(b"x-by", b"proxy")]})
                await send({"type": "http.response.body", "body": b"log in"})
                return
            headers.append((b"x-forwarded-groups", people[user].encode()))
            body = b""
            while (message := await receive()).get("more_body"):
                body += message["body"]
            body += message.get("body", b"")
            path = scope["raw_path"].decode() + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
            async with client.stream(scope["method"], path, headers=headers, content=body) as answer:
                raw = [(name, value) for name, value in answer.headers.raw if name.lower() != b"transfer-encoding"]
                await send({"type": "http.response.start", "status": answer.status_code, "headers": raw})
                async for each in answer.aiter_raw():
                    await send({"type": "http.response.body", "body": each, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

        config = uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        print(server.servers[0].sockets[0].getsockname()[1], flush=True)
        await serving

asyncio.run(main(*sys.argv[1:]))
"""


@asynccontextmanager
async def reverse_proxy(console: str, people: str) -> AsyncIterator[str]:
    """Run one before a console while inside, and yield its address."""
    async with script(PROXY, console, ADDRESS, people) as process:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            port = int(await process.stdout.readline())
        yield f"http://127.0.0.1:{port}"
