"""Documents: create, list, get, delete, search. An upload is written to a temporary file as it arrives.

The file has no name, so nothing is left behind, however the upload ends.
"""

import asyncio
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, BinaryIO, Final, cast
from urllib.parse import unquote

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.multipart import BodyPartReader, content_disposition_filename, parse_content_disposition
from msgspec import Meta, Struct
from msgspec.structs import replace

from chatproxy.documents.names import TEXT, media_type
from chatproxy.documents.worker import DocumentReader, ReadFile, overloaded
from chatproxy.errors import ChatError
from chatproxy.fair import has_room
from chatproxy.prompt.passages import passages_for
from chatproxy.store.documents import Documents
from chatproxy.store.records import Document, NewDocument, Record, Source
from chatproxy.web.held import HELD
from chatproxy.web.json import (
    MAX_BODY,
    MAX_QUERY,
    Before,
    Limit,
    before_message,
    json_body,
    json_response,
    limit,
    row_id,
    search_text,
)
from chatproxy.web.keys import CONFIG, STORE
from chatproxy.web.operation import JSON, operation
from chatproxy.web.security import owner
from chatproxy.web.sse import while_present

routes: Final = web.RouteTableDef()
DOCUMENTS: Final = "/api/documents"
DOCUMENT: Final = f"{DOCUMENTS}/{{id}}"
READER: Final = web.AppKey("READER", DocumentReader)
UPLOADS: Final = web.AppKey("UPLOADS", list[str])  # the user of each

PIECE: Final = 256 * 1024  # bytes
FORM_OVERHEAD: Final = 64 * 1024  # bytes of a multipart body besides the file
MAX_UPLOADS: Final = 40  # being received, waiting or being read; each is a file on the disk
UPLOADS_PER_USER: Final = 10
MAX_PARTS: Final = 32  # of a form, which are read without a pause
MAX_TITLE: Final = 200  # characters


def set_up(app: web.Application) -> None:
    """Add the routes, the document reader, and the limit of uploads at a time."""
    app[READER] = DocumentReader()
    app[UPLOADS] = []
    app.add_routes(routes)
    app.on_shutdown.append(_stop_reading)


async def _stop_reading(app: web.Application) -> None:
    app[READER].close()


Encoding = Annotated[
    str,
    Meta(
        max_length=MAX_QUERY,
        description="What a file of text is in, by any of its names; found out if absent.",
    ),
]


class TextRequest(Struct, frozen=True):
    """A document as text."""

    title: Annotated[str, Meta(min_length=1, max_length=500)]
    text: Annotated[str, Meta(max_length=MAX_BODY, description="Up to MAX_DOCUMENT_BYTES in UTF-8.")]


class FileRequest(Struct, frozen=True):
    """A document as a file, in a form."""

    file: Annotated[
        str,
        Meta(
            max_length=100 * 1024**2,
            description="With a file name, whose extension determines how it is read. Up to"
            " MAX_DOCUMENT_BYTES.",
            extra_json_schema={"contentMediaType": "application/octet-stream"},
        ),
    ]


class DocumentPage(Record, frozen=True, kw_only=True):
    """Documents, newest first. `next` is what to pass as `before` for more, null at the end."""

    documents: list[Document]
    next: int | None


class Sources(Record, frozen=True, kw_only=True):
    """Passages, best first."""

    sources: Sequence[Source]


@routes.post(DOCUMENTS)
@operation(
    "createDocument",
    "Add a document, as text or as a file. Returns 200 if it already exists.",
    tag="documents",
    query={"encoding": Encoding},
    body={JSON: TextRequest, "multipart/form-data": FileRequest},
    example={"title": "Rainbows", "text": "Sunlight, bent by drops of water."},
    answers={201: Document, 200: Document},
    errors=("invalid", "shutting_down"),
)
async def create_document(request: web.Request) -> web.StreamResponse:
    receive = _receive_file if request.content_type == "multipart/form-data" else _receive_text
    user, documents = owner(request), request.app[STORE].documents
    encoding = _encoding(request)
    with _upload(request, user), _temporary(request) as file:
        title, promised = await receive(request, file)
        size, digest = await asyncio.to_thread(_measure, file, encoding or "")
        content = NewDocument(title=title, media_type=promised, size=size, hash=digest)
        reading = request.app[READER].reading(user, file, promised, encoding)
        document, is_new = await while_present(request, _create(documents, user, content, reading))
    return json_response(document, status=201 if is_new else 200)


@routes.get(DOCUMENTS)
@operation(
    "listDocuments",
    "List documents, newest first.",
    tag="documents",
    query={"limit": Limit, "before": Before},
    answers={200: DocumentPage},
    errors=("invalid", "invalid_cursor"),
)
async def list_documents(request: web.Request) -> web.StreamResponse:
    page, following = await request.app[STORE].documents.page(
        owner(request), limit=limit(request, default=50), before=before_message(request)
    )
    return json_response(DocumentPage(documents=page, next=following))


@routes.get(DOCUMENT)
@operation(
    "getDocument",
    "Get a document's metadata.",
    tag="documents",
    answers={200: Document},
)
async def get_document(request: web.Request) -> web.StreamResponse:
    return json_response(await _document(request))


@routes.delete(DOCUMENT)
@operation(
    "deleteDocument",
    "Delete a document. Sessions that use it continue without it.",
    tag="documents",
    answers={204: None},
)
async def delete_document(request: web.Request) -> web.StreamResponse:
    await request.app[STORE].documents.delete(owner(request), _document_id(request))
    return web.Response(status=204)


@routes.get(f"{DOCUMENT}/search")
@operation(
    "searchDocument",
    "Find the passages of a document that a question would be answered from.",
    tag="documents",
    query={
        "q": Annotated[
            str, Meta(max_length=MAX_QUERY, description="The question.", examples=["Why are there rainbows?"])
        ]
    },
    answers={200: Sources},
    errors=("invalid",),
)
async def search_document(request: web.Request) -> web.StreamResponse:
    document = await _document(request)
    documents, question = request.app[STORE].documents, search_text(request)
    found = await while_present(request, passages_for(documents, owner(request), [document], question))
    return json_response(Sources(sources=found.sources))


def _document_id(request: web.Request) -> int:
    return row_id(request, "id", "document")


async def _document(request: web.Request) -> Document:
    return await request.app[STORE].documents.get(owner(request), _document_id(request))


# -- uploads


@contextmanager
def _upload(request: web.Request, user: str) -> Iterator[None]:
    """Count an upload while the block runs. Raises `overloaded`."""
    uploads = request.app[UPLOADS]
    if not has_room(user, uploads, MAX_UPLOADS, per_user=UPLOADS_PER_USER):
        raise overloaded()
    uploads.append(user)
    try:
        yield
    finally:
        uploads.remove(user)


async def _create(
    documents: Documents,
    user: str,
    content: NewDocument,
    reading: AbstractAsyncContextManager[ReadFile],
) -> tuple[Document, bool]:
    if earlier := await documents.earlier(user, content):
        return earlier, False
    async with reading as read:
        content = replace(content, media_type=read.media_type)
        return await documents.create(user, content, read.chunks, read.remarks)


def _temporary(request: web.Request) -> BinaryIO:
    """Open a file on the database's disk, which needs room for the document anyway; /tmp may be in memory."""
    database = request.app[CONFIG].database
    folder = database.absolute().parent if isinstance(database, Path) else None
    try:
        return cast(BinaryIO, TemporaryFile(dir=folder))  # a wrapper of one on Windows
    except OSError as error:
        raise _no_room(error) from error


def _encoding(request: web.Request) -> str | None:
    """Return the usual name of the encoding that a file is said to be in. Raises `invalid`."""
    spelling = request.query.get("encoding", "")
    if request.content_type == JSON or not spelling:  # a text in JSON has none
        return None
    from chatproxy.documents.encoding_names import usual_name

    if (name := usual_name(spelling)) is None:
        raise ChatError(
            "invalid",
            f"No encoding is known as {spelling[:40]!r}; name one such as UTF-8, windows-1252 or Shift_JIS.",
            field="encoding",
        )
    return name


def _measure(file: BinaryIO, encoding: str) -> tuple[int, bytes]:
    """Return the size of a file, in bytes, and the digest of its content in that encoding."""
    file.flush()
    size = file.tell()
    file.seek(0)
    digest = hashlib.sha256()
    digest.update(encoding.encode())
    while piece := file.read(PIECE):
        digest.update(piece)
    return size, digest.digest()


async def _receive_text(request: web.Request, file: BinaryIO) -> tuple[str, str]:
    """Write the text of a JSON body to the file; return the title and the media type."""
    async with json_body(request, TextRequest) as body:
        text = body.text.encode()
        if len(text) > request.app[CONFIG].max_document_bytes:
            raise _too_large(request)
        await _write(file, text)
        return _clean_title(body.title), TEXT


async def _receive_file(request: web.Request, file: BinaryIO) -> tuple[str, str]:
    """Write the part `file` of a multipart body to the file; return the title and the media type."""
    if (request.content_length or 0) > request.app[CONFIG].max_document_bytes + FORM_OVERHEAD:
        raise _too_large(request)
    try:
        form = await request.multipart()
        for _ in range(MAX_PARTS):
            if (part := await form.next()) is None:
                break
            if not isinstance(part, BodyPartReader):
                raise ChatError(
                    "malformed", "The form has a multipart part in it; send the file as its own part."
                )
            if (name := _file_name(part)) is not None:
                title = _clean_title(_base_name(name))
                promised = media_type(title)
                await _copy(request, part, file)
                return title, promised
            await _copy(request, part, None)
        else:
            raise ChatError("malformed", f"The form has more than {MAX_PARTS} parts; send only the file.")
    except (
        ValueError,
        AssertionError,
        HttpProcessingError,
    ) as error:  # aiohttp raises them for a bad form
        raise ChatError(
            "malformed", "The body is not valid multipart/form-data; check its boundary."
        ) from error
    raise ChatError("invalid", "There is no file; send it as the form's field `file`.", field="file")


async def _copy(request: web.Request, part: BodyPartReader, file: BinaryIO | None) -> None:
    """Read a part, into the file if one is given. Raises `too_large` as soon as it is."""
    size = 0
    while piece := await part.read_chunk(PIECE):
        size += len(piece)
        if size > request.app[CONFIG].max_document_bytes:
            raise _too_large(request)
        if file is not None:
            await _write(file, piece)
        await request.app[HELD].give_way()


async def _write(file: BinaryIO, piece: bytes) -> None:
    try:
        await asyncio.to_thread(file.write, piece)
    except OSError as error:
        raise _no_room(error) from error


def _too_large(request: web.Request) -> ChatError:
    most = request.app[CONFIG].max_document_bytes
    return ChatError("too_large", f"The document is larger than {most} bytes; send it in parts.")


def _no_room(error: OSError) -> ChatError:
    return ChatError(
        "storage_full",
        f"The document cannot be kept on the disk ({error.strerror}); free some space and try again.",
    )


_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"?')


def _file_name(part: BodyPartReader) -> str | None:
    """Return the file name of the part `file`; None for other parts, or if it has no file name."""
    sent = part.headers.get("Content-Disposition", "")
    # aiohttp splits the header at every ";", even within a quoted name.
    whole = _QUOTED.sub(lambda quoted: quoted[0].replace(";", "%3B"), sent)
    _, parameters = parse_content_disposition(whole)
    is_file = content_disposition_filename(parameters, "name") == "file"
    return content_disposition_filename(parameters, "filename") if is_file else None


def _base_name(name: str) -> str:
    """Return a file name without folders, as on any system.

    Browsers percent-encode quotes and line breaks in it; other clients, everything but plain ASCII.
    """
    return re.split(r"[/\\]", unquote(name))[-1]


def _clean_title(title: str) -> str:
    """Return a printable title on one line, cut to MAX_TITLE characters; a file extension is kept."""
    shown = "".join([character if character.isprintable() else " " for character in title])
    line = " ".join(shown.split()).strip(". ") or "untitled"
    if len(line) <= MAX_TITLE:
        return line
    stem, _, ending = line.rpartition(".")
    return f"{stem[: MAX_TITLE - 12]}….{ending}" if stem and len(ending) <= 10 else line[:MAX_TITLE]
