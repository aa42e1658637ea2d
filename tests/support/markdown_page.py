"""A page in which tests render Markdown, each into elements of its own: `site`, `page`, and `run`."""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
from browser import Site, need_marked, standing
from playwright.async_api import Browser, Page

# What every script has. Frames are rendered when the test says so: `due` has those that are.
MODULES: Final = """
const { StreamingMarkdown } = await import("./static/markdown/streaming-markdown.js");
const { loadLexer } = await import("./static/markdown/lexer.js");
const { labels } = await import("./static/texts/en.js");
const { more } = await import("./static/markdown/needs.js");
await more.load();
const newLexer = await loadLexer();
const due = (window.due ??= []);
window.requestAnimationFrame = (draw) => due.push(draw);
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with standing(browser, tmp_path_factory.mktemp("markdown")) as site:
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def page(site: Site) -> Page:
    """One page for all tests of a module."""
    need_marked()
    return await site.open()


async def run(page: Page, body: str, argument: Any = None) -> Any:
    """Return what a script returns; `given` in it is the argument."""
    return await page.evaluate(f"async (given) => {{ {MODULES} {body} }}", argument)
