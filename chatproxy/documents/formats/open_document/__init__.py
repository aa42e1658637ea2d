"""OpenDocument: what LibreOffice, and others besides Office, write."""

from chatproxy.documents.formats.open_document import sheets, slides, text

__all__ = ["sheets", "slides", "text"]
