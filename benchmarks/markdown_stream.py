"""How smoothly a 200 kB Markdown answer streams: the long tasks (over 50 ms) that the browser counts.

A real Chromium and a real server share all cores; the answer arrives at about 20,000 characters per second.
Part of `make bench`; run it alone with `python -m benchmarks.markdown_stream`.
"""

import asyncio
import importlib.util
import shutil
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from browser import FIELD, Site, chromium
from fake_ollama import Script, last, token

PIECE: Final = 200  # characters
INTERVAL: Final = 0.01  # seconds between two pieces

SECTION: Final = """## Section {n}

A paragraph with **bold**, *italic*, `code` and a [link](https://example.org/{n}), long enough to wrap over
several lines, as paragraphs of models do when they explain what they are about to do and then do it.

- first item with some text
- second item, **bold** here
  - nested under it
- third item

```python
def section_{n}(value: int) -> int:
    return value * {n}
```

| name | value |
|------|------:|
| a    | {n}   |
| b    | 2     |

> A quotation that closes the section.

"""
BLOCKS: Final = 6  # per section

# From here on, the browser counts its long tasks (W3C Long Tasks API).
OBSERVE: Final = """
() => {
  window.long = [];
  new PerformanceObserver((list) => window.long.push(...list.getEntries().map(({ duration }) => duration)))
    .observe({ type: "longtask" });
}
"""
READY: Final = """
() => {
  const answer = document.querySelector("chat-interface").messages[1];
  const view = document.querySelector("chat-interface").shadowRoot.querySelector(".assistant .content");
  return answer?.status === "complete" && view.textContent.includes("The very end.");
}
"""
COUNT: Final = """
() => document.querySelector("chat-interface").shadowRoot
  .querySelectorAll(".assistant .content > :not(.group), .assistant .group > *").length
"""


@dataclass(frozen=True)
class Smoothness:
    """How smoothly the browser showed the answer."""

    long_tasks: float  # median of the runs
    longest: float  # milliseconds
    elements: int  # top-level elements in the end
    blocks: int  # blocks of the text


def is_installed() -> bool:
    """Return whether there is a browser to measure with."""
    return shutil.which("chromium") is not None and importlib.util.find_spec("playwright") is not None


def text(size: int) -> tuple[str, int]:
    """Return at least that many characters of Markdown, and the number of their blocks."""
    sections: list[str] = []
    while sum(len(section) for section in sections) < size:
        sections.append(SECTION.format(n=len(sections) + 1))
    return "".join(sections) + "The very end.", len(sections) * BLOCKS + 1


async def measure(runs: int, size: int) -> Smoothness:
    """Stream an answer of `size` characters that many times."""
    markdown, blocks = text(size)
    pieces = [token(markdown[at : at + PIECE]) for at in range(0, len(markdown), PIECE)]
    found: list[list[float]] = []
    elements = 0
    async with chromium() as browser:
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as folder:
                async with AsyncExitStack() as stack:
                    site = Site(stack, browser, Path(folder))
                    site.fake.script = Script([*pieces, last()], delays=[INTERVAL] * (len(pieces) + 1))
                    tasks, elements = await _run(site, await site.open())
                    found.append(tasks)
    longest = max((duration for tasks in found for duration in tasks), default=0.0)
    return Smoothness(median(map(len, found)), longest, elements, blocks)


async def _run(site: Site, page: Any) -> tuple[list[float], int]:
    await page.evaluate(OBSERVE)
    await page.locator(FIELD).fill("Tell me everything")
    await page.locator(FIELD).press("Enter")
    async with asyncio.timeout(180):
        while not await page.evaluate(READY):  # noqa: ASYNC110 - a page cannot be awaited
            await asyncio.sleep(0.5)
    await page.evaluate(
        "() => new Promise((resolve) => setTimeout(resolve, 100))"
    )  # the last are reported late
    return await page.evaluate("window.long"), await page.evaluate(COUNT)


if __name__ == "__main__":
    print(asyncio.run(measure(runs=5, size=200_000)))
