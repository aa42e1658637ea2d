"""The page at `/` and how it is served: the list of sessions, models, export, the token, its headers."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from browser import ANSWER, FIELD, QUESTION, STATIC, Site, browser, browser_test, site
from chat_client import Client, Server
from fake_ollama import FakeOllama, Gate, Script, answer

from chatproxy import Config, create_app
from chatproxy.command.demo import demo_server
from chatproxy.web.api import health

pytest.importorskip("playwright")
from playwright.async_api import FilePayload, Page, Route, expect

__all__ = ["browser", "site"]  # the fixtures

LINKS = "#sessions a"
PHONE: dict[str, Any] = {"viewport": {"width": 320, "height": 600}, "has_touch": True, "is_mobile": True}


async def open_menu(page: Page, name: str, tool: str) -> None:
    await page.locator("#sessions li", has_text=name).hover()
    await page.get_by_role("button", name=f"{tool} {name}").click()


# -- sessions


@browser_test
async def test_the_first_message_makes_a_session_that_is_listed_and_in_the_address(site: Site) -> None:
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


@browser_test
async def test_sessions_are_opened_and_left_by_click_and_by_the_browser_s_back(site: Site) -> None:
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


@browser_test
async def test_search_finds_titles_and_words(site: Site) -> None:
    await site.conversation("fruit", "apples and pears")
    await site.conversation("vegetables", "leek")
    page = await site.open()
    await expect(page.locator(LINKS)).to_have_text(["vegetables", "fruit"])
    await page.locator("#search").press_sequentially("pea")
    await expect(page.locator(LINKS)).to_have_text(["fruit"])
    await page.locator("#search").fill("nowhere")
    await expect(page.locator("#sessions-empty")).to_have_text("No matches.")


@browser_test
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


@browser_test
async def test_a_long_list_is_read_in_pieces(site: Site) -> None:
    for number in range(52):
        await site.new_session(title=f"s{number}")
    page = await site.open()
    await expect(page.locator(LINKS)).to_have_count(50)
    await page.get_by_role("button", name="Show more").click()
    await expect(page.locator(LINKS)).to_have_count(52)
    await expect(page.locator("#more")).to_be_hidden()

    await site.new_session(title="s52")
    await page.evaluate("dispatchEvent(new Event('focus'))")  # reads it anew
    await expect(page.locator(LINKS).first).to_have_text("s52")
    await expect(page.locator(LINKS)).to_have_count(52)


@browser_test
async def test_an_item_stays_the_same_while_nothing_changes(site: Site) -> None:
    """The click that gives the window the focus would otherwise end on another item than it began on."""
    await site.new_session(title="apples")
    page = await site.open()
    await expect(page.locator(LINKS)).to_have_text("apples")
    await page.evaluate(
        """() => {
          window.changes = 0;
          const watch = new MutationObserver(() => { window.changes += 1; });
          watch.observe(document.querySelector("#sessions"), { childList: true });
        }"""
    )
    async with page.expect_response("**/sessions?*"):
        await page.evaluate("dispatchEvent(new Event('focus'))")
    await site.new_session(title="pears")
    await page.evaluate("dispatchEvent(new Event('focus'))")
    await expect(page.locator(LINKS)).to_have_text(["pears", "apples"])
    assert await page.evaluate("changes") == 1


# -- while it is read, and where it cannot be


@browser_test
async def test_a_conversation_that_is_being_read_is_not_shown_as_an_empty_one(site: Site) -> None:
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


async def on_apples(site: Site) -> Page:
    """With a conversation to read."""
    session = await site.conversation("apples", "about apples")
    page = await site.open(f"/?session={session}")
    await expect(page.locator(QUESTION)).to_have_text("about apples")
    return page


@browser_test
async def test_a_conversation_that_is_not_there_is_told_once_and_left(site: Site) -> None:
    page = await site.open("/?session=nowhere")
    sentence = page.locator("chat-interface .notice")
    await expect(sentence).to_contain_text("There is no session nowhere")
    await expect(page.locator("#problem")).to_be_hidden()
    await page.get_by_role("button", name="New chat").click()
    await expect(sentence).to_be_hidden()
    await expect(page.locator("chat-interface .empty")).to_be_visible()


@browser_test
async def test_what_could_not_be_read_is_told_once_and_forgotten_once_it_can(site: Site) -> None:
    page = await on_apples(site)
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


@browser_test
async def test_what_one_part_alone_could_not_reach_is_told_above(site: Site) -> None:
    page = await on_apples(site)
    await page.context.route("**/export**", lambda route: route.abort())
    await page.get_by_label("Export").click()
    await page.get_by_role("button", name="JSON").click()
    await expect(page.locator("#problem")).to_contain_text("connection to the server was lost")
    await expect(page.locator("chat-interface .notice")).to_be_hidden()


@browser_test
@pytest.mark.parametrize("place", ["#problem", "chat-interface .notice"])
async def test_what_was_told_goes_away_with_the_next_message(site: Site, place: str) -> None:
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


@browser_test
async def test_the_picker_says_what_auto_would_be_and_the_session_keeps_the_choice(site: Site) -> None:
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


@browser_test
async def test_without_a_list_of_models_there_is_auto(site: Site) -> None:
    context = await site.context()
    await context.route("**/api/models", lambda route: route.fulfill(status=404, json={}))
    page = await site.open(context=context)
    await expect(page.locator("#model option")).to_have_text(["auto"])
    await site.ask(page, "Hi")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")


# -- export, theme


@browser_test
async def test_export_downloads_the_conversation(site: Site) -> None:
    page = await site.open()
    await expect(page.get_by_label("Export")).to_be_hidden()
    await site.ask(page, "Question")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    for name, ending in (("Markdown", "md"), ("JSON", "json")):
        await page.get_by_label("Export").click()
        async with page.expect_download() as started:
            await page.get_by_role("button", name=name).click()
        download = await started.value
        assert download.suggested_filename == f"Question.{ending}"
        text = Path(await download.path()).read_text()  # noqa: ASYNC240 - a small one
        assert "Hello from a fake." in text
    assert json.loads(text)["session"]["title"] == "Question"


@browser_test
async def test_light_and_dark_follow_the_system_or_the_reader(site: Site) -> None:
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


# -- narrow


@browser_test
async def test_on_a_phone_the_list_is_behind_a_button_and_nothing_is_wider_than_the_screen(
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


@browser_test
async def test_the_title_has_room_beside_the_picker(site: Site) -> None:
    context = await site.context(**PHONE)
    await context.route("**/api/models", lambda route: route.fulfill(json=MODELS))
    session = await site.conversation("Shopping list for the weekend", "apples")
    page = await site.open(f"/?session={session}", context)
    await expect(page.locator("#model")).to_contain_text("auto (small:1b)")
    title, picker = await page.evaluate("[title.clientWidth, model.clientWidth]")
    assert title > picker > 60


# -- the token


TOKEN = "a-token-of-some-length"


@browser_test
async def test_the_token_comes_in_the_fragment_and_leaves_the_address(site: Site) -> None:
    site.settings = {"api_token": TOKEN}
    page = await site.open(f"/#token={TOKEN}")
    assert TOKEN not in page.url
    await site.ask(page, "Hi")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    await page.reload()
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    assert not any(TOKEN in url for url in site.requests if "#" not in url)
    assert await page.evaluate("localStorage.length") == 0


@browser_test
async def test_all_that_the_page_asks_for_carries_the_token(site: Site) -> None:
    """Lists, an answer, its stop and its resumption, an export, an upload with progress."""
    refused: list[str] = []
    site.settings = {"api_token": TOKEN}
    context = await site.context()
    context.on("response", lambda response: refused.append(response.url) if response.status == 401 else None)
    page = await site.open(f"/#token={TOKEN}", context)
    bees: FilePayload = {"name": "bees.txt", "mimeType": "text/plain", "buffer": b"Honey is sweet."}
    await page.locator("#documents-input").set_input_files([bees])
    await expect(page.locator("#document-name")).to_have_text("bees.txt")
    site.fake.script = Script(answer("Sweet it is."), gate=(gate := Gate()))
    await site.ask(page, "Honey?")
    gate.let(1)
    await expect(page.locator(ANSWER)).to_have_text("Sweet")
    await page.reload()  # and resumes
    gate.let(1)
    await expect(page.locator(ANSWER)).to_have_text("Sweet it")
    await page.keyboard.press("Escape")
    await expect(page.locator("chat-interface .assistant .note")).to_have_text("Stopped.")
    await page.locator("#export summary").click()
    async with page.expect_download() as started:
        await page.get_by_role("button", name="Markdown").click()
    exported = Path(await (await started.value).path()).read_text()  # noqa: ASYNC240 - a small one
    assert "Sweet it" in exported
    assert refused == []


@browser_test
async def test_the_page_asks_for_the_token(site: Site) -> None:
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


# -- Ollama


@browser_test
async def test_the_page_says_that_ollama_cannot_be_reached_until_it_can(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "KNOWN_FOR", 0.0)  # seconds: it comes and goes faster than anywhere else
    await site.start()
    await site.fake.stop()
    page = await site.open()
    banner = page.locator("#ollama")
    await expect(banner).to_contain_text("Ollama cannot be reached: nothing answers at OLLAMA_HOST;")
    await expect(banner).to_have_attribute("role", "status")
    await site.fake.start()
    await site.ask(page, "Hi")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    await expect(banner).to_be_hidden()


@browser_test
async def test_the_page_looks_when_a_send_fails(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "KNOWN_FOR", 0.0)  # seconds: it comes and goes faster than anywhere else
    page = await site.open()
    await expect(page.locator("#ollama")).to_be_hidden()
    await site.fake.stop()
    await site.ask(page, "Hi")
    await expect(page.locator("#ollama")).to_contain_text("Ollama cannot be reached")
    await expect(page.get_by_role("button", name="Retry")).to_be_visible()


@browser_test
async def test_what_is_wrong_with_ollama_is_said_in_words(site: Site) -> None:
    context = await site.context()
    state = {"reachable": False, "code": "upstream_timeout"}
    await context.route("**/readyz", lambda route: route.fulfill(json={"status": "ready", "ollama": state}))
    page = await site.open(context=context)
    await expect(page.locator("#ollama")).to_have_text(
        "Ollama cannot be reached: it does not answer in time."
    )


@browser_test
async def test_the_demo_says_that_it_is_no_language_model(site: Site) -> None:
    async with demo_server(pace=400) as url:
        site.settings = {"ollama_host": url, "default_model": "auto"}
        page = await site.open()
        await expect(page.locator("#ollama")).to_have_text(
            "Answers come from a built-in stand-in, not from a language model."
        )
        await site.ask(page, "Hi")
        await expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
        await expect(page.locator("#ollama")).to_be_visible()


# -- where one writes


@browser_test
async def test_typing_at_once_works(site: Site) -> None:
    """After loading, after New chat, after choosing a session."""
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
    await expect(field).to_have_value("one, three")  # what was begun there is still there


@browser_test
async def test_on_a_touch_screen_no_keyboard_comes_up_by_itself(site: Site) -> None:
    await site.conversation("apples", "about apples")
    page = await site.open(**PHONE)
    await expect(page.locator(LINKS)).to_have_count(1)
    await expect(page.locator(FIELD)).not_to_be_focused()
    await page.locator("#menu").tap()
    await page.locator(LINKS).tap()
    await expect(page.locator(QUESTION)).to_have_text("about apples")
    await expect(page.locator(FIELD)).not_to_be_focused()


@browser_test
async def test_unsent_text_outlives_a_reload_in_its_session(site: Site) -> None:
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

    # What the server refused is not lost with the page; what it has is not written twice.
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


# -- where it is served


@browser_test
async def test_it_works_under_a_prefix_without_the_final_slash(site: Site) -> None:
    site.prefix = "/tools/chat"
    page = await site.open("?session=")
    assert "/tools/chat/" in page.url
    await site.ask(page, "Hi")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    assert all("/tools/chat" in url for url in site.requests)


async def test_the_page_and_its_files_are_served_strictly(client: Client) -> None:
    for path, media_type in (
        ("/", "text/html; charset=utf-8"),
        ("/static/page/page.js", "text/javascript; charset=utf-8"),
        ("/static/page/page.css", "text/css; charset=utf-8"),
        ("/static/icon.svg", "image/svg+xml"),
    ):
        async with client.http.get(client.url(path)) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == media_type
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Referrer-Policy"] == "no-referrer"
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            etag = response.headers["ETag"]
        async with client.http.get(client.url(path), headers={"If-None-Match": etag}) as response:
            assert response.status == 304
        async with client.http.head(client.url(path)) as response:
            assert response.status == 200


@pytest.mark.parametrize(
    "path",
    [
        "",
        "..",
        "../app.py",
        "%2e%2e/app.py",
        "..%2fapp.py",
        "/etc/passwd",
        "vendor",
        "a%00.js",
        "none.js",
        "%2e%2e%2f%2e%2e%2fsetup.cfg",
    ],
)
async def test_nothing_else_is_served(client: Client, path: str) -> None:
    from yarl import URL

    async with client.http.get(URL(f"{client.url('/static/')}{path}", encoded=True)) as response:
        assert response.status == 404
        assert (await response.json())["code"] == "not_found"


async def test_a_mount_without_the_slash_leads_to_the_page(config: Config, fake: FakeOllama) -> None:
    host = web.Application()
    host.add_subapp("/chat", create_app(config))
    async with (
        Server(host, "/chat") as server,
        server.client.http.get(server.client.url("?session=x"), allow_redirects=False) as response,
    ):
        assert response.status == 308
        assert response.headers["Location"] == "./chat/?session=x"


def test_the_page_has_nothing_inline_and_names_no_other_place() -> None:
    html = (STATIC / "page" / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|https?:", html)
    assert not re.search(r"(?:src|href)=\"/", html)


def test_no_module_writes_html() -> None:
    for module in (path for path in STATIC.rglob("*.js") if "vendor" not in path.parts):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(", module.read_text()
        ), module
