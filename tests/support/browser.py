"""A real browser, Debian's Chromium, that looks at the console; it says everything that it complained about."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import axe_playwright_python
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.servers.discovery import NoServer
from tests.support.patience import PATIENCE

ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
    "--disable-dev-shm-usage",
]
SERIOUS = ("serious", "critical")
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
expect.set_options(timeout=1000 * PATIENCE)


def chromium() -> str:
    """Return where Chromium is; where there is none and this is Debian and root, install it."""
    if (found := shutil.which("chromium")) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=True, capture_output=True)
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(install, check=True, capture_output=True, env=environment)
        found = shutil.which("chromium")
    if found is None:
        raise NoServer("the browser tests need Chromium: apt-get install chromium")
    return found


LEFT = ("htmx:sendAbort", "htmx:afterRequest", "[object Event]")
"""What htmx says of a request that its page no longer waits for, since it was left or asks anew."""


@dataclass
class Visitor:
    """Somebody with a browser of their own."""

    context: BrowserContext
    url: str
    complaints: list[str] = field(default_factory=list)
    """Errors of the browser's console, and requests to another host."""
    expected: tuple[str, ...] = ()
    """What may be complained of."""

    async def page(self, path: str = "/") -> Page:
        """Open a page."""
        page = await self.context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.on("console", lambda each: self._complain(each.text) if each.type == "error" else None)
        page.on("pageerror", lambda each: self._complain(str(each)))
        page.on("request", lambda each: self._seen(each.url))
        await page.goto(f"{self.url}{path}")
        return page

    def _complain(self, text: str) -> None:
        if not any(each in text for each in (*LEFT, *self.expected)):
            self.complaints.append(text)

    def _seen(self, address: str) -> None:
        if urlsplit(address).scheme in ("http", "https", "ws", "wss") and not address.startswith(self.url):
            self.complaints.append(f"request to {address}")


@dataclass
class Browsers:
    """Chromium, running."""

    browser: Browser
    visitors: list[Visitor] = field(default_factory=list)

    async def visitor(self, url: str, **options: object) -> Visitor:
        """Return a visitor whose cookies are nobody else's."""
        context = await self.browser.new_context(**options)  # type: ignore[arg-type]
        visitor = Visitor(context, url)
        self.visitors.append(visitor)
        return visitor


@asynccontextmanager
async def started() -> AsyncIterator[Browser]:
    """Run Chromium while inside."""
    path = await asyncio.to_thread(chromium)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def visitors(browser: Browser) -> AsyncIterator[Browsers]:
    """Let visitors come while inside; on leaving, none may have complained."""
    running = Browsers(browser)
    try:
        yield running
    finally:
        for visitor in running.visitors:
            await visitor.context.close()
    complaints = [each for visitor in running.visitors for each in visitor.complaints]
    assert complaints == [], complaints


async def barriers(page: Page, rules: Sequence[str] = ()) -> list[str]:
    """Return what axe-core finds serious on a page by all its rules, or by some, with where it is."""
    # Not as a script of the page's, which the page's own policy forbids.
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    found = await page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{each['id']}: {node['target']} {node.get('failureSummary', '')}"
        for each in found["violations"]
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]
