"""The example of a page with `useChat`, built with every version that is supported, in a browser."""

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web
from browser import PATIENCE, browser, browser_test
from chat_client import Server
from fake_ollama import MODEL, FakeOllama, Gate, Script, answer
from node import run
from readme import example

from chatproxy import Config, create_app

pytest.importorskip("playwright")
from playwright.async_api import Browser, Page, expect

__all__ = ["browser"]  # the fixture
pytestmark = [pytest.mark.browser, browser_test]
EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "ai-sdk"
MODULES: Final = Path(__file__).with_name("node_modules")
TEXT: Final = " ".join(f"word{number} 🌈" for number in range(20))
EDIT: Final = """(text) => {
  const { composer } = runtime.thread.getMessageByIndex(0);
  composer.beginEdit();
  composer.setText(text);
  composer.send();
}"""
KINDS: Final = {".html": "text/html", ".js": "text/javascript"}


async def built(folder: Path, *more: str, source: Path = EXAMPLE / "chat.jsx") -> Path:
    """Return the example's folder, built as its package.json says, also from another source."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules", "chat.js"))
    shutil.copy(source, folder / "chat.jsx")
    command = json.loads((folder / "package.json").read_text())["scripts"]["build"].split()
    env = {"NODE_PATH": str(MODULES)}
    await run(MODULES / ".bin" / command[0], *command[1:], *more, cwd=folder, env=env)
    return folder


@asynccontextmanager
async def served(files: Path, folder: Path) -> AsyncIterator[tuple[str, FakeOllama]]:
    """Serve the example, on an origin of its own, and the chatproxy that it calls."""

    async def file(request: web.Request) -> web.Response:
        path = files / (request.match_info["name"] or "index.html")
        text = path.read_text().replace("http://127.0.0.1:11435", chatproxy.client.base)
        return web.Response(text=text, content_type=KINDS[path.suffix])

    site = web.Application()
    site.router.add_get("/{name:(chat.js)?}", file)
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(FakeOllama())
        page = await stack.enter_async_context(Server(site))
        config = Config(
            ollama_host=fake.url,
            database_url=f"sqlite:///{folder}/chat.db",
            default_model=MODEL,
            cors_origins=(page.client.base,),
        )
        chatproxy = await stack.enter_async_context(Server(create_app(config)))
        yield page.client.base, fake


@asynccontextmanager
async def opened(browser: Browser, url: str) -> AsyncIterator[tuple[Page, list[str]]]:
    """Open a page; give the block the errors of its scripts, too."""
    context = await browser.new_context()
    context.set_default_timeout(PATIENCE * 1000)
    page, faults = await context.new_page(), list[str]()
    page.on("pageerror", lambda error: faults.append(str(error)))
    await page.goto(url)
    yield page, faults
    await context.close()


async def ask(page: Page, text: str) -> None:
    await page.get_by_label("Message").fill(text)
    await page.get_by_role("button", name="Send").click()


@pytest.mark.parametrize("version", ["5.0.110", "5", "6", "7"])
async def test_the_example_of_the_ai_sdk(browser: Browser, node: str, tmp_path: Path, version: str) -> None:
    aliases = (f"--alias:{name}={name}-{version}" for name in ("ai", "@ai-sdk/react"))
    folder = await built(tmp_path / "example", *aliases)
    async with served(folder, tmp_path) as (url, fake), opened(browser, url) as (page, faults):
        messages = page.locator("article")
        reply = page.locator("article.assistant > div")
        field = page.get_by_label("Message")
        fake.script = Script(answer(TEXT, thinking="Hm."), gate=(gate := Gate()))
        await ask(page, "Hello")
        await expect(page.get_by_text("Waiting…")).to_be_visible()
        gate.let(9)
        await expect(reply).to_have_text("word0 🌈 word1 🌈 word2 🌈 word3 🌈", use_inner_text=True)
        for _ in range(2):
            await page.reload()
            await expect(reply).to_have_text("word0 🌈 word1 🌈 word2 🌈 word3 🌈", use_inner_text=True)
        async with page.context.expect_page() as other:
            await page.evaluate("open(location.href)")
        tab = await other.value
        await expect(tab.locator("article.assistant > div")).to_contain_text("word3")
        gate.open()
        for each in (page, tab):
            await expect(each.get_by_role("button", name="Send")).to_be_visible()
            assert await each.locator("article.assistant > div").inner_text() == TEXT
        await page.reload()
        assert await reply.inner_text() == TEXT
        assert await messages.count() == 2

        fake.script = Script(answer(TEXT), gate=(gate := Gate()))
        await ask(page, "More")
        gate.let(2)
        await expect(reply.last).to_have_text("word0 🌈", use_inner_text=True)
        await field.fill("Too early")
        await field.press("Enter")
        await page.get_by_role("button", name="Stop").click()
        await (await fake.arrived(2)).closed.wait()
        await expect(page.get_by_role("button", name="Send")).to_be_visible()
        await expect(field).to_be_focused()
        await expect(field).to_have_value("Too early")
        await page.reload()
        await expect(reply.last).to_have_text("word0 🌈", use_inner_text=True)
        assert await messages.count() == 4

        fake.script = Script(answer(TEXT)[:2], end="cut")
        await ask(page, "And more")
        await expect(page.get_by_role("alert")).to_contain_text("stopped before its end")
        await page.reload()
        await expect(page.get_by_role("alert")).to_contain_text("stopped before its end")
        fake.script = Script(answer(TEXT))
        await page.get_by_role("button", name="Try again").click()
        await expect(reply.last).to_have_text(TEXT, use_inner_text=True)
        assert await messages.count() == 6
        assert faults == []


# The lines of the pages, each in a hook of its own.
FROM_USE_CHAT: Final = example("js", 'api: "http')
KEPT: Final = example("js", 'api: "/api')
HOOKS: Final = {
    "embed.md": f"function useLines(id, earlier) {{ {FROM_USE_CHAT} return {{ messages, sendMessage }}; }}",
    "api.md": f"function useLines(id, messages) {{ return {KEPT} }}",
}


@pytest.mark.parametrize("hook", HOOKS.values(), ids=HOOKS)
async def test_the_lines_of_the_pages(browser: Browser, node: str, tmp_path: Path, hook: str) -> None:
    """They take the place of those of the example; the page that they are on is another origin."""
    source = (EXAMPLE / "chat.jsx").read_text()
    start, end = source.index("  const { messages, sendMessage,"), source.index("  const busy = ")
    used = "  const { messages, sendMessage, regenerate, status, error } = useLines(id, earlier);\n"
    hook = hook.replace('"/api/', '"http://127.0.0.1:11435/api/')
    (tmp_path / "chat.jsx").write_text(f"{source[:start]}{used}{source[end:]}\n{hook}\n")
    aliases = (f"--alias:{name}={name}-7" for name in ("ai", "@ai-sdk/react"))
    folder = await built(tmp_path / "example", *aliases, source=tmp_path / "chat.jsx")
    async with served(folder, tmp_path) as (url, fake), opened(browser, url) as (page, faults):
        reply = page.locator("article.assistant > div")
        fake.script = Script(answer(TEXT), gate=(gate := Gate()))
        await ask(page, "Hello")
        gate.let(8)
        await expect(reply).to_contain_text("word3")
        await page.reload()  # which resumes
        await expect(reply).to_contain_text("word3")
        gate.open()
        await expect(reply).to_have_text(TEXT, use_inner_text=True)
        assert faults == []


async def test_assistant_ui(browser: Browser, node: str, tmp_path: Path) -> None:
    folder = await built(tmp_path / "page", source=Path(__file__).with_name("assistant-ui.jsx"))
    async with served(folder, tmp_path) as (url, fake), opened(browser, url) as (page, faults):
        messages = page.locator("article")
        fake.script = Script(answer(TEXT), gate=(gate := Gate()))
        await page.wait_for_function("window.runtime")
        await page.evaluate("runtime.thread.append('Hello')")
        gate.let(8)
        await expect(messages.last).to_contain_text("word3")
        await page.reload()
        await expect(messages.last).to_contain_text("word3")
        gate.open()
        await expect(messages).to_have_text(["Hello", TEXT])
        fake.script = lambda request: Script(answer(f"to {request['messages'][-1]['content']}"))
        await page.evaluate("runtime.thread.getMessageByIndex(1).reload()")
        await expect(messages).to_have_text(["Hello", "to Hello"])
        await page.evaluate(EDIT, "Hi")
        await expect(messages).to_have_text(["Hi", "to Hi"])
        await page.evaluate("runtime.thread.append('More')")
        await expect(messages).to_have_text(["Hi", "to Hi", "More", "to More"])
        await page.reload()
        await expect(messages).to_have_text(["Hi", "to Hi", "More", "to More"])
        assert faults == []
