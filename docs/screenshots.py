"""Take the screenshots in docs/screenshots/ of the page, and of the element in somebody else's page.

Run it with `make screenshots`; it needs Chromium and the test extra. The answers are written here.
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
from fake_ollama import Script, answer  # noqa: E402 - and so is this one

FOLDER: Final = ROOT / "docs" / "screenshots"
WIDE: Final = {"width": 1100, "height": 880}
PHONE: Final = {"width": 390, "height": 760}
VARIANTS: Final[dict[str, dict[str, Any]]] = {  # name: options of the browser page
    "light": {"viewport": WIDE, "color_scheme": "light"},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light", "has_touch": True, "is_mobile": True},
}
EARLIER: Final = ("Plan a weekend in Lisbon", "How do tides work?", "A name for a bakery")
DOCUMENT: Final = {
    "title": "rainbows.md",
    "text": "# Rainbows\n\nLight that enters a drop of water is bent, reflected once, and bent again."
    " Most of it leaves at 42 degrees from where it came, red at 42.4 and violet at 40.7.",
}
QUESTION: Final = "At which angle is a rainbow, and why?"
ANSWER: Final = r"""A rainbow is seen at about **42°** from the point opposite the sun [1]. A ray that enters
a drop at the angle \(\alpha\) is bent to \(\beta\), where \(\sin\alpha = n\sin\beta\), and leaves it turned
by

$$\delta(\alpha) = 180^\circ + 2\alpha - 4\arcsin\frac{\sin\alpha}{n}$$

Most light leaves where \(\delta\) is smallest:

| colour | \(n\) | angle |
|---|---|---|
| red | 1.331 | 42.4° |
| violet | 1.343 | 40.7° |

```python
from math import acos, asin, degrees, sin, sqrt

def rainbow(n: float) -> float:
    a = acos(sqrt((n * n - 1) / 3))  # of least deviation
    return degrees(4 * asin(sin(a) / n) - 2 * a)
```
"""
SHOP: Final = """
<style>
  body { margin: 0; font: 1.05rem/1.5 Georgia, serif; background: #f6f1e7; color: #3b2f22 }
  header { padding: 2.5rem 3rem; background: #3b2f22; color: #f6f1e7 }
  article { max-inline-size: 36rem; padding: 1.5rem 3rem }
  h1, h2 { font-weight: 400; margin: 0 }
  chat-launcher { --chat-accent: #8a4b12; --chat-button: #8a4b12; --chat-button-text: #ffffff }
</style>
"""
BAKERY: Final = """
<header><h1>The Corner Bakery</h1></header>
<article><h2>Sourdough, every morning at seven</h2><p>Rye, spelt and wheat from the mill in the next valley.
Order until eight in the evening, and your bread is ready when we open.</p></article>
<chat-launcher label="Ask the bakery" open welcome="What would you like to know?"></chat-launcher>
"""


async def main() -> None:
    """Ask some questions, and take the last conversation in every variant, the list, and another page."""
    FOLDER.mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:
        browser = await stack.enter_async_context(chromium())
        site = Site(stack, browser, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        session = await conversations(site)
        for name, options in VARIANTS.items():
            page = await site.open(f"/?session={session}", reduced_motion="reduce", **options)
            await page.locator("chat-interface math").first.wait_for()
            await page.get_by_role("button", name="Regenerate").wait_for()
            await page.locator(FIELD).blur()
            await page.wait_for_timeout(500)  # until the code has its colours
            await page.screenshot(path=FOLDER / f"{name}.png")
        page = await site.open("/", viewport={"width": 1100, "height": 620}, color_scheme="light")
        await page.get_by_label("Search conversations").fill("drop")
        await page.locator("#sessions mark").first.wait_for()
        await page.screenshot(path=FOLDER / "list.png")
        site.fake.script = Script(answer("Yes: our *rye* is baked with **rye flour alone**, without wheat."))
        page = await site.embed(BAKERY, head=SHOP, viewport={"width": 1100, "height": 720})
        await site.ask(page, "Is there bread without wheat?")
        await page.get_by_role("button", name="Regenerate").wait_for()
        await page.screenshot(path=FOLDER / "embedded.png")


async def conversations(site: Site) -> str:
    """Fill the list, and return the session of the last conversation."""
    for question in EARLIER:
        session = await site.new_session()
        site.fake.script = Script(answer("Gladly."))
        await site.client.ask(session, question)
    document = await site.client.call("POST", "/api/documents", status=201, json=DOCUMENT)
    session = await site.new_session()
    site.fake.script = Script(answer(ANSWER))
    await site.client.ask(session, QUESTION, document_id=document["id"])
    return session


if __name__ == "__main__":
    asyncio.run(main())
