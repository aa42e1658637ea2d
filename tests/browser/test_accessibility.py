"""axe-core reports nothing serious, in light and dark, before, during and after an answer; keys reach everything."""

# Scripts and Markdown read better in one line.
# ruff: noqa: E501

import pytest
from browser import ANSWER, BUTTON, FIELD, Site, browser, browser_test, serious, site
from fake_ollama import Gate, Script, answer, refused

pytest.importorskip("playwright")
from playwright.async_api import Page, expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

TEXT = "# Title\n\nText, [link](https://a.org), `code`\n\n```python\nprint(1)\n```\n\n> quote\n\n| a | b |\n|-|-|\n| 1 | 2 |\n\n- [x] done"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 1200), ("dark", 320)])
async def test_axe_reports_nothing_serious(site: Site, scheme: str, width: int) -> None:
    site.fake.script = Script(answer(TEXT, thinking="Hm, let me see"), gate=(gate := Gate()))
    page = await site.open(color_scheme=scheme, viewport={"width": width, "height": 700})
    assert await serious(page) == []
    await site.ask(page, "Show me")
    gate.let(12)
    await expect(page.locator(ANSWER)).to_contain_text("link")
    assert await serious(page) == []
    gate.open()
    await expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
    site.fake.script = refused(500, "out of memory")
    await site.ask(page, "And now?")
    await expect(page.get_by_role("button", name="Retry")).to_be_visible()
    await page.locator("chat-interface .user").last.hover()
    assert await serious(page) == []


async def test_keys_reach_every_control(site: Site) -> None:
    page = await site.open()
    await site.ask(page, "Hi")
    await expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
    reached = []
    await page.evaluate("document.activeElement.blur(); document.body.focus()")
    for _ in range(40):
        await page.keyboard.press("Tab")
        reached.append(await focused(page))
    wanted = {
        "new", "Search conversations", "Hi", "Rename Hi", "Delete Hi", "model", "Export",
        "Conversation", "Copy", "Edit", "Regenerate", "Attach pictures or documents", "Write a message", "Send",
    }  # fmt: skip
    assert wanted <= set(reached)


FOCUSED = """() => {
  let element = document.activeElement;
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  return element?.getAttribute("aria-label") || element?.id || element?.textContent || "";
}"""


async def focused(page: Page) -> str:
    return str(await page.evaluate(FOCUSED))


async def test_the_list_keeps_the_focus(site: Site) -> None:
    for title in ("plums", "pears", "apples"):
        await site.new_session(title=title)
    page = await site.open()
    await page.get_by_role("button", name="Rename pears").press("Enter")
    await page.keyboard.press("Escape")
    assert await focused(page) == "pears"
    await page.get_by_role("button", name="Rename pears").press("Enter")
    await page.keyboard.type("figs")
    await page.keyboard.press("Enter")
    await expect(page.locator("#sessions a")).to_have_text(["apples", "figs", "plums"])
    assert await focused(page) == "figs"
    await page.get_by_role("button", name="Delete apples").press("Enter")
    await page.locator("#confirm").get_by_role("button", name="Delete").press("Enter")
    await expect(page.locator("#sessions a")).to_have_text(["figs", "plums"])
    assert await focused(page) == "figs"


async def test_editing_and_regenerating_keep_the_focus(site: Site) -> None:
    page = await site.open()
    await site.ask(page, "Hi")
    await page.get_by_role("button", name="Edit").press("Enter")
    await page.keyboard.press("Escape")
    assert await focused(page) == "Edit"
    site.fake.script = Script(answer("one"), head=Gate())
    await page.get_by_role("button", name="Regenerate").press("Enter")
    await expect(page.locator(BUTTON)).to_have_attribute("aria-label", "Stop")
    assert await focused(page) == "Stop"
    await page.keyboard.press("Escape")
    await expect(page.locator("chat-interface .assistant .note")).to_contain_text("Stopped.")


async def test_esc_closes_the_menu_and_the_sidebar_and_restores_the_focus(site: Site) -> None:
    page = await site.open(viewport={"width": 390, "height": 700})
    await site.ask(page, "Hi")
    await page.get_by_label("Export", exact=True).wait_for()
    await page.get_by_label("Export", exact=True).press("Enter")
    await expect(page.get_by_role("button", name="Markdown")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Markdown")).to_be_hidden()
    assert await focused(page) == "Export"
    await page.locator("#menu").press("Enter")
    reached = set()
    for _ in range(12):
        await page.keyboard.press("Tab")
        reached.add(await focused(page))
    assert "Search conversations" in reached
    assert not reached & {"Write a message", "Export", "Conversation"}  # those are behind the sidebar
    await page.locator("#search").press("Escape")
    await expect(page.locator("#sidebar")).to_be_hidden()
    assert await focused(page) == "Show conversations"


async def test_the_button_keeps_the_focus_from_send_to_stop_and_back(site: Site) -> None:
    site.fake.script = Script(answer("one two"), gate=(gate := Gate()))
    page = await site.open()
    await page.locator(FIELD).fill("Hi")
    await page.locator(BUTTON).focus()
    await page.keyboard.press("Enter")
    await expect(page.locator(BUTTON)).to_have_attribute("aria-label", "Stop")
    await expect(page.locator(BUTTON)).to_be_focused()
    gate.open()
    await expect(page.locator(BUTTON)).to_have_attribute("aria-label", "Send")
    await expect(page.locator(BUTTON)).to_be_focused()
