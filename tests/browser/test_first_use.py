"""What newcomers see of the page at `/`, and what readers are shown in place of errors for programmers."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from browser import ANSWER, BUTTON, FIELD, QUESTION, STATIC, Site, browser, browser_test, serious, site, until
from fake_ollama import Gate, Script, answer, echo

from chatproxy.models.selection import SUGGESTED

pytest.importorskip("playwright")
from playwright.async_api import Page, Route, expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

NOTICE: Final = "chat-interface .notice"
FAILURE: Final = "chat-interface .failure"
GONE: Final = "This conversation was deleted elsewhere. Your next message begins a new one."
AUTO: Final = "#model option[value=auto]"
API_WORDS: Final = re.compile(
    r"`|Id\b|\b(list|read) (the|its)\b|PATCH|POST|DELETE|Authorization|\bsend (it|this|the|no)\b"
)
EMBEDDING: Final = "all-minilm:22m"
IDLE: Final = "() => !document.querySelector('chat-interface').busy"
DENIED: Final = "".join(
    f"Object.defineProperty(window, '{area}', {{ get() {{ throw new DOMException('denied'); }} }});"
    for area in ("localStorage", "sessionStorage")
)


async def ask(site: Site, page: Page, text: str) -> None:
    await site.ask(page, text)
    await until(page, IDLE)


async def delete(site: Site, page: Page) -> None:
    """Delete the open session elsewhere."""
    await site.client.call("DELETE", f"/api/chat/sessions/{page.url.split('session=')[1]}", status=204)


async def test_suggestions_are_to_be_tried(site: Site) -> None:
    site.fake.script = Script(answer("one two three"), gate=(gate := Gate()))
    page = await site.open()
    suggestions = page.locator("#first-use button")
    await expect(suggestions).to_have_count(3)
    assert await serious(page) == []
    await suggestions.first.click()
    await expect(page.locator(QUESTION)).to_contain_text("Write a long story")
    await expect(suggestions.first).to_be_hidden()
    await expect(page.locator(FIELD)).to_be_focused()
    gate.let(1)
    await expect(page.locator(ANSWER)).to_have_text("one")
    second = await site.open(page.url.removeprefix(site.url), page.context)
    await expect(second.locator(ANSWER)).to_have_text("one")
    await page.reload()
    gate.let(1)
    for tab in (page, second):
        await expect(tab.locator(ANSWER)).to_have_text("one two")
    await page.locator(f"{BUTTON}[data-action=stop]").click()
    for tab in (page, second):
        await expect(tab.locator("chat-interface .assistant .note")).to_contain_text("Stopped.")


async def test_without_a_model_there_is_a_line_to_type(site: Site) -> None:
    models, site.fake.models = site.fake.models, []
    site.settings = {"default_model": "auto"}
    page = await site.open(permissions=["clipboard-read", "clipboard-write"])
    card = page.locator("#no-model")
    await expect(card).to_contain_text(f"ollama pull {SUGGESTED}")
    await expect(page.locator("#first-use button").first).to_be_hidden()
    assert await serious(page) == []
    await card.get_by_role("button", name="Copy the line").click()
    assert await page.evaluate("navigator.clipboard.readText()") == f"ollama pull {SUGGESTED}"
    await card.get_by_role("button", name="Look again").click()
    await expect(card).to_contain_text("There is still none.")
    site.fake.models = models
    await expect(card).to_be_hidden()  # by itself
    await expect(page.locator("#first-use button").first).to_be_visible()


async def test_a_deleted_conversation_goes_on_in_a_new_one(site: Site) -> None:
    site.fake.script = echo
    page = await site.open()
    await ask(site, page, "one")
    old = page.url
    await delete(site, page)
    await ask(site, page, "two")
    await expect(page.locator(NOTICE)).to_contain_text(GONE)
    await expect(page.locator(FAILURE)).to_contain_text(GONE)
    await expect(page.locator("#sessions li")).to_have_count(0)
    assert await serious(page) == []
    await page.locator(FAILURE).get_by_role("button", name="Retry").click()
    await expect(page.locator(ANSWER)).to_have_text(["two"])
    await expect(page.locator(QUESTION)).to_have_text(["two"])
    await expect(page.locator("#sessions li")).to_have_count(1)
    await expect(page.locator(NOTICE)).to_be_hidden()
    assert page.url != old
    await delete(site, page)
    await page.reload()
    await expect(page.locator(NOTICE)).to_contain_text(GONE)
    await ask(site, page, "three")
    await expect(page.locator(ANSWER)).to_have_text(["three"])
    await page.reload()
    await expect(page.locator(ANSWER)).to_have_text(["three"])


async def test_a_deleted_document_is_left_out_at_the_next_try(site: Site) -> None:
    site.fake.script = echo
    page = await site.open()
    await page.locator("chat-interface").evaluate("(chat) => { chat.documentId = 77; }")
    await ask(site, page, "one")
    await expect(page.locator(FAILURE)).to_contain_text("A document was deleted elsewhere.")
    await page.locator(FAILURE).get_by_role("button", name="Retry").click()
    await expect(page.locator(ANSWER)).to_have_text(["one"])


@pytest.mark.parametrize("way", ["refused", "page", "redirect"])
async def test_a_login_of_a_proxy_that_expired(site: Site, way: str) -> None:
    site.fake.script = echo
    page = await site.open()
    await ask(site, page, "one")

    async def ask_for_a_login(route: Route) -> None:
        if way == "redirect":
            await route.fulfill(status=302, headers={"Location": "http://login.invalid/"})
        else:
            status = 401 if way == "refused" else 200
            await route.fulfill(status=status, body="<h1>Log in</h1>", content_type="text/html")

    await page.route("**/api/**", ask_for_a_login)
    await ask(site, page, "two")
    await expect(page.locator(FAILURE)).to_contain_text("Your login has expired")
    await page.unroute("**/api/**")
    site.faults.clear()  # the policy does not let a redirect lead elsewhere
    site.requests.clear()
    async with page.expect_navigation():
        await page.locator(FAILURE).get_by_role("button", name="Reload the page").click()
    await expect(page.locator(FIELD)).to_have_value("two")
    site.requests.clear()


def documented_codes() -> list[str]:
    """Return the codes in the table of docs/api.md."""
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    section = text[text.index("\n## Errors") : text.index("\n## CORS")]
    return re.findall(r"^\| \d{3} \| `(\w+)`", section, re.MULTILINE)


# What the server says with the codes whose sentences are for readers as well.
OWN_WORDS: Final = {
    "host_not_allowed": "This server does not go by the name x; to use it, set ALLOWED_HOSTS=x.",
    "origin_not_allowed": "Pages from x may not call this server; to let them, name it in CORS_ORIGINS.",
    "not_for_visitors": "Visitors may use their own conversations and documents, and nothing else; log in.",
    "too_large": "The message is longer than 256 KiB; shorten it.",
    "unsupported_media_type": "Files of type .mp4 are not read; send PDF, DOCX, Markdown or text.",
    "visitor_limit": "That was much in one minute; wait a moment, and try it again.",
    "upstream_error": "Ollama's own words.",
    "upstream_incomplete": "Ollama's answer stopped before its end; please try again.",
    "interrupted": "The server stopped before this answer was complete.",
    "overloaded": "64 answers are waiting already; try again in a few seconds.",
    "upstream_timeout": "Ollama sent nothing for 60 s; try again, or raise UPSTREAM_TIMEOUT.",
}


async def test_no_reader_is_shown_a_sentence_for_programmers(site: Site) -> None:
    page = await site.open()
    sentences = await page.evaluate(
        """async ([codes, own]) => {
          const { sentenceFor } = await import("./static/element/problems.js");
          const { labels } = await import("./static/texts/en.js");
          const said = "PATCH `clientMessageId`; list the sessions.";
          const shown = (code) => sentenceFor({ error: own[code] ?? said, code }, labels);
          const errors = Object.entries(labels.errors);
          return Object.fromEntries([...errors, ...codes.map((code) => [code, shown(code)])]);
        }""",
        [documented_codes(), OWN_WORDS],
    )
    assert len(sentences) > 30
    assert {code: text for code, text in sentences.items() if API_WORDS.search(text)} == {}
    # One of them as it is shown: the model was removed meanwhile.
    site.fake.script = echo
    await page.evaluate("document.querySelector('chat-interface').model = 'gone:1b'")
    await ask(site, page, "one")
    await expect(page.locator(FAILURE)).to_contain_text("The chosen model is not installed any more")


async def test_auto_says_which_model_will_answer(site: Site) -> None:
    site.fake.script = echo
    page = await site.open()
    selected = (await site.client.call("GET", "/api/models"))["selected"]
    assert selected["isDefault"]
    await expect(page.locator(AUTO)).to_have_text(f"auto ({selected['model']})")
    await ask(site, page, "one")
    assert site.fake.requests[-1]["model"] == selected["model"]


async def test_auto_keeps_the_model_that_answered_last(site: Site) -> None:
    site.fake.script = echo
    site.settings = {"default_model": "auto"}
    page = await site.open()
    selected = (await site.client.call("GET", "/api/models"))["selected"]["model"]
    other = next(each["name"] for each in site.fake.models if each["name"] not in (selected, EMBEDDING))
    await expect(page.locator(AUTO)).to_have_text(f"auto ({selected})")
    await page.locator("#model").select_option(other)
    await ask(site, page, "one")
    await page.locator("#model").select_option("auto")
    await expect(page.locator(AUTO)).to_have_text(f"auto ({other})")
    await page.reload()
    await expect(page.locator(AUTO)).to_have_text(f"auto ({other})")
    await ask(site, page, "two")
    assert site.fake.requests[-1]["model"] == other
    await page.get_by_role("button", name="New chat").click()
    await expect(page.locator(AUTO)).to_have_text(f"auto ({selected})")


async def test_visitors_find_where_to_log_in(site: Site) -> None:
    token = "a-token-that-is-long-enough-and-not-easy-to-guess"
    site.settings = {
        "api_token": token,
        "jwt_secret": "a-secret-that-is-long-enough-and-not-easy-to-guess-at-all",
        "visitors": True,
    }
    page = await site.open()
    button = page.get_by_role("button", name="Log in")
    assert await serious(page) == []
    await button.click()
    for given in ("wrong", token):
        await page.locator("#token").fill(given)
        await page.keyboard.press("Enter")
        if given == "wrong":
            await expect(page.locator("#sign-in-problem")).to_contain_text("not good here")
    await expect(button).to_be_hidden()
    await page.close()


async def test_it_can_be_installed_and_needs_no_storage(site: Site) -> None:
    site.prefix = "/chat"
    site.fake.script = echo
    page = await site.open(script=DENIED)
    await ask(site, page, "one")
    await page.get_by_role("button", name="Theme").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "light")
    devtools = await page.context.new_cdp_session(page)
    found: dict[str, Any] = await devtools.send("Page.getAppManifest")
    assert found["errors"] == []
    manifest = json.loads(found["data"])
    assert found["url"].startswith(site.url)
    for icon in manifest["icons"]:
        assert (STATIC / "page" / icon["src"]).is_file()
        response = await page.request.get(f"{site.url}/static/page/{icon['src']}")
        assert response.headers["content-type"] == icon["type"]
    assert manifest["display"] == "standalone"
