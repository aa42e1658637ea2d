"""How smoothly a 200 kB Markdown answer streams: long tasks (over 50 ms) as the browser counts them.

    .venv/bin/python benchmarks/markdown_stream.py [runs]

A real Chromium before a real server; the answer comes at about 10,000 characters per second. Prints each run
and the median; exits with 1 where the median is above 2, or the DOM has grown by more than the text's blocks.
"""

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from browser import FIELD, Site, chromium
from fake_ollama import Script, last, token

SIZE: Final = 200_000
PIECE: Final = 200  # characters, every 20 ms
LIMIT: Final = 2  # long tasks
NODES_PER_BLOCK: Final = 24  # elements: a table or a list with what is in it

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
BLOCKS: Final = 6  # of a section

# The tasks are counted from here on, and by the browser itself.
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
() => document.querySelector("chat-interface").shadowRoot.querySelectorAll(".assistant .content *").length
"""


def text() -> tuple[str, int]:
    """The Markdown, and how many blocks it has."""
    sections: list[str] = []
    while sum(len(section) for section in sections) < SIZE:
        sections.append(SECTION.format(n=len(sections) + 1))
    return "".join(sections) + "The very end.", len(sections) * BLOCKS + 1


async def run(site: Site, page: Any) -> tuple[list[float], int]:
    await page.evaluate(OBSERVE)
    await page.locator(FIELD).fill("Tell me everything")
    await page.locator(FIELD).press("Enter")
    async with asyncio.timeout(180):
        while not await page.evaluate(READY):  # noqa: ASYNC110 - a page cannot be awaited
            await asyncio.sleep(0.5)
    await page.evaluate("() => new Promise((resolve) => setTimeout(resolve, 100))")  # the last are told late
    return await page.evaluate("window.long"), await page.evaluate(COUNT)


async def main(runs: int) -> int:
    markdown, blocks = text()
    pieces = [token(markdown[at : at + PIECE]) for at in range(0, len(markdown), PIECE)]
    counts, nodes = [], 0
    async with chromium() as browser:
        for number in range(runs):
            with tempfile.TemporaryDirectory() as folder:
                async with AsyncExitStack() as stack:
                    site = Site(stack, browser, Path(folder))
                    site.fake.script = Script([*pieces, last()], delays=[0.02] * (len(pieces) + 1))
                    page = await site.open()
                    long, nodes = await run(site, page)
            counts.append(len(long))
            worst = max(long, default=0)
            print(f"run {number + 1}: {len(long)} long tasks, the longest {worst:.0f} ms;", end=" ")
            print(f"{nodes} elements for {blocks} blocks", flush=True)
    print(f"median of {runs} runs: {median(counts):g} long tasks (at most {LIMIT})")
    return int(median(counts) > LIMIT or nodes > blocks * NODES_PER_BLOCK)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)))
