"""Take the README's screenshots of the page, from the demo: docs/screenshots/{light,dark,phone}.png.

Run it with `make screenshots`; it needs Chromium and the test extra.
"""

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

from browser import FIELD, Site, chromium  # noqa: E402 - the module is one of the tests'

from chatproxy.command.demo import demo_server  # noqa: E402 - sorted after the line above

WIDE: Final = {"width": 1100, "height": 820}
PHONE: Final = {"width": 390, "height": 760}
QUESTIONS: Final = ("How do tides work?", "Plan a weekend in Lisbon", "Write a Python function that greets")
SCREENSHOTS: Final[dict[str, dict[str, Any]]] = {  # name: options of the browser page
    "light": {"viewport": WIDE, "color_scheme": "light"},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light", "has_touch": True, "is_mobile": True},
}


async def main() -> None:
    """Ask the demo some questions and take the last conversation in every variant."""
    async with AsyncExitStack() as stack:
        browser = await stack.enter_async_context(chromium())
        ollama = await stack.enter_async_context(demo_server(pace=400))
        site = Site(stack, browser, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        site.settings = {"ollama_host": ollama, "default_model": "demo"}
        await site.start()
        for question in QUESTIONS:
            session = await site.new_session()
            await site.client.ask(session, question)
        for name, options in SCREENSHOTS.items():
            page = await site.open(f"/?session={session}", reduced_motion="reduce", **options)
            await page.get_by_role("button", name="Regenerate").wait_for()
            await page.locator(FIELD).blur()
            await page.screenshot(path=ROOT / "docs" / "screenshots" / f"{name}.png")


if __name__ == "__main__":
    asyncio.run(main())
