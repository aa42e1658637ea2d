"""The page at `/docs`: all operations with their fields and errors, and curl commands that work."""

import asyncio
import json
import math
import os
import re
import shutil
from pathlib import Path
from typing import Any, Final

import pytest
from browser import Site, browser, browser_test, missing, serious, site
from fake_ollama import Gate, Request, Script, answer

from chatproxy import Config, create_app
from chatproxy.web.openapi import OPENAPI
from examples import events, shape

pytest.importorskip("playwright")
from playwright.async_api import Page, expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

API: Final = json.loads(bytes(create_app(Config())[OPENAPI].content))
PHONE: dict[str, Any] = {"viewport": {"width": 320, "height": 600}}
NEW_SESSION: Final = "POST /api/chat/sessions"
SEND: Final = "POST /api/chat/sessions/{sid}/messages"


async def docs(site: Site, fragment: str = "", **options: Any) -> Page:
    return await site.open(f"/docs{fragment}", ready="#tag-types", **options)


def article(page: Page, name: str) -> Any:
    return page.get_by_role("article", name=name, exact=True)


async def opened(page: Page, name: str) -> Any:
    entry = article(page, name)
    await entry.locator("details").first.evaluate("(details) => { details.open = true }")
    return entry


async def copied(page: Page, name: str) -> str:
    """Open an operation, press its button, and return what is on the clipboard."""
    await opened(page, name)
    button = article(page, name).get_by_role("button", name=f"Copy the curl command for {name}", exact=True)
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
            await expect(entry.locator("summary p")).to_have_text(operation["summary"].replace("`", ""))
            text = await entry.text_content()
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
    tags = await page.locator(".group > summary h2").all_inner_texts()
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


async def test_the_command_of_a_form_has_its_fields(site: Site) -> None:
    page = await docs(site, permissions=["clipboard-read", "clipboard-write"])
    for name, words in (
        ("POST /api/login", '-H "Login-Code: $LOGIN_CODE"'),
        ("POST /v1/audio/transcriptions", '-F "model=$MODEL" -F "file=@$FILE"'),
    ):
        await expect(article(page, name).locator(".curl code")).to_contain_text(words)
    uploading = article(page, "POST /api/documents").locator(".curl code")
    await expect(uploading.nth(1)).to_contain_text('curl -F "file=@$FILE" "http')


# -- the start


def as_shown(text: str) -> dict[str, Any]:
    """Return the shapes of what a step prints: those of its events by type, or that of its JSON."""
    found = events(text) or [json.loads(text)]
    return {each.get("type", "JSON"): shape(each) for each in found if each.get("type") != "status"}


def until_stopped(request: Request) -> Script:
    """Answer a question; what is to count goes on until it is stopped."""
    gate = Gate()
    gate.let(1 if "thousand" in request["messages"][-1]["content"] else math.inf)
    return Script(answer("One two three four"), gate=gate)


async def shown(page: Page, language: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the code of each step, and what the page says that it prints."""
    steps = page.locator(".step")
    figures = steps.locator("figure").filter(has=page.locator(f"figcaption:text-is('{language}')"))
    printed = await steps.locator("pre").all_text_contents()
    return await figures.locator("code").all_text_contents(), [as_shown(text) for text in printed]


async def test_the_commands_of_the_start_print_what_it_shows(site: Site, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        missing("curl")
    site.settings = {"api_token": "secret"}
    site.fake.script = until_stopped
    codes, expected = await shown(await docs(site), "curl")
    process = await asyncio.create_subprocess_exec(
        *("sh", "-ec", "\necho; echo ====\n".join(codes)),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | {"TOKEN": "secret"},
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    printed = [as_shown(text) for text in output.decode().split("====\n")]
    assert [set(each) - set(more) for each, more in zip(printed, expected, strict=True)] == [set()] * 4
    for each, more in zip(printed, expected, strict=True):
        assert each == {kind: more[kind] for kind in each}


async def test_the_javascript_of_the_start_prints_what_it_shows(site: Site) -> None:
    site.fake.script = until_stopped
    page = await docs(site)
    codes, expected = await shown(page, "JavaScript")
    script = "\nprinted.push([]);\n".join(codes)
    log = "const printed = [[]]; const console = { log: (value) => printed.at(-1).push(value) };"
    printed = await page.evaluate(f"async () => {{ {log}\n{script}\nreturn printed; }}")
    for values, more in zip(printed, expected, strict=True):
        found = {each.get("type", "JSON"): shape(each) for each in values if each.get("type") != "status"}
        assert found == {kind: more[kind] for kind in found}
        assert found


# -- trying it


async def trying(page: Page, name: str) -> Any:
    """Open the form of an operation."""
    entry = await opened(page, name)
    await entry.get_by_role("button", name="Try").click()
    return entry.get_by_role("form")


async def test_a_form_sends_and_fills_in_what_an_answer_named(site: Site) -> None:
    page = await docs(site)
    making = await trying(page, NEW_SESSION)
    await expect(making.get_by_role("textbox", name="body")).to_be_focused()
    await making.get_by_role("button", name="Send").press("Enter")
    await expect(making.get_by_role("status")).to_have_text("201 Created, to the end")
    session = json.loads(await making.locator("pre").inner_text())
    sending = await trying(page, SEND)
    await expect(sending.get_by_label("sid")).to_have_value(session["id"])
    await expect(sending.locator(".curl code")).to_contain_text(f"/{session['id']}/messages'")
    await sending.get_by_role("textbox", name="body").fill('{"message": ')
    await sending.get_by_role("button", name="Send").click()
    await expect(sending.get_by_role("status")).to_have_text("400 Bad Request, to the end")
    await expect(sending.locator("pre")).to_contain_text('"code": "malformed"')


async def test_a_stream_is_shown_as_it_arrives_and_can_be_stopped(site: Site) -> None:
    site.fake.script = Script(answer("One two"), gate=(gate := Gate()))
    gate.let(1)
    page = await docs(site)
    form = await trying(page, f"{SEND}/stream")
    await form.get_by_label("sid").fill(await site.client.new_session())
    await form.get_by_role("button", name="Send").press("Enter")
    await expect(form.locator("pre")).to_contain_text('"content":"One"')
    await expect(form.get_by_role("button", name="Stop")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(form.get_by_role("status")).to_have_text("Stopped.")
    await expect(form.get_by_role("button", name="Send")).to_be_focused()
    assert await serious(page) == []


async def test_it_asks_before_it_deletes(site: Site) -> None:
    page = await docs(site)
    session = await site.client.new_session()
    form = await trying(page, "DELETE /api/chat/sessions/{sid}")
    await form.get_by_label("sid").fill(session)
    for choice in ("Cancel", "Delete"):
        assert (await site.client.session(session))["id"] == session
        await form.get_by_role("button", name="Send").click()
        await page.get_by_role("dialog").get_by_role("button", name=choice).click()
    await expect(form.get_by_role("status")).to_have_text("204 No Content")


async def test_a_file_is_sent_in_a_form(site: Site) -> None:
    page = await docs(site)
    form = await trying(page, "POST /api/documents")
    await form.get_by_label("Type of the body").select_option("multipart/form-data")
    file: Any = {"name": "notes.md", "mimeType": "text/markdown", "buffer": b"Rainbows are round."}
    await form.get_by_label("file").set_input_files(file)
    await expect(form.locator(".curl code")).to_contain_text("-F 'file=@notes.md'")
    await form.get_by_role("button", name="Send").click()
    await expect(form.locator("pre")).to_contain_text('"title": "notes.md"')


async def test_the_token_is_asked_for_and_kept_for_the_tab(site: Site) -> None:
    site.settings = {"api_token": "secret"}
    page = await docs(site)
    form = await trying(page, "GET /api/chat/sessions")
    await form.get_by_role("button", name="Send").click()
    await page.get_by_role("textbox", name="Access token").fill("secret")
    await page.keyboard.press("Enter")
    await form.get_by_role("button", name="Send").click()
    await expect(form.get_by_role("status")).to_have_text("200 OK, to the end")


async def test_a_visitor_tries_it_with_a_visitors_token(site: Site) -> None:
    site.settings = {
        "api_token": "secret",
        "visitors": True,
        "jwt_secret": "a-secret-of-at-least-32-characters",
    }
    page = await docs(site)
    form = await trying(page, "GET /api/chat/sessions")
    await form.get_by_role("button", name="Send").click()
    await expect(form.get_by_role("status")).to_have_text("200 OK, to the end")


async def test_the_filter_leaves_what_has_all_words(site: Site) -> None:
    page = await docs(site)
    await page.get_by_role("searchbox", name="Filter").fill("post cancel")
    await expect(page.locator("article:visible h3")).to_have_text([re.compile("POST .*/cancel")] * 2)
    await expect(page.locator("#contents li:visible")).to_have_count(2)
    await expect(page.locator("#announcer")).to_have_text("2 found.")


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
    button = (await opened(page, NEW_SESSION)).get_by_role("button", name="Copy")
    await button.focus()
    await expect(button).to_be_focused()
