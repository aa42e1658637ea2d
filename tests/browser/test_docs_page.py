"""The page at `/docs`: all calls with their fields and errors, lines for curl that work, for every reader."""

import asyncio
import json
import re
import shutil
from typing import Any, Final

import pytest
from browser import STATIC, Site, axe, browser, browser_test, missing, site
from chat_client import Client

from chatproxy import Config, create_app
from chatproxy.web.openapi import OPENAPI

pytest.importorskip("playwright")
from playwright.async_api import Page, expect

__all__ = ["browser", "site"]  # the fixtures

API: Final = json.loads(bytes(create_app(Config())[OPENAPI].content))
PHONE: dict[str, Any] = {"viewport": {"width": 320, "height": 600}}
NEW_SESSION: Final = "POST /api/chat/sessions"
SEND: Final = "POST /api/chat/sessions/{sid}/messages"


async def docs(site: Site, fragment: str = "", **options: Any) -> Page:
    return await site.open(f"/docs{fragment}", ready="#types", **options)


def article(page: Page, name: str) -> Any:
    return page.get_by_role("article", name=name, exact=True)


async def copied(page: Page, name: str) -> str:
    """What is on the clipboard after a press on a call's button."""
    button = article(page, name).get_by_role("button", name="Copy the curl command")
    await button.press("Enter")
    await expect(page.locator("#announcer")).to_have_text("Copied.")
    return str(await page.evaluate("navigator.clipboard.readText()"))


async def run(line: str, **variables: str) -> Any:
    """What the line prints in a shell, as JSON."""
    if shutil.which("curl") is None:
        missing("curl")
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", line), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=variables
    )
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    return json.loads(output)


@browser_test
async def test_all_calls_are_listed_with_their_fields_and_errors(site: Site) -> None:
    page = await docs(site)
    for path, methods in API["paths"].items():
        for method, operation in methods.items():
            shown = article(page, f"{method.upper()} {path}")
            await expect(shown.locator("p").first).to_have_text(operation["summary"])
            text = await shown.inner_text()
            said = [each["name"] for each in operation["parameters"]] + list(operation["responses"])
            for content in operation.get("requestBody", {}).get("content", {}).values():
                name = content["schema"]["$ref"].rpartition("/")[2]
                said += API["components"]["schemas"][name]["properties"]
            for status, response in operation["responses"].items():
                said += re.split(", ", response["description"]) if status >= "400" else []
            assert [each for each in said if each not in text] == []


@browser_test
async def test_all_types_are_listed_and_no_link_leads_nowhere(site: Site) -> None:
    page = await docs(site)
    for name, schema in API["components"]["schemas"].items():
        fields = article(page, name).locator("dt > code")
        await expect(fields).to_have_text(list(schema.get("properties", {})))
    targets = await page.locator("a[href^='#']").evaluate_all("(links) => links.map((link) => link.hash)")
    assert len(targets) > 50
    ids = await page.locator("[id]").evaluate_all("(all) => all.map(({ id }) => `#${id}`)")
    assert set(targets) <= set(ids)


@browser_test
async def test_a_field_says_its_type_and_its_limits(site: Site) -> None:
    sending = article(await docs(site), SEND)
    for field, text in (
        ("message", "string, not empty · required"),
        ("replaces", "integer, at least 1 or null"),
        ("clientMessageId", "string, matching ^[A-Za-z0-9._:-]{1,64}$ or null"),
        ("think", "boolean or high or low or max or medium or null"),
        ("images", "array of string, base64 or null"),
    ):
        await expect(sending.locator(f"dt:has(code:text-is('{field}')) + dd")).to_have_text(text)


@browser_test
async def test_the_copied_lines_work(site: Site) -> None:
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


@browser_test
async def test_behind_a_token_the_page_is_open_and_its_lines_send_it(site: Site) -> None:
    site.settings = {"api_token": "secret"}
    page = await docs(site, permissions=["clipboard-read", "clipboard-write"])
    line = await copied(page, NEW_SESSION)
    assert (await run(line))["code"] == "unauthorized"
    assert (await run(line, TOKEN="secret"))["id"]
    assert "TOKEN" not in await copied(page, "GET /healthz")


@browser_test
async def test_it_works_under_a_prefix(site: Site) -> None:
    site.prefix = "/tools/chat"
    page = await docs(site, permissions=["clipboard-read", "clipboard-write"])
    assert (await run(await copied(page, NEW_SESSION)))["id"]
    assert all("/tools/chat" in url for url in site.requests)


@browser_test
async def test_a_link_into_the_page_leads_to_its_call(site: Site) -> None:
    page = await docs(site, "#cancelMessage")
    name = "POST /api/chat/sessions/{sid}/messages/{mid}/cancel"
    await expect(article(page, name).locator("h3")).to_be_in_viewport()


@browser_test
async def test_it_says_when_the_document_cannot_be_read(site: Site) -> None:
    context = await site.context()
    await context.route("**/openapi.json", lambda route: route.fulfill(status=503, body="no"))
    page = await site.open("/docs", context, ready="#about")
    await expect(page.locator("#about")).to_have_text(
        "The API description cannot be loaded: The server answered with status 503."
    )


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 1200), ("dark", 320)])
@browser_test
async def test_it_is_readable_in_light_and_dark_wide_and_narrow(site: Site, scheme: Any, width: int) -> None:
    page = await docs(site, color_scheme=scheme, viewport={"width": width, "height": 600})
    color = {"light": "rgb(255, 255, 255)", "dark": "rgb(28, 28, 30)"}[scheme]
    await expect(page.locator("body")).to_have_css("background-color", color)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await page.evaluate(axe())
    found = await page.evaluate("axe.run().then(({ violations }) => violations)")
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []


@browser_test
async def test_keys_reach_the_calls_and_their_buttons(site: Site) -> None:
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


async def test_it_is_served_as_strictly_as_the_chat_page(client: Client) -> None:
    async with client.http.get(client.url("/docs")) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


def test_it_has_nothing_inline_and_names_no_other_place() -> None:
    html = (STATIC / "docs" / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|https?:|(?:src|href)=\"/", html)
