"""The page at `/`: the list of sessions, models, export, theme, token, drafts."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from browser import ANSWER, FIELD, QUESTION, Site, browser, browser_test, site
from fake_ollama import Gate, Script, answer

pytest.importorskip("playwright")
from playwright.async_api import FilePayload, Page, Route, expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

LINKS = "#sessions a"
PHONE: dict[str, Any] = {"viewport": {"width": 320, "height": 600}, "has_touch": True, "is_mobile": True}


async def open_menu(page: Page, name: str, tool: str) -> None:
    await page.locator("#sessions li", has_text=name).hover()
    await page.get_by_role("button", name=f"{tool} {name}").click()


# -- sessions


async def test_the_first_message_creates_a_session_with_an_address(site: Site) -> None:
    page = await site.open()
    await expect(page.locator("#sessions-empty")).to_be_visible()
    await site.ask(page, "My first question")
    await expect(page.locator(LINKS)).to_have_text("My first question")
    await expect(page.locator("#title")).to_have_text("My first question")
    await expect(page).to_have_title("My first question · chatproxy")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    assert re.search(r"\?session=[\w-]+$", page.url)
    await page.reload()
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")


async def test_sessions_open_by_click_and_by_the_back_button(site: Site) -> None:
    for title in ("apples", "pears"):
        await site.conversation(title, f"about {title}")
    page = await site.open()
    await page.locator(LINKS, has_text="apples").click()
    await expect(page.locator(QUESTION)).to_have_text("about apples")
    await page.locator(LINKS, has_text="pears").click()
    await expect(page.locator(QUESTION)).to_have_text("about pears")
    await expect(page.locator(f"{LINKS}[aria-current=page]")).to_have_text("pears")
    await page.go_back()
    await expect(page.locator(QUESTION)).to_have_text("about apples")
    await page.get_by_role("button", name="New chat").click()
    await expect(page.locator("chat-interface .empty")).to_be_visible()
    await expect(page.locator(FIELD)).to_be_focused()


async def test_search(site: Site) -> None:
    await site.conversation("fruit", "apples and pears")
    await site.conversation("vegetables", "leek")
    page = await site.open()
    await expect(page.locator(LINKS)).to_have_text(["vegetables", "fruit"])
    await page.locator("#search").press_sequentially("pea")
    await expect(page.locator(LINKS)).to_contain_text(["fruit"])
    await page.locator("#search").fill("nowhere")
    await expect(page.locator("#sessions-empty")).to_have_text("No matches.")


async def test_rename_and_delete(site: Site) -> None:
    session = await site.new_session(title="old")
    await site.new_session(title="other")
    page = await site.open(f"/?session={session}")
    await open_menu(page, "old", "Rename")
    field = page.get_by_role("textbox", name="Title", exact=True)
    await field.fill("never")
    await field.press("Escape")
    await open_menu(page, "old", "Rename")
    await field.fill("new")
    await field.press("Enter")
    await expect(page.locator("#title")).to_have_text("new")
    await expect(page.locator(LINKS)).to_contain_text(["new"])
    assert (await site.client.session(session))["title"] == "new"

    await open_menu(page, "new", "Delete")
    await page.get_by_role("button", name="Cancel").click()
    await open_menu(page, "new", "Delete")
    await page.locator("#confirm").get_by_role("button", name="Delete").click()
    await expect(page.locator(LINKS)).to_have_text(["other"])
    await expect(page.locator("#title")).to_have_text("New chat")
    await site.client.call("GET", f"/api/chat/sessions/{session}", status=404)


async def test_a_long_list_is_paged(site: Site) -> None:
    for number in range(52):
        await site.new_session(title=f"s{number}")
    page = await site.open()
    await expect(page.locator(LINKS)).to_have_count(50)
    await page.get_by_role("button", name="Show more").click()
    await expect(page.locator(LINKS)).to_have_count(52)
    await expect(page.locator("#more")).to_be_hidden()

    await site.new_session(title="s52")
    await page.evaluate("dispatchEvent(new Event('focus'))")  # reads it again
    await expect(page.locator(LINKS).first).to_have_text("s52")
    await expect(page.locator(LINKS)).to_have_count(52)


async def test_an_unchanged_list_keeps_its_items(site: Site) -> None:
    """A click that also focuses the window, which refreshes the list, must end on the item it began on."""
    await site.new_session(title="apples")
    page = await site.open()
    await expect(page.locator(LINKS)).to_have_text("apples")
    await page.evaluate(
        """() => {
          window.changes = 0;
          const watch = new MutationObserver(() => { window.changes += 1; });
          watch.observe(document.querySelector("#sessions"), { childList: true, subtree: true });
        }"""
    )
    async with page.expect_response("**/sessions?*"):
        await page.evaluate("dispatchEvent(new Event('focus'))")
    await site.new_session(title="pears")
    await page.evaluate("dispatchEvent(new Event('focus'))")
    await expect(page.locator(LINKS)).to_have_text(["pears", "apples"])
    assert await page.evaluate("changes") == 1


# -- loading and problems


async def test_a_loading_session_does_not_look_empty(site: Site) -> None:
    session = await site.conversation("apples", "about apples")
    context = await site.context()
    read = asyncio.Event()

    async def later(route: Route) -> None:
        await read.wait()
        await route.continue_()

    await context.route("**/api/chat/**", later)
    page = await site.open(f"/?session={session}", context)
    await expect(page.locator("#title")).to_have_text("")
    await expect(page.locator("chat-interface .empty")).to_be_hidden()
    read.set()
    await expect(page.locator(QUESTION)).to_have_text("about apples")
    await expect(page.locator("#title")).to_have_text("apples")


async def open_apples(site: Site) -> Page:
    """The page with a session open."""
    session = await site.conversation("apples", "about apples")
    page = await site.open(f"/?session={session}")
    await expect(page.locator(QUESTION)).to_have_text("about apples")
    return page


async def test_a_missing_session_is_reported_once(site: Site) -> None:
    page = await site.open("/?session=nowhere")
    sentence = page.locator("chat-interface .notice")
    await expect(sentence).to_contain_text("This conversation was deleted elsewhere")
    await expect(page.locator("#problem")).to_be_hidden()
    await page.get_by_role("button", name="New chat").click()
    await expect(sentence).to_be_hidden()
    await expect(page.locator("chat-interface .empty")).to_be_visible()


async def test_a_failed_read_is_reported_once_until_it_succeeds(site: Site) -> None:
    page = await open_apples(site)
    await page.context.route("**/api/chat/**", lambda route: route.abort())
    async with page.expect_event("requestfailed", lambda request: "/api/chat/sessions?" in request.url):
        await page.evaluate("dispatchEvent(new Event('focus'))")
    await expect(page.locator("chat-interface .notice")).to_be_visible()
    await expect(page.locator("chat-interface .notice + .composer")).to_be_visible()
    await expect(page.locator("#problem")).to_be_hidden()
    await page.context.unroute_all()
    await page.evaluate("dispatchEvent(new Event('focus'))")
    await expect(page.locator("chat-interface .notice")).to_be_hidden()
    await expect(page.locator("#problem")).to_be_hidden()


async def test_a_failed_export_is_reported_above_the_conversation(site: Site) -> None:
    page = await open_apples(site)
    await page.context.route("**/export**", lambda route: route.abort())
    await page.get_by_label("Export", exact=True).click()
    await page.get_by_role("button", name="JSON").click()
    await expect(page.locator("#problem")).to_contain_text("connection to the server was lost")
    await expect(page.locator("chat-interface .notice")).to_be_hidden()


@pytest.mark.parametrize("place", ["#problem", "chat-interface .notice"])
async def test_the_next_message_clears_the_problem(site: Site, place: str) -> None:
    session = await site.conversation("apples", "about apples")
    page = await site.open("/" if place == "#problem" else f"/?session={session}")
    await page.context.route("**/api/chat/**", lambda route: route.abort())
    await page.evaluate("dispatchEvent(new Event('focus'))")
    await expect(page.locator(place)).to_contain_text("connection to the server was lost")
    await site.ask(page, "Are you there?")
    await expect(page.locator(place)).to_be_hidden()


# -- models


MODELS = {
    "models": [
        {"name": "small:1b", "capabilities": ["completion"]},
        {"name": "embed:1b", "capabilities": ["embedding"]},
        {"name": "gemma3:270m", "capabilities": ["completion"]},
    ],
    "selected": {"model": "small:1b", "reason": "the smallest installed"},
}


async def test_the_picker_explains_auto_and_the_session_keeps_the_choice(site: Site) -> None:
    context = await site.context()
    await context.route("**/api/models", lambda route: route.fulfill(json=MODELS))
    page = await site.open(context=context)
    picker = page.locator("#model")
    await expect(picker.locator("option")).to_have_text(["auto (small:1b)", "small:1b", "gemma3:270m"])
    await expect(picker).to_have_attribute("title", "auto: the smallest installed")
    await picker.select_option("gemma3:270m")
    await site.ask(page, "Hi")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    await page.reload()
    await expect(picker).to_have_value("gemma3:270m")
    session = page.url.partition("session=")[2]
    assert (await site.client.session(session))["model"] == "gemma3:270m"


async def test_without_a_list_of_models_auto_remains(site: Site) -> None:
    context = await site.context()
    await context.route("**/api/models", lambda route: route.fulfill(status=404, json={}))
    page = await site.open(context=context)
    await expect(page.locator("#model option")).to_have_text(["auto"])
    await site.ask(page, "Hi")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")


# -- export, theme


async def test_export_downloads_the_conversation(site: Site) -> None:
    page = await site.open()
    await expect(page.get_by_label("Export", exact=True)).to_be_hidden()
    await site.ask(page, "Question")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    for name, ending in (("Markdown", "md"), ("JSON", "json")):
        await page.get_by_label("Export", exact=True).click()
        async with page.expect_download() as started:
            await page.get_by_role("button", name=name).click()
        download = await started.value
        assert download.suggested_filename == f"Question.{ending}"
        text = Path(await download.path()).read_text()  # noqa: ASYNC240 - a small one
        assert "Hello from a fake." in text
    assert json.loads(text)["session"]["title"] == "Question"


async def test_the_theme_follows_the_system_or_the_button(site: Site) -> None:
    page = await site.open(color_scheme="dark")
    background = "background-color"
    await expect(page.locator("body")).to_have_css(background, "rgb(28, 28, 30)")
    await page.emulate_media(color_scheme="light")
    await expect(page.locator("body")).to_have_css(background, "rgb(255, 255, 255)")
    theme = page.locator("#theme")
    await theme.click()
    await theme.click()
    await expect(theme).to_have_attribute("aria-label", "Theme: dark")
    await expect(page.locator("chat-interface")).to_have_css(background, "rgb(28, 28, 30)")
    await page.reload()
    await expect(page.locator("body")).to_have_css(background, "rgb(28, 28, 30)")


# -- phones


async def test_on_a_phone_the_sidebar_is_hidden_and_everything_fits(
    site: Site,
) -> None:
    code = "```\n" + "x" * 300 + "\n```\n\n" + "w" * 300 + "\n\n| a | b |\n|-|-|\n| " + "c " * 80 + "| d |\n"
    site.fake.script = Script(answer(code))
    await site.conversation("t" * 200, "q" * 200)
    page = await site.open(**PHONE)
    sidebar = page.locator("#sidebar")
    await expect(sidebar).to_be_hidden()
    await page.locator("#menu").click()
    await expect(sidebar).to_be_visible()
    await page.locator(LINKS).click()
    await expect(sidebar).to_be_hidden()
    await expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    log = page.locator("chat-interface [role=log]")
    assert await log.evaluate("(log) => log.scrollWidth - log.clientWidth") <= 0
    await expect(page.locator(FIELD)).to_be_in_viewport()


async def test_on_a_phone_the_title_and_the_model_have_room(site: Site) -> None:
    context = await site.context(**PHONE)
    await context.route("**/api/models", lambda route: route.fulfill(json=MODELS))
    session = await site.conversation("Shopping list for the weekend", "apples")
    page = await site.open(f"/?session={session}", context)
    await expect(page.locator("#model")).to_contain_text("auto (gemma3:270m)")
    title, picker = await page.evaluate("[title.clientWidth, model.clientWidth]")
    assert (title > 150, picker > 250) == (True, True)


# -- the token


TOKEN = "a-token-of-some-length"


async def test_the_code_in_the_address_logs_in(site: Site) -> None:
    site.settings = {"api_token": TOKEN}
    await site.start()
    code = site.codes.create()
    page = await site.open(f"/#code={code}")
    assert page.url == f"{site.url}/"
    await site.ask(page, "Hi")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    await page.reload()
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    assert not any(code in url or TOKEN in url for url in site.requests if "#" not in url)
    assert TOKEN not in await page.evaluate("JSON.stringify(localStorage)")


async def test_the_code_in_the_address_is_good_for_one_login(site: Site) -> None:
    site.settings = {"api_token": TOKEN}
    await site.start()
    code = site.codes.create()
    first = await site.open(f"/#code={code}")
    await site.ask(first, "Hi")
    again = await site.open(f"/#code={code}")
    await expect(again.locator("#sign-in-problem")).to_contain_text("This link has been used, or is too old;")
    assert code not in again.url
    field = again.get_by_label("Access token", exact=True)
    await field.fill(TOKEN)
    await field.press("Enter")
    await expect(again.locator("#sign-in")).to_be_hidden()
    await expect(again.locator("#sessions li")).to_have_count(1)


async def test_the_token_in_the_address_logs_in_beside_a_password_of_a_proxy(site: Site) -> None:
    """Browsers send the password as `Authorization`, so the token must not be there."""
    sent: list[dict[str, str]] = []
    site.settings = {"api_token": TOKEN}
    context = await site.context()
    context.on("request", lambda request: sent.append(request.headers) if "/api/" in request.url else None)
    page = await site.open(f"/#token={TOKEN}", context)
    assert page.url == f"{site.url}/"
    await site.ask(page, "Hi")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    assert {headers.get("x-api-key") for headers in sent} == {TOKEN}
    assert not any("authorization" in headers for headers in sent)


async def test_every_request_carries_the_token(site: Site) -> None:
    """Lists, an answer, resuming and stopping it, an export, an upload with progress."""
    refused: list[str] = []
    site.settings = {"api_token": TOKEN}
    context = await site.context()  # which starts it
    context.on("response", lambda response: refused.append(response.url) if response.status == 401 else None)
    page = await site.open(f"/#code={site.codes.create()}", context)
    bees: FilePayload = {"name": "bees.txt", "mimeType": "text/plain", "buffer": b"Honey is sweet."}
    await page.locator("#documents-input").set_input_files([bees])
    await expect(page.locator("#document .name")).to_have_text("bees.txt")
    site.fake.script = Script(answer("Sweet it is."), gate=(gate := Gate()))
    await site.ask(page, "Honey?")
    gate.let(1)
    await expect(page.locator(ANSWER)).to_have_text("Sweet")
    await page.reload()  # and resumes
    gate.let(1)
    await expect(page.locator(ANSWER)).to_have_text("Sweet it")
    await page.keyboard.press("Escape")
    await expect(page.locator("chat-interface .assistant .note")).to_contain_text("Stopped.")
    await page.locator("#export summary").click()
    async with page.expect_download() as started:
        await page.get_by_role("button", name="Markdown").click()
    exported = Path(await (await started.value).path()).read_text()  # noqa: ASYNC240 - a small one
    assert "Sweet it" in exported
    assert refused == []


async def test_the_page_asks_for_a_missing_or_wrong_token(site: Site) -> None:
    site.settings = {"api_token": TOKEN}
    page = await site.open()
    field = page.get_by_label("Access token", exact=True)
    await field.fill("wrong")
    await field.press("Enter")
    await expect(field).to_have_value("")  # asked again
    await field.fill(TOKEN)
    await field.press("Enter")
    await expect(page.locator("#sign-in")).to_be_hidden()
    await site.ask(page, "Hi")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")


# -- the field


async def test_the_field_has_the_focus_after_navigation(site: Site) -> None:
    """After loading, New chat and choosing a session."""
    for title in ("apples", "pears"):
        await site.conversation(title, f"about {title}")
    page = await site.open()
    field = page.locator(FIELD)
    await expect(field).to_be_focused()
    await page.keyboard.type("one")
    await expect(field).to_have_value("one")
    await page.locator(LINKS, has_text="pears").click()
    await expect(field).to_be_focused()
    await page.keyboard.type("two")
    await expect(field).to_have_value("two")
    await page.get_by_role("button", name="New chat").click()
    await page.keyboard.type(", three")
    await expect(field).to_have_value("one, three")  # the draft


async def test_on_a_touch_screen_the_field_is_not_focused(site: Site) -> None:
    await site.conversation("apples", "about apples")
    page = await site.open(**PHONE)
    await expect(page.locator(LINKS)).to_have_count(1)
    await expect(page.locator(FIELD)).not_to_be_focused()
    await page.locator("#menu").tap()
    await page.locator(LINKS).tap()
    await expect(page.locator(QUESTION)).to_have_text("about apples")
    await expect(page.locator(FIELD)).not_to_be_focused()


async def test_drafts_survive_a_reload_per_session(site: Site) -> None:
    session = await site.conversation("apples", "about apples")
    page = await site.open()
    field = page.locator(FIELD)
    await field.fill("for a new one")
    await page.reload()
    await expect(field).to_have_value("for a new one")
    await page.locator(LINKS).click()
    await expect(field).to_have_value("")
    await field.fill("for apples")
    await page.reload()
    await expect(field).to_have_value("for apples")

    # A refused message is kept as a draft; a stored one is not.
    await page.evaluate("document.querySelector('chat-interface').setAttribute('document-id', '99')")
    await field.press("Enter")
    await expect(page.get_by_role("button", name="Retry")).to_be_visible()
    await expect(field).to_have_value("")
    await page.reload()
    await expect(field).to_have_value("for apples")
    await field.press("Enter")
    await expect(page.locator(ANSWER)).to_have_count(2)
    await expect(page.locator(ANSWER).last).to_have_text("Hello from a fake.")
    await page.reload()
    await expect(page.locator(ANSWER)).to_have_count(2)
    await expect(field).to_have_value("")
    assert [m["content"] for m in await site.client.messages(session)][2] == "for apples"


# -- prefix


async def test_it_works_under_a_prefix_without_the_final_slash(site: Site) -> None:
    site.prefix = "/tools/chat"
    page = await site.open("?session=")
    assert "/tools/chat/" in page.url
    await site.ask(page, "Hi")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    assert all("/tools/chat" in url for url in site.requests)
