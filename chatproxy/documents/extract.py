"""Extract the text of a file, and check that the file is of the type that its name says.

A hostile file can keep these functions busy for hours, so `documents.worker` runs them in a process that it
can stop.
"""

import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import PurePosixPath
from typing import BinaryIO, Final

import msgspec
from msgspec import Struct

from chatproxy.documents.encodings import decode
from chatproxy.errors import ChatError

FORMATS: Final = "PDF, DOCX, Markdown, HTML, CSV, JSON, plain text and source code"  # for error messages
MAX_TEXT: Final = 10 * 1024 * 1024  # bytes in UTF-8; a small file can expand into many
MAX_UNPACKED: Final = 100 * 1024 * 1024  # bytes of a DOCX, which is a ZIP archive

_SOURCE_CODE: Final = (
    "asm awk bash bat bib c cc cfg clj cmake cmd conf cpp cs css cxx dart diff el elm env erl ex exs f90"
    " fish fs gitignore go gradle graphql groovy h hh hpp hs ini ipynb java jl js jsx kt less lisp log lua m"
    " mjs ml nim nix org pas patch php pl pm po proto properties ps1 py pyi r rb rs sass scala scm scss sh"
    " sql srt svelte svg swift tcl tex tf toml ts tsx v vb vhd vim vtt vue xml xsd yaml yml zig zsh"
)
# By file name extension. A file without one (README, Makefile) is treated as text.
_MEDIA_TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(["", "txt", "text", "rst", "adoc", *_SOURCE_CODE.split()], "text/plain"),
    **dict.fromkeys(["md", "markdown", "mdx"], "text/markdown"),
    **dict.fromkeys(["html", "htm", "xhtml"], "text/html"),
    **dict.fromkeys(["csv", "tsv"], "text/csv"),
    **dict.fromkeys(["jsonl", "ndjson"], "application/jsonl"),
    "json": "application/json",
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}


class ExtractedText(Struct, frozen=True):
    """The text of a file, as `clean` returns it, and where its pages begin in it, if it has any."""

    media_type: str
    text: str
    pages: Sequence[int] = ()


def media_type(name: str) -> str:
    """Return the media type that a file name implies. Raises `unsupported_media_type`."""
    suffix = PurePosixPath(name).suffix.removeprefix(".").lower()
    if suffix not in _MEDIA_TYPES:
        raise ChatError(
            "unsupported_media_type", f"Files of type .{suffix[:20]} are not read; send {FORMATS}."
        )
    return _MEDIA_TYPES[suffix]


def extract(file: BinaryIO, promised: str) -> ExtractedText:
    """Return the text of a seekable file; `promised` is what `media_type` returned for its name.

    Raises `unsupported_media_type` if the file is of another type, `too_large` if there is too much text
    in it, and `invalid` if there is none or the file is damaged.
    """
    text = _READERS.get(promised, _read_text)(file)
    if len(text.encode("utf-8", "replace")) > MAX_TEXT:
        raise ChatError("too_large", f"The file holds more than {MAX_TEXT} bytes of text; send it in parts.")
    has_pages = promised == "application/pdf"
    parts = [clean(part) for part in (text.split(_PAGE_END) if has_pages else [text])]
    text = "\n\n".join(filter(None, parts))
    if not text:
        raise _invalid("There is no text in the file; a scan has to go through text recognition first.")
    return ExtractedText(promised, text, list(_starts(parts)) if has_pages else ())


def _starts(parts: Iterable[str]) -> Iterator[int]:
    """Yield where each part begins, if those with text are joined with an empty line."""
    place = 0
    for part in parts:
        yield place
        place += len(part) + 2 if part else 0


_PAGE_END: Final = "\f"
_LINE_ENDS: Final = re.compile(r"\r\n?|[\x0b\x85\u2028]")
_PARAGRAPH_ENDS: Final = re.compile(r"[\f\u2029]")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff\ud800-\udfff]")
_TRAILING_SPACE: Final = re.compile(r"(?<![ \t])[ \t]+(?=\n)")
_EMPTY_LINES: Final = re.compile(r"\n{3,}")


def clean(text: str) -> str:
    """Normalise whitespace: `\\n` ends a line, one empty line separates paragraphs, no control characters."""
    text = _PARAGRAPH_ENDS.sub("\n\n", _LINE_ENDS.sub("\n", text))
    return _EMPTY_LINES.sub("\n\n", _TRAILING_SPACE.sub("", _CONTROLS.sub("", text))).strip()


def _invalid(sentence: str) -> ChatError:
    return ChatError("invalid", sentence, field="file")


def _damaged(what: str) -> ChatError:
    return _invalid(f"The {what} is damaged and cannot be read; save it again and send that.")


def _wrong_type(what: str) -> ChatError:
    return ChatError("unsupported_media_type", f"The file is not {what}, as its name says; send {FORMATS}.")


def _missing_package(error: ImportError) -> ChatError:
    return ChatError(
        "unsupported_media_type",
        f"PDF and DOCX are not read here ({error.name} is missing); "
        "have ollama-chatproxy[documents] installed.",
    )


# -- text


def _read_text(file: BinaryIO) -> str:
    data = file.read()
    if data.startswith((b"%PDF-", b"PK\x03\x04", b"{\\rtf")):
        raise _wrong_type("text")
    text = decode(data)
    if text is None:
        raise _wrong_type("text")
    return text


def _read_json(file: BinaryIO) -> str:
    """Return the JSON indented, so that there are lines to split it at."""
    text = _read_text(file)
    try:
        return msgspec.json.format(text, indent=1)
    except (msgspec.DecodeError, RecursionError):
        raise _wrong_type("JSON") from None


def _read_html(file: BinaryIO) -> str:
    page = _read_text(file)
    try:
        return html_to_text(page)
    except (
        AssertionError,
        ValueError,
    ) as error:  # html.parser's, for malformed markup
        raise _damaged("HTML") from error


_HIDDEN: Final = frozenset({"script", "style", "template", "noscript", "svg", "math", "select", "textarea"})
_INLINE: Final = (
    "a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark q s samp small"
    " span strike strong sub sup time tt u var wbr"
)
_HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})


class _TextExtractor(HTMLParser):
    """Collects the text that a reader of the page sees, with Markdown's `#` before headings."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden_by: str | None = None  # the element whose content is being skipped
        self._preformatted = 0  # open <pre> elements

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if self._hidden_by is None and tag in _HIDDEN:
            self._hidden_by = tag
        self._preformatted += tag == "pre"
        self._break(tag)
        if tag in _HEADINGS:
            self.parts.append("#" * int(tag[1]) + " ")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden_by:
            self._hidden_by = None
        self._preformatted -= tag == "pre" and self._preformatted > 0
        self._break(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._break(tag)  # `<svg/>` hides nothing

    def handle_data(self, data: str) -> None:
        if self._hidden_by is not None:
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


def html_to_text(html: str) -> str:
    """Return the visible text of an HTML page."""
    parser = _TextExtractor()
    parser.feed(html)
    parser.close()
    return "".join(parser.parts)


# -- PDF and DOCX


_HYPHENATED: Final = re.compile(r"(\w)-\n([a-zß-ÿ])")


def _read_pdf(file: BinaryIO) -> str:
    """Return the text, with _PAGE_END between pages. Raises `invalid` for an encrypted or damaged file."""
    if b"%PDF-" not in file.read(1024):
        raise _wrong_type("a PDF")
    try:
        from pypdf import PdfReader
        from pypdf.errors import DependencyError
    except ImportError as error:
        raise _missing_package(error) from error
    encrypted = _invalid("The PDF is locked with a password; save it without one and send that.")
    try:
        reader = PdfReader(file)
        if reader.is_encrypted and not reader.decrypt(""):
            raise encrypted
        pages = [page.extract_text().replace(_PAGE_END, "\n\n") for page in reader.pages]
    except (ChatError, MemoryError):
        raise
    except DependencyError:
        raise encrypted from None  # by a cipher for which pypdf needs another package
    except Exception as error:  # pypdf raises exceptions of every kind for damaged files
        raise _damaged("PDF") from error
    text = unicodedata.normalize("NFKC", _PAGE_END.join(pages))  # ligatures become letters
    return _HYPHENATED.sub(r"\1\2", text)


def _read_docx(file: BinaryIO) -> str:
    """Return the text, by way of HTML to keep headings and tables. Raises `too_large` for a ZIP bomb."""
    _check_zip(file)
    try:
        import mammoth
    except ImportError as error:
        raise _missing_package(error) from error
    file.seek(0)
    try:
        # By default, mammoth would put the bytes of every image into the HTML.
        html = mammoth.convert_to_html(file, convert_image=mammoth.images.img_element(lambda image: {}))
    except MemoryError:
        raise
    except Exception as error:
        raise _damaged("DOCX") from error
    return html_to_text(html.value)


def _check_zip(file: BinaryIO) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            unpacked = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise _wrong_type("a DOCX") from None
    if not {"[Content_Types].xml", "word/document.xml"} <= names:
        raise _wrong_type("a DOCX")
    if unpacked > MAX_UNPACKED:
        raise ChatError(
            "too_large", f"The DOCX unpacks to more than {MAX_UNPACKED // 1024**2} MiB; send less of it."
        )


_READERS: Final[Mapping[str, Callable[[BinaryIO], str]]] = {
    "application/json": _read_json,
    "text/html": _read_html,
    "application/pdf": _read_pdf,
    _MEDIA_TYPES["docx"]: _read_docx,
}
