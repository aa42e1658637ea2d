"""<chat-interface> remembers its conversation: through reloads, in other tabs, and never another user's."""

import pytest
from browser import ANSWER, BUTTON, FIELD, QUESTION, Site, browser, browser_test, site
from fake_ollama import Gate, Script, answer, echo

pytest.importorskip("playwright")
from playwright.async_api import expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

HEADER = "X-User"
CHAT = "<chat-interface></chat-interface>"
EMPTY = "chat-interface .empty"
KEPT = "Object.keys(localStorage).length"


async def only_session(site: Site) -> str:
    (session,) = (await site.client.call("GET", "/api/chat/sessions"))["sessions"]
    return str(session["id"])


async def test_an_answer_goes_on_after_a_reload(site: Site) -> None:
    site.fake.script = Script(answer("one two three"), gate=(gate := Gate()))
    page = await site.embed(CHAT)
    await site.ask(page, "Count")
    gate.let(1)
    await expect(page.locator(ANSWER)).to_have_text("one")
    await page.reload()
    await expect(page.locator(QUESTION)).to_have_text("Count")
    await expect(page.locator(ANSWER)).to_have_text("one")
    gate.open()
    await expect(page.locator(ANSWER)).to_have_text("one two three")
    site.fake.script = echo
    await site.ask(page, "more")
    await expect(page.locator(ANSWER)).to_have_text(["one two three", "more"])
    await only_session(site)
    await page.evaluate("document.querySelector('chat-interface').clear()")
    await expect(page.locator(EMPTY)).to_be_visible()
    await page.reload()
    await expect(page.locator(EMPTY)).to_be_visible()
    assert await page.evaluate(KEPT) == 0


@pytest.mark.parametrize(
    ("attributes", "script"),
    [
        ('remember="false"', ""),
        (
            "",
            "Object.defineProperty(window, 'localStorage', { get() { throw new Error('denied'); } })",
        ),
        ("", "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }"),
    ],
    ids=["off", "denied", "full"],
)
async def test_it_works_without_a_memory(site: Site, attributes: str, script: str) -> None:
    site.fake.script = echo
    page = await site.embed(f"<chat-interface {attributes}></chat-interface>", script=script)
    await site.ask(page, "one")
    await expect(page.locator(ANSWER)).to_have_text(["one"])
    await page.evaluate("dispatchEvent(new Event('focus'))")
    await site.ask(page, "two")
    await expect(page.locator(ANSWER)).to_have_text(["one", "two"])
    await only_session(site)
    await page.reload()
    await expect(page.locator(EMPTY)).to_be_visible()


async def test_all_tabs_show_the_same_conversation(site: Site) -> None:
    site.fake.script = Script(answer("one two"), gate=(gate := Gate()))
    context = await site.context()
    one = await site.embed(CHAT, context)
    two = await site.embed(CHAT, context)
    await two.locator(FIELD).fill("a draft")
    await site.ask(one, "Count")
    gate.let(1)
    await expect(two.locator(QUESTION)).to_have_text("Count")
    await expect(two.locator(ANSWER)).to_have_text("one")
    await expect(two.locator(FIELD)).to_have_value("a draft")
    gate.open()
    await expect(two.locator(ANSWER)).to_have_text("one two")
    await expect(two.locator(f"{BUTTON}[data-action=send]")).to_be_visible()
    await one.evaluate("document.querySelector('chat-interface').clear()")
    await expect(two.locator(EMPTY)).to_be_visible()


async def test_a_session_that_is_gone_makes_way_for_a_new_one(site: Site) -> None:
    site.fake.script = echo
    page = await site.embed(CHAT)
    await site.ask(page, "one")
    await expect(page.locator(ANSWER)).to_have_text("one")
    await site.client.call("DELETE", f"/api/chat/sessions/{await only_session(site)}", status=204)
    await page.reload()
    await expect(page.locator(EMPTY)).to_be_visible()
    await expect(page.locator("chat-interface .notice")).to_be_hidden()
    await site.ask(page, "two")
    await expect(page.locator(ANSWER)).to_have_text("two")
    await site.client.call("DELETE", f"/api/chat/sessions/{await only_session(site)}", status=204)
    await site.ask(page, "three")  # while it is shown
    await expect(page.locator(QUESTION)).to_have_text(["three"])
    await expect(page.locator(ANSWER)).to_have_text(["three"])
    await only_session(site)


async def test_nothing_of_another_user_is_shown(site: Site) -> None:
    site.settings["trusted_user_header"] = HEADER
    site.fake.script = echo
    # As a page does that knows its user before the element begins to read.
    user = f"""
      addEventListener("DOMContentLoaded", () => {{
        const name = sessionStorage.getItem("user") ?? "ann";
        document.querySelector("chat-interface").headers = {{ "{HEADER}": name }};
      }});"""
    page = await site.embed(CHAT, script=user)
    await site.ask(page, "secret")
    await expect(page.locator(ANSWER)).to_have_text("secret")
    chat = page.locator("chat-interface")
    await chat.evaluate("(chat, header) => { chat.headers = { [header]: 'bob' }; }", HEADER)
    await expect(page.locator(EMPTY)).to_be_visible()
    await expect(page.locator(QUESTION)).to_have_count(0)
    await chat.evaluate("(chat, header) => { chat.headers = { [header]: 'ann' }; }", HEADER)
    await site.ask(page, "secret")
    await expect(page.locator(ANSWER)).to_have_text("secret")
    await page.evaluate("sessionStorage.setItem('user', 'bob')")
    await page.reload()
    await expect(page.locator(EMPTY)).to_be_visible()
    await expect(page.locator("chat-interface .notice")).to_be_hidden()


async def test_elements_with_keys_of_their_own_remember_apart(site: Site) -> None:
    site.fake.script = echo
    given = await site.conversation("Given", "given")
    page = await site.embed(
        '<chat-interface id="a"></chat-interface><chat-interface id="b" storage-key="b"></chat-interface>'
        f'<chat-interface id="c" session-id="{given}"></chat-interface>',
        ready="#c textarea",
    )
    for name in ("a", "b"):
        await page.locator(f"#{name} textarea").fill(f"for {name}")
        await page.locator(f"#{name} textarea").press("Enter")
        await expect(page.locator(f"#{name} .assistant .content")).to_have_text(f"for {name}")
    await page.reload()
    for name, text in {"a": "for a", "b": "for b", "c": "given"}.items():
        await expect(page.locator(f"#{name} .user .content")).to_have_text(text)
    assert await page.evaluate(KEPT) == 2  # what the page names is not kept
    await page.locator("#a").evaluate("(chat) => { chat.storageKey = 'b'; }")
    await expect(page.locator("#a .user .content")).to_have_text("for b")
