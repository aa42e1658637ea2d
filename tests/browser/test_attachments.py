"""Pictures and documents by button, drop and paste, with the element alone and on the page; long texts."""

import base64
import struct
import zlib
from typing import Any, Final

import pytest
from browser import (
    ANNOUNCER,
    ANSWER,
    BUTTON,
    FIELD,
    QUESTION,
    Site,
    browser,
    browser_test,
    serious,
    site,
    until,
)
from fake_ollama import Gate, Script, answer, token
from matrix import matrix

pytest.importorskip("playwright")
from playwright.async_api import Page, expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

NOTICE: Final = "chat-interface .notice"
PREVIEW: Final = "chat-interface .preview img"
UPLOAD: Final = "chat-interface .upload"
DOCUMENT: Final = "chat-interface .document"
PICTURES: Final = "chat-interface .user .images img"
FILES: Final = "chat-interface input[type=file]"
BARE: Final = """<!doctype html><html lang="en"><title>Host</title><p id="beside">Beside</p>
<chat-interface style="height: 30rem"></chat-interface>
<script type="module" src="/static/chat-interface.js"></script>"""


def png(width: int = 1, height: int = 1) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


DOT: Final = png()
ENCODED: Final = base64.b64encode(DOT).decode()


def seeing(site: Site) -> None:
    for shown in site.fake.shows.values():
        shown["capabilities"] = [*shown["capabilities"], "vision"]


def file(name: str, kind: str, content: bytes = DOT) -> Any:
    return {"name": name, "mimeType": kind, "buffer": content}


async def bare(site: Site, **options: Any) -> Page:
    """Open a page that has the element and nothing else."""
    context = await site.context(**options)
    await context.route("**/bare", lambda route: route.fulfill(body=BARE, content_type="text/html"))
    return await site.open("/bare", context)


async def write(page: Page, text: str) -> None:
    """Fill the field at once: the keyboard of a browser takes minutes for a long text."""
    fill = """(field, text) => {
      field.value = text;
      field.dispatchEvent(new InputEvent("input", { bubbles: true }));
    }"""
    await page.locator(FIELD).evaluate(fill, text)


# Paste or drop text, HTML and files: [name, type, base64]. Returns whether the browser would do it itself.
OFFER: Final = """([type, target, offered]) => {
  const data = new DataTransfer();
  if (offered.text) data.setData("text/plain", offered.text);
  if (offered.html) data.setData("text/html", offered.html);
  for (const [name, type, content] of offered.files ?? []) {
    data.items.add(new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], name, { type }));
  }
  const more = { bubbles: true, cancelable: true, composed: true };
  const event = type === "paste" ? new ClipboardEvent(type, { ...more, clipboardData: data })
    : new DragEvent(type, { ...more, dataTransfer: data });
  const chat = document.querySelector("chat-interface");
  const field = chat.shadowRoot.querySelector("textarea");
  const element = target === "field" ? field : document.querySelector(target);
  return element.dispatchEvent(event);
}"""


async def offer(page: Page, type: str, target: str, **offered: Any) -> bool:
    return bool(await page.evaluate(OFFER, [type, target, offered]))


IMAGE: Final = ["image.png", "image/png", ENCODED]
OFFICE: Final = """<html><style>td { color: red }</style><table><tr><td>Apple</td><td>3</td></tr></table>
<img src=x></html>"""
COPIED: Final = """<html><body>
<!--StartFragment--><img src='https://a.test/b.png' alt='A > B'/><!--EndFragment--></body></html>"""


async def test_what_is_pasted_is_what_was_meant(site: Site) -> None:
    page = await site.open()
    offers: list[tuple[str, dict[str, Any], int]] = [
        ("a screenshot", {"files": [IMAGE]}, 1),
        ("several pictures", {"files": [IMAGE, ["two.gif", "image/gif", ENCODED]]}, 2),
        ("cells of Excel", {"text": "Apple\t3", "html": OFFICE, "files": [IMAGE]}, 0),
        ("a text of OneNote", {"text": "Apple", "files": [IMAGE]}, 0),
        ("a text of Word", {"text": "Apple", "html": "<p>Apple</p><img src=x>", "files": [IMAGE]}, 0),
        ("a picture in Chromium", {"html": "<meta charset='utf-8'><img src='x'>", "files": [IMAGE]}, 1),
        ("a picture with its address", {"text": "https://a.test/b.png", "html": COPIED, "files": [IMAGE]}, 1),
        ("a file in Finder", {"text": "image.png", "files": [IMAGE]}, 1),
        ("a file in Nautilus", {"text": "file:///home/me/image.png", "files": [IMAGE]}, 1),
        ("a text", {"text": "Apple"}, 0),
        ("a text of a browser", {"text": "Apple", "html": "<b>Apple</b><img src=x>"}, 0),
    ]
    with matrix() as cases:
        for case, offered, pictures in offers:
            untouched = await offer(page, "paste", "field", **offered)
            cases.expect(not pictures, untouched, case, "left to the browser")
            await expect(page.locator(PREVIEW)).to_have_count(pictures)
            for _ in range(pictures):
                await page.get_by_role("button", name="Remove image").first.click()


async def test_a_file_becomes_what_it_is_by_every_way(site: Site) -> None:
    """With the element alone, which uploads, shows, and lets go of documents by itself."""
    seeing(site)
    page = await bare(site)
    notes = ["notes.txt", "text/plain", base64.b64encode(b"Bees make honey.").decode()]
    ways: list[tuple[str, Any]] = [
        ("button", None),
        ("paste", "field"),
        ("drop", "chat-interface"),
        ("drop", "field"),
    ]
    for way, target in ways:
        if target is None:
            given = [file("dot.png", "image/png"), file("notes.txt", "text/plain", b"Bees make honey.")]
            await page.locator(FILES).set_input_files(given)
        else:
            assert not await offer(page, way, target, files=[IMAGE, notes])
        await expect(page.locator(PREVIEW)).to_have_count(1)
        await expect(page.locator(f"{DOCUMENT} .name")).to_have_text("notes.txt")
        await expect(page.locator(UPLOAD)).to_have_count(0)
        await page.get_by_role("button", name="Remove image").click()
        await page.get_by_role("button", name="Remove notes.txt").click()
        await expect(page.locator(DOCUMENT)).to_have_count(0)
        await expect(page.locator(FIELD)).to_be_focused()
    await page.locator(FILES).set_input_files([file("notes.txt", "text/plain", b"Bees make honey.")])
    await expect(page.locator(f"{DOCUMENT} .name")).to_have_text("notes.txt")
    more = [file("ships.txt", "text/plain", b"Ships sail."), file("figs.txt", "text/plain", b"Figs ripen.")]
    await page.locator(FILES).set_input_files(more)
    await expect(page.locator(f"{DOCUMENT} .name")).to_have_text(["notes.txt", "ships.txt", "figs.txt"])
    await page.get_by_role("button", name="Remove ships.txt").click()
    await expect(page.locator(f"{DOCUMENT} .name")).to_have_text(["notes.txt", "figs.txt"])
    await site.ask(page, "What do bees make?")
    await expect(page.locator("chat-interface .chip").first).to_have_text("1 notes.txt Not cited")
    assert await serious(page) == []


async def test_a_drag_shows_where_to_drop(site: Site) -> None:
    page = await bare(site)
    veil = page.locator("chat-interface .drop")
    assert await offer(page, "dragover", "chat-interface", text="only words")
    await expect(veil).to_be_hidden()
    assert not await offer(page, "dragover", "chat-interface", files=[IMAGE])
    await expect(veil).to_have_text("Drop pictures or documents here")
    await offer(page, "dragleave", "chat-interface")
    await expect(veil).to_be_hidden()
    assert await offer(page, "drop", "#beside", files=[IMAGE])  # the host's own
    assert not await offer(page, "drop", "chat-interface", files=[IMAGE])
    await expect(page.locator(PREVIEW)).to_have_count(1)


async def test_what_cannot_be_attached_is_named(site: Site) -> None:
    page = await bare(site)
    with matrix() as cases:
        for name, kind, words in (
            ("film.mp4", "video/mp4", "Files of type .mp4 are not read; send PDF, DOCX, Markdown"),
            ("photo.heic", "image/heic", "photo.heic\u2069 is no picture that can be shown here"),
            ("photo.HEIC", "", "photo.HEIC\u2069 is no picture"),
            ("bad.pdf", "application/pdf", "not a PDF"),
        ):
            await page.locator(FILES).set_input_files([file(name, kind, b"\0\1\2")])
            await until(
                page,
                "() => !document.querySelector('chat-interface').shadowRoot.querySelector('[aria-busy]')",
            )
            await expect(page.locator(UPLOAD)).to_have_count(0)
            said = await page.locator(NOTICE).inner_text()
            cases.check(words in said, said, name)
    several = [file("a.mp4", "video/mp4"), file("b.txt", "text/plain", b"Bees."), file("c.exe", "")]
    await page.locator(FILES).set_input_files(several)
    await expect(page.locator(f"{DOCUMENT} .name")).to_have_text("b.txt")
    await expect(page.locator(NOTICE)).to_contain_text(".exe")
    await expect(page.locator(NOTICE)).to_contain_text(".mp4")


async def test_what_attaches_files_is_loaded_again_after_a_failure(site: Site) -> None:
    page = await bare(site)
    await page.route("**/attachments.js", lambda route: route.abort())
    await page.locator(FIELD).fill("See")
    await page.locator(FILES).set_input_files([file("dot.png", "image/png")])
    await expect(page.locator(NOTICE)).to_have_text("The connection to the server was lost; try again.")
    await expect(page.locator(FIELD)).to_have_value("See")
    await page.unroute("**/attachments.js")
    await page.locator(FILES).set_input_files([file("dot.png", "image/png")])
    await expect(page.locator(PREVIEW)).to_have_count(1)


# -- pictures


async def test_a_picture_needs_no_words_and_stays(site: Site) -> None:
    seeing(site)
    page = await site.open()
    await page.locator(FILES).set_input_files(
        [file("dot.png", "image/png"), file("two.png", "image/png", png(2, 3))]
    )
    await expect(page.locator(PREVIEW)).to_have_count(2)
    await expect(page.locator(BUTTON)).to_have_attribute("aria-disabled", "false")
    await page.locator(FIELD).press("Enter")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    await expect(page.locator("#title")).to_have_text("Picture")
    await page.reload()
    shown = page.locator(PICTURES)
    await expect(shown).to_have_count(2)
    await expect(shown.nth(1)).to_have_js_property("naturalHeight", 3)
    assert str(await shown.first.get_attribute("src")).startswith("blob:")

    # Another answer, and words that were forgotten, keep them.
    for _ in range(2):
        await page.get_by_role("button", name="Regenerate").click()
        await expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
        await expect(shown.nth(1)).to_have_js_property("naturalHeight", 3)
    await page.locator("chat-interface .user").hover()
    await page.get_by_role("button", name="Edit", exact=True).click()
    await page.get_by_label("Edit message").fill("What is it?")
    await page.keyboard.press("Enter")
    await expect(page.locator(QUESTION)).to_have_text("What is it?")
    await expect(shown.nth(1)).to_have_js_property("naturalHeight", 3)
    await expect(page.get_by_role("button", name="Regenerate")).to_be_visible()  # it was answered
    assert [len(chat["messages"][-1]["images"]) for chat in site.fake.requests] == [2] * 4


async def test_a_picture_that_does_not_come_can_be_asked_for_again(site: Site) -> None:
    seeing(site)
    session = await site.new_session()
    await site.client.ask(session, "Look", images=[ENCODED])
    context = await site.context()
    await context.route("**/images/0", lambda route: route.abort())
    page = await site.open(f"/?session={session}", context)
    again = page.get_by_role("button", name="Load the picture again")
    await expect(again).to_be_visible()
    await context.unroute("**/images/0")
    await again.click()
    await expect(page.locator(PICTURES)).to_have_js_property("naturalWidth", 1)


# A photo of 12 megapixels, upright only if its EXIF data is followed, and a screenshot.
PHOTO: Final = """async () => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 4000, height: 3000 });
  const context = canvas.getContext("2d");
  for (let n = 0; n < 40000; n += 1) {
    context.fillStyle = `hsl(${(n * 137) % 360} 80% ${20 + (n % 60)}%)`;
    context.fillRect((n * 7919) % 4000, (n * 104729) % 3000, 60, 40);
  }
  const jpeg = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
  // Orientation 6: to be turned by 90 degrees.
  const exif = [255, 225, 0, 34, 69, 120, 105, 102, 0, 0, 77, 77, 0, 42, 0, 0, 0, 8, 0, 1,
    1, 18, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0];
  const parts = [jpeg.slice(0, 2), new Uint8Array(exif), jpeg.slice(2)];
  const file = new File(parts, "photo.jpg", { type: "image/jpeg" });
  await document.querySelector("chat-interface").attach([file]);
  return file.size;
}"""


async def test_a_large_photo_is_made_smaller_and_stays_upright(site: Site) -> None:
    seeing(site)
    page = await bare(site)
    size = await page.evaluate(PHOTO)
    assert size > 2_000_000
    await page.locator(FILES).set_input_files([file("screen.png", "image/png", png(2560, 1440))])
    await expect(page.locator(PREVIEW)).to_have_count(2)
    await site.ask(page, "What is it?")
    await expect(page.locator(ANSWER)).to_have_text("Hello from a fake.")
    photo, screen = [base64.b64decode(image) for image in site.fake.requests[0]["messages"][-1]["images"]]
    assert screen == png(2560, 1440)
    assert len(photo) < size / 2
    shape = await page.locator(PICTURES).first.evaluate(
        "(image) => [image.naturalWidth, image.naturalHeight]"
    )
    assert shape == [1536, 2048]


async def test_a_model_that_cannot_see_is_named_at_once(site: Site) -> None:
    page = await site.open()
    await page.locator(FILES).set_input_files([file("dot.png", "image/png")])
    await expect(page.locator(NOTICE)).to_have_text(
        "No model that is installed can see pictures; install one that can."
    )


# -- wishes


@pytest.mark.parametrize("end", ["stopped", "failed", "complete"])
async def test_the_hint_to_wait_goes_with_the_answer(site: Site, end: str) -> None:
    page = await bare(site)
    field = page.locator(FIELD)
    site.fake.script = Script([token("one")], gate=(gate := Gate()), end="cut")
    if end == "complete":
        site.fake.script = Script(answer("one two"), gate=gate)
    await site.ask(page, "Count")
    await page.locator(f"{BUTTON}[data-action=stop]").wait_for()
    for nothing in ("", "  \n"):
        await field.fill(nothing)
        await field.press("Enter")
        await expect(page.locator(NOTICE)).to_be_hidden()
    await field.fill("More")
    await field.press("Enter")
    await expect(page.locator(NOTICE)).to_contain_text("Wait for the answer, or stop it")
    if end == "stopped":
        await field.press("Escape")
    else:
        gate.open()
    await page.locator(f"{BUTTON}[data-action=send]").wait_for()
    await expect(page.locator(NOTICE)).to_be_hidden()
    await expect(page.locator(ANNOUNCER)).not_to_be_empty()  # how it ended
    await expect(field).to_have_value("More")


async def test_no_wish_is_refused_without_a_word(site: Site) -> None:
    site.fake.script = Script(answer("one two"), gate=(gate := Gate()))
    page = await bare(site)
    await expect(page.locator(BUTTON)).to_have_attribute("title", "Write something, or attach a picture.")
    for wish in (page.locator(FIELD).press("Enter"), page.locator(BUTTON).click(force=True)):
        await wish
        await expect(page.locator(NOTICE)).to_have_text("Write something, or attach a picture.")
        await page.locator(FIELD).press("a")
        await expect(page.locator(NOTICE)).to_be_hidden()
        await page.locator(FIELD).fill("")
    await site.ask(page, "Count")
    await page.locator(f"{BUTTON}[data-action=stop]").wait_for()
    await page.locator(FIELD).fill("More")
    await page.locator(FIELD).press("Enter")
    await expect(page.locator(NOTICE)).to_contain_text("Wait for the answer, or stop it")
    gate.open()
    await page.locator(f"{BUTTON}[data-action=send]").wait_for()
    await expect(page.locator(NOTICE)).to_be_hidden()

    text = "ä" * 131_073  # two bytes each: one more than 256 KiB
    await write(page, text)
    await page.locator(FIELD).press("Enter")
    await expect(page.locator(NOTICE)).to_contain_text("longer than 256 KiB")
    assert await page.locator(FIELD).input_value() == text
    await page.evaluate("document.querySelector('chat-interface').disabled = true")
    await page.evaluate("document.querySelector('chat-interface').attach([new File(['a'], 'a.txt')])")
    await expect(page.locator(NOTICE)).to_have_text("Nothing can be sent here now.")


# -- long texts

# Fill a field as a paste does, let the element follow, and lay it out; the shorter of two times in ms.
FILL: Final = """([lines, edited]) => {
  const { shadowRoot } = document.querySelector("chat-interface");
  const field = shadowRoot.querySelector(edited ? ".edit-field" : ".composer textarea");
  const bare = document.body.appendChild(document.createElement("textarea"));
  const timed = (element, text) => {
    const start = performance.now();
    element.value = text;
    element.dispatchEvent(new InputEvent("input", { bubbles: true }));
    element.scrollHeight;
    const time = performance.now() - start;
    element.value = "";
    element.scrollHeight;
    return time;
  };
  const text = "1234 5678\\n".repeat(lines); // without a letter, for which a browser would look in vain
  const times = (element) => Math.min(...[0, 1].map(() => timed(element, text)));
  const result = [times(field), times(bare)];
  bare.remove();
  return result;
}"""


async def test_a_long_paste_takes_no_longer_than_in_a_plain_field(site: Site) -> None:
    page = await site.open()
    await site.ask(page, "Hello")
    await page.locator("chat-interface .user").hover()
    await page.get_by_role("button", name="Edit", exact=True).click()
    with matrix() as cases:
        for edited in (False, True):
            # What grows with the square of the lines takes eight times as long.
            own, plain = await page.evaluate(FILL, [20_000, edited])
            cases.check(own < 3 * plain + 100, f"{own:.0f} ms, a plain field {plain:.0f} ms", edited)


COUNT_STORED: Final = """
const { setItem } = Storage.prototype;
window.stored = 0;
Storage.prototype.setItem = function (...entry) {
  window.stored += 1;
  return setItem.apply(this, entry);
};
"""


async def test_a_long_draft_is_kept_and_typing_in_it_stores_nothing(site: Site) -> None:
    page = await site.open(script=COUNT_STORED)
    await write(page, "log line\n" * 5_000)
    before = await page.evaluate("window.stored")
    for _ in range(2):
        await page.locator(FIELD).press("a")
    assert await page.evaluate("window.stored") == before
    typed = await page.locator(FIELD).input_value()
    await page.reload()
    await expect(page.locator(FIELD)).to_have_value(typed)
