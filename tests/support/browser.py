"""A real Chromium in front of a real server whose Ollama is scripted by the test.

    async def test_it(site: Site) -> None:
        page = await site.open()                       # the built-in page, in a tab of its own
        await site.ask(page, "Hello")                  # types and presses Enter
        await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")

One browser serves all tests, each with a context of its own. After a test, no request may have gone to
another origin, no script may have failed, and the Content-Security-Policy may not have been violated.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest
import pytest_asyncio
from aiohttp import web
from chat_client import Client, Server
from fake_ollama import MODEL, FakeOllama

from chatproxy import Config, create_app
from chatproxy.web.api.login import LOGIN_CODES, LoginCodes

try:
    from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect
except ImportError:  # its tests are skipped
    Browser = BrowserContext = Page = Any  # type: ignore[assignment,misc]
    async_playwright = expect = None  # type: ignore[assignment]

STATIC: Final = Path(__file__).parents[2] / "chatproxy" / "static"
NAMED: Final = "chat.test"  # this machine, by a name that is not loopback's
ARGUMENTS: Final = (
    f"--host-resolver-rules=MAP {NAMED} 127.0.0.1",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE: Final = 30  # seconds; only a busy machine needs so long
FIELD: Final = "chat-interface .composer textarea"
BUTTON: Final = "chat-interface [part=send]"
ANSWER: Final = "chat-interface .assistant .content"
QUESTION: Final = "chat-interface .user .content"
STATUS: Final = "chat-interface [part=status]"
MODULES: Final = ("chat-interface", "chat-launcher", "chat-history")
ANNOUNCER: Final = "chat-interface .unseen[role=status]"

browser_test: Final = pytest.mark.asyncio(loop_scope="session")

# Runs in each page before its own scripts.
_WATCH: Final = """
addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
  console.error(`policy: ${violatedDirective} ${blockedURI}`));
"""


def missing(what: str) -> NoReturn:
    """Skip the test; fail in CI, where nothing may be skipped."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")


def need_marked() -> None:
    """Skip the test without the Markdown lexer."""
    if not (STATIC / "vendor" / "marked.js").exists():
        missing("static/vendor/marked.js (it comes with the build; needs npm)")


@asynccontextmanager
async def chromium(*commands: str) -> AsyncIterator[Browser]:
    """Start the first of these commands that is installed, or `chromium`."""
    path = next(filter(None, map(shutil.which, [*commands, "chromium"])), None)
    if async_playwright is None:
        missing("playwright (pip install playwright)")
    if path is None:
        missing("chromium (apt-get install chromium)")
    expect.set_options(timeout=PATIENCE * 1000)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The shell opens a page in a third of the time: it has no window and no toolbar to draw."""
    async with chromium("chromium-headless-shell") as browser:
        yield browser


class Site:
    """A server, its Ollama, and the pages that are open."""

    def __init__(self, stack: AsyncExitStack, browser: Browser, folder: Path) -> None:
        self.fake = FakeOllama()
        self.faults: list[str] = []  # errors of all pages; a test may clear those that it provokes
        self.requests: list[str] = []  # the URLs of all pages' requests
        self.dialogs: list[str] = []
        self.settings: dict[str, Any] = {}  # to be set before the first `open`
        self.middlewares: list[Any] = []
        self.codes: LoginCodes  # from `start` on
        self.prefix = ""
        self._stack = stack
        self._browser = browser
        self.database = folder / "chat.db"
        self._server: Server | None = None

    async def start(self) -> None:
        await self._stack.enter_async_context(self.fake)
        config = Config(
            **{
                "ollama_host": self.fake.url,
                "database_url": f"sqlite:///{self.database}",
                "default_model": MODEL,
                **self.settings,
            }
        )
        app = create_app(config)
        self.codes = app[LOGIN_CODES]
        app.middlewares.extend(self.middlewares)
        if self.prefix:
            host = web.Application()
            host.add_subapp(self.prefix, app)
            app = host
        self._server = await self._stack.enter_async_context(Server(app, self.prefix))

    @property
    def client(self) -> Client:
        assert self._server is not None
        return self._server.client

    @property
    def url(self) -> str:
        return self.client.base

    async def context(self, **options: Any) -> BrowserContext:
        """Return a context: what websites see as another browser."""
        if self._server is None:
            await self.start()
        context = await self._browser.new_context(**options)
        self._stack.push_async_callback(context.close)
        context.set_default_timeout(PATIENCE * 1000)
        await context.add_init_script(_WATCH)
        context.on("request", lambda request: self.requests.append(request.url))
        return context

    async def open(
        self,
        path: str = "/",
        context: BrowserContext | None = None,
        script: str = "",
        ready: str = FIELD,
        url: str = "",
        **options: Any,
    ) -> Page:
        """Open a tab, and return it when what `ready` selects is there; at `url`, if a proxy is in front."""
        context = context or await self.context(**options)
        page = await context.new_page()
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._console)
        page.on("dialog", self._dialog)
        if script:
            await page.add_init_script(script)
        await page.goto(url or self.url + path)
        await page.locator(ready).wait_for()
        return page

    async def embed(
        self,
        markup: str,
        context: BrowserContext | None = None,
        head: str = "",
        script: str = "",
        ready: str = FIELD,
        **options: Any,
    ) -> Page:
        """Open a tab with a page of somebody else's that has these elements."""
        context = context or await self.context(**options)
        modules = "".join(
            f'<script type="module" src="{self.prefix}/static/{name}.js"></script>'
            for name in MODULES
            if f"<{name}" in markup
        )
        html = f'<!doctype html><html lang="en"><title>Shop</title>{head}{modules}<main>{markup}</main>'

        async def fulfill(route: Any) -> None:
            await route.fulfill(body=html, content_type="text/html; charset=utf-8")

        await context.route("**/embedded", fulfill)
        return await self.open("/embedded", context, script, ready)

    def _console(self, message: Any) -> None:
        failed = message.type == "error" and not message.text.startswith("Failed to load resource")
        if failed or message.text.startswith("[DOM]"):  # Chromium's advice on markup, which is no error
            self.faults.append(message.text)

    async def _dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        await dialog.dismiss()

    async def ask(self, page: Page, text: str) -> None:
        """Send a message as soon as the answer before it has ended."""
        await page.locator(f"{BUTTON}[data-action=send]").wait_for()
        await page.locator(FIELD).fill(text)
        await page.locator(FIELD).press("Enter")

    async def new_session(self, **fields: Any) -> str:
        """Return a session without messages."""
        if self._server is None:
            await self.start()
        return await self.client.new_session(**fields)

    async def conversation(self, title: str, message: str) -> str:
        """Return a session with one message and its answer."""
        session = await self.new_session(title=title)
        await self.client.ask(session, message)
        return session

    def cut(self) -> None:
        """Cut all connections with browsers, whatever they carry."""
        assert self._server is not None
        for handler in self._server.handler.connections:
            if handler.transport is not None:
                handler.transport.abort()

    def check(self) -> None:
        """Fail if a page has failed or has sent a request to another origin."""
        assert self.faults == []
        strangers = [url for url in self.requests if not url.startswith((self.url, "blob:", "data:"))]
        assert strangers == []


@asynccontextmanager
async def standing(browser: Browser, folder: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        site = Site(stack, browser, folder)
        yield site
        if site._server is not None:
            site.check()


@pytest_asyncio.fixture(loop_scope="session")
async def site(browser: Browser, tmp_path: Path) -> AsyncIterator[Site]:
    async with standing(browser, tmp_path) as site:
        yield site


async def until(page: Page, expression: str, argument: Any = None) -> None:
    """Wait until the script returns true: `wait_for_function` uses eval, which the page's policy forbids."""
    async with asyncio.timeout(PATIENCE):
        while not await page.evaluate(expression, argument):  # noqa: ASYNC110 - a page cannot be awaited
            await asyncio.sleep(0.02)


def axe() -> str:
    """Return the source of axe-core, a dependency in tests/js/package.json."""
    folder = Path(__file__).parents[1] / "js"
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        npm = shutil.which("npm") or missing("npm, for axe-core")
        subprocess.run(
            [npm, "install", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, check=False
        )
    if not script.exists():
        missing("axe-core (npm install in tests/js)")
    return script.read_text()


async def serious(page: Page) -> list[str]:
    """Return the serious and critical violations that axe reports."""
    await page.evaluate(axe())
    found = await page.evaluate("axe.run().then(({ violations }) => violations)")
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in found
        for node in violation["nodes"]
        if violation["impact"] in ("serious", "critical")
    ]
