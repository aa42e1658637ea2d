"""The list of conversations: dates, pins, marks, hits of searches, many at once, and its place."""

# Scripts read better in one line.
# ruff: noqa: E501

import asyncio
import json
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from browser import BUTTON, FIELD, Site, browser, browser_test, serious, site
from fake_ollama import MODEL, FakeOllama, Gate, Script, answer, token
from faults.place import free_port
from processes import Process

pytest.importorskip("playwright")
from playwright.async_api import Browser, Page, expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

LINKS: Final = "#sessions a"
DAY: Final = 86400  # seconds
SCHEMES: Final[tuple[Literal["dark"], Literal["light"]]] = ("dark", "light")
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 700}, "has_touch": True, "is_mobile": True}


def chat(title: str, *contents: str, days: float = 0) -> dict[str, Any]:
    """Return a chat of Open WebUI's that was last used so many days ago."""
    roles = ["user", "assistant"] * len(contents)
    messages = [{"role": role, "content": each} for role, each in zip(roles, contents, strict=False)]
    used = time.time() - days * DAY
    return {"id": title, "updated_at": used, "chat": {"title": title, "messages": messages}}


async def fill(site: Site, *chats: dict[str, Any]) -> None:
    await site.start()
    headers = {"Content-Type": "application/json"}
    await site.client.call(
        "POST", "/api/chat/sessions/import", data=json.dumps(chats).encode(), headers=headers
    )


def item(page: Page, title: str) -> Any:
    return page.locator("#sessions li", has_text=title)


def mark(page: Page, title: str) -> Any:
    return item(page, title).locator(".mark")


async def choose(page: Page, name: str) -> None:
    await page.locator("#list-menu summary").click()
    await page.get_by_role("button", name=name).click()


async def refreshed(page: Page) -> None:
    async with page.expect_response("**/sessions?limit*"):
        await page.evaluate("dispatchEvent(new Event('focus'))")


# -- groups and marks


async def test_dates_pins_and_what_is_running_or_new(site: Site) -> None:
    # Those of two files are not in one order.
    ages = {"breakfast": 1, "tea": 20, "lunch": 4, "supper": 400}
    by_age = sorted(ages, key=lambda title: ages[title])
    await fill(site, *(chat(title, "Hello", "Hi", days=days) for title, days in ages.items()))
    mine = await site.conversation("mine", "Hello")
    other = await site.conversation("other", "Hello")
    page = await site.open(f"/?session={mine}")
    groups = page.locator("#sessions h2")
    names = ["Today", "Yesterday", "Previous 7 days", "Previous 30 days"]
    await expect(groups).to_have_count(5)
    assert (await groups.all_inner_texts())[:4] == names
    await expect(page.locator(LINKS)).to_have_text(["other", "mine", *by_age])
    await expect(page.locator("#sessions .mark")).to_have_count(0)

    # What is renamed stays, and what is pinned comes first, wherever it is.
    await page.get_by_role("button", name="Pin lunch").press("Enter")
    await expect(groups.first).to_have_text("Pinned")
    await expect(page.locator(LINKS)).to_have_text(["lunch", "other", "mine", "breakfast", "tea", "supper"])
    await expect(page.get_by_role("button", name="Unpin lunch")).to_be_focused()
    await page.get_by_role("button", name="Rename tea").press("Enter")
    await page.keyboard.type("high tea")
    await page.keyboard.press("Enter")
    await expect(page.locator(LINKS)).to_contain_text(["lunch", "other", "mine", "breakfast", "high tea"])
    await page.get_by_role("button", name="Unpin lunch").press("Enter")
    await expect(groups.first).to_have_text("Today")

    # An answer elsewhere is seen to run, and to end, without a touch of this tab.
    site.fake.script = Script(answer("one two"), gate=(gate := Gate()))
    async with site.client.sending(other, "Go on") as stream:
        gate.let(1)
        await stream.until("chunk")
        await refreshed(page)
        await expect(mark(page, "other")).to_have_attribute("aria-label", "Being answered")
        gate.open()
        await stream.rest()
    await expect(mark(page, "other")).to_have_attribute("aria-label", "New answer")
    await expect(page.locator("#list-announcer")).to_have_text("New answer in “\u2068other\u2069”.")
    await expect(page.locator(LINKS).first).to_have_accessible_description("New answer")
    await page.reload()
    await expect(mark(page, "other")).to_have_attribute("aria-label", "New answer")
    await page.locator(LINKS, has_text="other").click()
    await expect(mark(page, "other")).to_have_count(0)
    await page.reload()
    await expect(page.locator(LINKS)).to_have_count(6)
    await expect(page.locator("#sessions .mark")).to_have_count(0)

    # Nothing runs: nothing is asked.
    site.requests.clear()
    await asyncio.sleep(3.5)
    assert [url for url in site.requests if "/api/chat/" in url] == []


SOON: Final = 1500  # ms; without a look at the list in between


@pytest.mark.parametrize("end", ["complete", "stopped", "failed", "elsewhere"])
async def test_what_was_watched_to_its_end_is_neither_running_nor_new(site: Site, end: str) -> None:
    old = await site.conversation("old", "Hello")
    page = await site.open()  # from here on, answers elsewhere are new
    await expect(page.locator(LINKS)).to_have_text(["old"])
    site.fake.script = Script(
        [token("one"), token(" two")], gate=(gate := Gate()), end="cut" if end == "failed" else "hang"
    )
    if end == "complete":
        site.fake.script = Script(answer("one two"), gate=gate)
    await site.ask(page, "Count to two")
    gate.let(1)
    await expect(page.locator("chat-interface .assistant .content")).to_have_text("one")
    await expect(mark(page, "Count to two")).to_have_attribute("aria-label", "Being answered")
    # One that is left goes on, and is being answered when the reader is back.
    await page.locator(LINKS, has_text="old").click()
    await expect(mark(page, "Count to two")).to_have_attribute("aria-label", "Being answered")
    await page.locator(LINKS, has_text="Count to two").click()
    await expect(page.locator("chat-interface .assistant .content")).to_have_text("one")
    await expect(mark(page, "Count to two")).to_have_attribute("aria-label", "Being answered")
    if end == "elsewhere":
        session = page.url.split("session=")[1]
        found = await site.client.call("GET", f"/api/chat/sessions/{session}/messages")
        await site.client.call(
            "POST", f"/api/chat/sessions/{session}/messages/{found['messages'][-1]['id']}/cancel"
        )
    elif end == "stopped":
        await page.locator(BUTTON).click()
    else:
        gate.open()
    await page.locator(f"{BUTTON}[data-action=send]").wait_for()
    await expect(page.locator("#sessions .mark")).to_have_count(0, timeout=SOON)
    await page.get_by_role("button", name="New chat").first.click()
    await refreshed(page)
    await expect(page.locator("#sessions .mark")).to_have_count(0, timeout=SOON)
    await page.reload()
    await expect(page.locator(LINKS)).to_have_text(["Count to two", "old"])
    await expect(page.locator("#sessions .mark")).to_have_count(0, timeout=SOON)
    # What comes later is new.
    site.fake.script = Script(answer("Hi"))
    await site.client.ask(old, "Hello again")
    await refreshed(page)
    await expect(mark(page, "old")).to_have_attribute("aria-label", "New answer")


async def test_what_a_crash_interrupted_is_not_being_answered(browser: Browser, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(FakeOllama())
        context = await browser.new_context()
        stack.push_async_callback(context.close)
        page = await context.new_page()
        settings: dict[str, Any] = {"port": free_port(), "ollama_host": fake.url, "default_model": MODEL}
        fake.script = Script(answer("Once upon a time."), gate=Gate())
        async with Process.running(tmp_path, **settings) as process:
            await page.goto(process.client.base)
            for title in ("A play", "A story"):
                await page.get_by_role("button", name="New chat").first.click()
                await page.locator(FIELD).fill(title)
                await page.locator(FIELD).press("Enter")
                await expect(mark(page, title)).to_have_attribute("aria-label", "Being answered")
        await stack.enter_async_context(Process.running(tmp_path, **settings))
        await page.get_by_text("Interrupted: the server stopped").wait_for()
        await expect(page.locator("[data-mark=running]")).to_have_count(0, timeout=SOON)
        await expect(mark(page, "A story")).to_have_count(0)


# -- many at once


async def test_many_are_selected_and_deleted_in_light_and_dark(site: Site) -> None:
    refused: list[str] = []
    most = running = 0

    @web.middleware
    async def hold(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal most, running
        if request.method != "DELETE":
            return await handler(request)
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        if request.path.rsplit("/", 1)[1] in refused:
            return web.json_response({"error": "The disk is full.", "code": "storage_full"}, status=507)
        return await handler(request)

    site.middlewares.append(hold)
    await fill(site, *(chat(f"s{number}", "Hello", "Hi") for number in range(120)))
    page = await site.open()
    await page.get_by_role("button", name="Show more").click()
    await expect(page.locator(LINKS)).to_have_count(100)
    await page.locator("#list-menu summary").press("Enter")
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        assert await serious(page) == []
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    boxes = page.locator("#sessions input")
    everything = page.get_by_role("checkbox", name="All")
    await expect(everything).to_be_focused()
    await boxes.nth(0).focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Space")
    await expect(boxes.nth(1)).to_be_checked()
    await page.locator("#sessions .pick").nth(6).click(modifiers=["Shift"])
    await expect(page.locator("#sessions input:checked")).to_have_count(6)
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        assert await serious(page) == []
    await page.keyboard.press("Escape")
    await expect(page.locator(LINKS)).to_have_count(100)
    await expect(page.locator("#list-menu summary")).to_be_focused()

    # What a search does not show is not deleted.
    await choose(page, "Select and delete…")
    await everything.check()
    await page.locator("#search").fill("s11")
    await expect(boxes).to_have_count(11)
    await expect(page.locator("#selection-delete")).to_have_text("Delete 1")
    await page.locator("#search").fill("")
    await expect(boxes).to_have_count(50)
    await everything.check()
    refused.append(await page.locator("#sessions li").nth(3).get_attribute("data-session") or "")
    await page.locator("#selection-delete").click()
    await expect(page.locator("#confirm-text")).to_have_text("Delete 50 conversations?")
    await page.locator("#confirm").get_by_role("button", name="Delete").click()
    await expect(page.locator("#list-notice")).to_have_text("49 conversations deleted.")
    await expect(page.locator("#problem")).to_contain_text(
        "“\u2068s3\u2069” could not be deleted: The disk is full."
    )
    await expect(page.locator(LINKS)).to_have_count(50)
    await expect(page.locator(LINKS).first).to_have_text("s3")
    assert most == 4


async def test_export_all_and_import(site: Site, tmp_path: Path) -> None:
    await fill(site, chat("kept", "Hello", "Hi"), chat("lost", "Hello", "Hi"))
    page = await site.open()
    async with page.expect_download() as download:
        await choose(page, "Export all")
    file = tmp_path / "all.json"
    await (await download.value).save_as(file)
    await page.get_by_role("button", name="Delete lost").press("Enter")
    await page.locator("#confirm").get_by_role("button", name="Delete").click()
    await expect(page.locator(LINKS)).to_have_text(["kept"])

    file.write_text(json.dumps([*json.loads(file.read_text()), {"id": "x", "chat": {"title": "empty"}}]))
    async with page.expect_file_chooser() as chooser:
        await choose(page, "Import…")
    await (await chooser.value).set_files(file)
    dialog = page.locator("#imported")
    await expect(dialog.locator("p")).to_have_text(
        "1 conversation was imported. 1 was here already. 1 was refused:"
    )
    await expect(dialog.locator(".refusals li")).to_contain_text(["“\u2068No. 3\u2069”: "])
    assert await serious(page) == []
    await page.keyboard.press("Escape")
    await expect(page.locator(LINKS)).to_have_text(["kept", "lost"])
    await page.locator("#import-file").set_input_files(
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"Hello"}
    )
    await expect(page.locator("#problem")).not_to_be_empty()
    await expect(page.locator("#list-notice")).to_be_empty()


# -- the place


async def test_600_stay_600_at_their_place(site: Site) -> None:
    await fill(site, *(chat(f"s{number}", "Hello", "Hi") for number in range(610)))
    page = await site.open()
    for count in range(50, 600, 50):
        await expect(page.locator(LINKS)).to_have_count(count)
        await page.locator("#more").click()
    await expect(page.locator(LINKS)).to_have_count(600)
    link = page.locator(LINKS).nth(420)
    await link.focus()
    top = "(e) => Math.round(e.getBoundingClientRect().top)"
    before = await link.evaluate(top)
    await site.conversation("new", "Hello")
    await refreshed(page)
    await expect(page.locator(LINKS).first).to_have_text("new")
    await expect(page.locator(LINKS)).to_have_count(600)
    moved = page.get_by_role("link", name="s420", exact=True)
    await expect(moved).to_be_focused()
    assert abs(await moved.evaluate(top) - before) <= 2


async def test_a_hit_is_shown_at_its_place(site: Site) -> None:
    contents = [f"text {number}" for number in range(260)]
    contents[40] = "long ago " * 20 + "the Zanzibar of old"
    await fill(site, chat("journey", *contents), chat("Zanzibar", "Hello", "Hi"))
    page = await site.open()
    await page.locator("#search").fill("zanz")
    await expect(page.locator(LINKS)).to_have_count(2)
    await expect(page.locator("#sessions mark")).to_have_text(["Zanz", "Zanz"])
    hit = item(page, "journey")
    await expect(hit.locator(".hit")).to_contain_text("…")
    await expect(hit.locator("mark")).to_be_in_viewport()
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        assert await serious(page) == []
    await hit.locator("a").click()
    message = page.locator("chat-interface .message", has_text="Zanzibar of old")
    await expect(message).to_be_in_viewport()
    await expect(message).to_be_focused()
    assert "#message-" in page.url
    await page.reload()
    await expect(message).to_be_in_viewport()
    assert await page.evaluate("document.querySelector('chat-interface').show(999999)") is False


# -- the whole


async def test_the_skip_link_and_a_phone(site: Site) -> None:
    await fill(site, chat("apples", "Hello", "Hi"), chat("pears", "Hello", "Hi"))
    page = await site.open()
    await expect(page.locator(LINKS)).to_have_count(2)
    await expect(page.locator("#skip")).not_to_be_in_viewport()
    await page.locator("#hide").focus()
    await page.keyboard.press("Shift+Tab")
    await expect(page.locator("#skip")).to_be_focused()
    await expect(page.locator("#skip")).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()

    phone = await site.open(**PHONE)
    await phone.locator("#menu").tap()
    await expect(phone.get_by_role("button", name="Pin apples")).to_be_hidden()
    await phone.get_by_role("button", name="More for apples").tap()
    await phone.get_by_role("button", name="Pin apples").tap()
    await expect(phone.locator("#sessions h2").first).to_have_text("Pinned")
    await phone.locator("#list-menu summary").tap()
    small = """() => [...document.querySelectorAll("#sidebar :is(a, button, summary, .pick, #selection label)")]
      .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 43.5).map((e) => e.outerHTML)"""
    assert await phone.evaluate(small) == []
    await phone.get_by_role("button", name="Select and delete…").tap()
    await phone.locator("#sessions .pick").first.tap()
    await expect(phone.locator("#selection-delete")).to_have_text("Delete 1")
    assert await phone.evaluate(small) == []
    assert await serious(phone) == []
