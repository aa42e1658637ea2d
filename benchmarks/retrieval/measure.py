"""Asks a chatproxy about documents that it was sent, and looks for the right places in what it finds."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from unittest.mock import patch

import aiohttp
from aiohttp import web

from benchmarks.retrieval.questions import DIALOGUES, Question
from chatproxy import Config, create_app, embedding
from chatproxy.command.demo import on_loopback
from chatproxy.documents.parts import Chunk
from chatproxy.models.embedding import NONE
from chatproxy.prompt.passages import passages_for
from chatproxy.store.records import Document, NewDocument
from chatproxy.web.keys import STORE

FOUND: Final = 5  # passages, as many as an answer gets
NO_MATCH: Final = "document_no_match"


@dataclass(frozen=True)
class Outcome:
    """What a question got: whether the right place is among the passages, and the reader was warned.

    A question about the whole document is right if it got passages from all over it. One that the document
    does not answer is right if the reader was warned.
    """

    question: Question
    is_right: bool
    is_warned: bool


async def ask_by_words(questions: Iterable[Question]) -> list[Outcome]:
    """Ask a chatproxy all questions that searches by words alone."""
    return await _ask_all(questions, embedding_model=NONE)


async def ask_by_meaning(questions: Iterable[Question], ollama: web.Application, name: str) -> list[Outcome]:
    """Ask a chatproxy all questions that also has the vectors of a model, when all are there."""
    with patch.object(
        embedding.questions, "PATIENCE", 60.0
    ):  # the machine may be slow, and Ollama is not meant
        async with on_loopback(ollama) as url:
            return await _ask_all(questions, ollama_host=url, embedding_model=name)


async def _ask_all(questions: Iterable[Question], **settings: Any) -> list[Outcome]:
    outcomes: list[Outcome] = []
    with TemporaryDirectory(prefix="retrieval") as folder:
        app = create_app(Config(database_url=f"sqlite:///{folder}/chat.db", **settings))
        async with on_loopback(app) as url, aiohttp.ClientSession(url) as http:
            for path, some in groupby(questions, key=lambda each: each.document):
                document = await _stored(app, http, path)
                while settings["embedding_model"] != NONE and document.embedded != document.chunks:
                    await asyncio.sleep(0.05)
                    document = await app[STORE].documents.get("", document.id)
                outcomes += [await _ask(app, document, each) for each in some]
    return outcomes


async def _ask(app: web.Application, document: Document, question: Question) -> Outcome:
    documents = app[STORE].documents
    found = await passages_for(documents, "", [document], question.text, question.earlier, limit=FOUND)
    numbers = {source.chunk for source in found.sources}
    is_warned = any(notice.code == NO_MATCH for notice in found.notices)
    match question.kind:
        case "place":
            texts = await documents.chunks(document, range(document.chunks))
            right = {each.chunk for each in texts if _one_line(question.phrase) in _one_line(each.snippet)}
            if not 1 <= len(right) <= 2:  # two chunks overlap
                raise ValueError(f"{question.phrase!r} is in {len(right)} chunks of {question.document.name}")
            return Outcome(question, not numbers.isdisjoint(right), is_warned)
        case "whole":
            spread = {0, document.chunks - 1} <= numbers and len(numbers) == min(FOUND, document.chunks)
            return Outcome(question, spread, is_warned)
        case "absent":
            return Outcome(question, is_warned, is_warned)


async def _stored(app: web.Application, http: aiohttp.ClientSession, path: Path) -> Document:
    content = await asyncio.to_thread(path.read_bytes)
    if path.parent == DIALOGUES:
        return await _cut(app, path.name, content.decode().strip())
    form = aiohttp.FormData()
    form.add_field("file", content, filename=path.name)
    async with http.post("/api/documents", data=form) as response:
        response.raise_for_status()
        uploaded = await response.json()
    return await app[STORE].documents.get("", uploaded["id"])


async def _cut(app: web.Application, name: str, text: str) -> Document:
    """Store a document of the dialogues, in shorter chunks than usual, so that five are few of them."""
    if name.endswith(".csv"):
        rows = text.splitlines()
        chunks = ["\n".join(rows[first : first + 3]) for first in range(0, len(rows), 3)]
    else:
        chunks = re.split(r"\n\n(?=## )" if name.endswith(".md") else r"\n\n", text)

    async def batches() -> AsyncIterator[Sequence[Chunk]]:
        yield [Chunk(chunk) for chunk in chunks]

    new = NewDocument(title=name, media_type="text/plain", size=1, hash=name.encode())
    document, _ = await app[STORE].documents.create("", new, batches())
    return document


def _one_line(text: str) -> str:
    return " ".join(text.split())
