"""What can be done with a message that is there: look at other versions, continue, delete, see its facts."""

import re
import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from browser import ANSWER, FIELD, QUESTION, STATUS, Site, browser, browser_test, serious, site, until
from fake_ollama import MODEL, FakeOllama, Gate, Script, answer, last, token
from faults.place import free_port
from processes import Process
from waiting import until as happened

pytest.importorskip("playwright")
from playwright.async_api import Browser, Page, expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]


_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


async def say(site: Site, page: Page, text: str, reply: str) -> None:
    site.fake.script = Script(answer(reply))
    await site.ask(page, text)
    await ended(page)


async def ended(page: Page) -> None:
    await until(page, "() => !document.querySelector('chat-interface').busy")


async def edit_last(site: Site, page: Page, text: str, reply: str) -> None:
    site.fake.script = Script(answer(reply))
    await page.get_by_role("button", name="Edit").last.click()
    field = page.get_by_role("textbox", name="Edit message")
    await field.fill(text)
    await field.press("Enter")
    await expect(page.locator(QUESTION).last).to_have_text(text)
    await ended(page)


async def test_earlier_versions_of_an_answer_are_shown_with_their_questions(site: Site) -> None:
    page = await site.open()
    await say(site, page, "One?", "First.")
    site.fake.script = Script(answer("Second."))
    await page.get_by_role("button", name="Regenerate").click()
    await expect(page.locator(ANSWER)).to_have_text("Second.")
    await ended(page)
    await edit_last(site, page, "Two?", "Third.")
    for reloaded in (False, True):
        if reloaded:
            await page.reload()
        await expect(page.get_by_label("Version 3 of 3")).to_have_text("3/3")
        previous = page.get_by_role("button", name="Previous version")
        for number, question, reply in ((2, "One?", "Second."), (1, "One?", "First.")):
            await previous.press("Enter")
            await expect(page.get_by_label(f"Version {number} of 3")).to_be_visible()
            await expect(page.locator(QUESTION)).to_have_text(question)
            await expect(page.locator(ANSWER)).to_have_text(reply)
        await expect(page.get_by_text("An earlier version.")).to_be_visible()
        for name in ("Regenerate", "Edit", "Delete message"):
            await expect(page.get_by_role("button", name=name)).to_have_count(0)
        await expect(previous).to_have_attribute("aria-disabled", "true")
        following = page.get_by_role("button", name="Next version")
        await following.click()
        await following.click()
        await expect(page.locator(QUESTION)).to_have_text("Two?")
        await expect(page.locator(ANSWER)).to_have_text("Third.")
        await expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
    await page.close()


async def test_one_message_is_deleted_after_a_question(site: Site) -> None:
    page = await site.open()
    await say(site, page, "One?", "First.")
    await say(site, page, "Two?", "Second.")
    remove = page.get_by_role("button", name="Delete message")
    await remove.nth(1).click()  # of the first answer
    await page.keyboard.press("Escape")
    await expect(remove.nth(1)).to_be_focused()
    await remove.nth(1).click()
    assert await serious(page) == []
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(page.locator(ANSWER)).to_have_text(["Second."])
    await page.get_by_role("button", name="Delete message").nth(1).click()  # of the second question
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(page.locator(QUESTION)).to_have_text(["One?"])
    await expect(
        page.get_by_role("button", name="Regenerate")
    ).to_be_visible()  # the first one has an answer again
    await page.reload()
    await expect(page.locator(QUESTION)).to_have_text(["One?"])
    await expect(page.locator(ANSWER)).to_have_text(["Second."])
    await page.close()


async def test_an_answer_whose_question_was_deleted_cannot_be_asked_for_again(site: Site) -> None:
    page = await site.open()
    await say(site, page, "One?", "First.")
    await page.get_by_role("button", name="Delete message").first.click()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(page.locator(QUESTION)).to_have_count(0)
    await expect(page.get_by_role("button", name="Regenerate")).to_have_count(0)
    await page.close()


async def test_an_answer_cut_at_its_limit_is_continued(site: Site) -> None:
    page = await site.open()
    site.fake.script = Script([token("Once upon"), last(reason="length")])
    await site.ask(page, "A story")
    continued = page.get_by_role("button", name="Continue")
    await continued.wait_for()
    site.fake.script = Script(answer(" a time."))
    await continued.click()
    await expect(page.locator(ANSWER)).to_have_text(["Once upon", "a time."])
    texts = [message["content"] for message in site.fake.requests[-1]["messages"]]
    assert texts == ["A story", "Once upon", "Continue exactly where you stopped."]
    await expect(page.get_by_role("button", name="Continue")).to_have_count(0)  # it is not the last any more
    await page.close()


async def test_an_answer_that_the_reader_stopped_is_continued(site: Site) -> None:
    page = await site.open()
    site.fake.script = Script(answer("Once upon a time."), gate=(gate := Gate()))
    await site.ask(page, "A story")
    continued = page.get_by_role("button", name="Continue")
    gate.let(2)
    await expect(page.locator(ANSWER)).to_have_text("Once upon")
    await expect(continued).to_have_count(0)
    await page.keyboard.press("Escape")
    await continued.wait_for()
    await page.reload()
    assert await serious(page) == []
    site.fake.script = Script(answer(" a time."))
    await continued.click()
    await expect(page.locator(ANSWER)).to_have_text(["Once upon", "a time."])
    texts = [message["content"] for message in site.fake.requests[-1]["messages"]]
    assert texts == ["A story", "Once upon", "Continue exactly where you stopped."]

    # Without any text, there is nothing to go on from.
    site.fake.script = Script(answer("one"), head=Gate())
    await site.ask(page, "Count")
    await page.keyboard.press("Escape")
    await expect(page.locator("chat-interface .assistant .note").last).to_have_text("Stopped.")
    await expect(continued).to_have_count(0)


async def test_an_answer_that_a_crash_interrupted_is_continued(browser: Browser, tmp_path: Path) -> None:
    """In a tab that waited for the server, as in one that is opened afterwards."""

    def stored() -> bool:
        with closing(sqlite3.connect(tmp_path / "chatproxy.db")) as connection:
            (text,) = connection.execute("SELECT group_concat(content, '') FROM piece").fetchone()
        return bool(text == "Once upon")

    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(FakeOllama())
        context = await browser.new_context()
        stack.push_async_callback(context.close)
        page, later = await context.new_page(), await context.new_page()
        settings: dict[str, Any] = {"port": free_port(), "ollama_host": fake.url, "default_model": MODEL}
        fake.script = Script(answer("Once upon a time."), gate=(gate := Gate()))
        async with Process.running(tmp_path, **settings) as process:
            await page.goto(process.client.base)
            await page.locator(FIELD).fill("A story")
            await page.locator(FIELD).press("Enter")
            gate.let(2)
            await happened(stored)
        await stack.enter_async_context(Process.running(tmp_path, **settings))
        fake.script = Script(answer(" a time."))
        await page.get_by_role("button", name="Continue").wait_for()
        await later.goto(page.url)
        await later.get_by_role("button", name="Continue").click()
        await expect(later.locator(ANSWER)).to_have_text(["Once upon", "a time."])
        texts = [message["content"] for message in fake.requests[-1]["messages"]]
        assert texts == ["A story", "Once upon", "Continue exactly where you stopped."]


async def test_what_is_known_of_an_answer_is_reached_by_keyboard_and_touch(site: Site) -> None:
    page = await site.open()
    await say(site, page, "Hi", "Hello.")
    facts = page.locator("chat-interface button.facts")
    await expect(facts).to_contain_text(":270m")
    await expect(facts).to_have_attribute("aria-expanded", "false")
    await facts.press("Enter")
    listed = page.locator("chat-interface .facts-list")
    await expect(listed).to_contain_text(":270m: ")
    await expect(listed).to_contain_text("tokens written")
    await expect(listed).to_contain_text("complete after")
    await expect(page.locator("chat-interface time")).to_have_attribute("datetime", _TIME)
    assert await serious(page) == []
    await page.close()


async def test_the_time_of_thinking_is_told_also_after_a_reload(site: Site) -> None:
    def lines(request: Any) -> Script:
        return Script([token("", thinking="Hm."), token("Yes."), last()], delays=[0.0, 1.2, 0.0])

    page = await site.open()
    site.fake.script = lines
    await site.ask(page, "Really?")
    thought = page.get_by_text("Thought for 1.")
    await ended(page)
    await expect(thought).to_be_visible()
    await page.reload()
    await expect(thought).to_be_visible()
    await expect(page.locator(STATUS)).to_be_hidden()
    await page.close()
