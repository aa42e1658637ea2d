"""The elements in somebody else's page: its styles stay outside, <chat-launcher> and <chat-history> work."""

# Scripts and styles read better in one line.
# ruff: noqa: E501

from typing import Any

import pytest
from browser import ANSWER, BUTTON, FIELD, QUESTION, Site, browser, browser_test, serious, site
from fake_ollama import Gate, Script, answer, echo
from waiting import until

pytest.importorskip("playwright")
from playwright.async_api import Page, expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

CHAT = "<chat-interface></chat-interface>"
TEXT = "# Title\n\nSome *text*, `code` and a [link](https://a.org).\n\n```python\nprint(1)\n```\n\n- one\n\n| a |\n|-|\n| 1 |\n"
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 700},
    "is_mobile": True,
    "has_touch": True,
    "reduced_motion": "reduce",
}
LAUNCH = "chat-launcher .launch"
PANEL = "chat-launcher dialog"
ITEMS = "chat-history .session"


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
    await expect(page.locator("chat-interface .code-number")).to_be_visible()  # colours come a little later
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


# -- a greeting and suggestions


async def test_suggestions_are_sent(site: Site) -> None:
    site.fake.script = echo
    page = await site.embed('<chat-interface welcome="How can we help?"></chat-interface>')
    chat = page.locator("chat-interface")
    await expect(page.get_by_text("How can we help?")).to_be_visible()
    await chat.evaluate("(chat) => { chat.suggestions = ['Prices?', '<b>Hours</b>?']; }")
    await expect(page.get_by_role("group", name="Suggestions").get_by_role("button")).to_have_text(
        ["Prices?", "<b>Hours</b>?"]
    )
    assert await serious(page) == []
    await chat.evaluate("(chat) => { chat.disabled = true; }")
    await expect(page.get_by_role("button", name="Prices?")).to_be_disabled()
    await chat.evaluate("(chat) => { chat.disabled = false; }")
    await page.get_by_role("button", name="Prices?").press("Enter")
    await expect(page.locator(ANSWER)).to_have_text("Prices?")
    await expect(page.locator(FIELD)).to_be_focused()
    await chat.evaluate(
        """(chat) => {
          chat.clear();
          for (const [text, value] of [["Short", "A longer question"], ["Hours?", ""]]) {
            chat.append(Object.assign(document.createElement("button"), { textContent: text, value, slot: "suggestions" }));
          }
        }"""
    )
    await expect(page.get_by_role("button", name="Prices?")).to_be_hidden()
    await page.get_by_role("button", name="Short").click()
    await expect(page.locator(QUESTION)).to_have_text("A longer question")


# -- the launcher


async def closed(page: Page) -> None:
    await expect(page.locator(PANEL)).to_be_hidden()
    await expect(page.locator(LAUNCH)).to_have_attribute("aria-expanded", "false")
    await expect(page.locator(LAUNCH)).to_be_focused()


async def test_the_launcher_opens_a_chat_of_its_own(site: Site) -> None:
    site.fake.script = Script(answer("one two"), gate=(gate := Gate()))
    page = await site.embed(
        '<chat-launcher label="Help" welcome="Hi there"></chat-launcher>', ready=LAUNCH, head=UGLY
    )
    await expect(page.get_by_role("button", name="Open chat")).to_have_attribute("aria-expanded", "false")
    assert not any(
        "chat-interface.js" in url for url in site.requests
    )  # nothing is loaded before it is needed
    await page.locator(LAUNCH).press("Enter")
    await expect(page.get_by_role("dialog", name="Help")).to_be_visible()
    await expect(page.get_by_text("Hi there")).to_be_visible()
    await expect(page.locator(FIELD)).to_be_focused()
    await page.keyboard.press("Escape")
    await closed(page)
    await page.keyboard.press("Enter")
    await page.locator(FIELD).fill("Count")
    await page.keyboard.press("Enter")
    gate.let(1)
    await expect(page.locator(ANSWER)).to_have_text("one")
    await page.reload()
    await expect(page.locator(ANSWER)).to_have_text("one")  # still open, and the answer goes on
    assert await page.evaluate("document.activeElement === document.body")
    await page.locator(f"{PANEL} .close").click()
    await closed(page)
    gate.open()
    await expect(page.get_by_role("button", name="Open chat: New answer")).to_be_visible()
    await expect(page.locator(f"{LAUNCH} + .unseen")).to_have_text("New answer")
    await page.locator(LAUNCH).click()
    await expect(page.locator(ANSWER)).to_have_text("one two")
    await expect(page.locator("chat-launcher")).not_to_have_attribute("unread", "")


async def test_escape_stops_an_answer_before_it_closes_the_panel(site: Site) -> None:
    site.fake.script = Script(answer("one two"), gate=(gate := Gate()))
    page = await site.embed(f"<chat-launcher open>{CHAT}</chat-launcher>")
    events = "window.events = []; for (const type of ['chat-done', 'chat-toggle']) addEventListener(type, () => events.push(type));"
    await page.evaluate(events)
    await site.ask(page, "Count")
    gate.let(1)
    await expect(page.locator(ANSWER)).to_have_text("one")
    await page.keyboard.press("Escape")
    await expect(page.locator("chat-interface .assistant .note")).to_contain_text("Stopped.")
    await expect(page.locator(PANEL)).to_be_visible()
    await page.keyboard.press("Escape")
    await closed(page)
    assert await page.evaluate("events") == ["chat-done", "chat-toggle"]
    assert await page.locator("chat-interface").count() == 1  # the one inside


async def test_on_a_phone_the_launcher_fills_the_screen(site: Site) -> None:
    viewport = '<meta name="viewport" content="width=device-width">'
    page = await site.embed(
        "<a href='#'>Elsewhere</a><chat-launcher></chat-launcher>", ready=LAUNCH, head=viewport, **PHONE
    )
    await page.locator(LAUNCH).tap()
    box = await page.locator(PANEL).bounding_box()
    assert box == {"x": 0, "y": 0, "width": 390, "height": 700}
    assert await page.locator(PANEL).evaluate("(panel) => panel.matches(':modal')")
    await expect(page.locator(f"{PANEL} .close")).to_be_focused()  # so that no keyboard is over the chat
    await expect(page.locator(FIELD)).to_be_visible()
    assert await serious(page) == []
    await page.set_viewport_size({"width": 900, "height": 700})  # turned, and wide enough
    await expect(page.locator(PANEL)).to_be_visible()
    await until(lambda: page.locator(PANEL).evaluate("(panel) => !panel.matches(':modal')"))
    await page.set_viewport_size({"width": 390, "height": 700})
    await page.keyboard.press("Escape")
    await closed(page)


# -- the history


async def test_the_history_lists_opens_and_deletes(site: Site) -> None:
    site.fake.script = echo
    for title in ("plums", "pears", "apples"):
        await site.conversation(title, f"about {title}")
    page = await site.embed(f"<chat-history></chat-history>{CHAT}", ready=f"{ITEMS} >> nth=0", head=UGLY)
    await expect(page.locator(ITEMS)).to_have_text(["apples", "pears", "plums"])
    assert await serious(page) == []
    await page.locator(ITEMS).first.focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page.locator(QUESTION)).to_have_text("about pears")
    await expect(page.locator("chat-history [aria-current]")).to_have_text("pears")
    await page.reload()  # what the user chose is remembered
    await expect(page.locator(QUESTION)).to_have_text("about pears")
    await expect(page.locator("chat-history [aria-current]")).to_have_text("pears")
    await page.get_by_role("button", name="New chat").click()
    await expect(page.locator("chat-interface .empty")).to_be_visible()
    await expect(page.locator("chat-history [aria-current]")).to_have_count(0)
    await site.ask(page, "figs")
    await expect(page.locator(ITEMS)).to_have_text(["figs", "apples", "pears", "plums"])
    await expect(page.locator("chat-history [aria-current]")).to_have_text("figs")
    await page.get_by_role("button", name="Rename apples").press("Enter")
    await page.keyboard.type("oranges")
    await page.keyboard.press("Enter")
    await expect(page.locator(ITEMS).filter(has_text="oranges")).to_be_visible()
    for choice, left in (("Cancel", 4), ("Delete", 3)):
        await page.get_by_role("button", name="Delete figs").press("Enter")
        await page.get_by_role("dialog").get_by_role("button", name=choice, exact=True).click()
        await expect(page.locator(ITEMS)).to_have_count(left)
    await expect(page.locator("chat-interface .empty")).to_be_visible()


async def test_the_history_is_that_of_the_chat_that_it_is_for(site: Site) -> None:
    site.settings["trusted_user_header"] = "X-User"
    site.fake.script = echo
    page = await site.embed(
        '<chat-history for="b"></chat-history><chat-interface id="a" remember="false"></chat-interface><chat-interface id="b"></chat-interface>',
        ready="#b textarea",
    )
    await page.locator("#b").evaluate("(chat) => { chat.headers = { 'X-User': 'ann' }; }")
    await page.locator("#b textarea").fill("secret")
    await page.locator("#b textarea").press("Enter")
    await expect(page.locator(ITEMS)).to_have_text(["secret"])
    await expect(page.locator(f"#b {BUTTON.split()[1]}[data-action=send]")).to_be_visible()
    await page.locator("#b").evaluate("(chat) => { chat.headers = { 'X-User': 'bob' }; }")
    await expect(page.locator(ITEMS)).to_have_count(0)
    await expect(page.locator("chat-history")).to_contain_text("No conversations yet.")
    await page.locator("#b").evaluate("(chat) => { chat.headers = { 'X-User': 'ann' }; }")
    await expect(page.locator(ITEMS)).to_have_text(["secret"])
    await page.locator("#b").evaluate("(chat) => { chat.headers = {}; }")  # signed out
    await expect(page.locator(ITEMS)).to_have_count(0)


@pytest.mark.parametrize(
    "options", [{"color_scheme": "dark"}, {"forced_colors": "active"}], ids=["dark", "forced"]
)
async def test_axe_reports_nothing_serious(site: Site, options: dict[str, Any]) -> None:
    session = await site.conversation("apples", "about apples")
    page = await site.embed(
        f'<chat-history></chat-history><chat-interface session-id="{session}"></chat-interface><chat-launcher></chat-launcher>',
        ready="chat-history [aria-current]",
        head="<style>:root { color-scheme: light dark }</style>",
        **options,
    )
    await page.locator(LAUNCH).click()
    await expect(page.locator("chat-launcher textarea")).to_be_focused()
    assert await serious(page) == []
