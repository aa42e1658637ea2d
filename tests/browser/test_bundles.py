"""The page and the element from bundles, as in a release: few requests, which are compressed and kept.

chatproxy runs under a prefix, and the page that embeds the element has another origin.
"""

import gzip
import re
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from browser import ANSWER, BUTTON, FIELD, STATIC, browser, browser_test
from bundled import Bundles, make
from fake_ollama import MODEL, FakeOllama, Script, answer

pytest.importorskip("playwright")
from playwright.async_api import Browser, Page, expect

__all__ = ["browser"]  # the fixture
pytestmark = [pytest.mark.browser, browser_test]

LATENCY: Final = 400  # milliseconds
THROUGHPUT: Final = 50_000  # bytes a second
LIMIT: Final = 49_500  # bytes, gzipped, of the element with Markdown
MARKDOWN: Final = "It is **bold**.\n\n- one\n- two\n"

EMBEDDING: Final = """<!doctype html>
<link rel="icon" href="data:,">
<script type="module" src="{base}/static/chat-interface.js"></script>
<chat-interface></chat-interface>
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    return make(tmp_path_factory.mktemp("bundles"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def embedding() -> AsyncIterator[web.AppRunner]:
    """A server of another origin. Its page names chatproxy, at the address in its query."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=EMBEDDING.format(base=request.query["base"]), content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def base(
    bundles: Bundles, embedding: web.AppRunner, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    folder = tmp_path_factory.mktemp("running")
    async with FakeOllama() as fake:
        fake.script = Script(answer(MARKDOWN))
        settings = {"ollama_host": fake.url, "default_model": MODEL, "cors_origins": origin(embedding)}
        async with bundles.running(folder, **settings) as process:
            yield process.client.base


def origin(runner: web.AppRunner) -> str:
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


class Visit:
    """A tab, what it requested of chatproxy's files, and what went wrong in it."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.files: list[str] = []
        self.faults: list[str] = []
        page.on("request", lambda request: self._note(request.url, base))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._console)

    def _note(self, url: str, base: str) -> None:
        if url.startswith(f"{base}/static/") and not url.endswith(".svg"):
            self.files.append(url.removeprefix(f"{base}/static/"))

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.faults.append(message.text)


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, base: str) -> AsyncIterator[Visit]:
    context = await browser.new_context()
    yield (visit := Visit(await context.new_page(), base))
    await context.close()
    assert visit.faults == []


async def ask(page: Page) -> None:
    await page.locator(FIELD).fill("Hello")
    await page.locator(f"{BUTTON}[data-action=send]").click()
    await expect(page.locator(ANSWER).locator("strong")).to_have_text("bold")
    await expect(page.locator(ANSWER).locator("li")).to_have_text(["one", "two"])


async def test_the_page_is_a_script_and_a_style_sheet(visit: Visit, base: str) -> None:
    await visit.page.goto(f"{base}/")
    await ask(visit.page)
    kinds = sorted(re.sub(r"-[0-9A-Z]{8}", "-HASH", name) for name in visit.files)
    assert kinds == ["dist/chat-page-HASH.css", "dist/chat-page-HASH.js"]


async def test_another_language_is_one_file_more(browser: Browser, base: str) -> None:
    context = await browser.new_context(locale="de-CH")
    visit = Visit(await context.new_page(), base)
    await visit.page.goto(f"{base}/")
    await expect(visit.page.locator(FIELD)).to_have_attribute("placeholder", "Nachricht schreiben")
    kinds = sorted(re.sub(r"-[0-9A-Z]{8}", "-HASH", name) for name in visit.files)
    assert kinds == ["dist/chat-page-HASH.css", "dist/chat-page-HASH.js", "dist/de-HASH.js"]
    await context.close()
    assert visit.faults == []


async def test_the_reference_is_a_script_and_a_style_sheet(visit: Visit, base: str) -> None:
    await visit.page.goto(f"{base}/docs")
    await expect(visit.page.locator("#operations h2").first).to_be_visible()
    assert len(visit.files) == 2


async def test_the_element_is_one_file_behind_an_address_that_stays(
    visit: Visit, base: str, embedding: web.AppRunner
) -> None:
    await visit.page.goto(f"{origin(embedding)}/?base={base}")
    await ask(visit.page)
    first, second = visit.files
    assert first == "chat-interface.js"
    assert re.fullmatch(r"dist/chat-interface-[0-9A-Z]{8}\.js", second)


async def test_every_module_exports_what_its_source_does(visit: Visit, base: str) -> None:
    await visit.page.goto(f"{base}/docs")
    modules = sorted(path.name for path in STATIC.glob("chat-*.js"))
    names = await visit.page.evaluate(
        "(paths) => Promise.all(paths.map(async (path) => Object.keys(await import(path))))",
        [f"{base}/static/{module}" for module in ("index.js", *modules)],
    )
    assert sorted(names[0]) == sorted({name for each in names[1:] for name in each})


async def test_the_element_with_markdown_is_small(bundles: Bundles) -> None:
    (element,) = (file for name, file in bundles.hashed().items() if name.startswith("chat-interface-"))
    assert len(gzip.compress(element.read_bytes())) <= LIMIT


async def test_a_slow_line_shows_the_page_soon(visit: Visit, base: str) -> None:
    """Of a second visit, nothing but the page itself is asked for."""
    cdp = await visit.page.context.new_cdp_session(visit.page)
    await cdp.send("Network.enable")
    line = {"latency": LATENCY, "downloadThroughput": THROUGHPUT, "uploadThroughput": THROUGHPUT}
    await cdp.send("Network.emulateNetworkConditions", {"offline": False, **line})
    for milliseconds in (3_000, 1_000):
        await visit.page.goto(f"{base}/")
        await visit.page.locator(FIELD).wait_for()
        assert await painted(visit.page) <= milliseconds
    sizes = await visit.page.evaluate(
        "performance.getEntriesByType('resource').filter(({ name }) => name.includes('/dist/'))"
        ".map(({ transferSize }) => transferSize)"
    )
    assert sizes == [0, 0]


async def painted(page: Page) -> float:
    """Return the milliseconds until something could be read."""
    entries = await page.evaluate(
        "performance.getEntriesByName('first-contentful-paint').map(({ startTime }) => startTime)"
    )
    return float(entries[0])


# -- how the files are served


async def get(url: str, **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
    async with aiohttp.ClientSession(auto_decompress=False) as http, http.get(url, headers=headers) as got:
        return got, await got.read()


@pytest.mark.parametrize("encoding", ["br", "gzip", "identity"])
async def test_what_has_a_hash_is_compressed_and_kept_for_ever(
    bundles: Bundles, base: str, encoding: str
) -> None:
    suffix = {"br": ".br", "gzip": ".gz", "identity": ""}[encoding]
    files = bundles.hashed()
    assert len(files) >= 5
    for name, file in files.items():
        got, body = await get(f"{base}/static/dist/{name}", **{"Accept-Encoding": encoding})
        assert got.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert got.headers.get("Content-Encoding", "identity") == encoding
        assert "Accept-Encoding" in ", ".join(got.headers.getall("Vary"))
        assert body == file.with_name(name + suffix).read_bytes()


@pytest.mark.parametrize("path", ["/", "/docs", "/static/chat-interface.js"])
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_what_names_it_is_revalidated_by_its_content(base: str, path: str, encoding: str) -> None:
    accepted = {"Accept": "text/html", "Accept-Encoding": encoding}
    got, body = await get(base + path, **accepted)
    text = gzip.decompress(body) if encoding == "gzip" else body
    assert b"dist/" in text
    assert got.headers["Cache-Control"] == "no-cache"
    assert "Accept-Encoding" in ", ".join(got.headers.getall("Vary"))
    again, nothing = await get(base + path, **accepted, **{"If-None-Match": got.headers["ETag"]})
    assert (again.status, nothing) == (304, b"")
    changed, _ = await get(base + path, **accepted, **{"If-None-Match": '"0123456789abcdef"'})
    assert changed.status == 200


async def test_sources_stay_at_their_addresses(bundles: Bundles, base: str) -> None:
    for name in ("index.js", "sse.js", "element/chat-element.js", "vendor/marked.js"):
        got, body = await get(f"{base}/static/{name}")
        assert (got.status, got.headers["Cache-Control"]) == (200, "no-cache")
        assert body == (bundles.static / name).read_bytes()
