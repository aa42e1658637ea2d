"""What the name of a file says of its type."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final

from chatproxy.documents.parts import FORMATS
from chatproxy.errors import ChatError

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


def media_type(name: str) -> str:
    """Return the media type that a file name implies. Raises `unsupported_media_type`."""
    suffix = PurePosixPath(name).suffix.removeprefix(".").lower()
    if suffix not in _MEDIA_TYPES:
        raise ChatError(
            "unsupported_media_type", f"Files of type .{suffix[:20]} are not read; send {FORMATS}."
        )
    return _MEDIA_TYPES[suffix]
