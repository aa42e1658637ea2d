"""Documents: to send, list, read, search, take away. An upload goes to the disk as it comes in.

The file that it goes to has no name: however the upload ends, nothing of it stays behind.
"""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from tempfile import TemporaryFile
from typing import Annotated, BinaryIO, Final
from urllib.parse import unquote

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.multipart import BodyPartReader, content_disposition_filename, parse_content_disposition
from msgspec import Meta, Struct

from chatproxy.documents.extract import media_type
from chatproxy.documents.worker import Reader
from chatproxy.errors import ChatError
from chatproxy.prompt.passages import passages
from chatproxy.store.records import Document, NewDocument, Record, Source
from chatproxy.web.json import Before, Limit, before_message, limit, read_json, row_id
from chatproxy.web.keys import CONFIG, STORE, owner
from chatproxy.web.operation import JSON, operation
from chatproxy.web.responses import json_response

routes: Final = web.RouteTableDef()
DOCUMENTS: Final = "/api/documents"
DOCUMENT: Final = f"{DOCUMENTS}/{{id}}"
READER: Final = web.AppKey("READER", Reader)

PIECE: Final = 256 * 1024  # bytes
AROUND: Final = 64 * 1024  # bytes of a multipart body that are not the file
MAX_TITLE: Final = 200  # characters


def set_up(app: web.Application) -> None:
    app[READER] = Reader()
    app.add_routes(routes)
    app.on_shutdown.append(_stop_reading)


async def _stop_reading(app: web.Application) -> None:
    app[READER].close()


class TextRequest(Struct, frozen=True):
    title: Annotated[str, Meta(min_length=1, max_length=500)]
    text: str


class FileRequest(Struct, frozen=True):
    file: Annotated[
        str,
        Meta(
            description="With a file name, by whose ending it is read.",
            extra_json_schema={"contentMediaType": "application/octet-stream"},
        ),
    ]


class DocumentPage(Record, frozen=True, kw_only=True):
    """Newest first; `next` is what to pass as `before` to go on, null at the end."""

    documents: list[Document]
    next: int | None


class Sources(Record, frozen=True, kw_only=True):
    """The best first."""

    sources: Sequence[Source]


@routes.post(DOCUMENTS)
@operation(
    "createDocument",
    "Add a document, as text or as a file. Returns 200 if it already exists.",
    tag="documents",
    body={JSON: TextRequest, "multipart/form-data": FileRequest},
    example={"title": "Rainbows", "text": "Sunlight, bent by drops of water."},
    answers={201: Document, 200: Document},
    errors=("shutting_down",),
)
async def create(request: web.Request) -> web.StreamResponse:
    receive = _upload if request.content_type == "multipart/form-data" else _text
    user = owner(request)
    with _temporary(request) as file:
        title, promised = await receive(request, file)
        size, digest = await asyncio.to_thread(_measure, file)
        contents = await request.app[READER].read(file, promised)
    document, new = await request.app[STORE].create_document(
        user,
        NewDocument(
            title=title, media_type=contents.media_type, size=size, hash=digest, chunks=contents.chunks
        ),
    )
    return json_response(document, status=201 if new else 200)


@routes.get(DOCUMENTS)
@operation(
    "listDocuments",
    "List documents, newest first.",
    tag="documents",
    query={"limit": Limit, "before": Before},
    answers={200: DocumentPage},
    errors=("invalid", "invalid_cursor"),
)
async def list_all(request: web.Request) -> web.StreamResponse:
    page, following = await request.app[STORE].list_documents(
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
async def read(request: web.Request) -> web.StreamResponse:
    return json_response(await request.app[STORE].get_document(owner(request), _document_id(request)))


@routes.delete(DOCUMENT)
@operation(
    "deleteDocument",
    "Delete a document. Sessions that use it continue without it.",
    tag="documents",
    answers={204: None},
)
async def delete(request: web.Request) -> web.StreamResponse:
    await request.app[STORE].delete_document(owner(request), _document_id(request))
    return web.Response(status=204)


@routes.get(f"{DOCUMENT}/search")
@operation(
    "searchDocument",
    "Find the passages of a document that a question would be answered from.",
    tag="documents",
    query={"q": Annotated[str, Meta(description="The question.")]},
    answers={200: Sources},
)
async def search(request: web.Request) -> web.StreamResponse:
    found = await passages(
        request.app[STORE], owner(request), _document_id(request), request.query.get("q", "")
    )
    return json_response(Sources(sources=found.sources))


def _document_id(request: web.Request) -> int:
    return row_id(request, "id", "document")


# -- taking in


def _temporary(request: web.Request) -> BinaryIO:
    """On the disk of the database, which has room or is about to be full anyway; never in memory."""
    folder = request.app[CONFIG].database_path.absolute().parent
    try:
        return TemporaryFile(dir=folder)
    except OSError as error:
        raise _no_room(error) from error


def _measure(file: BinaryIO) -> tuple[int, bytes]:
    """Its size, and a digest that no other file has."""
    file.flush()
    size = file.tell()
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(PIECE):
        digest.update(piece)
    return size, digest.digest()


async def _text(request: web.Request, file: BinaryIO) -> tuple[str, str]:
    """Title and media type of a JSON body, whose text goes into the file."""
    body = await read_json(request, TextRequest)
    text = body.text.encode()
    if len(text) > request.app[CONFIG].max_document_bytes:
        raise _too_large(request)
    await _write(file, text)
    return _titled(body.title), "text/plain"


async def _upload(request: web.Request, file: BinaryIO) -> tuple[str, str]:
    """Title and media type of a multipart body, whose part `file` goes into the file."""
    if (request.content_length or 0) > request.app[CONFIG].max_document_bytes + AROUND:
        raise _too_large(request)
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise ChatError(
                    "malformed", "The form has a multipart part in it; send the file as its own part."
                )
            if (name := _file_name(part)) is not None:
                title = _titled(_bare(name))
                promised = media_type(title)
                await _copy(request, part, file)
                return title, promised
            await _copy(request, part, None)
    except (ValueError, AssertionError, HttpProcessingError) as error:  # aiohttp's, for what is not multipart
        raise ChatError(
            "malformed", "The body is not valid multipart/form-data; check its boundary."
        ) from error
    raise ChatError("invalid", "There is no file; send it as the form's field `file`.", field="file")


async def _copy(request: web.Request, part: BodyPartReader, file: BinaryIO | None) -> None:
    """Into the file, if any. Raises `too_large` as soon as there is more than a document may have."""
    size = 0
    while piece := await part.read_chunk(PIECE):
        size += len(piece)
        if size > request.app[CONFIG].max_document_bytes:
            raise _too_large(request)
        if file is not None:
            await _write(file, piece)


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


_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')


def _file_name(part: BodyPartReader) -> str | None:
    """Of the part `file`, as it was sent; none where that is another part, or a field without one."""
    sent = part.headers.get("Content-Disposition", "")
    # aiohttp parts the header at every ";", those within a name too.
    whole = _QUOTED.sub(lambda quoted: quoted[0].replace(";", "%3B"), sent)
    _, parameters = parse_content_disposition(whole)
    is_file = content_disposition_filename(parameters, "name") == "file"
    return content_disposition_filename(parameters, "filename") if is_file else None


def _bare(name: str) -> str:
    """A file name without folders, of whatever system it comes from.

    Browsers percent-encode quotes and line ends in it, other clients all that is not plain.
    """
    return re.split(r"[/\\]", unquote(name))[-1]


def _titled(title: str) -> str:
    """On one line, without what only a machine would see, and not too long; the ending stays."""
    shown = "".join([character if character.isprintable() else " " for character in title])
    line = " ".join(shown.split()).strip(". ") or "untitled"
    if len(line) <= MAX_TITLE:
        return line
    stem, _, ending = line.rpartition(".")
    return f"{stem[: MAX_TITLE - 12]}….{ending}" if stem and len(ending) <= 10 else line[:MAX_TITLE]
