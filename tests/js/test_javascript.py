"""The browser side's modules under `node --test`, and the npm package.

The tests in Node get from here what they cannot make themselves: a real chatproxy, one that does not
stream, a fake Ollama behind them, and connections that are cut where the tests say.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from chat_client import serving
from cutting_proxy import CuttingProxy
from fake_ollama import FakeOllama, Gate, Request, Script, answer, token
from node import run

from chatproxy import Config

HERE: Final = Path(__file__).parent
STATIC: Final = Path(__file__).parents[2] / "chatproxy" / "static"
PACKAGE: Final = json.loads((STATIC / "package.json").read_text())
PACKAGED: Final = sorted(  # the modules of the npm package
    path.relative_to(STATIC).as_posix()
    for pattern in (
        "*.js",
        *(f"{folder}/**/*.js" for folder in ("client", "element", "markdown", "dom", "texts")),
    )
    for path in STATIC.glob(pattern)
)
VENDORED: Final = {f"vendor/{path.name}" for path in (STATIC.parents[1] / "bundle" / "vendor").glob("*.js")}
LIVE: Final = "live.test.js"
LONG: Final = 4_000  # words, sent as the test asks for them


class Control:
    """What the tests in Node control over HTTP: the cuts and the pace of the long answer."""

    def __init__(self, proxy: CuttingProxy) -> None:
        self._proxy = proxy
        self._words = Gate()
        self._allowed = 0

    def script(self, request: Request) -> Script:
        """Choose the answer by the message's first word."""
        words = request["messages"][-1]["content"]
        if words.startswith("long"):
            text = " ".join(f"wörd{number}👋" for number in range(LONG))
            return Script(answer(text, thinking="hm, so"), gate=self._words)
        if words.startswith("hold"):
            return Script([token("so "), token("far")], end="hang")
        if words.startswith("silent"):
            return Script(head=Gate())
        return Script(answer(words))

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/cuts", self._set_cuts)
        app.router.add_get("/cuts", self._get_cuts)
        app.router.add_post("/words", self._allow_words)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
        finally:
            await runner.cleanup()

    async def _set_cuts(self, request: web.Request) -> web.Response:
        self._proxy.cuts.clear()
        self._proxy.cuts.extend(await request.json())
        return web.json_response({})

    async def _get_cuts(self, request: web.Request) -> web.Response:
        return web.json_response({"left": len(self._proxy.cuts), "made": self._proxy.made})

    async def _allow_words(self, request: web.Request) -> web.Response:
        """Let so many words of the long answer through, in all."""
        words = int(await request.text())
        self._words.let(max(0, words - self._allowed))
        self._allowed = max(words, self._allowed)
        return web.json_response({})


@pytest.fixture
async def servers(fake: FakeOllama, config: Config, tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """The addresses of the servers, as environment variables."""
    whole = replace(config, enable_streaming=False, database_url=f"sqlite:///{tmp_path}/whole.db")
    async with AsyncExitStack() as stack:
        streaming = await stack.enter_async_context(serving(config))
        not_streaming = await stack.enter_async_context(serving(whole))
        proxy = await stack.enter_async_context(CuttingProxy.before(streaming.base))
        control = Control(proxy)
        fake.script = control.script
        yield {
            "CHATPROXY": streaming.base,
            "CHATPROXY_WHOLE": not_streaming.base,
            "CHATPROXY_CUT": proxy.url,
            "CONTROL": await stack.enter_async_context(control.listening()),
            "LONG": str(LONG),
        }


@pytest.mark.parametrize("name", sorted(path.name for path in HERE.glob("*.test.js") if path.name != LIVE))
async def test_modules(name: str, node: str) -> None:
    await run_tests(node, name)


@pytest.mark.slow
async def test_client_against_a_real_server(node: str, servers: dict[str, str]) -> None:
    await run_tests(node, LIVE, servers)


async def run_tests(node: str, name: str, env: dict[str, str] | None = None) -> None:
    report = await run(node, "--test", "--test-timeout=100000", name, cwd=HERE, env=env)
    assert "fail 0" in report
    assert "pass 0" not in report


async def test_importing_needs_no_browser(node: str) -> None:
    """Servers that render pages import the modules too: without a DOM, `crypto` or `navigator`."""
    await run(node, "imports.mjs", *((STATIC / module).as_uri() for module in PACKAGED), cwd=HERE)


async def test_the_package_packs(node: str, tmp_path: Path) -> None:
    npm = shutil.which("npm")
    assert npm is not None
    report: Any = json.loads(await quiet(npm, "pack", STATIC, "--json", "--pack-destination", tmp_path))
    packed = {file["path"] for file in report[0]["files"]}
    assert {"package.json", "README.md", "LICENSE", "types.d.ts", PACKAGE["customElements"]} <= packed
    assert {"vendor/THIRD-PARTY.txt", "vendor/sbom.cdx.json"} <= packed
    assert {name for name in packed if name.endswith(".js")} == {*PACKAGED, *VENDORED}
    assert not [name for name in packed if name.startswith("node_modules")]
    for target in PACKAGE["exports"].values():
        for path in target.values() if isinstance(target, dict) else [target]:
            assert path.removeprefix("./") in packed


async def quiet(*command: str | Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, f"{command} failed"
    return output.decode()
