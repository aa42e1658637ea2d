"""The examples with React, Vue, Svelte and none: built, served from another origin, used in a browser.

They get chatproxy as an npm package, and the rest from this folder.
"""

import asyncio
import json
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import node as nodes
import pytest
import pytest_asyncio
from aiohttp import web
from browser import ANSWER, BUTTON, FIELD, PATIENCE, browser, browser_test
from chat_client import Server
from fake_ollama import MODEL, FakeOllama, Gate, Script, answer
from faults.place import free_port

from chatproxy import Config, create_app

pytest.importorskip("playwright")
from playwright.async_api import Browser, Page, expect

__all__ = ["browser"]  # the fixture
pytestmark = [pytest.mark.browser, browser_test]
ROOT: Final = Path(__file__).parents[2]
MODULES: Final = Path(__file__).with_name("node_modules")
BUILT: Final = ("react", "svelte", "vue")
PLAIN: Final = "other-origin"
ADDRESS: Final = "http://127.0.0.1:11435"
WORDS: Final = "It **is** " + " ".join(f"word{number}" for number in range(20))


@dataclass
class Examples:
    """The examples, with the address of a chatproxy in them; `url` serves all, each in its folder."""

    folder: Path
    fake: FakeOllama
    url: str
    dev: int  # the port for a development server, whose origin chatproxy allows, too

    async def build(self, name: str) -> str:
        """Return the page's address, when the example is built for production."""
        if name == PLAIN:
            return f"{self.url}/{name}/index.html"
        await nodes.run(MODULES / ".bin" / "vite", "build", "--base=./", cwd=self.folder / name)
        return f"{self.url}/{name}/dist/index.html"

    @asynccontextmanager
    async def developing(self, name: str) -> AsyncIterator[str]:
        """Run Vite's development server."""
        command = (MODULES / ".bin" / "vite", "--host=127.0.0.1", f"--port={self.dev}", "--strictPort")
        child = await asyncio.create_subprocess_exec(
            *command, cwd=self.folder / name, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            assert child.stdout is not None
            async with asyncio.timeout(PATIENCE):
                while line := await child.stdout.readline():
                    if b"ready in" in line:
                        break
            yield f"http://127.0.0.1:{self.dev}/"
        finally:
            child.terminate()
            await child.communicate()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def examples(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Examples]:
    nodes.node(MODULES.parent)
    root = tmp_path_factory.mktemp("examples")
    (root / "node_modules").symlink_to(MODULES)
    folder = root / "examples"
    await asyncio.to_thread(unpack, ROOT / "chatproxy" / "static", folder / "node_modules" / "chatproxy")
    site = web.Application()
    site.router.add_static("/", folder)
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(FakeOllama())
        url = (await stack.enter_async_context(Server(site))).client.base
        dev = free_port()
        config = Config(
            ollama_host=fake.url,
            database_url=f"sqlite:///{root}/chat.db",
            default_model=MODEL,
            cors_origins=(url, f"http://127.0.0.1:{dev}"),
        )
        chatproxy = await stack.enter_async_context(Server(create_app(config)))
        for name in (*BUILT, PLAIN):
            copy(ROOT / "examples" / name, folder / name, chatproxy.client.base)
        yield Examples(folder, fake, url, dev)


def unpack(package: Path, to: Path) -> None:
    """Install a package as from the registry: only the files that it lists."""
    npm = shutil.which("npm")
    assert npm is not None
    to.mkdir(parents=True)
    subprocess.run([npm, "pack", package, "--silent", "--pack-destination", to], check=True, timeout=60)
    (archive,) = to.glob("*.tgz")
    with tarfile.open(archive) as packed:
        for member in packed:
            member.name = member.name.removeprefix("package/")
            packed.extract(member, to, filter="data")


def copy(example: Path, to: Path, address: str) -> None:
    shutil.copytree(example, to, ignore=shutil.ignore_patterns("node_modules", "dist"))
    for path in to.iterdir():
        if path.suffix != ".css":
            path.write_text(path.read_text().replace(ADDRESS, address))


@asynccontextmanager
async def opened(browser: Browser, url: str) -> AsyncIterator[Page]:
    """Open a page; afterwards, none of its scripts may have failed."""
    context = await browser.new_context()
    context.set_default_timeout(PATIENCE * 1000)
    page, faults = await context.new_page(), list[str]()
    page.on("pageerror", lambda error: faults.append(str(error)))
    await page.goto(url)
    yield page
    await context.close()
    assert faults == []


async def use(page: Page, fake: FakeOllama) -> None:
    """Send, reload in mid-answer, go on, and stop the next answer."""
    fake.script = Script(answer(WORDS), gate=(gate := Gate()))
    await ask(page, "Hello")
    gate.let(4)
    await expect(page.locator(ANSWER)).to_contain_text("word0")
    await expect(page.locator(ANSWER).locator("strong")).to_have_text("is")
    await page.reload()
    await expect(page.locator(ANSWER)).to_contain_text("word0")
    gate.open()
    await expect(page.locator(ANSWER)).to_have_text(WORDS.replace("*", ""))
    fake.script = Script(answer(WORDS), gate=(gate := Gate()))
    await ask(page, "More")
    gate.let(4)
    await expect(page.locator(ANSWER).last).to_contain_text("word0")
    await page.locator(f"{BUTTON}[data-action=stop]").click()
    await page.locator(f"{BUTTON}[data-action=send]").wait_for()
    await (await fake.arrived(len(fake.requests))).closed.wait()


async def ask(page: Page, text: str) -> None:
    await page.locator(f"{BUTTON}[data-action=send]").wait_for()
    await page.locator(FIELD).fill(text)
    await page.locator(FIELD).press("Enter")


@pytest.mark.parametrize("name", [*BUILT, PLAIN])
async def test_an_example_in_production(browser: Browser, examples: Examples, name: str) -> None:
    async with opened(browser, await examples.build(name)) as page:
        await use(page, examples.fake)


async def test_the_react_example_in_development(browser: Browser, examples: Examples) -> None:
    async with examples.developing("react") as url, opened(browser, url) as page:
        await use(page, examples.fake)


async def test_a_bundled_element_without_an_address_says_what_it_lacks(
    browser: Browser, examples: Examples
) -> None:
    """In the element, in the console and in an event; a message is not sent, and not lost."""
    source = examples.folder / "vue" / "Chat.vue"
    original = source.read_text()
    source.write_text("\n".join(line for line in original.splitlines() if "endpoint=" not in line))
    said = list[str]()
    try:
        async with opened(browser, await examples.build("vue")) as page:
            page.on("console", lambda message: said.append(message.text))
            await page.reload()
            await expect(page.locator("chat-interface .notice")).to_contain_text("endpoint=")
            await expect(page.locator("chat-interface [slot=footer]")).to_contain_text("endpoint=")
            assert [line for line in said if "set its attribute endpoint" in line]
            await ask(page, "Hello")
            await expect(page.locator("chat-interface .assistant")).to_contain_text("endpoint=")
    finally:
        source.write_text(original)


@pytest.mark.parametrize("name", BUILT)
async def test_an_example_names_the_versions_that_are_tried(name: str) -> None:
    package = json.loads((ROOT / "examples" / name / "package.json").read_text())
    wanted = package["dependencies"] | package["devDependencies"]
    assert wanted.pop("chatproxy") == "file:../../chatproxy/static"
    nodes.node(MODULES.parent)
    for each, version in wanted.items():
        assert json.loads((MODULES / each / "package.json").read_text())["version"] == version
