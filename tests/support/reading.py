"""Reading a file as the process for documents does."""

from io import BytesIO

from chatproxy.documents.extract import ExtractedText, extract


def read_pdf(data: bytes) -> ExtractedText:
    return extract(BytesIO(data), "application/pdf")
