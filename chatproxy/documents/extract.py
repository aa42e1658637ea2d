"""A file's bytes as text: what its name promises is checked against what it holds.

Hostile files can keep these functions busy for hours: `documents.worker` runs them where they can be stopped.
"""

import re
import unicodedata
import zipfile
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import PurePosixPath
from typing import BinaryIO, Final

import msgspec
from msgspec import Struct

from chatproxy.documents.encodings import decoded
from chatproxy.errors import ChatError

READ: Final = "PDF, DOCX, Markdown, HTML, CSV, JSON, plain text and source code"
MAX_TEXT: Final = 64 * 1024 * 1024  # characters, of all that a small file may unfold into
MAX_UNPACKED: Final = 100 * 1024 * 1024  # bytes

_SOURCE: Final = (
    "asm awk bash bat bib c cc cfg clj cmake cmd conf cpp cs css cxx dart diff el elm env erl ex exs f90"
    " fish fs gitignore go gradle graphql groovy h hh hpp hs ini ipynb java jl js jsx kt less lisp log lua m"
    " mjs ml nim nix org pas patch php pl pm po proto properties ps1 py pyi r rb rs sass scala scm scss sh"
    " sql srt svelte svg swift tcl tex tf toml ts tsx v vb vhd vim vtt vue xml xsd yaml yml zig zsh"
)
# By the end of the name. What has no such end (README, Makefile) is looked at as text.
_MEDIA_TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(["", "txt", "text", "rst", "adoc", *_SOURCE.split()], "text/plain"),
    **dict.fromkeys(["md", "markdown", "mdx"], "text/markdown"),
    **dict.fromkeys(["html", "htm", "xhtml"], "text/html"),
    **dict.fromkeys(["csv", "tsv"], "text/csv"),
    **dict.fromkeys(["jsonl", "ndjson"], "application/jsonl"),
    "json": "application/json",
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}


class Extract(Struct, frozen=True):
    media_type: str
    text: str


def media_type(name: str) -> str:
    """What a file of that name should be. Raises `unsupported_media_type`."""
    suffix = PurePosixPath(name).suffix.removeprefix(".").lower()
    if suffix not in _MEDIA_TYPES:
        raise ChatError("unsupported_media_type", f"Files of type .{suffix[:20]} are not read; send {READ}.")
    return _MEDIA_TYPES[suffix]


def extract(file: BinaryIO, promised: str) -> Extract:
    """`promised` is a media type of this module, the file one that can be sought in.

    Raises `unsupported_media_type` where the file is something else, `invalid` where it holds no text.
    """
    text = _READERS.get(promised, _plain)(file)
    if len(text) > MAX_TEXT:
        raise ChatError("too_large", f"The file holds more than {MAX_TEXT} characters; send it in parts.")
    text = clean(text)
    if not text:
        raise _invalid("There is no text in the file; a scan has to go through text recognition first.")
    return Extract(promised, text)


_LINE_ENDS: Final = re.compile(r"\r\n?|[\x0b\x85\u2028]")
_PARAGRAPH_ENDS: Final = re.compile(r"[\f\u2029]")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff\ud800-\udfff]")
_TRAILING: Final = re.compile(r"(?<![ \t])[ \t]+(?=\n)")
_GAPS: Final = re.compile(r"\n{3,}")


def clean(text: str) -> str:
    """Without control characters, with `\\n` at the ends of lines and one empty line between paragraphs."""
    text = _PARAGRAPH_ENDS.sub("\n\n", _LINE_ENDS.sub("\n", text))
    return _GAPS.sub("\n\n", _TRAILING.sub("", _CONTROLS.sub("", text))).strip()


def _invalid(sentence: str) -> ChatError:
    return ChatError("invalid", sentence, field="file")


def _not_what_it_says(what: str) -> ChatError:
    return ChatError("unsupported_media_type", f"The file is not {what}, as its name says; send {READ}.")


def _missing(error: ImportError) -> ChatError:
    return ChatError(
        "unsupported_media_type",
        f"PDF and DOCX are not read here ({error.name} is missing); have chatproxy[documents] installed.",
    )


# -- text


def _plain(file: BinaryIO) -> str:
    data = file.read()
    if data.startswith((b"%PDF-", b"PK\x03\x04", b"{\\rtf")):
        raise _not_what_it_says("text")
    text = decoded(data)
    if text is None:
        raise _not_what_it_says("text")
    return text


def _json(file: BinaryIO) -> str:
    """Laid out in lines, so that there are places to cut."""
    text = _plain(file)
    try:
        return msgspec.json.format(text, indent=1)
    except (msgspec.DecodeError, RecursionError):
        raise _not_what_it_says("JSON") from None


def _html(file: BinaryIO) -> str:
    page = _plain(file)
    try:
        return text_of_html(page)
    except (AssertionError, ValueError) as error:  # of a declaration, or a reference, that is none
        raise _damaged("HTML") from error


_UNSEEN: Final = frozenset({"script", "style", "template", "noscript", "svg", "math", "select", "textarea"})
_INLINE: Final = (
    "a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark q s samp small"
    " span strike strong sub sup time tt u var wbr"
)
_HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})


class _Text(HTMLParser):
    """Gathers the text that a reader of the page sees, with headings as Markdown has them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen: str | None = None  # the element that hides what is read
        self._preformatted = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if self._unseen is None and tag in _UNSEEN:
            self._unseen = tag
        self._preformatted += tag == "pre"
        self._break(tag)
        if tag in _HEADINGS:
            self.parts.append("#" * int(tag[1]) + " ")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._unseen:
            self._unseen = None
        self._preformatted -= tag == "pre" and self._preformatted > 0
        self._break(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._break(tag)  # `<svg/>` hides nothing

    def handle_data(self, data: str) -> None:
        if self._unseen is not None:
            return
        if not self._preformatted:
            data = re.sub(r"\s+", " ", data)
            if self.parts and self.parts[-1].endswith("\n"):
                data = data.lstrip()
        self.parts.append(data)

    def _break(self, tag: str) -> None:
        if tag in {"td", "th"}:
            self.parts.append(" ")
        elif tag in {"br", "tr", "li", "dt", "dd", "option"}:
            self.parts.append("\n")
        elif tag not in _INLINE.split():
            self.parts.append("\n\n")


def text_of_html(html: str) -> str:
    parser = _Text()
    parser.feed(html)
    parser.close()
    return "".join(parser.parts)


# -- PDF and DOCX


def _pdf(file: BinaryIO) -> str:
    """Page by page. Raises `invalid` for a locked or damaged one."""
    if b"%PDF-" not in file.read(1024):
        raise _not_what_it_says("a PDF")
    try:
        from pypdf import PdfReader
        from pypdf.errors import DependencyError
    except ImportError as error:
        raise _missing(error) from error
    locked = _invalid("The PDF is locked with a password; save it without one and send that.")
    try:
        reader = PdfReader(file)
        if reader.is_encrypted and not reader.decrypt(""):
            raise locked
        text = "\n\n".join([page.extract_text() for page in reader.pages])
    except (ChatError, MemoryError):
        raise
    except DependencyError:
        raise locked from None  # a cipher that only a further package knows
    except Exception as error:  # what a damaged file raises inside pypdf has no end
        raise _damaged("PDF") from error
    return _HYPHENATED.sub(r"\1\2", unicodedata.normalize("NFKC", text))  # ligatures to letters


_HYPHENATED: Final = re.compile(r"(\w)-\n([a-zß-ÿ])")


def _docx(file: BinaryIO) -> str:
    """By way of HTML, which keeps headings and tables. Raises `too_large` for a bomb."""
    _check_zip(file)
    try:
        import mammoth
    except ImportError as error:
        raise _missing(error) from error
    file.seek(0)
    try:
        # Without the bytes of its images.
        html = mammoth.convert_to_html(file, convert_image=mammoth.images.img_element(lambda image: {}))
    except MemoryError:
        raise
    except Exception as error:
        raise _damaged("DOCX") from error
    return text_of_html(html.value)


def _check_zip(file: BinaryIO) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            unpacked = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise _not_what_it_says("a DOCX") from None
    if not {"[Content_Types].xml", "word/document.xml"} <= names:
        raise _not_what_it_says("a DOCX")
    if unpacked > MAX_UNPACKED:
        raise ChatError(
            "too_large", f"The DOCX unpacks to more than {MAX_UNPACKED // 1024**2} MiB; send less of it."
        )


def _damaged(what: str) -> ChatError:
    return _invalid(f"The {what} is damaged and cannot be read; save it anew and send that.")


_READERS: Final[Mapping[str, Callable[[BinaryIO], str]]] = {
    "application/json": _json,
    "text/html": _html,
    "application/pdf": _pdf,
    _MEDIA_TYPES["docx"]: _docx,
}
