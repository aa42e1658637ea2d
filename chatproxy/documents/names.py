"""What the name of a file says of its type.

Whatever is text is text, so that a name that says nothing leaves it to the content. Only what can be no text
is refused for its name, before the file is sent.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final

from chatproxy.documents.parts import FORMATS
from chatproxy.errors import ChatError

UNKNOWN: Final = "application/octet-stream"  # the content decides
TEXT: Final = "text/plain"
SOURCE_CODE: Final = "text/x-source"  # with what is configured line by line; shown as plain text
MARKDOWN: Final = "text/markdown"
HTML: Final = "text/html"
MHTML: Final = "multipart/related"
CSV: Final = "text/csv"
JSON: Final = "application/json"
JSON_LINES: Final = "application/jsonl"
PDF: Final = "application/pdf"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PPTX: Final = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
ODT: Final = "application/vnd.oasis.opendocument.text"
ODS: Final = "application/vnd.oasis.opendocument.spreadsheet"
ODP: Final = "application/vnd.oasis.opendocument.presentation"
EPUB: Final = "application/epub+zip"
RTF: Final = "application/rtf"
DOCX: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
# Of Office before 2007. Programs give these names to RTF, HTML and CSV, too, as Office opens all of them.
WORD_97: Final = "application/msword"
EXCEL_97: Final = "application/vnd.ms-excel"

_CODE: Final = (
    "asm awk bash bat bib c cc cfg clj cmake cmd conf cpp cs css cxx dart diff el elm env erl ex exs f90 fish"
    " fs gitignore go gradle graphql groovy h hbs hh hpp hs ini java jl js jsx kt less lisp lua m mjs ml nim"
    " nix pas patch php pl pm proto properties ps1 py pyi r rb rs sass scala scm scss sh sql svelte svg swift"
    " tcl tf toml ts tsx v vb vhd vim vue xml xsd yaml yml zig zsh"
)
# By file name extension.
_MEDIA_TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(["adoc", "log", "org", "po", "rst", "srt", "tex", "text", "txt", "vtt"], TEXT),
    **dict.fromkeys(_CODE.split(), SOURCE_CODE),
    **dict.fromkeys(["md", "markdown", "mdx"], MARKDOWN),
    **dict.fromkeys(["html", "htm", "xhtml", "xht"], HTML),
    **dict.fromkeys(["mht", "mhtml"], MHTML),
    **dict.fromkeys(["csv", "tsv", "tab", "psv"], CSV),
    **dict.fromkeys(["jsonl", "ndjson"], JSON_LINES),
    **dict.fromkeys(["json", "geojson", "har", "ipynb", "json5", "jsonc"], JSON),
    "pdf": PDF,
    **dict.fromkeys(["docx", "docm", "dotx", "dotm"], DOCX),
    "doc": WORD_97,
    "xls": EXCEL_97,
    **dict.fromkeys(["xlsx", "xlsm", "xltx", "xltm"], XLSX),
    **dict.fromkeys(["pptx", "pptm", "ppsx", "ppsm", "potx", "potm"], PPTX),
    **dict.fromkeys(["odt", "ott"], ODT),
    **dict.fromkeys(["ods", "ots"], ODS),
    **dict.fromkeys(["odp", "otp"], ODP),
    "epub": EPUB,
    "rtf": RTF,
}
# What an office program can save as something that is read.
_SAVED_AS: Final[Mapping[str, str]] = {
    **dict.fromkeys(["ppt", "pps"], "PPTX"),
    **dict.fromkeys(["xlsb", "numbers"], "XLSX"),
    **dict.fromkeys(["pages", "wps"], "DOCX"),
}
_NEVER_TEXT: Final = (
    "3gp 7z aac accdb aif aiff apk appimage arrow avi avif bmp bz2 cab class deb dll dmg ear eot exe"
    " feather flac flv gguf gif gz heic heif ico iso jar jpeg jpg kdbx lz4 lzma m4a m4v mdb mid mkv mobi"
    " mov mp3 mp4 mpeg mpg msi npy npz ogg ogv onnx opus otf parquet pickle pkl png psd pst pyc rar rpm"
    " safetensors so sqlite sqlite3 tar tgz tif tiff ttf war wasm wav webm webp wma wmv woff woff2 xz zip"
    " zst"
)
_NO_TEXT: Final = frozenset(_NEVER_TEXT.split())
# What is put behind a whole name: of a copy, of an older version, of a log that was put away.
_VERSION: Final = re.compile(
    r"(?<=.)(?:\.(?:[0-9]{1,3}|bak|backup|old|orig|save|tmp)|~|[ _-]?\([0-9]{1,3}\))$", re.IGNORECASE
)


def media_type(name: str) -> str:
    """Return the media type that a file name implies; UNKNOWN if it implies none.

    Raises `unsupported_media_type` for a type that is not read.
    """
    suffix = _suffix(name)
    if suffix in _SAVED_AS:
        raise ChatError(
            "unsupported_media_type",
            f"Files of type .{suffix} are not read; save it as {_SAVED_AS[suffix]} and send that.",
        )
    if suffix in _NO_TEXT:
        raise ChatError("unsupported_media_type", f"Files of type .{suffix} are not read; send {FORMATS}.")
    return _MEDIA_TYPES.get(suffix, UNKNOWN)


def _suffix(name: str) -> str:
    """Return the last extension of a name that is known, without what `_VERSION` finds behind it."""
    while True:
        name = name.rstrip(". ")
        suffix = PurePosixPath(name).suffix.removeprefix(".").lower()
        if suffix in _MEDIA_TYPES or suffix in _SAVED_AS or suffix in _NO_TEXT:
            return suffix
        shorter = _VERSION.sub("", name)
        if shorter == name:
            return ""
        name = shorter
