"""The page at `/docs/element`: what custom-elements.json has, the texts, and elements that can be tried."""

import json
from typing import Any, Final

import pytest
from browser import ANSWER, FIELD, STATIC, Site, browser, browser_test, serious, site

pytest.importorskip("playwright")
from playwright.async_api import Page, expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

MANIFEST: Final = json.loads((STATIC / "custom-elements.json").read_text())
ELEMENTS: Final = [module["declarations"][0] for module in MANIFEST["modules"]]
KINDS: Final = {
    "attributes": "attributes",
    "events": "events",
    "slots": "slots",
    "cssParts": "parts",
    "cssProperties": "custom-properties",
}
TOKEN: Final = "correct-horse-battery"


async def reference(site: Site, script: str = "", **options: Any) -> Page:
    return await site.open("/docs/element", script=script, ready="#chat-history-labels", **options)


async def test_all_of_each_element_is_listed(site: Site) -> None:
    page = await reference(site)
    for element in ELEMENTS:
        tag = element["tagName"]
        for kind, fragment in KINDS.items():
            names = [each["name"] for each in element.get(kind, [])]
            said = await page.locator(f"#{tag}-{fragment} dt").all_inner_texts()
            assert len(said) == len(names)
            assert all(name in text for name, text in zip(names, said, strict=True))
        members = await page.locator(f"#{tag}-properties dt, #{tag}-methods dt").count()
        assert members == len(element["members"])
    await expect(page.locator("#chat-interface-labels")).to_contain_text("Write a message")
    await expect(page.locator("#chat-launcher-labels")).to_contain_text("Open chat")
    targets = await page.locator("nav a[href^='#']").evaluate_all("(links) => links.map((link) => link.hash)")
    ids = await page.locator("[id]").evaluate_all("(all) => all.map(({ id }) => `#${id}`)")
    assert set(targets) <= set(ids)


async def test_the_elements_can_be_tried(site: Site) -> None:
    site.settings = {"api_token": TOKEN}
    site.prefix = "/tools/chat"
    page = await reference(site, f"sessionStorage.setItem('chatproxy token', {json.dumps(TOKEN)})")
    await page.locator("#chat textarea").fill("Hello")
    await page.locator("#chat textarea").press("Enter")
    await expect(page.locator(f"#chat {ANSWER.split(maxsplit=1)[1]}")).to_have_text("Hello from a fake.")
    await expect(page.locator("chat-history .session")).to_have_text(["Hello"])
    await page.get_by_label("placeholder").fill("Ask me")
    await expect(page.locator("#chat textarea")).to_have_attribute("placeholder", "Ask me")
    await page.get_by_label("theme").first.select_option("dark")
    await expect(page.locator("#chat")).to_have_css("color-scheme", "dark")
    await page.locator("main > details > summary").first.click()
    await page.get_by_label("--chat-background").first.fill("rgb(1, 2, 3)")
    await expect(page.locator("#chat")).to_have_css("background-color", "rgb(1, 2, 3)")
    await expect(page.locator(".curl").first).to_contain_text(
        '<chat-interface placeholder="Ask me" theme="dark" style="--chat-background: rgb(1, 2, 3);"'
    )
    await page.get_by_label("label", exact=True).fill("Help")
    await page.get_by_label("open", exact=True).check()
    await expect(page.get_by_role("dialog", name="Help")).to_be_visible()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
async def test_it_is_accessible(site: Site, scheme: Any, width: int) -> None:
    page = await reference(site, color_scheme=scheme, viewport={"width": width, "height": 800})
    await page.locator(FIELD).first.wait_for()
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert await serious(page) == []
