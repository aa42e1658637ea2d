"""DOCX, by mammoth."""

from typing import BinaryIO, Final

from chatproxy.documents.archives import check_archive
from chatproxy.documents.formats.html import read_page
from chatproxy.documents.parts import Reading, damaged, missing_package

_PARTS: Final = frozenset({"[Content_Types].xml", "word/document.xml"})


def read(file: BinaryIO) -> Reading:
    """Return the text, by way of HTML to keep headings and tables. Raises `too_large` for a ZIP bomb."""
    check_archive(file, "a DOCX", _PARTS)
    try:
        import mammoth
    except ImportError as error:
        raise missing_package(error) from error
    try:
        # By default, mammoth would put the bytes of every image into the HTML.
        html = mammoth.convert_to_html(file, convert_image=mammoth.images.img_element(lambda image: {}))
    except MemoryError:
        raise
    except Exception as error:
        raise damaged("DOCX") from error
    return read_page(html.value)
