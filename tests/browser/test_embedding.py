"""The element in somebody else's page, whose styles stay outside."""

# Scripts and styles read better in one line.
# ruff: noqa: E501

import pytest
from browser import FIELD, Site, browser, browser_test, site
from fake_ollama import Script, answer

pytest.importorskip("playwright")
from playwright.async_api import expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

CHAT = "<chat-interface></chat-interface>"
TEXT = "# Title\n\nSome *text*, `code` and a [link](https://a.org).\n\n```python\nprint(1)\n```\n\n- one\n\n| a |\n|-|\n| 1 |\n"


# -- styles


# Declarations of everything that is inherited, and that pages set. Whether there is anything to see is theirs.
INHERITED = """border-collapse: separate; border-spacing: 9px; caption-side: bottom; caret-color: lime; color: red; cursor: crosshair;
  empty-cells: hide; font: italic 900 9px/3 fantasy; font-variant: small-caps; font-stretch: expanded; hyphens: auto; letter-spacing: .3em;
  line-break: anywhere; list-style: square inside; overflow-wrap: anywhere; quotes: "x" "y"; tab-size: 12; text-align: right;
  text-align-last: right; text-indent: 2em; text-shadow: 2px 2px 2px lime; text-transform: uppercase; text-underline-offset: 9px;
  text-wrap: nowrap; user-select: none; white-space: pre; word-break: break-all; word-spacing: 1em; -webkit-text-stroke: 1px red"""
UGLY = f"<style>html {{ font-size: 62.5% }} *, body {{ {INHERITED} }} button, textarea, p {{ background: lime; padding: 30px }}</style>"
BOX = "<style>body { margin: 0 } chat-interface { width: 500px; height: 600px; margin: 5px; border: 3px solid navy }</style>"

# Where everything in the element is, and what it inherits.
LOOKS = """(chat) => [...chat.shadowRoot.querySelectorAll("*")].map((element) => {
  const { x, y, width, height } = element.getBoundingClientRect();
  const style = getComputedStyle(element);
  const inherited = ["color", "cursor", "font", "letterSpacing", "textAlign", "textTransform", "textShadow", "userSelect", "whiteSpace", "listStyle"];
  return [element.className.baseVal ?? element.className, x, y, width, height, ...inherited.map((name) => style[name])].join(" ");
})"""


async def looks(site: Site, head: str) -> list[str]:
    page = await site.embed(CHAT, head=head, viewport={"width": 600, "height": 700})
    await site.ask(page, "Show me")
    await expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
    await page.locator(FIELD).blur()
    # What depends on the time that an answer took is left out.
    found = await page.locator("chat-interface").evaluate(LOOKS)
    return [each for each in found if not each.startswith(("facts", "status", "unseen"))]


async def test_the_styles_of_a_page_do_not_run_in(site: Site) -> None:
    site.fake.script = Script(answer(TEXT))
    plain = await looks(site, BOX)
    assert await looks(site, UGLY + BOX) == plain
    assert any("505 " in each or " 500 " in each for each in plain)  # the box is the page's


async def test_a_page_sets_the_box_the_direction_and_the_custom_properties(site: Site) -> None:
    styles = """<style>
      chat-interface { width: 300px; height: 400px; color-scheme: dark; --chat-font-size: 20px; --chat-text: rgb(1, 2, 3); --chat-font: monospace }
      chat-interface::part(input) { letter-spacing: 3px }
      .closed chat-interface { visibility: hidden }
    </style>"""
    page = await site.embed(f'<div dir="rtl">{CHAT}</div>', head=styles)
    field = page.locator(FIELD)
    for name, value in {
        "font-size": "20px",
        "color": "rgb(1, 2, 3)",
        "color-scheme": "dark",
        "letter-spacing": "3px",
    }.items():
        await expect(field).to_have_css(name, value)
    await expect(page.locator("chat-interface .frame")).to_have_css("direction", "rtl")
    chat = page.locator("chat-interface")
    box = await chat.bounding_box()
    assert box is not None
    assert (box["width"], box["height"]) == (300, 400)
    await page.evaluate("document.querySelector('main').className = 'closed'")
    await expect(field).to_be_hidden()
    await page.evaluate("document.querySelector('main').className = ''")
    await expect(field).to_be_visible()
    await chat.evaluate("(chat) => { chat.hidden = true; }")
    await expect(chat).to_be_hidden()
