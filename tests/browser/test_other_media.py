"""The page and the element on paper, in forced colours, and on touch screens."""

import re
from pathlib import Path
from typing import Any

import pypdf
import pytest
from browser import ANSWER, FIELD, QUESTION, Site, browser, browser_test, need_marked, site, until
from fake_ollama import Script, answer, echo

pytest.importorskip("playwright")
from playwright.async_api import Page, expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

PHONE: dict[str, Any] = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True}
RICH = (
    "Look at `this` and [that](https://example.org/path), or at https://example.net/.\n\n"
    "```\nfirst " + "wide " * 60 + "last\n```\n\n| a | b |\n|-|-|\n| " + "cell " * 40 + "| end |\n"
)
PAGE = """<!doctype html><link rel="icon" href="data:,">
<style>chat-interface { position: fixed; block-size: 300px; overflow: hidden; }</style>
<h1>A shop</h1><script type="module" src="/static/chat-interface.js"></script>
<chat-interface session-id="%s"></chat-interface>"""


async def printed(page: Page, folder: Path) -> str:
    await page.pdf(path=folder / "printed.pdf", format="A4")
    return "".join(sheet.extract_text() for sheet in pypdf.PdfReader(folder / "printed.pdf").pages)


# -- paper


async def test_the_whole_conversation_is_printed_and_nothing_else(site: Site, tmp_path: Path) -> None:
    site.fake.script = echo
    session = await site.new_session(title="A title")
    for number in range(51):
        await site.client.ask(session, f"m{number}.")
    page = await site.open(f"/?session={session}")
    await expect(page.locator(QUESTION)).to_have_count(50)
    text = await printed(page, tmp_path)
    assert "Earlier messages are left out" in text
    assert not re.search(r"New chat|Search|Write a message|Show earlier|Markdown", text)
    await page.evaluate("print = () => (document.title = 'printed')")
    await page.keyboard.press("Control+p")
    await expect(page).to_have_title("printed")
    await expect(page.locator(QUESTION)).to_have_count(51)
    text = await printed(page, tmp_path)
    assert re.findall(r"m(\d+)\.", text) == [str(number // 2) for number in range(102)]
    assert "Earlier messages" not in text


async def test_nothing_is_cut_or_folded_on_paper(site: Site, tmp_path: Path) -> None:
    """Of an element in a small box of somebody else's page, in its dark theme."""
    need_marked()
    site.fake.script = Script(answer(RICH, thinking="Hidden thoughts."))
    session = await site.conversation("Title", "Hello")

    async def embed(route: Any) -> None:
        await route.fulfill(body=PAGE % session, content_type="text/html")

    context = await site.context(color_scheme="dark")
    await context.route("**/shop", embed)
    page = await site.open("/shop", context)
    await expect(page.locator(ANSWER)).to_contain_text("end")
    thinking = page.locator("chat-interface details.thinking")
    await expect(thinking).not_to_have_attribute("open", "")
    text = " ".join((await printed(page, tmp_path)).split())
    for part in ("A shop", "Hidden thoughts.", "(https://example.org/path)", "last", "end"):
        assert part in text
    assert text.count("wide") == 60
    assert text.count("https://example.net/") == 1
    await expect(thinking).not_to_have_attribute("open", "")
    await page.emulate_media(media="print")
    assert await page.locator(ANSWER).evaluate("(e) => getComputedStyle(e).color") == "rgb(0, 0, 0)"


# -- forced colours


async def test_what_a_background_shows_is_seen_in_forced_colours(site: Site) -> None:
    need_marked()
    await site.conversation("Other", "Hello")
    site.fake.script = Script(answer(RICH))
    session = await site.conversation("This one", "Hello")
    page = await site.open(f"/?session={session}", forced_colors="active")
    await expect(page.locator(ANSWER)).to_contain_text("end")
    for part in (".user .bubble", ".content p code", "[part=send]"):
        border = await page.locator(f"chat-interface {part}").evaluate(
            "(e) => getComputedStyle(e).borderTopWidth"
        )
        assert border == "1px", part
    fills = await page.locator("#sessions li").evaluate_all(
        "(items) => items.map((e) => getComputedStyle(e).backgroundColor)"
    )
    assert len(set(fills)) == 2
    await page.locator(FIELD).focus()
    outline = page.locator("chat-interface .composer")
    assert await outline.evaluate("(e) => getComputedStyle(e).outlineStyle") == "solid"


# -- touch screens

SMALL = """(selector) => {
  const small = [];
  const walk = (root) => {
    for (const element of root.querySelectorAll("*")) {
      if (element.shadowRoot) walk(element.shadowRoot);
      if (!element.matches(selector)) continue;
      const { width, height } = element.getBoundingClientRect();
      const isField = element.matches("input, select, textarea");
      const size = isField ? parseFloat(getComputedStyle(element).fontSize) : 16;
      const isSmall = Math.min(width, height) < 43.9 || size < 16;
      if (width && height && isSmall) small.push([element.outerHTML.slice(0, 80), width, height, size]);
    }
  };
  walk(document);
  return small;
}"""


async def test_everything_can_be_hit_and_no_field_makes_a_phone_zoom(site: Site) -> None:
    need_marked()
    site.fake.script = Script(answer(RICH, thinking="Thoughts."))
    session = await site.conversation("A title that is longer than the screen is wide", "Hello")
    await site.client.call(
        "POST", "/api/documents", status=201, json={"title": "manual.txt", "text": "It holds."}
    )
    page = await site.open(f"/?session={session}", **PHONE)
    await expect(page.locator(ANSWER)).to_contain_text("end")
    ticks = "label:has(> [type=checkbox]), input:not(label > [type=checkbox])"  # the whole label can be hit
    buttons = f"button, summary, select, {ticks}, textarea"

    async def check() -> None:
        assert await page.evaluate(SMALL, buttons) == []
        assert await page.evaluate("document.scrollingElement.scrollWidth") == 320

    await check()
    await page.locator("#export summary").tap()
    await check()
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Edit", exact=True).tap()
    await check()
    await page.get_by_role("button", name="Cancel").tap()
    await page.locator("#documents-open").tap()
    await expect(page.locator("#documents-list li")).to_have_count(1)
    await check()
    await page.get_by_role("button", name="Close").tap()
    await page.locator("#menu").tap()
    await page.get_by_role("button", name="More for").tap()
    await check()
    await page.get_by_role("button", name="Rename").tap()
    await check()


async def test_enter_makes_a_line_on_a_touch_screen_unless_set_otherwise(site: Site) -> None:
    page = await site.open(**PHONE)
    field = page.locator(FIELD)
    await field.tap()
    await expect(field).to_have_attribute("enterkeyhint", "enter")
    await page.keyboard.type("one")
    await page.keyboard.press("Enter")
    await page.keyboard.type("two")
    await expect(field).to_have_value("one\ntwo")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator(QUESTION)).to_have_text("one\ntwo")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    await page.get_by_role("button", name="Edit", exact=True).tap()
    edited = page.locator("chat-interface .edit-field")
    await expect(edited).to_have_attribute("enterkeyhint", "enter")
    await edited.fill("three")
    await edited.press("Enter")
    await expect(edited).to_have_value("three\n")
    await edited.press("Control+Enter")
    await expect(page.locator(QUESTION)).to_have_text("three")
    await until(page, "!document.querySelector('chat-interface').busy")
    await page.evaluate("document.querySelector('chat-interface').enter = 'send'")
    await field.fill("four")
    await field.press("Enter")
    await expect(page.locator(QUESTION).last).to_have_text("four")


async def test_enter_can_make_a_line_elsewhere(site: Site) -> None:
    page = await site.open()
    field = page.locator(FIELD)
    await page.evaluate("document.querySelector('chat-interface').setAttribute('enter', 'newline')")
    await field.fill("one")
    await field.press("Enter")
    await expect(field).to_have_value("one\n")
    await field.press("Control+Enter")
    await expect(page.locator(QUESTION)).to_have_text("one")


async def test_the_title_has_room_on_every_phone(site: Site) -> None:
    page = await site.open()
    for width in (320, 390, 430, 479):
        await page.set_viewport_size({"width": width, "height": 800})
        title = await page.locator("#title").bounding_box()
        assert title is not None
        assert title["width"] > width / 3
    await page.close()
