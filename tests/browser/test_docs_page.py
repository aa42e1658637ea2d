"""The page at `/docs`: all operations with their fields and errors, and curl commands that work."""

import asyncio
import json
import re
import shutil
from typing import Any, Final

import pytest
from browser import Site, browser, browser_test, missing, serious, site

from chatproxy import Config, create_app
from chatproxy.web.openapi import OPENAPI

pytest.importorskip("playwright")
from playwright.async_api import Page, expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

API: Final = json.loads(bytes(create_app(Config())[OPENAPI].content))
PHONE: dict[str, Any] = {"viewport": {"width": 320, "height": 600}}
NEW_SESSION: Final = "POST /api/chat/sessions"
SEND: Final = "POST /api/chat/sessions/{sid}/messages"


async def docs(site: Site, fragment: str = "", **options: Any) -> Page:
    return await site.open(f"/docs{fragment}", ready="#types", **options)


def article(page: Page, name: str) -> Any:
    return page.get_by_role("article", name=name, exact=True)


async def copied(page: Page, name: str) -> str:
    """Press the button of an operation, and return what is on the clipboard."""
    button = article(page, name).get_by_role("button", name="Copy the curl command")
    await button.press("Enter")
    await expect(page.locator("#announcer")).to_have_text("Copied.")
    return str(await page.evaluate("navigator.clipboard.readText()"))


async def run(command: str, **variables: str) -> Any:
    """Run the command in a shell, and return the JSON that it prints."""
    if shutil.which("curl") is None:
        missing("curl")
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", command),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=variables,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    return json.loads(output)


async def test_all_operations_are_listed_with_their_fields_and_errors(site: Site) -> None:
    page = await docs(site)
    for path, methods in API["paths"].items():
        for method, operation in methods.items():
            entry = article(page, f"{method.upper()} {path}")
            await expect(entry.locator("p").first).to_have_text(operation["summary"].replace("`", ""))
            text = await entry.inner_text()
            said = [each["name"] for each in operation["parameters"]] + list(operation["responses"])
            for content in operation.get("requestBody", {}).get("content", {}).values():
                name = content["schema"].get("$ref", "").rpartition("/")[2]
                said += API["components"]["schemas"].get(name, {}).get("properties", [])
            for status, response in operation["responses"].items():
                said += re.split(", ", response["description"]) if status >= "400" else []
            assert [each for each in said if each not in text] == []


async def test_all_types_are_listed_and_every_link_has_a_target(site: Site) -> None:
    page = await docs(site)
    for name, schema in API["components"]["schemas"].items():
        fields = article(page, name).locator("dt > code")
        await expect(fields).to_have_text(list(schema.get("properties", {})))
    targets = await page.locator("a[href^='#']").evaluate_all("(links) => links.map((link) => link.hash)")
    assert len(targets) > 50
    ids = await page.locator("[id]").evaluate_all("(all) => all.map(({ id }) => `#${id}`)")
    assert set(targets) <= set(ids)


async def test_a_field_shows_its_type_and_limits(site: Site) -> None:
    sending = article(await docs(site), SEND)
    for field, text in (
        ("message", "string (at most 262144 characters) · required"),
        ("replaces", "integer (at least 1) or null"),
        ("clientMessageId", "string (matching ^[A-Za-z0-9._:-]{1,64}$) or null"),
        ("think", "boolean or high or low or max or medium or null"),
        ("images", "array of string (4 to 16777216 characters, base64) or null"),
    ):
        await expect(sending.locator(f"dt:has(code:text-is('{field}')) + dd")).to_have_text(text)


async def test_a_body_without_fields_of_its_own_is_described(site: Site) -> None:
    page = await docs(site)
    importing = article(page, "POST /api/chat/sessions/import")
    await expect(importing).to_contain_text("conversations.json of ChatGPT, an export of Open WebUI")
    tags = await page.locator("#operations > h2").all_inner_texts()
    assert {"OpenAI", "AI SDK"} <= set(tags)


async def test_copied_commands_work(site: Site) -> None:
    page = await docs(site, permissions=["clipboard-read", "clipboard-write"])
    session = await run(await copied(page, NEW_SESSION))
    assert (
        session["title"]
        == API["paths"]["/api/chat/sessions"]["post"]["requestBody"]["content"]["application/json"][
            "example"
        ]["title"]
    )
    answer = await run(await copied(page, SEND), SESSION=session["id"])
    assert answer["fullResponse"] == "Hello from a fake."
    listed = await run(await copied(page, "GET /api/chat/sessions/{sid}/messages"), SESSION=session["id"])
    assert [message["id"] for message in listed["messages"]][1] == answer["assistantMessageId"]


async def test_the_page_needs_no_token_but_its_commands_send_it(site: Site) -> None:
    site.settings = {"api_token": "secret"}
    page = await docs(site, permissions=["clipboard-read", "clipboard-write"])
    line = await copied(page, NEW_SESSION)
    assert (await run(line))["code"] == "unauthorized"
    assert (await run(line, TOKEN="secret"))["id"]
    assert "TOKEN" not in await copied(page, "GET /healthz")


async def test_it_works_under_a_prefix(site: Site) -> None:
    site.prefix = "/tools/chat"
    page = await docs(site, permissions=["clipboard-read", "clipboard-write"])
    assert (await run(await copied(page, NEW_SESSION)))["id"]
    assert all("/tools/chat" in url for url in site.requests)


async def test_a_fragment_scrolls_to_its_operation(site: Site) -> None:
    page = await docs(site, "#cancelMessage")
    name = "POST /api/chat/sessions/{sid}/messages/{mid}/cancel"
    await expect(article(page, name).locator("h3")).to_be_in_viewport()


async def test_it_says_when_the_description_cannot_be_loaded(site: Site) -> None:
    context = await site.context()
    await context.route("**/openapi.json", lambda route: route.fulfill(status=503, body="no"))
    page = await site.open("/docs", context, ready="#about")
    await expect(page.locator("#about")).to_have_text(
        "The API description cannot be loaded: The server answered with status 503."
    )


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 1200), ("dark", 320)])
async def test_it_is_accessible_in_light_and_dark_wide_and_narrow(
    site: Site, scheme: Any, width: int
) -> None:
    page = await docs(site, color_scheme=scheme, viewport={"width": width, "height": 600})
    color = {"light": "rgb(255, 255, 255)", "dark": "rgb(28, 28, 30)"}[scheme]
    await expect(page.locator("body")).to_have_css("background-color", color)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert await serious(page) == []


async def test_keys_reach_the_operations_and_their_buttons(site: Site) -> None:
    page = await docs(site)
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the operations")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    focused = await page.evaluate("document.activeElement.closest('main') !== null")
    assert focused
    button = article(page, NEW_SESSION).get_by_role("button")
    await button.focus()
    await expect(button).to_be_focused()
