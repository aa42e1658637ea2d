"""Documents over HTTP: uploaded, listed, searched, deleted, and everything that can be wrong with a file."""

import asyncio
import json
import os
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import aiohttp
import pytest
from chat_client import Client, Serve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matrix import matrix
from pypdf import PdfWriter
from sockets import opened, request
from waiting import until

from chatproxy.documents import worker
from chatproxy.web.api import documents

DATA = Path(__file__).parents[1] / "data" / "documents"
PATH = "/api/documents"


@pytest.fixture
async def small(serve: Serve) -> Client:
    """A server that takes documents of up to 1,000 bytes."""
    return await serve(max_document_bytes=1000)


async def upload(client: Client, name: str, content: bytes, *, status: int = 201, **more: Any) -> Any:
    """Upload a file; `name` is as browsers send it, with quotes and control characters percent-encoded."""
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("comment", "comes first")
    form.add_field("file", content, filename=name)
    return await client.call("POST", PATH, status=status, data=form, **more)


async def search(client: Client, document: int, q: str) -> list[Any]:
    found = await client.call("GET", f"{PATH}/{document}/search", params={"q": q})
    return list(found["sources"])


def docx(**files: bytes) -> bytes:
    packed = BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(ZipInfo(name), content, ZIP_DEFLATED)
    return packed.getvalue()


async def test_upload_read_search_list_delete(client: Client) -> None:
    text = "Rent is due on the first of May.\n\nCats are allowed."
    document = await upload(client, "lease.txt", text.encode())
    assert document == {
        "id": 1,
        "title": "lease.txt",
        "mediaType": "text/plain",
        "bytes": len(text),
        "chunks": 1,
        "embedded": None,
        "createdAt": document["createdAt"],
        "warnings": [],
    }
    assert await client.call("GET", f"{PATH}/1") == document
    assert await client.call("GET", PATH) == {"documents": [document], "next": None}
    (source,) = await search(client, 1, "What does the contract say about cats?")
    assert source == {
        "documentId": 1,
        "title": "lease.txt",
        "chunk": 0,
        "snippet": text,
        "score": source["score"],
        "page": None,
        "heading": None,
        "found": [[34, 38]],
        "cited": None,
    }
    await client.call("DELETE", f"{PATH}/1", status=204)
    for method, path in (("GET", f"{PATH}/1"), ("DELETE", f"{PATH}/1"), ("GET", f"{PATH}/1/search")):
        assert (await client.call(method, path, status=404))["code"] == "not_found"
    assert await client.call("GET", PATH) == {"documents": [], "next": None}


async def test_the_same_content_is_the_same_document(client: Client) -> None:
    document = await upload(client, "a.txt", b"the same")
    assert await upload(client, "b.txt", b"the same", status=200) == document
    given = {"title": "c", "text": "the same"}
    assert await client.call("POST", PATH, json=given) == document


async def test_headings_of_a_table_are_in_each_source(client: Client) -> None:
    rows = [f"{number};Ada No{number};{number}.00;{number * 1.2:.2f}" for number in range(1, 400)]
    content = "\n".join(["id;name;net_eur;gross_eur", *rows]).encode()
    document = await upload(client, "sales.csv", content)
    first, *_ = await search(client, document["id"], "What is the net_eur of No301?")
    lines = first["snippet"].split("\n")
    assert lines[0] == "id;name;net_eur;gross_eur"
    assert "301;Ada No301;301.00;361.20" in lines
    words = {first["snippet"][begin:end] for begin, end in first["found"]}
    assert {"net_eur", "No301"} <= words
    (only,) = await search(client, document["id"], "No300?")
    assert lines[0] in only["snippet"]


async def test_a_named_encoding_makes_another_document(client: Client) -> None:
    content = "Größe;Łódź".encode("cp1250", "replace")
    guessed = await upload(client, "a.txt", content)
    named = await upload(client, "a.txt", content, params={"encoding": "CP-1250"})
    assert named["id"] != guessed["id"]
    assert (await search(client, named["id"], "Łódź"))[0]["snippet"] == "Größe;Łódź"
    again = await upload(client, "a.txt", content, params={"encoding": "windows-1250"}, status=200)
    assert again == named
    assert await upload(client, "a.txt", content, params={"encoding": ""}, status=200) == guessed
    other = await upload(client, "a.txt", content, params={"encoding": "latin1"})
    assert other["id"] not in {named["id"], guessed["id"]}


async def test_an_encoding_that_is_none_or_another(client: Client, quick_disk: Path) -> None:
    content = "Größe".encode("cp1252")
    error = await upload(client, "a.txt", content, params={"encoding": "klingon"}, status=422)
    assert (error["code"], error["field"]) == ("invalid", "encoding")
    assert "'klingon'; name one such as UTF-8, windows-1252 or Shift_JIS" in error["error"]
    error = await upload(client, "a.txt", content, params={"encoding": "utf8"}, status=422)
    assert (error["code"], error["field"]) == ("invalid", "file")
    assert "not in UTF-8" in error["error"]
    await nothing_left(client, quick_disk)


async def test_a_text_in_json_has_no_encoding(client: Client) -> None:
    given = {"title": "a", "text": "Größe"}
    document = await client.call("POST", PATH, status=201, json=given, params={"encoding": "klingon"})
    assert await client.call("POST", PATH, json=given) == document


async def test_a_text_can_be_uploaded_as_json(client: Client) -> None:
    given = {"title": "My\nTCP/IP notes", "text": "Packets get lost."}
    document = await client.call("POST", PATH, status=201, json=given)
    assert (document["title"], document["mediaType"]) == ("My TCP/IP notes", "text/plain")
    assert [source["snippet"] for source in await search(client, document["id"], "lost")] == [given["text"]]


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("fhs.pdf", "application/pdf"),
        ("debian-faq.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("gpl-3.html", "text/html"),
    ],
)
async def test_real_files(client: Client, name: str, media_type: str) -> None:
    content = (DATA / name).read_bytes()
    document = await upload(client, name, content)
    assert (document["mediaType"], document["bytes"]) == (media_type, len(content))
    assert document["chunks"] > 40


async def test_pages_of_the_list(client: Client) -> None:
    ids = [(await upload(client, "a.txt", f"text {n}".encode()))["id"] for n in range(3)]
    first = await client.call("GET", PATH, params={"limit": 2})
    assert [document["id"] for document in first["documents"]] == [ids[2], ids[1]]
    second = await client.call("GET", PATH, params={"limit": 2, "before": first["next"]})
    assert [document["id"] for document in second["documents"]] == [ids[0]]
    assert second["next"] is None


async def test_the_same_content_of_two_users_is_two_documents(serve: Serve) -> None:
    client = await serve(trusted_user_header="X-User")
    hers, his = {"X-User": "her"}, {"X-User": "him"}
    document = await upload(client, "a.txt", b"shared words", headers=hers)
    assert await client.call("GET", PATH, headers=his) == {"documents": [], "next": None}
    assert (await upload(client, "a.txt", b"shared words", headers=his))["id"] != document["id"]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\notes.txt", "notes.txt"),
        ("a\u202eb%07c%09d%00.txt", "a b c d .txt"),
        ("a%0D%0A%22b.txt", 'a "b.txt'),
        ("..%2F..%2Fpasswd", "passwd"),
        ("..", "untitled"),
        pytest.param(  # which aiohttp warns of, and gives no name
            *["a; b; c;.txt"] * 2,
            marks=pytest.mark.filterwarnings("ignore::aiohttp.BadContentDispositionHeader"),
        ),
        ("x" * 300 + ".txt", "x" * 188 + "….txt"),
        ("x" * 300, "x" * 200),
        ("Übersicht 😀.md", "Übersicht 😀.md"),
    ],
)
async def test_titles(client: Client, name: str, title: str) -> None:
    assert (await upload(client, name, b"text"))["title"] == title


def locked_pdf() -> bytes:
    writer, written = PdfWriter(), BytesIO()
    writer.add_blank_page(100, 100)
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(written)
    return written.getvalue()


def bomb_pdf(stream: bytes, pages: int) -> bytes:
    """Make a PDF whose pages all show one compressed stream."""
    packed = zlib.compress(stream, 9)
    kids = b"3 0 R " * pages
    return b"\n".join(
        [
            b"%PDF-1.4",
            b"1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj",
            b"2 0 obj<</Type/Pages/Kids[%s]/Count %d>>endobj" % (kids, pages),
            b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources 6 0 R>>endobj",
            b"6 0 obj<</Font<</F 5 0 R>>>>endobj",
            b"4 0 obj<</Length %d/Filter/FlateDecode>>stream" % len(packed),
            packed,
            b"endstream endobj",
            b"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj",
            b"trailer<</Root 1 0 R/Size 7>>\nstartxref\n0\n%%EOF",
        ]
    )


SHOWN = b"BT /F 1 Tf 1 4 Td (Hello) Tj ET "


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("tsconfig.json", b'{\n  // strict\n  "strict": true,\n}\n', "application/json"),
        ("server.log.1", b"10:00:00 started", "text/plain"),
        ("report v1.2 (final)", b"strict", "text/plain"),
        ("page.hbs", b"<p>{{title}}", "text/plain"),
        ("page", b"<!DOCTYPE html><p>Hello", "text/html"),
        ("sales.csv.bak", b"id,name\n1,Ada\n", "text/csv"),
        ("scan.2", bomb_pdf(SHOWN, 1), "application/pdf"),
    ],
)
async def test_whatever_is_text_is_read(client: Client, name: str, content: bytes, media_type: str) -> None:
    document = await upload(client, name, content)
    assert (document["title"], document["mediaType"]) == (name, media_type)
    assert await client.call("GET", f"{PATH}/{document['id']}") == document


LOOP = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2>>endobj\ntrailer<</Root 1 0 R/Size 3>>\n%%EOF"
)
PARTS = {"[Content_Types].xml": b"<Types/>"}


@pytest.mark.parametrize(
    ("name", "content", "status", "words"),
    [
        ("empty.txt", b"", 422, "no text"),
        ("blank.md", b" \n\0 ", 422, "no text"),
        ("photo.png", b"\x89PNG", 415, "PDF, DOCX, Markdown"),
        ("virus.exe", b"MZ", 415, "PDF, DOCX, Markdown"),
        ("photo.txt", bytes(range(256)) * 8, 415, "not text"),
        ("photo", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 415, "The file is a picture, which is not read"),
        ("report.pdf", b"just text", 415, "not a PDF"),
        ("report.docx", b"just text", 415, "not a DOCX"),
        ("report.docx", docx(**{"a.txt": b"a"}), 415, "not a DOCX"),
        ("broken.pdf", b"%PDF-1.7\n" + b"nonsense " * 50, 422, "damaged"),
        ("locked.pdf", locked_pdf(), 422, "password"),
        ("loop.pdf", LOOP, 422, ""),
        ("declaration.html", b"<p>Hello <![unknown[ ]]>", 422, "damaged"),
        ("reference.html", b"<p>Hello &#" + b"1" * 5000 + b";", 422, "damaged"),
        ("broken.docx", docx(**PARTS, **{"word/document.xml": b"<nonsense"}), 422, "damaged"),
        ("bomb.docx", docx(**PARTS, **{"word/document.xml": bytes(101 * 1024**2)}), 413, "unpacks"),
    ],
)
async def test_bad_files(
    client: Client, quick_disk: Path, name: str, content: bytes, status: int, words: str
) -> None:
    error = await upload(client, name, content, status=status)
    assert words in error["error"]
    assert error.get("field") == ("file" if status == 422 else None)
    await nothing_left(client, quick_disk)


async def test_a_pdf_whose_pages_share_a_stream_is_read(client: Client) -> None:
    """The file of the next test is well formed."""
    document = await upload(client, "a.pdf", bomb_pdf(SHOWN, 3))
    assert (await search(client, document["id"], "hello"))[0]["snippet"] == "Hello\n\nHello\n\nHello"


@pytest.mark.slow
async def test_a_pdf_bomb_does_not_delay_other_uploads(
    client: Client, quick_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty kilobytes that would keep a reader busy for hours."""
    monkeypatch.setattr(worker, "TIMEOUT", 6)
    bombing = asyncio.create_task(upload(client, "bomb.pdf", bomb_pdf(SHOWN * 40_000, 10_000), status=422))
    other = await upload(client, "a.txt", b"plain words")
    assert await search(client, other["id"], "plain")
    assert not bombing.done()
    assert "takes too long" in (await bombing)["error"]
    await client.call("DELETE", f"{PATH}/{other['id']}", status=204)
    await nothing_left(client, quick_disk)


async def nothing_left(client: Client, folder: Path) -> None:
    assert await client.call("GET", PATH) == {"documents": [], "next": None}
    names = {name.partition(".")[2] for name in os.listdir(folder)}
    assert names <= {"db", "db-wal", "db-shm", "db.lock"}


async def test_a_document_may_have_the_maximum_size_and_not_a_byte_more(small: Client) -> None:
    assert (await upload(small, "a.txt", b"x" * 1000))["bytes"] == 1000
    assert (await upload(small, "a.txt", b"x" * 1001, status=413))["code"] == "too_large"
    body = {"title": "a", "text": "ü" * 501}
    assert (await small.call("POST", PATH, status=413, json=body))["code"] == "too_large"


async def test_a_large_upload_is_refused_before_it_is_read(small: Client, quick_disk: Path) -> None:
    """100 MB, with and without a Content-Length: the server stops reading, so the client stops sending."""
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        for _ in range(100):
            yield b"x" * 1024**2
            sent += 1

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    for headers in (kind, kind | {"Content-Length": str(100 * 1024**2)}):
        sent = 0
        error = await small.call("POST", PATH, status=413, data=body(), headers=headers)
        assert error["code"] == "too_large"
        assert sent < 100
    await nothing_left(small, quick_disk)


@pytest.mark.parametrize("most", [documents.MAX_UPLOADS, documents.UPLOADS_PER_USER])
async def test_a_user_who_sends_many_documents_at_once(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Bodies that never end are bounded in number, and leave room for other users, even with all they may."""
    monkeypatch.setattr(documents, "MAX_UPLOADS", most)
    client = await serve(trusted_user_header="X-User")
    kind = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": "1000", "X-User": "her"}
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello'
    async with AsyncExitStack() as stack:
        for _ in range(documents.UPLOADS_PER_USER):
            _, writer = await stack.enter_async_context(opened(client))
            writer.write(request("POST", PATH, kind) + part)
            await writer.drain()

        async def refused() -> bool:
            body, hers = {"title": "b", "text": "text"}, {"X-User": "her"}
            async with client.http.post(client.url(PATH), json=body, headers=hers) as response:
                return response.status == 503 and response.headers["Retry-After"] == "10"

        await until(refused)
        await upload(client, "a.txt", b"text", headers={"X-User": "him"})


async def test_lines_of_digits_are_read_at_once(client: Client) -> None:
    digits = "1." + "3141592653" * 5
    text = "\n".join([digits, *[f"{number}.{number:06}" for number in range(1, 50_000)]])
    document = await upload(client, "floats.csv", text.encode())
    assert (await search(client, document["id"], digits))[0]["chunk"] == 0


async def test_a_client_that_leaves_during_the_upload_leaves_nothing_behind(
    client: Client, quick_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = asyncio.Event()

    class Watched(BytesIO):
        def close(self) -> None:
            super().close()
            closed.set()

    monkeypatch.setattr(documents, "TemporaryFile", lambda **_: Watched())
    kind = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": "1000"}
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello'
    async with opened(client) as (_, writer):
        writer.write(request("POST", PATH, kind) + part)
        await writer.drain()
    async with asyncio.timeout(20):
        await closed.wait()
    await nothing_left(client, quick_disk)


async def test_a_file_is_read_no_further_when_its_sender_leaves(
    client: Client, quick_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, slow = tmp_path / "pid", tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\necho $$ > {started}.new; mv {started}.new {started}; exec sleep 60\n")
    slow.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(slow))
    async with opened(client) as (_, writer):
        writer.write(request("POST", PATH, body={"title": "a", "text": "b"}))
        await until(started.exists)
    process = int(started.read_text())
    await until(lambda: not Path(f"/proc/{process}").exists())
    await nothing_left(client, quick_disk)


async def test_a_search_ends_when_its_reader_leaves(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    document = await upload(client, "a.txt", b"plain words")
    began, ended = asyncio.Event(), asyncio.Event()

    async def passages(*_: object) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(documents, "passages_for", passages)
    async with asyncio.timeout(20):
        async with opened(client) as (_, writer):
            writer.write(request("GET", f"{PATH}/{document['id']}/search?q=words"))
            await began.wait()
        await ended.wait()


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ("multipart/form-data", b"--x--", "malformed"),
        ("multipart/form-data; boundary=x", b"nonsense", "malformed"),
        ("multipart/form-data; boundary=x", b"--x\r\nA: \x00\r\n\r\nhello\r\n--x--\r\n", "malformed"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nA: " + b"a" * 100_000 + b"\r\n\r\nhello\r\n--x--\r\n",
            "malformed",
        ),
        ("multipart/form-data; boundary=x", b"--x--\r\n", "invalid"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nhello\r\n--x--\r\n", "invalid"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nno name\r\n--x--\r\n',
            "invalid",
        ),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--\r\n",
            "malformed",
        ),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n\r\n" * 40 + b"--x--\r\n", "malformed"),
        ("text/plain", b"hello", "unsupported_media_type"),
        ("application/json", b'{"title": "", "text": "a"}', "invalid"),
    ],
)
async def test_bad_bodies(client: Client, headers: str, body: bytes, code: str) -> None:
    async with client.http.post(client.url(PATH), data=body, headers={"Content-Type": headers}) as answer:
        assert (await answer.json())["code"] == code


async def test_malformed_ids_are_not_found(client: Client) -> None:
    with matrix() as cases:
        for document in ("0", "x", "1.5", "9" * 30, "-1", "%00"):
            async with client.http.get(client.url(f"{PATH}/{document}")) as response:
                cases.expect((404, "not_found"), (response.status, (await response.json())["code"]), document)


async def test_a_full_disk(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(BytesIO):
        def write(self, *_: object) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(documents, "TemporaryFile", lambda **_: Full())
    assert (await upload(client, "a.txt", b"text", status=507))["code"] == "storage_full"

    def refuse(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(documents, "TemporaryFile", refuse)
    assert (await upload(client, "a.txt", b"text", status=507))["code"] == "storage_full"


async def test_a_file_that_takes_too_long(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "TIMEOUT", 0.01)
    error = await upload(client, "a.txt", b"text", status=422)
    assert "takes too long" in error["error"]


async def test_hostile_searches(client: Client) -> None:
    document = await upload(client, "a.txt", b"plain words")

    @settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.text() | st.text(alphabet="\"*()^:+-{}\0 'ORANDNEARtext"))
    def collect(q: str) -> None:
        hostile.append(q)

    hostile = ['"', "a OR", "NEAR(a b)", "text:a", "openings : a", "^a", "a*", "\0", "';--", "-", "(" * 500]
    collect()
    for q in hostile:
        async with client.http.get(
            client.url(f"{PATH}/{document['id']}/search"), params={"q": q.encode("utf-8", "replace").decode()}
        ) as answer:
            assert answer.status == 200, q
            assert [source["chunk"] for source in json.loads(await answer.text())["sources"]] in ([], [0])
