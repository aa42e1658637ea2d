"""<chat-interface> in a browser: the tests click, type, reload, and cut connections."""

# Scripts and strings read better in one line.
# ruff: noqa: E501

import base64
import json
import re
from typing import Any

import pytest
from browser import (
    ANNOUNCER,
    ANSWER,
    BUTTON,
    FIELD,
    QUESTION,
    STATUS,
    Site,
    browser,
    browser_test,
    need_marked,
    site,
    until,
)
from fake_ollama import MODEL, Gate, Script, answer, echo, greet, last, refused, token
from waiting import until as eventually

pytest.importorskip("playwright")
from playwright.async_api import FilePayload, Page, Route, expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

CURSOR = "chat-interface .cursor"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

# A client whose stream is written by the test, for events that a server sends only after a while.
SCRIPTED = """
window.say = null;
document.querySelector("chat-interface").client = {
  sessions: { create: async () => ({ id: "s" }) },
  messages: { list: async () => ({ messages: [], next: null }), cancel: async () => {} },
  sendMessageStream: () => {
    const events = [];
    let wake = () => {};
    window.say = (event) => { events.push(event); wake(); };
    return {
      cancel: async () => window.say({ type: "done", fullResponse: "", finishReason: "cancelled", sources: [] }),
      async *[Symbol.asyncIterator]() {
        for (;;) {
          while (!events.length) await new Promise((resolve) => { wake = resolve; });
          const event = events.shift();
          yield event;
          if (event.type === "done" || event.type === "error") return;
        }
      },
    };
  },
};
"""


async def scripted(site: Site, *events: dict[str, Any], **options: Any) -> Page:
    page = await site.open(**options)
    await page.evaluate(f"() => {{ {SCRIPTED} }}")
    await site.ask(page, "Hello")
    await say(page, *events)
    return page


async def say(page: Page, *events: dict[str, Any]) -> None:
    await until(page, "() => window.say !== null")
    await page.evaluate("(events) => events.forEach((event) => window.say(event))", list(events))


START = {"type": "start", "userMessageId": 1, "assistantMessageId": 2, "sources": [], "model": "m"}
LOST = {"type": "status", "state": "reconnecting", "elapsedMs": 0}


def chunk(text: str) -> dict[str, Any]:
    return {"type": "chunk", "content": text, "cursor": "0.1"}


def thinking(text: str) -> dict[str, Any]:
    return {"type": "thinking", "content": text, "cursor": "1.0"}


def done(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "done", "fullResponse": text, "finishReason": "stop", "sources": [], **more}


async def use_model(page: Page, name: str) -> None:
    await page.locator("chat-interface").evaluate("(chat, name) => chat.setAttribute('model', name)", name)


async def edit_first(page: Page) -> None:
    """Edit the first message, and send it again."""
    await page.get_by_role("button", name="Edit").first.click()
    field = page.get_by_role("textbox", name="Edit message")
    await field.fill("changed")
    await field.press("Enter")


# -- a message and its answer


async def test_the_message_shows_at_once_and_the_answer_starts_as_a_blinking_cursor(site: Site) -> None:
    site.fake.script = Script(answer("Hello there."), head=(gate := Gate()))
    page = await site.open()
    await site.ask(page, "Hi")
    await expect(page.locator(QUESTION)).to_have_text("Hi")
    await expect(page.locator(FIELD)).to_have_value("")
    await expect(page.locator(ANSWER)).to_have_text("")
    await expect(page.locator(CURSOR)).to_have_css("animation-name", "blink")
    gate.open()
    await expect(page.locator(ANSWER)).to_have_text("Hello there.")
    await expect(page.locator(CURSOR)).to_have_count(0)


async def test_text_has_the_direction_of_its_script(site: Site) -> None:
    need_marked()
    arabic = "مرحبا بالعالم."
    site.fake.script = Script(answer(f"{arabic}\n\n- {arabic}\n\n> English\n\n```\ncode\n```\n\nEnglish\n"))
    page = await site.open()
    await page.locator(FIELD).fill(arabic)
    await expect(page.locator(FIELD)).to_have_css("direction", "rtl")
    await page.locator(FIELD).press("Enter")
    await expect(page.locator(f"{QUESTION} > *")).to_have_css("direction", "rtl")
    await expect(page.locator(f"{ANSWER} ul")).to_have_css("direction", "rtl")
    await expect(page.locator(f"{ANSWER} blockquote")).to_have_css("direction", "ltr")
    await expect(page.locator(f"{ANSWER} p").last).to_have_css("unicode-bidi", "plaintext")
    await expect(page.locator(f"{ANSWER} pre")).to_have_css("direction", "ltr")
    await expect(page.locator("#sessions a")).to_have_css("direction", "rtl")


async def test_the_cursor_follows_the_last_word(site: Site) -> None:
    need_marked()
    site.fake.script = Script([token("- one\n- two **bold**"), last()], gate=(gate := Gate()))
    page = await site.open()
    await site.ask(page, "Hi")
    gate.let(1)
    await expect(page.locator(f"{ANSWER} li:last-child > .cursor")).to_be_visible()
    gate.open()


async def test_reduced_motion_stops_the_blinking(site: Site) -> None:
    page = await scripted(site, START, reduced_motion="reduce")
    await expect(page.locator(CURSOR)).to_have_css("animation-name", "none")


async def test_stop_replaces_send_and_keeps_the_text_so_far(site: Site) -> None:
    site.fake.script = Script(answer("one two three"), gate=(gate := Gate()))
    page = await site.open()
    button = await page.locator(BUTTON).element_handle()
    await expect(page.locator(BUTTON)).to_have_attribute("aria-label", "Send")
    await page.locator(FIELD).fill("Count")
    await page.locator(BUTTON).click()
    await expect(page.locator(BUTTON)).to_have_attribute("aria-label", "Stop")
    gate.let(1)
    await expect(page.locator(ANSWER)).to_have_text("one")
    assert await page.locator(BUTTON).evaluate("(now, before) => now === before", button)
    await page.locator(BUTTON).click()
    await expect(page.locator("chat-interface .assistant .note")).to_contain_text("Stopped.")
    await expect(page.locator(ANSWER)).to_have_text("one")
    await expect(page.locator(BUTTON)).to_have_attribute("aria-label", "Send")
    await (await site.fake.arrived()).closed.wait()


async def test_esc_stops_the_answer(site: Site) -> None:
    site.fake.script = Script(answer("one two"), gate=(gate := Gate()))
    page = await site.open()
    await site.ask(page, "Count")
    gate.let(1)
    await expect(page.locator(ANSWER)).to_have_text("one")
    await page.locator(FIELD).press("Escape")
    await expect(page.locator("chat-interface .assistant .note")).to_contain_text("Stopped.")


async def test_stop_before_the_first_token(site: Site) -> None:
    site.fake.script = Script(answer("one"), head=Gate())
    page = await site.open()
    await site.ask(page, "Count")
    await page.locator(BUTTON).click()
    await expect(page.locator("chat-interface .assistant .note")).to_contain_text("Stopped.")


async def test_enter_sends_except_with_shift_or_an_input_method(
    site: Site,
) -> None:
    site.fake.script = echo
    page = await site.open()
    field = page.locator(FIELD)
    await field.fill("one")
    await field.press("Shift+Enter")
    await field.press_sequentially("two")
    for how in ("isComposing: true", "keyCode: 229"):
        await field.evaluate(
            f"(field) => field.dispatchEvent(new KeyboardEvent('keydown', {{key: 'Enter', bubbles: true, {how}}}))"
        )
    await expect(field).to_have_value("one\ntwo")
    await field.press("Enter")
    await expect(page.locator(QUESTION)).to_have_text("one\ntwo")
    await expect(page.locator(ANSWER)).to_contain_text("two")
    assert [chat["messages"][-1]["content"] for chat in site.fake.requests] == ["one\ntwo"]


# -- failure


async def test_retry_replaces_an_answer_that_failed_midway(site: Site) -> None:
    site.fake.script = Script(answer("one two")[:1], end="cut")
    page = await site.open()
    await site.ask(page, "Count")
    retry = page.get_by_role("button", name="Retry")
    await expect(retry).to_be_visible()
    await expect(page.locator(ANSWER)).to_have_text("one")
    (session,) = (await site.client.call("GET", "/api/chat/sessions"))["sessions"]
    (_, message) = await site.client.messages(session["id"])
    request = page.get_by_text(f"X-Request-Id: {message['error']['requestId']}")
    await expect(request).to_be_hidden()
    await page.get_by_text("Details").click()
    await expect(request).to_be_visible()
    await expect(page.get_by_role("button", name="Regenerate")).to_have_count(0)
    site.fake.script = greet
    await retry.click()
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    await expect(page.locator(QUESTION)).to_have_text(["Count"])
    assert [request["messages"][-1]["content"] for request in site.fake.requests] == ["Count", "Count"]


async def test_only_the_last_answer_can_be_retried(site: Site) -> None:
    site.fake.script = Script(answer("one two")[:1], end="cut")
    page = await site.open()
    await site.ask(page, "First")
    await expect(page.get_by_role("button", name="Retry")).to_be_visible()
    site.fake.script = greet
    await site.ask(page, "Second")
    await expect(page.locator(ANSWER).last).to_have_text("Hello from a fake.")
    await expect(page.locator("chat-interface .failure")).to_be_visible()
    await expect(page.get_by_role("button", name="Regenerate")).to_have_count(1)
    await expect(page.get_by_role("button", name="Retry")).to_have_count(0)


async def test_a_refused_message_stays_and_can_be_retried(site: Site) -> None:
    page = await site.open()
    await use_model(page, "nowhere")
    await site.ask(page, "My long text")
    await expect(page.locator("chat-interface .failure")).to_contain_text("not installed any more")
    await expect(page.locator(QUESTION)).to_have_text("My long text")
    await use_model(page, MODEL)
    await page.get_by_role("button", name="Retry").click()
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    await expect(page.locator(QUESTION)).to_have_text(["My long text"])


async def test_a_refused_message_is_resent_after_later_ones(site: Site) -> None:
    site.fake.script = echo
    page = await site.open()
    await use_model(page, "nowhere")
    await site.ask(page, "first")
    await expect(page.locator("chat-interface .failure")).to_be_visible()
    await use_model(page, MODEL)
    await site.ask(page, "second")
    await expect(page.locator(ANSWER)).to_have_text(["", "second"])
    await edit_first(page)
    await expect(page.locator(QUESTION)).to_have_text(["second", "changed"])
    await expect(page.locator(ANSWER)).to_have_text(["second", "changed"])
    await page.reload()
    await expect(page.locator(QUESTION)).to_have_text(["second", "changed"])


async def test_a_refused_edit_leaves_the_original(site: Site) -> None:
    site.fake.script = echo
    page = await site.open()
    await site.ask(page, "first")
    await expect(page.locator(ANSWER)).to_have_text(["first"])
    await use_model(page, "nowhere")
    await edit_first(page)
    await expect(page.locator("chat-interface .failure")).to_be_visible()
    await expect(page.locator(QUESTION)).to_have_text(["first", "changed"])
    await expect(page.locator(ANSWER)).to_have_text(["first", ""])
    await use_model(page, MODEL)
    await page.get_by_role("button", name="Retry").click()
    await expect(page.locator(QUESTION)).to_have_text(["changed"])
    await expect(page.locator(ANSWER)).to_have_text(["changed"])


async def test_a_message_that_arrived_without_a_response_is_not_shown_twice(site: Site) -> None:
    async def lose(route: Route) -> None:
        await route.fetch()
        await route.fulfill(status=400, json={"error": "Lost.", "code": "malformed"})

    page = await site.open()
    await page.route("**/messages/stream", lose)
    await site.ask(page, "Hi")
    await expect(page.locator("chat-interface .failure")).to_be_visible()
    await page.evaluate("dispatchEvent(new Event('focus'))")
    await expect(page.locator(ANSWER)).to_have_text(["Hello from a fake."])
    await expect(page.locator(QUESTION)).to_have_text(["Hi"])


async def test_an_answer_from_another_tab_grows_above_a_refused_message(site: Site) -> None:
    session = await site.new_session()
    page = await site.open(f"/?session={session}")
    await use_model(page, "nowhere")
    await site.ask(page, "My long text")
    await expect(page.locator("chat-interface .failure")).to_be_visible()
    site.fake.script = Script(answer("one two"), gate=(gate := Gate()))
    async with site.client.sending(session):
        await site.fake.arrived()
        gate.let(1)
        await page.evaluate("dispatchEvent(new Event('focus'))")
        await expect(page.locator(ANSWER)).to_have_text(["one", ""])
        gate.open()
        await expect(page.locator(ANSWER)).to_have_text(["one two", ""])


async def test_a_cut_connection_loses_no_character(site: Site) -> None:
    site.fake.script = Script(answer("one two three"), gate=(gate := Gate()))
    page = await site.open()
    await site.ask(page, "Count")
    gate.let(1)
    await expect(page.locator(ANSWER)).to_have_text("one")
    site.cut()
    gate.open()
    await expect(page.locator(ANSWER)).to_have_text("one two three")
    await expect(page.locator(CURSOR)).to_have_count(0)
    assert len(site.fake.chats) == 1


async def test_a_lost_connection_shows_until_it_is_restored(site: Site) -> None:
    site.fake.script = Script(answer("one two three"), gate=(gate := Gate()))
    page = await site.open()
    await site.ask(page, "Count")
    gate.let(1)
    await expect(page.locator(ANSWER)).to_have_text("one")
    await page.context.route("**/messages/*/stream**", lambda route: route.abort())
    site.cut()
    await expect(page.locator(STATUS)).to_have_text("Connection lost, trying again…")
    await page.context.unroute_all()
    await expect(page.locator(STATUS)).to_have_text(re.compile(r"Writing|tokens/s"))
    gate.open()
    await expect(page.locator(ANSWER)).to_have_text("one two three")


async def test_text_ends_the_lost_connection_status(site: Site) -> None:
    page = await scripted(site, START, chunk("one"), LOST)
    await expect(page.locator(STATUS)).to_have_text("Connection lost, trying again…")
    await say(page, chunk(" two"))
    await expect(page.locator(STATUS)).to_have_text("Writing")


# -- regenerating, editing, copying


async def test_regenerate_replaces_the_answer(site: Site) -> None:
    page = await site.open()
    await site.ask(page, "Hi")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    site.fake.script = Script(answer("Another one."))
    await page.get_by_role("button", name="Regenerate").click()
    await expect(page.locator(ANSWER)).to_have_text(["Another one."])
    session = (await site.client.call("GET", "/api/chat/sessions"))["sessions"][0]
    stored = await site.client.messages(session["id"])
    assert [message["content"] for message in stored] == ["Hi", "Another one."]


async def test_resending_an_edited_message_drops_what_follows(site: Site) -> None:
    site.fake.script = echo
    page = await site.open()
    await site.ask(page, "first")
    await expect(page.locator(ANSWER)).to_have_text(["first"])
    await site.ask(page, "second")
    await expect(page.locator(ANSWER)).to_have_text(["first", "second"])
    await page.locator("chat-interface .user").first.hover()
    await page.get_by_role("button", name="Edit").first.click()
    field = page.get_by_role("textbox", name="Edit message")
    await expect(field).to_have_value("first")
    await field.press("Escape")
    await expect(page.locator(QUESTION)).to_have_text(["first", "second"])
    await edit_first(page)
    await expect(page.locator(QUESTION)).to_have_text(["changed"])
    await expect(page.locator(ANSWER)).to_have_text(["changed"])
    await page.reload()
    await expect(page.locator(ANSWER)).to_have_text(["changed"])


CODE = "Look:\n\n```python\nprint(1)\n```\n"
NO_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', { value: undefined });"


@pytest.mark.parametrize("script", ["", NO_CLIPBOARD], ids=["secure", "insecure"])
async def test_messages_and_code_are_copied(site: Site, script: str) -> None:
    need_marked()
    site.fake.script = Script(answer(CODE))
    context = await site.context(permissions=["clipboard-read", "clipboard-write"])
    await context.clock.install()
    page = await site.open(context=context, script=script)
    await site.ask(page, "Code")
    await expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
    await page.clock.pause_at("2100-01-01")  # so that "Copied" stays until the test has seen it
    await page.get_by_role("button", name="Copy code").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    await page.clock.run_for(5_000)
    await expect(page.get_by_role("button", name="Copy code")).to_be_visible()
    field = page.locator(FIELD)
    await field.press("Control+V")
    await expect(field).to_have_value("print(1)")
    await field.fill("")
    copy = page.locator("chat-interface .assistant").get_by_role("button", name="Copy", exact=True)
    await copy.click()
    await expect(copy).to_have_attribute("data-copied", "true")
    await expect(page.locator(ANNOUNCER)).to_have_text("Copied")
    await field.press("Control+V")
    await expect(field).to_have_value(CODE)


# -- scrolling


async def test_the_list_sticks_to_the_end_unless_scrolled_up(site: Site) -> None:
    lines = [token(f"Paragraph {number}\n\n") for number in range(90)]
    site.fake.script = Script([*lines, last()], gate=(gate := Gate()))
    page = await site.open()
    await site.ask(page, "Tell")
    log = page.locator("chat-interface [part=messages]")
    from_end = "(log) => log.scrollHeight - log.clientHeight - log.scrollTop"
    gate.let(60)
    await expect(page.locator(ANSWER)).to_contain_text("Paragraph 59")
    await until(
        page,
        f"() => ({from_end})(document.querySelector('chat-interface').shadowRoot.querySelector('.log')) < 2",
    )
    latest = page.get_by_role("button", name="Jump to latest")
    await expect(latest).to_be_hidden()
    await log.hover()
    await page.mouse.wheel(0, -400)
    await expect(latest).to_be_visible()
    # Scrolling by the wheel is smooth.
    await until(
        page,
        f"() => ({from_end})(document.querySelector('chat-interface').shadowRoot.querySelector('.log')) > 399",
    )
    top = await log.evaluate("(log) => log.scrollTop")
    gate.let(20)
    await expect(page.locator(ANSWER)).to_contain_text("Paragraph 79")
    assert await log.evaluate("(log) => log.scrollTop") == pytest.approx(top, abs=1)
    await latest.click()
    await expect(latest).to_be_hidden()
    gate.open()
    await expect(page.locator(ANSWER)).to_contain_text("Paragraph 89")
    await expect(page.get_by_role("button", name="Regenerate")).to_be_in_viewport()


async def test_sending_scrolls_to_the_end(site: Site) -> None:
    session = await site.conversation("long", "Tell")
    site.fake.script = Script(answer("Paragraph\n\n" * 60))
    await site.client.ask(session, "More")
    page = await site.open(f"/?session={session}", viewport={"width": 900, "height": 500})
    await expect(page.get_by_role("button", name="Regenerate")).to_be_in_viewport()
    await page.locator("chat-interface [part=messages]").evaluate("(log) => log.scrollTo(0, 0)")
    latest = page.get_by_role("button", name="Jump to latest")
    await expect(latest).to_be_visible()
    site.fake.script = Script(answer("Line\n\n" * 9))
    await site.ask(page, "A question\nin\nseveral\nlines")
    await expect(page.locator(ANSWER)).to_have_count(3)
    await expect(page.get_by_role("button", name="Regenerate")).to_be_in_viewport()
    await expect(latest).to_be_hidden()


async def test_nothing_moves_when_an_answer_ends(site: Site) -> None:
    site.fake.script = Script([token("Paragraph\n\n" * 60), last()], gate=(gate := Gate()))
    page = await site.open()
    composer = page.locator("chat-interface [part=composer]")
    places = [await composer.bounding_box()]
    await site.ask(page, "Tell")
    gate.let(1)
    await expect(page.locator(f"{ANSWER} p:nth-child(60)")).to_be_in_viewport()
    await expect(page.locator(STATUS)).to_be_visible()
    texts = [await page.locator(ANSWER).bounding_box()]
    places.append(await composer.bounding_box())
    gate.open()
    await expect(page.get_by_role("button", name="Regenerate")).to_be_in_viewport()
    await expect(page.locator(STATUS)).to_be_hidden()
    places.append(await composer.bounding_box())
    texts.append(await page.locator(ANSWER).bounding_box())
    assert places == [places[0]] * 3
    assert texts[0] == texts[1]


# -- thinking, status


async def test_thinking_closes_at_the_first_token_of_the_answer(site: Site) -> None:
    page = await scripted(site, START, thinking("Hm, let me see"))
    details = page.locator("chat-interface .assistant details")
    await expect(details.locator(".thought")).to_have_text("Hm, let me see")
    await expect(details).to_have_attribute("open", "")
    await say(page, chunk("Yes"))
    await expect(details).not_to_have_attribute("open", "")
    await details.locator("summary").click()
    await say(page, chunk(" indeed"), done("Yes indeed"))
    await expect(page.locator(ANSWER)).to_have_text("Yes indeed")
    await expect(details).to_have_attribute("open", "")  # as the reader left it


async def test_a_reload_during_thinking_shows_it_open(site: Site) -> None:
    steps = [*answer("Yes", thinking="hm and hm")]
    site.fake.script = Script(steps, gate=(gate := Gate()))
    page = await site.open()
    await site.ask(page, "Think")
    thought = page.locator("chat-interface .thought")
    gate.let(1)
    await expect(thought).to_be_visible()
    await page.reload()
    await expect(thought).to_be_visible()
    gate.open()
    await expect(page.locator(ANSWER)).to_have_text("Yes")
    await expect(thought).to_be_hidden()
    await page.reload()
    await expect(page.locator(ANSWER)).to_have_text("Yes")
    await expect(thought).to_be_hidden()


async def test_long_thinking_scrolls_in_its_own_box(site: Site) -> None:
    page = await scripted(site, START, thinking("A line\n" * 60), viewport={"width": 800, "height": 600})
    box = await page.locator("chat-interface .thought").element_handle()
    at_end = "(box) => box.scrollHeight - box.clientHeight - box.scrollTop < 2 && box.scrollTop > 0"
    await until(page, at_end, box)
    assert await box.evaluate("(box) => box.clientHeight") == 240  # of 600
    place = await box.bounding_box()
    await say(page, thinking("A line\n" * 60 + "Hm"))
    await expect(page.locator("chat-interface .thought")).to_contain_text("Hm")
    await until(page, at_end, box)
    assert await box.bounding_box() == place
    await box.hover()
    await page.mouse.wheel(0, -400)
    await until(page, f"(box) => !({at_end})(box)", box)
    top = await box.evaluate("(box) => box.scrollTop")
    await say(page, thinking("A line\n" * 60 + "Ah"))
    await expect(page.locator("chat-interface .thought")).to_contain_text("Ah")
    await page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert await box.evaluate("(box) => box.scrollTop") <= top
    await say(page, chunk("Yes"))
    await expect(page.locator("chat-interface details")).not_to_have_attribute("open", "")
    await page.locator("chat-interface summary").click()
    assert await box.evaluate("(box) => box.scrollTop") == 0


async def test_show_thinking_false_hides_thinking(site: Site) -> None:
    page = await scripted(site, START, thinking("Hm"), chunk("Yes"))
    details = page.locator("chat-interface .assistant details")
    await expect(details).to_be_visible()
    await page.evaluate("document.querySelector('chat-interface').setAttribute('show-thinking', 'false')")
    await expect(details).to_be_hidden()


async def test_the_status_line_follows_the_status_events(site: Site) -> None:
    context = await site.context()
    await context.clock.install()
    queued = {"type": "status", "state": "queued", "position": 3, "elapsedMs": 0}
    page = await scripted(site, START, queued, context=context)
    status = page.locator(STATUS)
    await expect(status).to_have_text("Queued, 3rd in line")
    await page.clock.pause_at("2100-01-01")  # from here on, the test moves the clock
    await say(page, queued | {"position": 2, "etaMs": 130_000})
    await expect(status).to_have_text("Queued, 2nd in line, about 2 min")
    await say(page, queued | {"position": 1, "etaMs": 31_000})
    await expect(status).to_have_text("Queued, 1st in line, about 35 s")
    await page.clock.run_for(3000)
    await expect(status).to_have_text("Queued, 1st in line, about 30 s")
    await page.clock.run_for(30_000)  # it is late, and nobody knows how much
    await expect(status).to_have_text("Queued, 1st in line")
    await say(page, {"type": "status", "state": "loading", "elapsedMs": 12_000})
    await expect(status).to_have_text("Loading model, 12 s")
    await page.clock.run_for(1000)
    await expect(status).to_have_text("Loading model, 13 s")  # it counts on by itself
    await say(
        page, {"type": "status", "state": "generating", "elapsedMs": 9, "tokens": 9, "tokensPerSecond": 41.2}
    )
    await expect(status).to_have_text("41 tokens/s")
    await say(page, done("Ready."))
    await expect(status).to_be_hidden()


async def test_the_status_line_tells_thinking_from_writing(site: Site) -> None:
    generating = {"type": "status", "state": "generating", "elapsedMs": 0}
    page = await scripted(site, START, generating, thinking("Hm"))
    await expect(page.locator(STATUS)).to_have_text("Thinking")
    await say(page, chunk("Yes"))
    await expect(page.locator(STATUS)).to_have_text("Writing")


async def test_the_status_line_shows_the_place_in_the_queue(site: Site) -> None:
    site.settings = {"max_concurrent_generations": 1}
    site.fake.script = Script(answer("one"), gate=(gate := Gate()))
    page = await site.open()
    other = await site.new_session()
    async with site.client.sending(other):
        await site.fake.arrived()
        await site.ask(page, "Me too")
        await expect(page.locator(STATUS)).to_have_text("Queued, 1st in line")
        gate.open()
    await expect(page.locator(ANSWER)).to_have_text("one")


async def test_the_newest_warning_of_each_kind_is_shown(site: Site) -> None:
    """A prompt that is fitted again leaves out something else."""
    said = [("history_truncated", "Some was left out."), ("document_gone", "It is gone.")]
    said.append(("history_truncated", "More was left out."))
    page = await scripted(
        site, START, *[{"type": "warning", "code": code, "message": message} for code, message in said]
    )
    notes = page.locator("chat-interface .assistant .note")
    await expect(notes).to_have_text(["It is gone.", "More was left out."])


async def test_that_history_was_cut_is_said_where_it_began(site: Site) -> None:
    """Once, also after a reload, and not under each answer that goes on without the oldest turns."""
    site.fake.running[0]["context_length"] = 600
    site.fake.script = Script(answer("Well, well. " * 400))
    page = await site.open()
    for number in range(1, 5):
        await site.ask(page, f"Question {number}")
        await expect(page.locator(ANSWER)).to_have_count(number)
        await expect(page.locator("chat-interface .assistant .regenerate")).to_have_count(number)
    notes = page.locator("chat-interface .assistant").locator(".note", has_text="left out")
    for _ in range(2):
        await expect(notes).to_have_count(3)
        await expect(notes.locator("visible=true")).to_have_count(1)
        await expect(notes.first).to_be_visible()
        await page.reload()


# -- images


async def test_an_image_is_attached_removed_and_sent(site: Site) -> None:
    site.fake.shows["gemma3:270m"]["capabilities"] = ["completion", "vision"]
    page = await site.open()
    files = page.locator("chat-interface input[type=file]")
    image: FilePayload = {"name": "dot.png", "mimeType": "image/png", "buffer": PNG}
    await files.set_input_files([image])
    preview = page.locator("chat-interface .preview")
    await expect(preview.get_by_role("img", name="dot.png")).to_be_visible()
    await page.get_by_role("button", name="Remove image").click()
    await expect(preview).to_have_count(0)
    await files.set_input_files([image])
    await expect(preview).to_have_count(1)
    await site.ask(page, "What is it?")
    await expect(preview).to_have_count(0)
    await expect(page.locator("chat-interface .user .images img")).to_be_visible()
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    assert site.fake.requests[0]["messages"][-1]["images"] == [base64.b64encode(PNG).decode()]
    await page.reload()
    shown = page.locator("chat-interface .user .images img")
    await expect(shown).to_have_js_property("naturalWidth", 1)
    assert str(await shown.get_attribute("src")).startswith("blob:")


async def test_an_image_is_pasted(site: Site) -> None:
    page = await site.open()
    await page.locator(FIELD).evaluate(
        """(field, data) => {
          const clipboardData = new DataTransfer();
          clipboardData.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], "p.png", { type: "image/png" }));
          field.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
        }""",
        base64.b64encode(PNG).decode(),
    )
    await expect(page.locator("chat-interface .preview img")).to_be_visible()


async def test_images_too_large_for_a_request_are_refused(site: Site) -> None:
    page = await site.open()
    await page.locator("chat-interface input[type=file]").evaluate(
        """(input) => {
          const held = new DataTransfer();
          held.items.add(new File([new Uint8Array(21 * 1024 * 1024)], "large.png", { type: "image/png" }));
          input.files = held.files;
          input.dispatchEvent(new Event("change"));
        }"""
    )
    await expect(page.locator("chat-interface .notice")).to_contain_text("larger than 20 MB")
    await expect(page.locator("chat-interface .preview")).to_have_count(0)


# -- reloads, other tabs and devices


async def test_a_reload_resumes_the_answer_live(site: Site) -> None:
    site.fake.script = Script(answer("one two three"), gate=(gate := Gate()))
    page = await site.open()
    await site.ask(page, "Count")
    gate.let(1)
    await expect(page.locator(ANSWER)).to_have_text("one")
    await page.reload()
    await expect(page.locator(ANSWER)).to_have_text("one")
    await expect(page.locator(CURSOR)).to_be_visible()
    await expect(page.locator(BUTTON)).to_have_attribute("aria-label", "Stop")
    gate.let(1)
    await expect(page.locator(ANSWER)).to_have_text("one two")
    gate.open()
    await expect(page.locator(ANSWER)).to_have_text("one two three")
    await expect(page.locator(CURSOR)).to_have_count(0)
    assert len(site.fake.chats) == 1


async def test_two_tabs_stream_the_same_answer(site: Site) -> None:
    session = await site.new_session()
    context = await site.context()
    one = await site.open(f"/?session={session}", context)
    two = await site.open(f"/?session={session}", context)
    site.fake.script = Script(answer("one two three"), gate=(gate := Gate()))
    await site.ask(one, "Count")
    gate.let(1)
    await expect(two.locator(QUESTION)).to_have_text("Count")
    await expect(two.locator(ANSWER)).to_have_text("one")
    gate.let(1)
    await expect(two.locator(ANSWER)).to_have_text("one two")
    await two.locator(BUTTON).click()  # stops it for both
    await expect(one.locator("chat-interface .assistant .note")).to_contain_text("Stopped.")
    await expect(one.locator(ANSWER)).to_have_text("one two")


async def test_the_focus_refreshes_what_another_device_sent(site: Site) -> None:
    session = await site.new_session()
    page = await site.open(f"/?session={session}")
    await expect(page.locator("chat-interface .empty")).to_be_visible()
    await site.client.ask(session, "From the phone")
    await page.evaluate("dispatchEvent(new Event('focus'))")
    await expect(page.locator(QUESTION)).to_have_text("From the phone")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")


async def test_earlier_messages_are_a_click_away(site: Site) -> None:
    site.fake.script = echo
    session = await site.new_session()
    for number in range(52):
        await site.client.ask(session, f"m{number}")
    page = await site.open(f"/?session={session}")
    await expect(page.locator(QUESTION)).to_have_count(50)
    top = page.locator(QUESTION).first
    await top.scroll_into_view_if_needed()
    await expect(top).to_have_text("m2")
    await page.get_by_role("button", name="Show earlier messages").click()
    await expect(page.locator(QUESTION)).to_have_count(52)
    await expect(page.locator(QUESTION).nth(2)).to_be_in_viewport()  # where the reader was
    await expect(page.locator(QUESTION).first).to_have_text("m0")
    await page.evaluate("dispatchEvent(new Event('focus'))")
    await expect(page.locator(QUESTION)).to_have_count(52)


# -- the interface for embedding pages


async def test_events_bubble_composed_and_in_order(site: Site) -> None:
    site.fake.script = Script(answer("one two"))
    page = await site.open()
    await page.evaluate(
        """() => {
          window.seen = [];
          for (const name of ["send", "session", "start", "token", "sources", "done", "error"]) {
            document.body.addEventListener(`chat-${name}`, (event) => window.seen.push([event.type, event.composed, event.detail]));
          }
        }"""
    )
    await site.ask(page, "Hi")
    await until(page, "() => window.seen.at(-1)?.[0] === 'chat-done'")
    seen = json.loads(await page.evaluate("JSON.stringify(window.seen)"))
    names = [name for name, _, _ in seen]
    assert list(dict.fromkeys(names)) == [
        "chat-send",
        "chat-session",
        "chat-start",
        "chat-token",
        "chat-done",
    ]
    assert all(composed for _, composed, _ in seen)
    assert "".join(detail["content"] for name, _, detail in seen if name == "chat-token") == "one two"
    assert seen[-1][2]["content"] == "one two"


async def test_chat_send_can_be_canceled(site: Site) -> None:
    page = await site.open()
    await page.evaluate("addEventListener('chat-send', (event) => event.preventDefault(), { once: true })")
    await site.ask(page, "Hi")
    await expect(page.locator(FIELD)).to_have_value("Hi")
    await expect(page.locator(QUESTION)).to_have_count(0)
    await page.locator(FIELD).press("Enter")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")


async def test_methods(site: Site) -> None:
    page = await site.open()
    await page.evaluate("window.chat = document.querySelector('chat-interface')")
    await page.evaluate("chat.send('By script')")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    await expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
    site.fake.script = Script(answer("one two"), gate=(gate := Gate()))
    await page.evaluate("chat.regenerate()")
    gate.let(1)
    await expect(page.locator(ANSWER)).to_have_text(["one"])
    await page.evaluate("chat.stop()")
    await expect(page.locator("chat-interface .assistant .note")).to_contain_text("Stopped.")
    await page.evaluate("chat.clear()")
    await expect(page.locator("chat-interface .empty")).to_be_visible()
    await page.locator("#search").focus()
    await page.evaluate("chat.focus()")
    await expect(page.locator(FIELD)).to_be_focused()


async def test_attributes_css_properties_slots_and_parts(site: Site) -> None:
    page = await site.open()
    chat = page.locator("chat-interface")
    await chat.evaluate(
        """(chat) => {
          chat.setAttribute("placeholder", "Ask me");
          chat.setAttribute("theme", "dark");
          chat.setAttribute("document-id", "7");
          chat.style.setProperty("--chat-accent", "rgb(1, 2, 3)");
          for (const slot of ["header", "empty", "footer"]) {
            const filled = document.createElement("p");
            filled.slot = slot;
            filled.textContent = "my " + slot;
            chat.append(filled);
          }
          const sheet = new CSSStyleSheet();
          sheet.replaceSync("chat-interface::part(input) { color: rgb(9, 9, 9); }");
          document.adoptedStyleSheets.push(sheet);
        }"""
    )
    await expect(page.locator(FIELD)).to_have_attribute("placeholder", "Ask me")
    await expect(page.locator(FIELD)).to_have_css("color", "rgb(9, 9, 9)")
    await expect(chat).to_have_css("color-scheme", "dark")
    for slot in ("header", "empty", "footer"):
        await expect(page.get_by_text(f"my {slot}")).to_be_visible()
    await page.evaluate("document.querySelector('chat-interface').toggleAttribute('disabled', true)")
    await expect(page.locator(FIELD)).to_be_disabled()
    await expect(page.locator(BUTTON)).to_be_disabled()


async def test_properties_reflect_attributes(site: Site) -> None:
    page = await site.open()
    reflected = await page.evaluate(
        """() => {
          const chat = document.createElement("chat-interface");
          const seen = [];
          for (const [property, attribute, value] of [
            ["endpoint", "endpoint", "/chat"], ["sessionId", "session-id", "s"], ["documentId", "document-id", 7],
            ["model", "model", "auto"], ["placeholder", "placeholder", "Ask"], ["theme", "theme", "dark"],
            ["showThinking", "show-thinking", false], ["disabled", "disabled", true],
          ]) {
            const initial = chat[property];
            chat[property] = value;
            const set = [chat[property] === value, chat.getAttribute(attribute)];
            chat[property] = undefined;
            seen.push([property, initial, ...set, chat.hasAttribute(attribute), chat[property] === initial]);
          }
          chat.documentIds = [7, 8, 7];
          seen.push([chat.documentId, ...chat.documentIds, chat.getAttribute("document-id")]);
          chat.documentId = null; // no document, in contrast to undefined
          return [...seen, [chat.documentId, chat.getAttribute("document-id")]];
        }"""
    )
    assert reflected == [
        ["endpoint", None, True, "/chat", False, True],
        ["sessionId", None, True, "s", False, True],
        ["documentId", None, True, "7", False, True],
        ["model", None, True, "auto", False, True],
        ["placeholder", None, True, "Ask", False, True],
        ["theme", None, True, "dark", False, True],
        ["showThinking", True, True, "false", False, True],
        ["disabled", False, True, "", False, True],
        [7, 7, 8, "7 8 7"],
        [None, ""],
    ]


async def test_properties_set_before_the_definition_are_kept(site: Site) -> None:
    session = await site.conversation("apples", "about apples")
    page = await site.open("/docs", ready="h1")
    result = await page.evaluate(
        """async (sessionId) => {
          const chat = document.createElement("chat-interface");
          Object.assign(chat, { sessionId, placeholder: "Ask", labels: { send: "Senden" } });
          document.body.append(chat);
          const { ChatInterface } = await import("./static/chat-interface.js");
          class Other extends ChatInterface {}
          return [
            chat.getAttribute("session-id") === sessionId, Object.keys(chat), ChatInterface.define() === ChatInterface,
            Other.define("other-chat") === Other, document.createElement("other-chat") instanceof Other,
          ];
        }""",
        session,
    )
    assert result == [True, [], True, True, True]
    await expect(page.locator(QUESTION)).to_have_text("about apples")
    await expect(page.locator(FIELD)).to_have_attribute("placeholder", "Ask")
    await expect(page.locator(BUTTON)).to_have_attribute("aria-label", "Senden")


async def test_labels_renderer_and_headers(site: Site) -> None:
    page = await site.open()
    await page.evaluate(
        """() => {
          const chat = document.querySelector("chat-interface");
          chat.client = undefined;
          chat.labels = { send: "Senden", placeholder: "Schreib etwas" };
          chat.headers = { "X-Request-Id": "from-the-page" };
          chat.renderer = (text) => Object.assign(document.createElement("mark"), { textContent: text.toUpperCase() });
        }"""
    )
    await expect(page.locator(BUTTON)).to_have_attribute("aria-label", "Senden")
    await expect(page.locator(FIELD)).to_have_attribute("placeholder", "Schreib etwas")
    async with page.expect_request("**/messages/stream") as sent:
        await site.ask(page, "Hi")
    assert (await (await sent.value).all_headers())["x-request-id"] == "from-the-page"
    await expect(page.locator(f"{ANSWER} mark")).to_have_text("HELLO FROM A FAKE.")


async def test_without_the_lexer_text_is_plain(site: Site) -> None:
    context = await site.context()
    await context.route("**/vendor/**", lambda route: route.fulfill(status=404))
    site.fake.script = Script(answer("# not\n\na **heading**"))
    page = await site.open(context=context)
    await site.ask(page, "Hi")
    await expect(page.locator(f"{ANSWER} .plain")).to_have_text("# not\n\na **heading**")
    await expect(page.locator(f"{ANSWER} .plain")).to_have_css("white-space-collapse", "preserve")


# Records what a screen reader would say.
RECORD = """() => {
  window.announcements = [];
  const region = document.querySelector("chat-interface").shadowRoot.querySelector("[role=status]");
  new MutationObserver(() => region.textContent && window.announcements.push(region.textContent)).observe(region, { childList: true });
}"""


async def test_one_live_region_announces_and_the_log_does_not(site: Site) -> None:
    site.fake.script = Script(answer("one two"), gate=(gate := Gate()))
    page = await site.open()
    await page.evaluate(RECORD)
    await site.ask(page, "Hi")
    await expect(page.locator(ANNOUNCER)).to_have_text("The answer has started.")
    await expect(page.locator(ANNOUNCER)).to_have_attribute("aria-live", "polite")
    await expect(page.locator("chat-interface [role=log]")).to_have_attribute("aria-live", "off")
    gate.open()
    await expect(page.locator(ANNOUNCER)).to_have_text("The answer is complete.")
    assert await page.evaluate("window.announcements") == [
        "The answer has started.",
        "The answer is complete.",
    ]
    site.fake.script = refused(500, "out of memory")
    await site.ask(page, "And now?")
    await expect(page.locator(ANNOUNCER)).to_contain_text("out of memory")


async def test_each_loss_of_the_connection_is_announced_once(site: Site) -> None:
    page = await scripted(site, START, chunk("one"))
    await expect(page.locator(ANNOUNCER)).to_have_text("The answer has started.")
    await page.evaluate(RECORD)
    await say(page, LOST)
    sentence = "Connection lost, trying again…"
    await expect(page.locator(ANNOUNCER)).to_have_text(sentence)
    await say(page, LOST, chunk(" two"), LOST, LOST, done("one two"))
    await expect(page.locator(ANNOUNCER)).to_have_text("The answer is complete.")
    assert await page.evaluate("window.announcements") == [sentence, sentence, "The answer is complete."]


async def test_a_moved_element_resumes_the_answer(site: Site) -> None:
    site.fake.script = Script(answer("one two"), gate=(gate := Gate()))
    page = await site.open()
    await site.ask(page, "Hi")
    gate.let(1)
    await expect(page.locator(ANSWER)).to_have_text("one")
    await page.evaluate("window.chat = document.querySelector('chat-interface'); chat.remove()")
    await page.evaluate("document.querySelector('main').append(chat)")
    gate.open()
    await expect(page.locator(ANSWER)).to_have_text("one two")
    await eventually(lambda: site.fake.active == 0)


# -- sources


def source(number: int, **more: Any) -> dict[str, Any]:
    snippet = "\U0001f511 first\n" + "a line\n" * 60 + f"The rent {number} is due.\n" + "a line\n" * 60
    begin = snippet.index("rent")
    return {
        **{"documentId": 1, "title": "lease.pdf", "chunk": number, "snippet": snippet, "score": 1.0},
        **{"page": None, "heading": None, "found": [[begin, begin + 4]], "cited": None},
        **more,
    }


async def test_a_source_shows_what_was_found(site: Site) -> None:
    need_marked()
    sources = [source(1, page=7, heading="Rent"), source(2, heading="Rent"), source(3)]
    page = await scripted(site, {**START, "sources": sources}, chunk("So it is [1, 2], [3] and [1, 9]."))
    chips = page.locator("chat-interface .chip")
    await expect(chips).to_have_text(["1 lease.pdf p. 7", "2 lease.pdf Rent", "3 lease.pdf"])
    await page.locator("chat-interface a.reference").nth(1).click()
    await expect(chips.nth(1)).to_be_focused()
    mark = page.locator("chat-interface .snippet mark")
    await expect(mark).to_have_text("rent")
    await expect(mark).to_be_in_viewport()
    assert await page.locator("chat-interface .snippet").text_content() == sources[1]["snippet"]
    await expect(page.locator("chat-interface a.reference")).to_have_text(["1", "2", "3"])

    # At the end it is known what is cited; the passage that is read stays.
    cited = [{**each, "cited": number != 2} for number, each in enumerate(sources)]
    await say(page, done("So it is [1, 2], [3] and [1, 9].", sources=cited))
    await expect(chips).to_have_text(
        ["1 lease.pdf p. 7 Cited", "2 lease.pdf Rent Cited", "3 lease.pdf Not cited"]
    )
    await expect(chips.nth(1)).to_be_focused()
    await expect(chips.nth(1)).to_have_attribute("aria-expanded", "true")
    await expect(chips.first).to_have_attribute("title", "Source 1: lease.pdf · p. 7 · Rent · Cited")
    await expect(mark).to_be_in_viewport()
    await chips.nth(2).click()
    await expect(mark).to_be_in_viewport()
    assert await page.locator("chat-interface .snippet").text_content() == sources[2]["snippet"]


async def test_a_source_is_scrolled_to_where_most_was_found(site: Site) -> None:
    snippet = "Your rent\n" + "a line\n" * 60 + "The rent for August\nis due on Monday.\n" + "rent\n" * 60
    found = [match.span() for match in re.finditer("rent|August|Monday", snippet)]
    page = await scripted(site, {**START, "sources": [source(1, snippet=snippet, found=found)]}, chunk("So."))
    await page.locator("chat-interface .chip").click()
    for word in ("August", "Monday"):
        await expect(page.locator("chat-interface .snippet mark", has_text=word)).to_be_in_viewport()
    await expect(page.locator("chat-interface .snippet mark").first).not_to_be_in_viewport()


async def test_chips_stand_beside_each_other_however_long_their_headings_are(site: Site) -> None:
    sources = [source(number, heading="A heading of many words " * 9) for number in (1, 2, 3)]
    page = await scripted(
        site, {**START, "sources": [{**each, "cited": True} for each in sources]}, chunk("So.")
    )
    chips = page.locator("chat-interface .chip")
    widths = "(chip) => [chip, chip.parentElement, chip.querySelector('svg')].map((it) => it.getBoundingClientRect().width)"
    for chip in await chips.all():
        width, place, icon = await chip.evaluate(widths)
        assert width == place
        assert icon >= 12
