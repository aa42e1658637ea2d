"""The settings of a conversation, and the keyboard shortcuts, of the page at `/`."""

from typing import Any

import pytest
from browser import ANSWER, FIELD, Site, browser, browser_test, serious, site, until
from fake_ollama import Script, answer

pytest.importorskip("playwright")
from playwright.async_api import Page, expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]


async def ask(site: Site, page: Page, text: str) -> dict[str, Any]:
    """Send a message, wait for the end of the answer, and return what Ollama was sent."""
    site.fake.script = Script(answer("Hello."))
    await site.ask(page, text)
    await until(page, "() => !document.querySelector('chat-interface').busy")
    return site.fake.requests[-1]


async def open_settings(page: Page) -> None:
    await page.get_by_role("button", name="Settings of this conversation").click()
    await expect(page.get_by_label("System prompt")).to_be_focused()


async def test_settings_are_those_of_one_conversation(site: Site) -> None:
    site.settings = {"default_model": "auto"}  # one of these can think
    page = await site.open()
    await open_settings(page)
    assert await serious(page) == []
    await page.get_by_label("System prompt").fill("Be brief.")
    await page.get_by_label("Thinking").select_option(label="Much")
    await page.get_by_label("Temperature").fill("0.3")
    await page.keyboard.press("Enter")
    for text in ("One", "Two"):
        sent = await ask(site, page, text)
        assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
        assert (sent["think"], sent["options"]) == ("high", {"temperature": 0.3})
    await page.reload()
    await expect(page.locator(ANSWER)).to_have_count(2)
    await open_settings(page)
    await expect(page.get_by_label("Temperature")).to_have_value("0.3")
    await page.get_by_label("Temperature").fill("")
    await page.get_by_label("Thinking").select_option(label="Off")
    await page.get_by_role("button", name="Save").click()
    sent = await ask(site, page, "Three")
    assert (sent["think"], sent.get("options")) == (False, None)
    await page.get_by_role("button", name="New chat").click()
    sent = await ask(site, page, "Four")
    assert sent["messages"] == [{"role": "user", "content": "Four"}]
    assert "think" not in sent
    await page.close()


async def test_settings_that_are_dismissed_stay_as_they_were(site: Site) -> None:
    page = await site.open()
    await open_settings(page)
    await page.get_by_label("System prompt").fill("Be brief.")
    await page.keyboard.press("Escape")
    assert (await ask(site, page, "One"))["messages"] == [{"role": "user", "content": "One"}]
    await page.close()


async def test_shortcuts(site: Site) -> None:
    page = await site.open(permissions=["clipboard-read", "clipboard-write"])
    await ask(site, page, "One")
    await page.keyboard.press("Control+k")
    await expect(page.get_by_label("Search conversations")).to_be_focused()
    await page.keyboard.press("Shift+Escape")
    await expect(page.locator(FIELD)).to_be_focused()
    await page.keyboard.press("Control+Shift+C")
    await until(page, "() => navigator.clipboard.readText().then((text) => text === 'Hello.')")
    await page.keyboard.press("Control+/")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    await expect(dialog.get_by_role("listitem")).to_have_count(6)
    assert await serious(page) == []
    await page.keyboard.press("Control+Shift+O")  # not while a dialog is open
    await expect(page.locator(ANSWER)).to_have_count(1)
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+Shift+O")
    await expect(page.locator(ANSWER)).to_have_count(0)
    await expect(page.locator(FIELD)).to_be_focused()
    await page.close()
