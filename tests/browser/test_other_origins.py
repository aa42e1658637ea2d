"""The browser side outside its own page: under a prefix, on an insecure origin, embedded in another site."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from aiohttp import web
from browser import ANSWER, FIELD, PATIENCE, QUESTION, STATIC, browser, browser_test
from chat_client import Server
from fake_ollama import MODEL, FakeOllama

from chatproxy import Config, create_app

pytest.importorskip("playwright")
from playwright.async_api import Browser, Page, expect

__all__ = ["browser"]  # the fixture
pytestmark = [pytest.mark.browser, browser_test]
TOKEN: Final = "correct-horse-battery"
SECRET: Final = "wE5vYqZr8xK2mT9bN4cL7hJ1gF6dS3aP0uQ-oI_"
EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "other-origin"


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context()
    context.set_default_timeout(PATIENCE * 1000)
    yield await context.new_page()
    await context.close()


@asynccontextmanager
async def chatproxy(
    folder: Path, prefix: str = "", sent: list[int] | None = None, **settings: Any
) -> AsyncIterator[str]:
    """A chatproxy, as its address. The status of each response is added to `sent`."""

    async def note(request: web.Request, response: web.StreamResponse) -> None:
        if sent is not None:
            sent.append(response.status)

    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(FakeOllama())
        config = Config(
            ollama_host=fake.url,
            database_url=f"sqlite:///{folder}/chat.db",
            default_model=MODEL,
            **settings,
        )
        app = create_app(config)
        app.on_response_prepare.append(note)
        if prefix:
            host = web.Application()
            host.add_subapp(prefix, app)
            app = host
        server = await stack.enter_async_context(Server(app, prefix))
        yield server.client.base


@asynccontextmanager
async def other_origin(addresses: list[str]) -> AsyncIterator[str]:
    """The example on an origin of its own, with the address of chatproxy replaced by the first of these."""

    async def file(request: web.Request) -> web.Response:
        path = EXAMPLE / (request.match_info["name"] or "index.html")
        text = path.read_text().replace("http://127.0.0.1:11435", addresses[0])
        kind = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}[path.suffix]
        return web.Response(text=text, content_type=kind)

    app = web.Application()
    app.router.add_get("/{name:[a-z.]*}", file)
    async with Server(app) as server:
        yield server.client.base


ASK: Final = """async (module) => {
  const { createChatClient } = await import(module);
  const client = createChatClient();
  const { id } = await client.sessions.create();
  const { fullResponse } = await client.sendMessageStream(id, { message: "Hi" });
  return { baseUrl: client.baseUrl, fullResponse, secure: isSecureContext, uuid: typeof crypto.randomUUID };
}"""


async def test_the_client_defaults_to_the_server_of_its_module(page: Page, tmp_path: Path) -> None:
    async with chatproxy(tmp_path, "/deep/chat") as url:
        await page.goto(f"{url}/docs")  # a page of that origin that runs scripts
        heard = await page.evaluate(ASK, f"{url}/static/chat-client.js")
    assert heard["baseUrl"] == url
    assert heard["fullResponse"] == "Hello from a fake."


async def test_the_client_works_on_an_insecure_origin(page: Page, tmp_path: Path) -> None:
    async with chatproxy(tmp_path, cors_origins="http://chat.test") as url:  # its Host is another one

        async def pass_on(route: Any) -> None:
            there = route.request.url.replace("http://chat.test", url)
            await route.fulfill(response=await route.fetch(url=there))

        await page.route("http://chat.test/**", pass_on)
        await page.goto("http://chat.test/docs")
        heard = await page.evaluate(ASK, "http://chat.test/static/chat-client.js")
    assert heard == {
        "baseUrl": "http://chat.test",
        "fullResponse": "Hello from a fake.",
        "secure": False,
        "uuid": "undefined",
    }


UPLOAD: Final = """async () => {
  const { createChatClient } = await import("/static/chat-client.js");
  const client = createChatClient({ headers: () => ({ Authorization: "Bearer token" }) });
  const reports = [];
  const file = new File(["x".repeat(5_000_000)], "ü.txt", { type: "text/plain" });
  const onProgress = ({ loaded, total }) => reports.push([loaded, total]);
  const answer = await client.documents.create(file, { onProgress });
  const small = new File(["no"], "no");
  const refused = await client.documents.create(small, { onProgress }).catch((error) => error);
  const aborted = await client.documents
    .create(file, { onProgress, signal: AbortSignal.abort() }).catch((error) => error.code);
  return { reports, answer, refused: [refused.name, refused.code, refused.status], aborted };
}"""


async def test_an_upload_reports_its_progress(page: Page) -> None:
    async def document(request: web.Request) -> web.Response:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        size = len(file.file.read())
        if size < 10:
            return web.json_response({"error": "Too small.", "code": "invalid"}, status=422)
        seen = {"name": file.filename, "bytes": size, "token": request.headers["Authorization"]}
        return web.json_response(seen, status=201)

    app = web.Application(client_max_size=16 * 1024**2)
    app.router.add_post("/api/documents", document)
    app.router.add_static("/static", STATIC)
    async with Server(app) as server:
        await page.goto(f"{server.client.base}/static/icon.svg")
        heard = await page.evaluate(UPLOAD)
    assert heard["answer"] == {"name": "ü.txt", "bytes": 5_000_000, "token": "Bearer token"}
    assert heard["refused"] == ["ChatError", "invalid", 422]
    assert heard["aborted"] == "aborted"
    loaded = [place for place, total in heard["reports"] if total > 5_000_000]
    assert loaded == sorted(loaded)
    assert loaded[-1] > 5_000_000


async def test_the_example_embeds_the_element_from_another_origin(page: Page, tmp_path: Path) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    there: list[str] = []
    async with other_origin(there) as origin, chatproxy(tmp_path, cors_origins=(origin,)) as address:
        there.append(address)
        await page.goto(origin)
        await page.locator(FIELD).fill("Hello")
        await page.locator(FIELD).press("Enter")
        await page.get_by_text("The answer has 18 characters.").wait_for()
        assert await page.locator(ANSWER).inner_text() == "Hello from a fake."
        await page.screenshot(path=tmp_path / "embedded.png")
    assert faults == []


# What a page can make a browser load without CORS. Each part ends when the browser has an answer or an error.
LOAD: Final = """async (address) => {
  const ended = (element) => new Promise((resolve) => {
    element.onload = element.onerror = resolve;
    document.body.append(element);
  });
  const made = (name, fields) => Object.assign(document.createElement(name), fields);
  await fetch(address, { mode: "no-cors", credentials: "include" }).catch(() => {});
  await fetch(address).catch(() => {});
  await ended(made("img", { src: address + "&img" }));
  await ended(made("script", { src: address + "&script" }));
  await ended(made("link", { rel: "stylesheet", href: address + "&link" }));
  await ended(made("iframe", { src: address + "&iframe" }));
}"""


async def test_a_page_elsewhere_cannot_time_a_search(page: Page, tmp_path: Path) -> None:
    """Another port of the same host is elsewhere, and so is another host."""
    sent: list[int] = []
    there: list[str] = []
    async with other_origin(there) as origin, chatproxy(tmp_path, sent=sent) as address:
        there.append(address)
        for host in (origin, origin.replace("127.0.0.1", "localhost")):
            await page.goto(f"{host}/page.css")
            sent.clear()
            await page.evaluate(LOAD, f"{address}/api/chat/sessions?q=secret")
            assert sent == [403] * 6


async def test_the_example_needs_the_cors_setting(page: Page, tmp_path: Path) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    there: list[str] = []
    async with other_origin(there) as origin, chatproxy(tmp_path) as address:
        there.append(address)
        await page.goto(origin, wait_until="networkidle")
        assert await page.evaluate("customElements.get('chat-interface') === undefined")
    assert any("CORS" in text for text in said)


async def test_visitors_of_a_page_have_each_their_own_conversation(browser: Browser, tmp_path: Path) -> None:
    """The element asks for a token by itself, and keeps it: the conversation is there after a reload."""
    chat = [""]
    async with other_origin(chat) as site, AsyncExitStack() as stack:
        chat[0] = url = await stack.enter_async_context(
            chatproxy(tmp_path, cors_origins=site, visitors=True, jwt_secret=SECRET, api_token=TOKEN)
        )

        async def opened(address: str) -> Page:
            context = await browser.new_context()
            stack.push_async_callback(context.close)
            context.set_default_timeout(PATIENCE * 1000)
            page = await context.new_page()
            await page.goto(address)
            return page

        async def ask(page: Page, text: str) -> None:
            await page.locator(FIELD).fill(text)
            await page.locator(FIELD).press("Enter")
            await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")

        ann, bob = await opened(site), await opened(site)
        await ask(ann, "I am Ann")
        await ask(bob, "I am Bob")
        await ann.reload()
        await expect(ann.locator(QUESTION)).to_have_text("I am Ann")
        await expect(ann.locator(ANSWER)).to_have_text("Hello from a fake.")
        carol = await opened(url)  # chatproxy's own page
        await ask(carol, "I am Carol")
        await expect(carol.locator("#sessions li")).to_have_count(1)
        await carol.reload()
        await expect(carol.locator("#sessions li")).to_have_count(1)
        await expect(carol.locator("#sign-in")).to_be_hidden()
