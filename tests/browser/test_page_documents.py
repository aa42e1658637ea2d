"""Documents on the page: uploads, the session's document, the list, citations in answers."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from browser import (
    ANSWER,
    BUTTON,
    FIELD,
    QUESTION,
    Site,
    browser,
    browser_test,
    need_marked,
    serious,
    site,
    until,
)
from fake_ollama import Script, answer

pytest.importorskip("playwright")
from playwright.async_api import Page, expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

DATA = Path(__file__).parents[1] / "data" / "documents"
OPEN = "#documents-open"
NAME = "#document .name"
CHIP = "chat-interface .chip"
NOTE = "chat-interface .assistant .note"
NOTICE = "chat-interface .notice"
UPLOAD = "chat-interface .upload"


def text(name: str, content: str | bytes) -> Any:
    buffer = content.encode() if isinstance(content, str) else content
    return {"name": name, "mimeType": "text/plain", "buffer": buffer}


async def upload(page: Page, *files: Any) -> None:
    """Upload files with the dialog's button and the browser's file chooser."""
    await page.locator(OPEN).click()
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Choose a file").click()
    await (await chooser.value).set_files(list(files))


async def stored(site: Site, title: str, content: str) -> int:
    if site._server is None:
        await site.start()
    body = {"title": title, "text": content}
    return int((await site.client.call("POST", "/api/documents", status=201, json=body))["id"])


async def many_stored(site: Site, number: int) -> list[int]:
    """Store documents by the names d0, d1, …, of which only the first has a text, as each takes its time."""
    first = await stored(site, "d0", "text")
    with closing(sqlite3.connect(site.database)) as connection, connection:
        columns = [name for _, name, *_ in connection.execute("PRAGMA table_info (document)") if name != "id"]
        copied = ", ".join({"hash": "randomblob(32)", "title": "?"}.get(name, name) for name in columns)
        copy = f"INSERT INTO document ({', '.join(columns)}) SELECT {copied} FROM document WHERE id = ?"
        others = [connection.execute(copy, (f"d{each}", first)).lastrowid for each in range(1, number)]
    return [first, *(each for each in others if each is not None)]


async def session_of(site: Site, document: int, title: str = "About it") -> str:
    """Return a session with a message about the document."""
    session = await site.new_session(title=title)
    await site.client.ask(session, "Where is the honey?", document_id=document)
    return session


async def attribute(page: Page, value: str | None) -> None:
    """Wait until the element's `document-id` has this value."""
    await until(
        page, "(is) => document.querySelector('chat-interface').getAttribute('document-id') === is", value
    )


# -- uploads


@pytest.mark.parametrize(
    ("name", "question"),
    [("fhs.pdf", "What is in /usr/share?"), ("devils-dictionary.txt", "What is the nature of a person?")],
)
async def test_a_real_file_is_uploaded_and_cited(site: Site, name: str, question: str) -> None:
    need_marked()
    site.fake.script = Script(answer("It says so in [1] and, more or less, in [3]; not in [9]."))
    page = await site.open()
    await upload(page, DATA / name)
    await expect(page.locator(NAME)).to_have_text(name, timeout=30_000)
    await expect(page.locator(FIELD)).to_be_focused()
    await site.ask(page, question)
    await expect(page.locator(CHIP)).to_have_count(5)
    await expect(page.locator(f"{ANSWER} a.reference")).to_have_text(["1", "3"])

    session = page.url.partition("session=")[2]
    sources = (await site.client.messages(session))[-1]["sources"]
    await page.locator(f"{ANSWER} a.reference").nth(1).click()
    chip = page.locator(CHIP).nth(2)
    await expect(chip).to_be_focused()
    await expect(chip).to_have_attribute("aria-expanded", "true")
    snippet = page.locator("chat-interface .snippet")
    assert await snippet.text_content() == sources[2]["snippet"]
    await page.locator(CHIP).first.click()
    assert await snippet.text_content() == sources[0]["snippet"]
    await page.locator(CHIP).first.click()
    await expect(snippet).to_be_hidden()
    assert sources[0]["snippet"] in site.fake.requests[0]["messages"][-1]["content"]

    await page.reload()
    await expect(page.locator(NAME)).to_have_text(name)
    await expect(page.locator(CHIP)).to_have_count(5)


# More than the buffers of a connection hold; created in the page, so that it need not be sent there.
LONG_FILE = """() => {
  const held = new DataTransfer();
  held.items.add(new File(["word ".repeat(5_000_000)], "long.txt"));
  const input = document.getElementById("documents-input");
  input.files = held.files;
  input.dispatchEvent(new Event("change"));
}"""


async def test_an_upload_shows_progress_holds_messages_back_and_can_be_cancelled(site: Site) -> None:
    gate = asyncio.Event()

    @web.middleware
    async def held(request: web.Request, handler: Any) -> Any:
        if request.path == "/api/documents" and request.method == "POST":
            await gate.wait()
        return await handler(request)

    site.middlewares = [held]
    site.settings = {"max_document_bytes": 100_000_000}
    page = await site.open()
    await page.evaluate(LONG_FILE)
    await expect(page.locator(NOTICE)).to_have_text("Uploading \u2068long.txt\u2069")
    await expect(page.locator(f"{UPLOAD} .name")).to_have_text("long.txt")
    progress = "document.querySelector('chat-interface').shadowRoot.querySelector('progress')"
    await until(page, f"() => {{ const {{ value }} = {progress}; return value > 0 && value < 1; }}")
    await site.ask(page, "What does it say?")
    await expect(page.locator(NOTICE)).to_contain_text("sent as soon as")
    await expect(page.locator(FIELD)).to_have_value("What does it say?")
    await page.get_by_role("button", name="Cancel long.txt").click()
    await expect(page.locator(UPLOAD)).to_have_count(0)
    await expect(page.locator(NAME)).to_have_count(0)
    await expect(page.locator(NOTICE)).to_be_hidden()
    await expect(page.locator(QUESTION)).to_have_count(0)  # it was to be sent with the document

    gate.clear()
    await upload(page, text("short.txt", "Few words."))
    await page.locator(BUTTON).click()
    await expect(page.locator(FIELD)).to_have_value("What does it say?")
    gate.set()
    await expect(page.locator(QUESTION)).to_have_text("What does it say?")
    await expect(page.locator(CHIP)).to_have_text("1 short.txt Not cited")
    await expect(page.locator(NAME)).to_have_text("short.txt")
    documents = (await site.client.call("GET", "/api/documents"))["documents"]
    assert [document["title"] for document in documents] == ["short.txt"]


async def test_names_keep_their_direction_inside_sentences(site: Site) -> None:
    name = "דוח (2024) v2.txt"
    page = await site.open()
    await upload(page, text(name, "Few words."))
    await expect(page.locator(NAME)).to_have_text(name)
    await page.locator(OPEN).click()
    await page.get_by_role("button", name=f"Delete {name}").click()
    await expect(page.locator("#confirm-text")).to_have_text(
        f"Delete “\u2068{name}\u2069”? Answers keep the passages they cite."
    )


async def test_a_refused_upload_shows_the_server_s_sentence(site: Site) -> None:
    site.settings = {"max_document_bytes": 1000}
    page = await site.open()
    problem = page.locator(NOTICE)
    for file, words in (
        (text("film.mp4", b"\0\0"), "PDF, DOCX, Markdown"),
        (text("long.txt", "word " * 200_000), "larger than 1000 bytes"),
        (text("empty.txt", " "), "has no text"),
    ):
        await upload(page, file)
        await expect(problem).to_contain_text(words)
        await expect(page.locator(NAME)).to_have_count(0)
    await expect(problem).to_contain_text("X-Request-Id: ")
    await upload(page, text("good.txt", "Words."))
    await expect(page.locator(NAME)).to_have_text("good.txt")
    await expect(problem).to_be_hidden()


DRAG = """([type, files, target]) => {
  const dataTransfer = new DataTransfer();
  for (const [name, content] of files) dataTransfer.items.add(new File([content], name));
  if (!files.length) dataTransfer.setData("text/plain", "only words");
  const event = new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true, composed: true });
  document.querySelector(target).dispatchEvent(event);
  return event.defaultPrevented;
}"""


async def test_files_can_be_dropped_anywhere(site: Site) -> None:
    page = await site.open()
    veil = page.locator("#drop")
    assert not await page.evaluate(DRAG, ["dragover", [], "main"])
    await expect(veil).to_be_hidden()
    assert not await page.evaluate(DRAG, ["drop", [], "main"])

    files = [["a.txt", "About apples."], ["b.txt", "About pears."]]
    assert await page.evaluate(DRAG, ["dragover", files, "#sidebar"])
    await expect(veil).to_be_visible()
    await page.evaluate(DRAG, ["dragleave", files, "html"])
    await expect(veil).to_be_hidden()
    await page.evaluate(DRAG, ["dragover", files, "chat-interface"])
    assert await page.evaluate(DRAG, ["drop", files, "chat-interface"])
    await expect(veil).to_be_hidden()
    await expect(page.locator(NAME)).to_have_text(["a.txt", "b.txt"])
    await page.locator(OPEN).click()
    await expect(page.locator("#documents .name")).to_have_text(["b.txt", "a.txt"])
    assert await page.evaluate(DRAG, ["drop", [["c.txt", "About figs."]], "#documents"])
    await expect(page.locator("#documents")).to_be_hidden()
    await expect(page.locator(NAME)).to_have_text(["a.txt", "b.txt", "c.txt"])


# -- the session's documents


async def test_document_id_follows_the_session_and_is_sent_when_it_changes(site: Site) -> None:
    bees, ships = await stored(site, "bees", "Honey is sweet."), await stored(site, "ships", "Tar is sticky.")
    session, other = await session_of(site, bees, "first"), await site.new_session(title="second")
    page = await site.open(f"/?session={session}")
    await attribute(page, str(bees))
    await expect(page.locator(NAME)).to_have_text("bees")
    async with page.expect_request("**/messages/stream") as sent:
        await site.ask(page, "More honey?")
    assert "documentIds" not in ((await sent.value).post_data_json or {})
    await expect(page.locator(CHIP)).to_have_text(["1 bees Not cited"] * 2)

    await page.locator("#sessions a", has_text="second").click()
    await attribute(page, None)
    await expect(page.locator(NAME)).to_have_count(0)
    await page.locator("#sessions a", has_text="first").click()
    await expect(page.locator(NAME)).to_have_text("bees")

    await page.evaluate(
        "(id) => document.querySelector('chat-interface').setAttribute('document-id', id)", ships
    )
    await expect(page.locator(NAME)).to_have_text("ships")
    await page.evaluate("document.querySelector('chat-interface').refresh()")  # which keeps a choice
    async with page.expect_request("**/messages/stream") as sent:
        await site.ask(page, "And tar?")
    assert ((await sent.value).post_data_json or {})["documentIds"] == [ships]
    await expect(page.locator(CHIP).last).to_have_text("1 ships Not cited")
    await attribute(page, str(ships))
    assert (await site.client.session(session))["documentId"] == ships
    assert (await site.client.session(other))["documentId"] is None


async def test_a_removed_document_is_gone_from_the_next_message_on(site: Site) -> None:
    session = await session_of(site, await stored(site, "bees", "Honey is sweet."))
    page = await site.open(f"/?session={session}")
    await page.get_by_role("button", name="Remove bees").click()
    await expect(page.locator(NAME)).to_have_count(0)
    await expect(page.locator(FIELD)).to_be_focused()
    async with page.expect_request("**/messages/stream") as sent:
        await site.ask(page, "And now?")
    body: Any = (await sent.value).post_data_json
    assert body["documentIds"] == []
    await expect(page.get_by_role("button", name="Regenerate").last).to_be_visible()
    assert (await site.client.session(session))["documentId"] is None
    await page.reload()
    await expect(page.locator(ANSWER)).to_have_count(2)
    await expect(page.locator(NAME)).to_have_count(0)


async def test_a_choice_applies_to_its_session_only(site: Site) -> None:
    await stored(site, "bees", "Honey is sweet.")
    session = await site.new_session(title="plain")
    page = await site.open(f"/?session={session}")
    await page.locator(OPEN).click()
    await page.locator("#documents .choose").click()
    await expect(page.locator(NAME)).to_have_text("bees")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="New chat").click()
    await expect(page.locator(NAME)).to_have_count(0)
    await site.ask(page, "Hello")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    assert (await site.client.messages(page.url.partition("session=")[2]))[0]["documentId"] is None


async def test_a_deleted_document_and_a_missing_match_are_warnings(site: Site) -> None:
    bees = await stored(site, "bees", "Honey is sweet.")
    session = await site.new_session()
    await site.client.ask(session, "xylophone zebra", document_id=bees)
    page = await site.open(f"/?session={session}")
    await expect(page.locator(NOTE)).to_contain_text("No word of the question was found")
    await site.client.call("DELETE", f"/api/documents/{bees}", status=204)
    await site.ask(page, "And now?")
    await expect(page.locator(NOTE).last).to_contain_text("The document “bees” was deleted")
    await expect(page.locator(NAME)).to_have_count(0)
    await expect(page.locator("chat-interface .failure")).to_have_count(0)
    await expect(page.locator(CHIP)).to_have_count(1)  # of the earlier answer
    await page.reload()
    await expect(page.locator(NOTE)).to_have_count(2)


async def test_a_deleted_document_has_a_name(site: Site) -> None:
    bees = await stored(site, "bees", "Honey is sweet.")
    session = await session_of(site, bees)
    await site.client.call("DELETE", f"/api/documents/{bees}", status=204)
    page = await site.open(f"/?session={session}")
    await expect(page.locator(NAME)).to_have_text("Deleted document")


async def test_several_documents_are_asked_and_removed_by_keys(site: Site) -> None:
    bees, ships = await stored(site, "bees", "Honey is sweet."), await stored(site, "ships", "Tar is sticky.")
    page = await site.open()
    await upload(page, text("figs.txt", "Figs are soft."), text("pears.txt", "Pears are hard."))
    await expect(page.locator(NAME)).to_have_text(["figs.txt", "pears.txt"])
    await page.evaluate(
        "(ids) => { const chat = document.querySelector('chat-interface');"
        " chat.documentIds = [...ids, ...chat.documentIds]; }",
        [bees, ships],
    )
    await expect(page.locator(NAME)).to_have_text(["bees", "ships", "figs.txt", "pears.txt"])
    async with page.expect_request("**/messages/stream") as sent:
        await site.ask(page, "Is honey sweet, and is tar sticky?")
    ids = ((await sent.value).post_data_json or {})["documentIds"]
    assert ids[:2] == [bees, ships]
    await expect(page.locator(CHIP).nth(0)).to_have_text("1 bees Not cited")
    await expect(page.locator(CHIP).nth(1)).to_have_text("2 ships Not cited")
    await page.reload()
    await expect(page.locator(NAME)).to_have_text(["bees", "ships", "figs.txt", "pears.txt"])
    await page.get_by_role("button", name="Remove bees").focus()
    for name in ("ships", "figs.txt", "pears.txt"):
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name=f"Remove {name}")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator(FIELD)).to_be_focused()
    await expect(page.locator(NAME)).to_have_count(0)


async def test_one_document_of_several_is_deleted_elsewhere(site: Site) -> None:
    bees, ships = await stored(site, "bees", "Honey is sweet."), await stored(site, "ships", "Tar is sticky.")
    page = await site.open()
    await page.evaluate(
        "(ids) => { document.querySelector('chat-interface').documentIds = ids; }", [bees, ships]
    )
    await site.ask(page, "Is honey sweet?")
    await expect(page.locator(CHIP).first).to_have_text("1 bees Not cited")
    await site.client.call("DELETE", f"/api/documents/{bees}", status=204)
    await site.ask(page, "Is tar sticky?")
    await expect(page.locator(NOTE)).to_contain_text("The document “bees” was deleted")
    await expect(page.locator(NAME)).to_have_text("ships")
    # One that is named with the message is left out at the next try.
    await page.evaluate(
        "(ids) => { document.querySelector('chat-interface').documentIds = ids; }", [bees, ships]
    )
    await site.ask(page, "And now?")
    await expect(page.locator("chat-interface .failure")).to_contain_text("A document was deleted elsewhere.")
    await expect(page.locator(NAME)).to_have_text("ships")
    await page.get_by_role("button", name="Retry").click()
    await expect(page.locator("chat-interface .failure")).to_have_count(0)
    site.faults.clear()


async def test_the_seventeenth_document_is_refused(site: Site) -> None:
    ids = await many_stored(site, 17)
    page = await site.open()
    await page.evaluate("(ids) => { document.querySelector('chat-interface').documentIds = ids; }", ids[:16])
    await upload(page, text("more.txt", "More."))
    await expect(page.locator(NOTICE)).to_contain_text("16 documents at most")
    await page.locator(OPEN).click()
    last = page.get_by_role("checkbox", name="d16")
    await last.click()
    await expect(last).not_to_be_checked()
    await expect(page.locator("#documents-problem")).to_contain_text("16 documents at most")
    await page.get_by_role("checkbox", name="d15").click()
    await last.click()
    await expect(last).to_be_checked()
    await expect(page.locator(NAME)).to_have_count(16)


async def test_what_could_not_be_read_is_shown_with_the_document(site: Site) -> None:
    """In the list, where it grows while the document is being embedded, and below the field."""
    scan = {
        "id": 7,
        "title": "scan.pdf",
        "mediaType": "application/pdf",
        "bytes": 1,
        "chunks": 8,
        "embedded": 2,
    }
    scan |= {"createdAt": "2026-01-01T00:00:00.000Z"}
    scan |= {"warnings": [{"code": "partial", "message": "Pages 2 and 3 have no text."}]}
    page = await site.open()
    await page.route("**/api/documents/7", lambda route: route.fulfill(json=scan))
    await page.route(
        "**/api/documents?*", lambda route: route.fulfill(json={"documents": [scan], "next": None})
    )
    await page.evaluate("document.querySelector('chat-interface').documentIds = [7]")
    note = page.get_by_role("note", name="Note about scan.pdf")
    await expect(note).to_have_text("Pages 2 and 3 have no text.")
    await page.locator(OPEN).click()
    await expect(page.locator("#documents-list p")).to_have_text("Pages 2 and 3 have no text.")
    tick = page.get_by_role("checkbox", name="scan.pdf")
    await expect(tick).to_have_accessible_description("Pages 2 and 3 have no text.")
    await expect(page.locator("#documents .size")).to_contain_text("25% ready to be found by meaning")
    await tick.focus()
    scan["embedded"] = 8
    await expect(page.locator("#documents .size")).not_to_contain_text("ready")
    await expect(tick).to_be_focused()
    assert await serious(page) == []


# -- the list


async def test_the_list_ticks_several_and_deletes_after_confirmation(site: Site) -> None:
    for title in ("bees", "ships"):
        await stored(site, title, f"About {title}.")
    page = await site.open()
    await page.locator(OPEN).click()
    choices = page.locator("#documents .choose")
    await expect(page.locator("#documents .name")).to_have_text(["ships", "bees"])
    await choices.last.click()
    await expect(page.locator(NAME)).to_have_text("bees")
    await choices.first.click()
    await expect(page.locator(NAME)).to_have_text(["bees", "ships"])
    await choices.first.click()
    await expect(page.locator(NAME)).to_have_text("bees")
    await page.keyboard.press("Escape")
    await page.locator(OPEN).click()
    await expect(page.get_by_role("checkbox", name="bees")).to_be_checked()
    await expect(page.get_by_role("checkbox", name="ships")).not_to_be_checked()

    question = page.locator("#confirm")
    await page.get_by_role("button", name="Delete bees").click()
    await expect(question).to_contain_text("Delete “\u2068bees\u2069”?")
    await question.get_by_role("button", name="Cancel").click()
    await expect(choices).to_have_count(2)
    await page.get_by_role("button", name="Delete bees").click()
    await question.get_by_role("button", name="Delete").click()
    await expect(page.locator("#documents .name")).to_have_text(["ships"])
    await page.get_by_role("button", name="Close", exact=True).click()
    await expect(page.locator(NAME)).to_have_count(0)
    documents = (await site.client.call("GET", "/api/documents"))["documents"]
    assert [document["title"] for document in documents] == ["ships"]


async def test_titles_have_the_direction_of_their_script(site: Site) -> None:
    session = await session_of(site, await stored(site, "دليل العسل.txt", "Where is the honey?"))
    page = await site.open(f"/?session={session}")
    await expect(page.locator(CHIP)).to_have_css("direction", "rtl")
    await expect(page.locator(NAME)).to_have_css("direction", "rtl")
    await page.locator(OPEN).click()
    await expect(page.locator("#documents .name")).to_have_css("direction", "rtl")


async def test_a_long_list_is_paged(site: Site) -> None:
    await many_stored(site, 52)
    page = await site.open()
    await page.locator(OPEN).click()
    await expect(page.locator("#documents li")).to_have_count(50)
    await page.locator("#documents").get_by_role("button", name="Show more").click()
    await expect(page.locator("#documents li")).to_have_count(52)
    await expect(page.locator("#documents-more")).to_be_hidden()


# -- accessibility


async def test_keys_choose_a_document(site: Site) -> None:
    await stored(site, "bees", "Honey is sweet.")
    page = await site.open()
    keys = page.keyboard
    await page.locator(FIELD).press("Tab")
    while await page.evaluate("document.activeElement.id") != "documents-open":
        await keys.press("Tab")
    await keys.press("Enter")
    await expect(page.locator("#documents .choose")).to_be_visible()
    await keys.press("Escape")
    await expect(page.locator(OPEN)).to_be_focused()
    await keys.press("Enter")
    while await page.evaluate("document.activeElement.type") != "checkbox":
        await keys.press("Tab")
    await keys.press("Space")
    await expect(page.locator(NAME)).to_have_text("bees")
    await expect(page.get_by_role("checkbox", name="bees")).to_be_focused()
    await keys.press("Escape")
    await page.locator(FIELD).focus()
    await keys.type("Honey?")
    await keys.press("Enter")
    await expect(page.locator(CHIP)).to_have_text("1 bees Not cited")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 320)])
async def test_axe_reports_nothing_serious_and_everything_fits(site: Site, scheme: str, width: int) -> None:
    title = "A very long name of a document that has no room on the page " * 2
    document = await stored(site, title, "Honey is sweet.\n\n" + "h" * 300)
    session = await session_of(site, document)
    page = await site.open(
        f"/?session={session}", color_scheme=scheme, viewport={"width": width, "height": 700}
    )
    await page.locator(CHIP).click()
    await upload(page, text("film.mp4", b"\0\0"))
    await expect(page.locator(NOTICE)).to_contain_text("PDF, DOCX")
    await expect(page.locator(NAME)).to_have_text(title.strip())
    assert await serious(page) == []
    wide = "() => document.documentElement.scrollWidth"
    assert await page.evaluate(wide) <= width
    await expect(page.get_by_role("button", name="Remove")).to_be_in_viewport(ratio=1)
    await page.locator(OPEN).click()
    await expect(page.locator("#documents .choose")).to_be_visible()
    assert await serious(page) == []
    assert await page.locator("#documents").evaluate("(box) => box.scrollWidth - box.clientWidth") <= 0
    assert await page.evaluate(wide) <= width
