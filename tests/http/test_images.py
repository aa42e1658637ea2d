"""Images that were sent: given again as they were, to their user only, and never as something that runs."""

import io
import json
import struct
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from itertools import product
from typing import Any, Final

import pytest
from chat_client import Client, Serve
from fake_ollama import FakeOllama, Script, answer
from matrix import matrix

from chatproxy.text.titles import PICTURE
from chatproxy.web.api import export

USER: Final = "X-User"
ANN, BOB = {USER: "ann"}, {USER: "bob"}


def png(text: bytes = b"") -> bytes:
    """Return an image of one pixel, with a text in it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"tEXt", text) + chunk(b"IDAT", zlib.compress(b"\0\0"))


GIF: Final = b"GIF89a" + bytes(20)
WEBP: Final = b"RIFF\x1a\0\0\0WEBPVP8L" + bytes(16)
JPEG: Final = b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(12)
SVG: Final = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML: Final = b"<!doctype html><script>alert(1)</script>"


@pytest.fixture(autouse=True)
def seeing(fake: FakeOllama) -> None:
    """Let the models take images."""
    for shown in fake.shows.values():
        shown["capabilities"] = [*shown["capabilities"], "vision"]


def encoded(*images: bytes) -> list[str]:
    return [b64encode(image).decode() for image in images]


async def asked(
    client: Client, *images: bytes, message: str = "Look", headers: Mapping[str, str] | None = None
) -> str:
    """Send images in a session of its own, and return the path of the question's images."""
    session = await client.new_session(headers=headers)
    path = f"/api/chat/sessions/{session}/messages"
    body = json.dumps({"message": message, "images": encoded(*images)}).encode()
    headers = {"Content-Type": "application/json", **(headers or {})}
    sent = await client.call("POST", path, data=io.BytesIO(body), headers=headers)
    return f"{path}/{sent['userMessageId']}/images"


async def got(client: Client, path: str, **more: Any) -> tuple[int, bytes, Any]:
    async with client.http.get(client.url(path), **more) as response:
        return response.status, await response.read(), response.headers


@pytest.mark.parametrize(
    ("image", "kind", "name"),
    [
        (png(), "image/png", 'inline; filename="image-1.png"'),
        (JPEG, "image/jpeg", 'inline; filename="image-1.jpeg"'),
        (GIF, "image/gif", 'inline; filename="image-1.gif"'),
        (WEBP, "image/webp", 'inline; filename="image-1.webp"'),
        *[
            (other, "application/octet-stream", 'attachment; filename="image-1.bin"')
            for other in (
                SVG,
                HTML,
                b"RIFF\x1a\0\0\0WAVEfmt ",
                b"\x89PNG",
                b"GIF8",
                b"BM" + bytes(60),
                b"%PDF-1.7",
            )
        ],
    ],
)
async def test_an_image_is_given_as_what_it_is(client: Client, image: bytes, kind: str, name: str) -> None:
    path = await asked(client, image)
    status, body, headers = await got(client, f"{path}/0")
    assert (status, body) == (200, image)
    assert (headers["Content-Type"], headers["Content-Disposition"]) == (kind, name)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"
    assert headers["Cache-Control"] == "private, max-age=86400, immutable"
    assert headers["Vary"] == "Authorization, Cookie, X-Api-Key"


async def test_each_number_is_its_own_image(client: Client) -> None:
    images = [png(bytes([65 + number])) for number in range(32)]
    path = await asked(client, *images)
    for number in (0, 1, 9, 10, 31):
        assert (await got(client, f"{path}/{number}"))[1] == images[number]
    with matrix() as cases:
        for wrong in ("32", "-1", "00", "01", "1.0", "+1", "x", "%30%30", str(2**63), "9" * 40):
            status, body, _ = await got(client, f"{path}/{wrong}")
            cases.expect(404, status, wrong)
            cases.check(b"not_found" in body, body, wrong)


@pytest.mark.parametrize(
    "prefix",
    [
        "data:image/png;base64,",
        "DATA:IMAGE/PNG;BASE64,",
        "data:image/svg+xml;charset=utf-8;base64,",
        r"data:image\/jpeg;base64,",
    ],
    ids=["plain", "capitals", "parameters", "escaped"],
)
async def test_a_data_url_is_stored_as_its_image_alone(client: Client, fake: FakeOllama, prefix: str) -> None:
    images = [png(bytes([65 + number])) for number in range(32)]
    plain = await asked(client, *images)
    session = await client.new_session()
    path = f"/api/chat/sessions/{session}/messages"
    texts = [
        f'"{prefix}{each}"' if number % 3 else f'"{each}"' for number, each in enumerate(encoded(*images))
    ]
    body = f'{{"message": "Look", "images": [{", ".join(texts)}]}}'.encode()
    headers = {"Content-Type": "application/json"}
    sent = await client.call("POST", path, data=io.BytesIO(body), headers=headers)
    given = f"{path}/{sent['userMessageId']}/images"
    for number in (0, 1, 31):
        got_one, got_same = [await got(client, f"{each}/{number}") for each in (given, plain)]
        assert got_one[:2] == got_same[:2] == (200, images[number])
        assert got_one[2]["Content-Type"] == got_same[2]["Content-Type"]
    assert fake.requests[-1]["messages"][-1]["images"] == encoded(*images)
    exported = await client.call("GET", f"/api/chat/sessions/{session}/export?format=json")
    assert exported["messages"][0]["images"] == encoded(*images)
    text = body.decode().replace('"images": [', '"images": ["YWJj", ')
    response = await client.call("POST", path, status=422, data=io.BytesIO(text.encode()), headers=headers)
    assert response["field"] == "images"


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 422)])
async def test_a_data_url_has_the_bounds_of_its_image(client: Client, more: int, status: int) -> None:
    image = b64encode(bytes(12 * 1024 * 1024 + more)).decode()
    body = json.dumps({"message": "Look", "images": [f"data:image/webp;base64,{image}"]}).encode()
    path = f"/api/chat/sessions/{await client.new_session()}/messages"
    headers = {"Content-Type": "application/json"}
    await client.call("POST", path, status=status, data=io.BytesIO(body), headers=headers)


async def test_an_image_of_the_largest_size_is_whole(client: Client) -> None:
    image = png(bytes(12 * 1024 * 1024 - 100))
    status, body, headers = await got(client, f"{await asked(client, image)}/0")
    assert (status, headers["Content-Length"]) == (200, str(len(image)))
    assert body == image


async def test_an_image_is_its_users_alone(serve: Serve) -> None:
    client = await serve(trusted_user_header=USER)
    anns = await asked(client, png(b"ann"), headers=ANN)
    bobs = await asked(client, png(b"bob"), headers=BOB)
    session, _, message = bobs.removeprefix("/api/chat/sessions/").partition("/messages/")
    through_bobs = f"/api/chat/sessions/{session}/messages/{anns.split('/')[-2]}/images"
    with matrix() as cases:
        for headers, path in product((BOB, {USER: "eve"}), (f"{anns}/0", f"{through_bobs}/0")):
            status, body, _ = await got(client, path, headers=headers)
            cases.expect((404, False), (status, png(b"ann") in body), headers, path)
    assert (await got(client, f"{anns}/0", headers=ANN))[1] == png(b"ann")
    assert message


async def test_an_image_needs_the_token_and_a_known_origin(serve: Serve) -> None:
    client = await serve(api_token="a-token-that-is-long-enough")
    sent = {"Authorization": "Bearer a-token-that-is-long-enough"}
    path = await asked(client, png(), headers=sent)
    assert (await got(client, f"{path}/0"))[0] == 401
    assert (await got(client, f"{path}/0", headers=sent))[0] == 200
    # As another site's <img> or navigation asks.
    for site in ("cross-site", "same-site"):
        assert (await got(client, f"{path}/0", headers=sent | {"Sec-Fetch-Site": site}))[0] == 403


async def test_an_image_goes_with_its_session(client: Client) -> None:
    path = await asked(client, png())
    await client.call("DELETE", path.partition("/messages")[0], status=204)
    assert (await got(client, f"{path}/0"))[0] == 404


async def test_an_image_of_a_replaced_message_is_there_too(client: Client) -> None:
    path = await asked(client, png())
    session, _, rest = path.removeprefix("/api/chat/sessions/").partition("/messages/")
    question = int(rest.partition("/")[0])
    replaced = await client.send(session, "Look again", replaces=question)
    for message in (question, replaced["userMessageId"]):
        _, body, _ = await got(client, f"/api/chat/sessions/{session}/messages/{message}/images/0")
        assert body == png()
    answers = f"/api/chat/sessions/{session}/messages/{replaced['assistantMessageId']}/images/0"
    assert (await got(client, answers))[0] == 404


# -- without words


async def test_an_image_needs_no_words(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    fake.script = Script(answer("A pixel"))
    for call in ("ask", "send"):
        await getattr(client, call)(session, "", images=encoded(png()))
        last = fake.requests[-1]["messages"][-1]
        assert (last["content"], last["images"]) == ("", encoded(png()))
    question, reply = (await client.messages(session))[:2]
    assert (question["content"], question["imageCount"], reply["content"]) == ("", 1, "A pixel")
    assert (await client.session(session))["title"] == PICTURE


async def test_an_image_without_words_is_answered_again(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    sent = await client.send(session, "", images=encoded(png()))
    again = await client.send(session, "", replaces=sent["userMessageId"])
    assert fake.requests[-1]["messages"][-1]["images"] == encoded(png())
    await client.send(session, "What is it?", replaces=again["userMessageId"])
    assert (await client.session(session))["title"] == "What is it?"


async def test_nothing_at_all_is_refused(client: Client) -> None:
    session = await client.new_session()
    sent = await client.send(session, "Hello")
    bodies: list[dict[str, Any]] = [{}, {"images": []}, {"images": None}, {"replaces": sent["userMessageId"]}]
    with matrix() as cases:
        for body in bodies:
            refusal = await client.refused(session, 422, json={"message": "", **body})
            cases.expect(("invalid", "message"), (refusal["code"], refusal["field"]), body)
            cases.check("write something, or send an image" in refusal["error"], refusal["error"], body)
    assert [message["content"] for message in await client.messages(session)][:1] == ["Hello"]


# -- in exports


async def test_the_export_of_a_session_brings_its_images_back(
    client: Client, serve: Serve, tmp_path: Any
) -> None:
    path = await asked(client, png(b"one"), png(b"two"), message="")
    session = path.split("/")[4]
    exported = await client.call("GET", f"/api/chat/sessions/{session}/export")
    assert exported["messages"][0]["images"] == encoded(png(b"one"), png(b"two"))
    other = await serve(database_url=f"sqlite:///{tmp_path}/other.db")
    result = await other.call("POST", "/api/chat/sessions/import", json=exported)
    assert (result["imported"], result["leftOut"]) == (1, [])
    question = (await other.messages(session))[0]
    path = f"/api/chat/sessions/{session}/messages/{question['id']}/images"
    assert [(await got(other, f"{path}/{number}"))[1] for number in (0, 1)] == [png(b"one"), png(b"two")]


async def test_markdown_has_the_images_behind_the_text(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "IMAGE_BYTES", 10)  # which is only for what is imported again
    path = await asked(client, png(b"one"), JPEG, message="See [this]")
    session, question = path.split("/")[4], path.split("/")[6]
    _, body, _ = await got(client, f"/api/chat/sessions/{session}/export?format=markdown")
    text, first, second = body.decode().split(f"\n[image-{question}-")
    shown = [f"![Image {number}][image-{question}-{number}]" for number in (1, 2)]
    assert f"\n## You\n\nSee [this]\n\n{' '.join(shown)}\n" in text
    assert (first, second) == (
        f"1]: data:image/png;base64,{b64encode(png(b'one')).decode()}\n",
        f"2]: data:image/jpeg;base64,{b64encode(JPEG).decode()}\n",
    )
    assert b64decode(second.partition(",")[2]) == JPEG
