"""Long and hostile texts in the real page: complete, in short steps, with the reader's place kept.

Times are those of the processor, as the browser's own trace counts them: others' work does not lengthen them.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from browser import QUESTION, Site, browser, browser_test, need_marked, site, until
from fake_ollama import Gate, Script, last, token

pytest.importorskip("playwright")
from playwright.async_api import Page, expect

__all__ = ["browser", "site"]  # fixtures
pytestmark = [pytest.mark.browser, pytest.mark.slow, browser_test]

LONGEST_TASK: Final = 200  # ms; 50 is the aim
ROOT: Final = "document.querySelector('chat-interface').shadowRoot"
PIECE: Final = 8_000  # characters, of what the fake Ollama sends at once


def script(text: str, thinking: str = "") -> Script:
    thoughts = [token(thinking=thinking[at : at + PIECE]) for at in range(0, len(thinking), PIECE)]
    return Script([*thoughts, *(token(text[at : at + PIECE]) for at in range(0, len(text), PIECE)), last()])


class Trace:
    """What the page's main thread did, task by task."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        threads = {(event["pid"], event["tid"]) for event in events if event["name"] == "FireAnimationFrame"}
        self.tasks: list[float] = [
            event.get("tdur", 0) / 1000
            for event in events
            if event["name"] == "ThreadControllerImpl::RunTask" and (event["pid"], event["tid"]) in threads
        ]

    @property
    def longest(self) -> float:
        """Milliseconds."""
        return max(self.tasks, default=0.0)

    @property
    def total(self) -> float:
        """Milliseconds."""
        return sum(self.tasks)


@asynccontextmanager
async def tracing(page: Page) -> AsyncIterator[list[Trace]]:
    """Trace the page within the block; the list has the trace after it."""
    session = await page.context.new_cdp_session(page)
    events: list[dict[str, Any]] = []
    complete = asyncio.Event()
    session.on("Tracing.dataCollected", lambda data: events.extend(data["value"]))
    session.on("Tracing.tracingComplete", lambda _: complete.set())
    await session.send(
        "Tracing.start", {"transferMode": "ReportEvents", "categories": "devtools.timeline,toplevel"}
    )
    traces: list[Trace] = []
    yield traces
    await session.send("Tracing.end")
    async with asyncio.timeout(60):
        await complete.wait()
    traces.append(Trace(events))


async def stored(site: Site, text: str, question: str = "Hi", thinking: str = "") -> str:
    """Return a session with one answer."""
    session = await site.new_session()
    site.fake.script = script(text, thinking)
    await site.client.ask(session, question)
    return session


async def shown(page: Page, ending: str, selector: str = ".assistant .content") -> None:
    """Wait until the text is there to its end."""
    await until(
        page,
        f"([selector, ending]) => {ROOT}.querySelector(selector)?.textContent.includes(ending)",
        [selector, ending],
    )


async def show(page: Page, session: str, ending: str, selector: str = ".assistant .content") -> Trace:
    """Open a session in a page that is there already, and wait until its text is shown to the end."""
    async with tracing(page) as traces:
        await page.evaluate("id => document.querySelector('chat-interface').sessionId = id", session)
        await shown(page, ending, selector)
        await page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)))")
    return traces[0]


def numbered(line: str, count: int) -> str:
    return "".join(line.replace("N", f"{number};") for number in range(1, count + 1))


KINDS: Final = {
    "list": ("", "- N\n"),
    "ordered list": ("", "1. N\n"),
    "nested list": ("- top\n", "  - N\n"),
    "loose list": ("", "- N\n\n"),
    "table": ("| a | b |\n|---|---|\n", "| N | x |\n"),
    "hard breaks": ("", "N  \n"),
    "paragraphs": ("", "N\n\n"),
    "quotes": ("", "> N\n\n"),
    "links": ("", "[N](https://example.org) "),
    "code": ("```\n", "x = N\n"),
    "one line": ("", "N "),
    "emphasis without an end": ("", "*_N "),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_long_answer_takes_time_in_proportion_and_never_blocks_the_page(
    site: Site, kind: str
) -> None:
    """Every item is there, in order; four times as many take at most six times as long, in short tasks."""
    need_marked()
    opening, line = KINDS[kind]
    page = await site.open()
    traces = []
    for count in (3_000, 12_000):
        session = await stored(site, opening + numbered(line, count))
        traces.append(await show(page, session, f"{count};"))
        text = await page.evaluate(f"() => {ROOT}.querySelector('.assistant .content').textContent")
        assert re.findall(r"(\d+);", text) == [str(number) for number in range(1, count + 1)]
    short, long = traces
    assert long.longest < LONGEST_TASK
    assert long.total < 6 * short.total


async def test_a_long_list_is_selected_copied_and_printed_whole(site: Site, tmp_path: Path) -> None:
    pypdf = pytest.importorskip("pypdf")
    need_marked()
    text = numbered("- N\n", 6_000)
    session = await stored(site, text)
    page = await site.open(permissions=["clipboard-read", "clipboard-write"])
    await show(page, session, "6000;")
    selected = await page.evaluate(
        f"() => {{ getSelection().selectAllChildren({ROOT}.querySelector('.assistant .content'));"
        " return String(getSelection()); }"
    )
    assert re.findall(r"(\d+);", selected) == [str(number) for number in range(1, 6_001)]
    await page.locator("chat-interface .assistant").get_by_role("button", name="Copy", exact=True).click()
    await until(page, "async () => (await navigator.clipboard.readText()).includes('6000;')")
    assert (await page.evaluate("navigator.clipboard.readText()")).strip() == text.strip()
    await page.pdf(path=tmp_path / "printed.pdf")
    printed = "".join(sheet.extract_text() for sheet in pypdf.PdfReader(tmp_path / "printed.pdf").pages)
    assert re.findall(r"(\d+);", printed) == [str(number) for number in range(1, 6_001)]


async def test_streaming_costs_the_same_however_long_the_answer_is(site: Site) -> None:
    """The same number of tokens at the beginning and behind 20,000 items."""
    need_marked()
    page = await site.open()
    gate = Gate()
    items = [token(f"- {number};\n") for number in range(1, 21_001)]
    bulk = [b"".join(items[at : at + 100]) for at in range(500, 20_500, 100)]
    site.fake.script = Script([*items[:500], *bulk, *items[20_500:], last()], gate=gate)
    await site.ask(page, "Count")
    costs = []
    gate.let(500 - 400)
    await shown(page, "100;")
    for count, ending in ((400, 500), (len(bulk), 20_500), (500, 21_000)):
        async with tracing(page) as traces:
            for _ in range(0, count, 10):
                gate.let(min(10, count))
                await asyncio.sleep(0.02)
            await shown(page, f"{ending};")
        costs.append(traces[0])
    gate.open()
    await expect(page.locator("chat-interface [data-action=send]")).to_be_visible()
    beginning, bulky, end = costs
    assert end.total < 3 * beginning.total * 500 / 400
    assert max(bulky.longest, end.longest) < LONGEST_TASK


async def test_the_page_stays_at_the_end_while_a_stored_answer_arrives(site: Site) -> None:
    need_marked()
    session = await stored(site, numbered("- N\n", 12_000))
    page = await site.open()
    await show(page, session, "12000;")
    await until(
        page,
        f"() => {{ const log = {ROOT}.querySelector('.log');"
        " return log.scrollHeight - log.clientHeight - log.scrollTop < 2; }",
    )
    await expect(page.locator("chat-interface .latest")).to_be_hidden()


async def test_what_is_read_keeps_its_place_while_the_rest_arrives(site: Site) -> None:
    """Messages above the reader's are still being rendered, and earlier ones are loaded."""
    need_marked()
    session = await site.new_session()
    for number in range(8):
        site.fake.script = script(numbered("paragraph N\n\n", 500) + f"end of {number}")
        await site.client.ask(session, f"question {number}")
    page = await site.open()
    await page.evaluate("id => document.querySelector('chat-interface').sessionId = id", session)
    await until(page, f"() => {ROOT}.querySelectorAll('.message').length === 16")
    await page.locator("chat-interface .log").focus()
    await page.keyboard.press("PageUp")
    await page.keyboard.press("PageUp")
    place = f"""() => {{
      const log = {ROOT}.querySelector(".log").getBoundingClientRect();
      for (let down = 200; !window.read; down += 4) {{
        window.read = {ROOT}.elementFromPoint(log.left + log.width / 2, log.top + down).closest("p");
      }}
      return [window.read?.textContent, Math.round(window.read?.getBoundingClientRect().top)];
    }}"""
    before = await page.evaluate(f"() => new Promise((drawn) => setTimeout(() => drawn(({place})()), 300))")
    for number in range(8):
        await until(
            page,
            f"(ending) => [...{ROOT}.querySelectorAll('.assistant .content')]"
            ".some(({ textContent }) => textContent.endsWith(ending))",
            f"end of {number}",
        )
    await page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)))")
    after = await page.evaluate(place)
    assert before[0]
    assert after[0] == before[0]
    assert abs(after[1] - before[1]) <= 2


async def test_a_long_question_and_long_thinking_never_block_the_page(site: Site) -> None:
    need_marked()
    for model in site.fake.running:
        model["context_length"] = 1_000_000
    page = await site.open()
    words = numbered("word N ", 20_000)
    session = await stored(site, "Well.", question=words, thinking=numbered("thought N\n", 30_000))
    trace = await show(page, session, "20000;", ".user .content")
    text = await page.evaluate(f"() => {ROOT}.querySelector('.user .content').textContent")
    assert text == words
    async with tracing(page) as traces:
        await page.locator("chat-interface summary").click()
        await shown(page, "30000;", ".thought")
    assert max(trace.longest, traces[0].longest) < LONGEST_TASK


async def test_many_messages_at_once_never_block_the_page(site: Site) -> None:
    """The newest are rendered first."""
    need_marked()
    session = await site.new_session()
    for number in range(50):
        site.fake.script = script(f"# Answer {number}\n\n" + "- **bold** and `code`\n" * 30)
        await site.client.ask(session, f"question {number}")
    page = await site.open()
    async with tracing(page) as traces:
        await page.evaluate("id => document.querySelector('chat-interface').sessionId = id", session)
        await until(
            page,
            f"() => {{ const all = [...{ROOT}.querySelectorAll('.message .content')];"
            " return all.length === 100 && all.every(({ textContent }) => textContent); }",
        )
    assert traces[0].longest < LONGEST_TASK


async def test_a_short_page_of_messages_is_not_the_last_one(site: Site) -> None:
    """The server may end a page by its size in bytes; only `next` tells whether there are more."""
    session = await site.new_session()
    for number in range(3):
        await site.client.ask(session, f"question {number}")

    async def shorten(route: Any) -> None:
        url = re.sub(r"[?&]limit=\d+", "", route.request.url)
        await route.continue_(url=f"{url}{'&' if '?' in url else '?'}limit=1")

    page = await site.open()
    await page.route(re.compile(r"/messages(\?|$)"), shorten)
    await page.evaluate("id => document.querySelector('chat-interface').sessionId = id", session)
    earlier = page.get_by_role("button", name="Earlier")
    for count in range(1, 6):
        await until(page, f"(count) => {ROOT}.querySelectorAll('.message').length === count", count)
        await earlier.focus()
        await page.keyboard.press("Enter")
    await until(page, f"() => {ROOT}.querySelectorAll('.message').length === 6")
    await expect(earlier).to_be_hidden()
    await expect(page.locator(QUESTION)).to_have_text([f"question {number}" for number in range(3)])
