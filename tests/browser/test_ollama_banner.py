"""The page's line about Ollama, and the models beside it: right while Ollama goes and returns.

Bounds in seconds are those that people were promised. Others are tested in JavaScript, where time is the
test's (`ollama-banner.test.js`).
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from browser import ANSWER, Site, browser, browser_test, serious, site
from fake_ollama import FakeOllama, Gate, Script, html, refused

from chatproxy.command.demo import demo_server
from chatproxy.web.api import health

pytest.importorskip("playwright")
from playwright.async_api import Page, Route, expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

COMES: Final = 10_000  # ms
GOES: Final = 5_000
FAILING: Final = (
    "Ollama answers with an error; the server's log says which, and `chatproxy doctor` what to do."
)
# Which of the two it is depends on what fails, and `test_the_banner_gives_the_reason` asks for each.
WRONG: Final = re.compile("Ollama (cannot be reached|answers with an error)")
SIDE_CALLS: Final = ("/api/version", "/api/tags", "/api/ps", "/api/show")
FOCUSED: Final = "document.activeElement.shadowRoot?.activeElement?.tagName"

# What a screen reader may announce, from now on.
WATCH: Final = """() => {
  window.changes = [];
  const watch = ([{ target }]) => window.changes.push(target.textContent);
  new MutationObserver(watch).observe(document.getElementById("ollama"), { childList: true });
}"""


async def stop(fake: FakeOllama) -> None:
    await fake.stop()


async def hang(fake: FakeOllama) -> None:
    for path in SIDE_CALLS:
        fake.instead[path] = Script(head=Gate())


async def fail(fake: FakeOllama) -> None:
    for path in SIDE_CALLS:
        fake.instead[path] = refused(500, "broken")


Leave = Callable[[FakeOllama], Awaitable[None]]
ways_to_go = pytest.mark.parametrize("leave", [stop, hang, fail])


async def come_back(fake: FakeOllama, models: list[Any]) -> None:
    """Start Ollama again, with these models."""
    await fake.stop()
    fake.instead.clear()
    fake.models = models
    await fake.start()


def is_installed(page: Page, name: str) -> Any:
    return expect(page.locator(f"#model option[value='{name}']"))


@pytest.mark.slow
@ways_to_go
async def test_it_comes_and_goes_on_a_page_that_nobody_touches(site: Site, leave: Leave) -> None:
    new, *site.fake.models = site.fake.models[1:]
    page = await site.open()
    banner = page.locator("#ollama")
    await is_installed(page, site.fake.models[0]["name"]).to_have_count(1)
    await page.evaluate(WATCH)
    for _ in range(2):
        await leave(site.fake)
        await expect(banner).to_contain_text(WRONG, timeout=COMES)
        for _ in range(3):
            async with page.expect_response("**/readyz"):
                pass
        await come_back(site.fake, [new, *site.fake.models])
        await expect(banner).to_be_hidden(timeout=GOES)
        await is_installed(page, new["name"]).to_have_count(1, timeout=GOES)
        assert await page.evaluate(FOCUSED) == "TEXTAREA"
        changes = await page.evaluate("window.changes.splice(0)")
        assert len(changes) == 2, changes
        site.fake.models.remove(new)


@pytest.mark.slow
@ways_to_go
async def test_it_goes_from_a_page_that_was_opened_without_ollama(site: Site, leave: Leave) -> None:
    await site.start()
    models = site.fake.models
    await leave(site.fake)
    page = await site.open()
    await expect(page.locator("#ollama")).to_contain_text(WRONG, timeout=COMES)
    for theme in ("light", "dark"):
        await page.emulate_media(color_scheme=theme)
        assert await serious(page) == []
    await come_back(site.fake, models)
    await expect(page.locator("#ollama")).to_be_hidden(timeout=GOES)
    await is_installed(page, models[1]["name"]).to_have_count(1, timeout=GOES)


@pytest.mark.slow
async def test_it_needs_no_token_and_asks_for_nothing_else_without_one(site: Site) -> None:
    site.settings = {"api_token": "a-token-of-sixteen"}
    page = await site.open()
    await page.locator("#sign-in").wait_for()
    asked = len([url for url in site.requests if "/api/" in url])
    await site.fake.stop()
    await expect(page.locator("#ollama")).to_contain_text("Ollama cannot be reached", timeout=COMES)
    await site.fake.start()
    await expect(page.locator("#ollama")).to_be_hidden(timeout=GOES)
    async with page.expect_response("**/readyz"):
        pass
    assert len([url for url in site.requests if "/api/" in url]) == asked + 1  # when Ollama returned


async def test_models_that_are_not_described_yet_are_listed_and_read_again(site: Site) -> None:
    """Ollama may be slow to say what they can do."""
    context = await site.context()
    lists: list[Any] = []

    async def describe(route: Route) -> None:
        response = await route.fetch()
        body = await response.json()
        if not lists:
            for model in body["models"]:
                model["capabilities"] = []
        lists.append(body)
        await route.fulfill(json=body)

    await context.route("**/api/models", describe)
    page = await site.open(context=context)
    await is_installed(page, "all-minilm:22m").to_have_count(1)
    await is_installed(page, "thinker:270m").to_have_count(1)
    await is_installed(page, "all-minilm:22m").to_have_count(0)  # it only makes embeddings
    async with page.expect_response("**/readyz"):
        pass
    assert len(lists) == 2


async def test_a_list_that_did_not_change_stays_open(site: Site) -> None:
    page = await site.open()
    await is_installed(page, "thinker:270m").to_have_count(1)
    await page.evaluate("window.options = [...document.getElementById('model').options]")
    async with page.expect_response("**/api/models"):
        await page.evaluate("window.dispatchEvent(new Event('focus'))")
    async with page.expect_response("**/readyz"):
        pass
    assert await page.evaluate("window.options.every(({ isConnected }) => isConnected)")


async def test_the_banner_shows_while_ollama_is_unreachable(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "KNOWN_FOR", 0.0)  # seconds; it comes and goes quickly here
    await site.start()
    await site.fake.stop()
    page = await site.open()
    banner = page.locator("#ollama")
    await expect(banner).to_contain_text("Ollama cannot be reached: nothing answers at OLLAMA_HOST,")
    await expect(banner).to_have_attribute("role", "status")
    await site.fake.start()
    await site.ask(page, "Hi")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    await expect(banner).to_be_hidden()


async def test_a_failed_message_refreshes_the_banner(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "KNOWN_FOR", 0.0)  # seconds; it comes and goes quickly here
    page = await site.open()
    await expect(page.locator("#ollama")).to_be_hidden()
    await site.fake.stop()
    await site.ask(page, "Hi")
    await expect(page.locator("#ollama")).to_contain_text("Ollama cannot be reached")
    await expect(page.get_by_role("button", name="Retry")).to_be_visible()


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (
            "upstream_unavailable",
            "Ollama cannot be reached: nothing answers at OLLAMA_HOST, or a proxy there does not reach it;"
            " start it with `ollama serve`, or correct the address.",
        ),
        (
            "upstream_timeout",
            "Ollama cannot be reached: it does not answer in time; look into its log, and start it again if"
            " it hangs.",
        ),
        (
            "upstream_invalid",
            "Ollama cannot be reached: what answers at OLLAMA_HOST is something else, or its certificate is"
            " not trusted; `chatproxy doctor` says what to do.",
        ),
        ("upstream_error", FAILING),
        ("upstream_incomplete", FAILING),
    ],
)
async def test_the_banner_gives_the_reason(site: Site, code: str, sentence: str) -> None:
    context = await site.context()
    state = {"reachable": False, "code": code}
    await context.route("**/readyz", lambda route: route.fulfill(json={"status": "ready", "ollama": state}))
    page = await site.open(context=context)
    await expect(page.locator("#ollama")).to_have_text(sentence)


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (refused(401, "who?"), FAILING),
        (html(403), FAILING),
        (html(404), FAILING),
        (html(502), "or a proxy there does not reach it; start it"),
        (Script([b"no server"], status=503), "or a proxy there does not reach it; start it"),
        (Script([b"error code: 1033"], status=530), "or a proxy there does not reach it; start it"),
        (html(504), "it does not answer in time; look into its log"),
        (html(200), "`chatproxy doctor` says what to do"),
    ],
    ids=["401", "403", "404", "502", "503", "530", "504", "a page"],
)
async def test_the_banner_says_what_a_proxy_in_front_of_ollama_means(
    site: Site, script: Script, sentence: str
) -> None:
    for path in SIDE_CALLS:
        site.fake.instead[path] = script
    page = await site.open()
    await expect(page.locator("#ollama")).to_contain_text(sentence)


async def test_the_banner_says_that_the_demo_is_not_a_language_model(site: Site) -> None:
    async with demo_server(pace=400) as url:
        site.settings = {"ollama_host": url, "default_model": "auto"}
        page = await site.open()
        await expect(page.locator("#ollama")).to_have_text(
            "Answers come from a built-in stand-in, not from a language model."
        )
        about = page.locator("#first-use p")
        await expect(about).to_contain_text("chatproxy keeps your conversations.")
        # All that is offered is of one width, in columns.
        for width, columns in ((1200, 3), (560, 2), (360, 1)):
            await page.set_viewport_size({"width": width, "height": 900})
            boxes = [await each.bounding_box() for each in await page.locator("#first-use button").all()]
            assert len({round(box["x"]) for box in boxes if box}) == columns
            assert len({round(box["width"]) for box in boxes if box}) == 1
            assert all(box["x"] + box["width"] <= width for box in boxes if box)
        await page.set_viewport_size({"width": 1200, "height": 900})
        trick = page.locator("#first-use button", has_text="Think before you answer")
        assert await serious(page) == []
        await trick.click()
        await expect(page.locator("chat-interface details.thinking")).to_be_visible()
        await expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
        await expect(about).to_be_hidden()
        await expect(page.locator("#ollama")).to_be_visible()
