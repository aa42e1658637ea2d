"""axe-core finds nothing serious: light and dark, empty, while an answer streams, after it. Keys reach everything."""

# Scripts and strings of the web read better in one line.
# ruff: noqa: E501

import pytest
from browser import ANSWER, BUTTON, FIELD, Site, axe, browser, browser_test, site
from fake_ollama import Gate, Script, answer, refused

pytest.importorskip("playwright")
from playwright.async_api import Page, expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = browser_test

TEXT = "# Title\n\nText, [link](https://a.org), `code`\n\n```python\nprint(1)\n```\n\n> quote\n\n| a | b |\n|-|-|\n| 1 | 2 |\n\n- [x] done"


async def serious(page: Page) -> list[str]:
    await page.evaluate(axe())
    found = await page.evaluate("axe.run().then(({ violations }) => violations)")
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in found
        for node in violation["nodes"]
        if violation["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 1200), ("dark", 320)])
async def test_axe_finds_nothing_serious(site: Site, scheme: str, width: int) -> None:
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


async def test_everything_is_reached_by_keys(site: Site) -> None:
    page = await site.open()
    await site.ask(page, "Hi")
    await expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
    reached = []
    await page.evaluate("document.activeElement.blur(); document.body.focus()")
    for _ in range(40):
        await page.keyboard.press("Tab")
        reached.append(
            await page.evaluate(
                """() => {
                  let element = document.activeElement;
                  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
                  return element?.getAttribute("aria-label") || element?.id || element?.textContent || "";
                }"""
            )
        )
    wanted = {
        "new", "Search conversations", "Hi", "Rename Hi", "Delete Hi", "model", "Export",
        "Conversation", "Copy", "Edit", "Regenerate", "Attach a picture", "Write a message", "Send",
    }  # fmt: skip
    assert wanted <= set(reached)


async def test_the_focus_stays_where_the_reader_is(site: Site) -> None:
    """On the button, from Send to Stop and back; in the field after Enter."""
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
