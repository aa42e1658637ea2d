"""PDF, by pypdf."""

import re
import unicodedata
from typing import BinaryIO, Final

from chatproxy.documents.parts import Part, Reading, damaged, locked, missing_package, wrong_type
from chatproxy.errors import ChatError

_HYPHENATED: Final = re.compile(r"(\w)-\n([a-zß-ÿ])")


def read(file: BinaryIO) -> Reading:
    """Return the text, page by page. Raises `invalid` for an encrypted or damaged file."""
    if b"%PDF-" not in file.read(1024):
        raise wrong_type("a PDF")
    try:
        from pypdf import PdfReader
        from pypdf.errors import DependencyError
    except ImportError as error:
        raise missing_package(error) from error
    try:
        reader = PdfReader(file)
        if reader.is_encrypted and not reader.decrypt(""):
            raise locked("PDF")
        pages = [page.extract_text() for page in reader.pages]
    except (ChatError, MemoryError):
        raise
    except DependencyError:
        raise locked("PDF") from None  # by a cipher for which pypdf needs another package
    except Exception as error:  # pypdf raises exceptions of every kind for damaged files
        raise damaged("PDF") from error
    return Reading([Part(_joined(text), page) for page, text in enumerate(pages, start=1)])


def _joined(text: str) -> str:
    """Return text with letters for ligatures, and without hyphens at line ends."""
    return _HYPHENATED.sub(r"\1\2", unicodedata.normalize("NFKC", text))
