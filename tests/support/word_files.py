"""Word's documents, made of the XML of their parts."""

from io import BytesIO
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

_OFFICE: Final = "http://schemas.openxmlformats.org/"
_MICROSOFT: Final = "http://schemas.microsoft.com/office/word/2010/"
NAMESPACES: Final = " ".join(
    [
        f'xmlns:w="{_OFFICE}wordprocessingml/2006/main"',
        f'xmlns:r="{_OFFICE}officeDocument/2006/relationships"',
        f'xmlns:m="{_OFFICE}officeDocument/2006/math"',
        f'xmlns:mc="{_OFFICE}markup-compatibility/2006"',
        f'xmlns:wp="{_OFFICE}drawingml/2006/wordprocessingDrawing"',
        f'xmlns:a="{_OFFICE}drawingml/2006/main"',
        f'xmlns:c="{_OFFICE}drawingml/2006/chart"',
        f'xmlns:wps="{_MICROSOFT}wordprocessingShape" xmlns:w14="{_MICROSOFT}wordml"',
        'xmlns:v="urn:schemas-microsoft-com:vml" xmlns:o="urn:schemas-microsoft-com:office:office"',
    ]
)
_RELATIONSHIP: Final = f"{_OFFICE}officeDocument/2006/relationships/"
_ROOTS: Final = {"header": "hdr", "footer": "ftr"}


def docx(body: str, /, chunks: dict[str, bytes] | None = None, doctype: str = "", **parts: str) -> bytes:
    """Return a document of a body and of other parts, by kind: `styles`, `header1`.

    Each part's id for references is its kind, and so is that of `chunks`, files of other formats.
    """
    files: dict[str, str | bytes] = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": _relationships(("main", "officeDocument", "word/document.xml")),
        "word/document.xml": f"{doctype}<w:document {NAMESPACES}><w:body>{body}</w:body></w:document>",
    }
    related = []
    for name, content in parts.items():
        kind = name.rstrip("0123456789")
        root = _ROOTS.get(kind, kind)
        files[f"word/{name}.xml"] = f"<w:{root} {NAMESPACES}>{content}</w:{root}>"
        related.append((name, kind, f"{name}.xml"))
    for name, chunk in (chunks or {}).items():
        files[f"word/{name}"] = chunk
        related.append((name, "aFChunk", f"/word/{name}"))
    files["word/_rels/document.xml.rels"] = _relationships(*related)
    return packed(files)


def packed(files: dict[str, str | bytes]) -> bytes:
    """Return an archive."""
    written = BytesIO()
    with ZipFile(written, "w", ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(ZipInfo(name), content, ZIP_DEFLATED)
    return written.getvalue()


def p(content: str, properties: str = "") -> str:
    """Return a paragraph of text, or of what begins with a tag."""
    runs = content if content.startswith("<") else r(content)
    return f"<w:p><w:pPr>{properties}</w:pPr>{runs}</w:p>"


def r(text: str, properties: str = "") -> str:
    """Return a run of text."""
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def item(text: str, level: int = 0, number: int = 1) -> str:
    """Return an item of a list."""
    return p(text, f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>')


def styled(text: str, style: str) -> str:
    """Return a paragraph in a style."""
    return p(text, f'<w:pStyle w:val="{style}"/>')


def style(name: str, *, based_on: str = "", called: str = "", paragraph: str = "", run: str = "") -> str:
    """Return a style with its properties of paragraphs and of runs."""
    return (
        f'<w:style w:type="paragraph" w:styleId="{name}"><w:name w:val="{called}"/>'
        f'<w:basedOn w:val="{based_on}"/><w:pPr>{paragraph}</w:pPr><w:rPr>{run}</w:rPr></w:style>'
    )


def level(number: int, kind: str, text: str, more: str = "") -> str:
    """Return a level of a list."""
    return (
        f'<w:lvl w:ilvl="{number}"><w:start w:val="1"/><w:numFmt w:val="{kind}"/>{more}'
        f'<w:lvlText w:val="{text}"/></w:lvl>'
    )


def lists(*levels: str, more: str = "") -> str:
    """Return abstract lists, each of which is the list of the number that it has, from 1."""
    abstract = [
        f'<w:abstractNum w:abstractNumId="{number}">{each}</w:abstractNum>'
        for number, each in enumerate(levels, start=1)
    ]
    references = [
        f'<w:num w:numId="{number}"><w:abstractNumId w:val="{number}"/></w:num>'
        for number in range(1, len(levels) + 1)
    ]
    return "".join([*abstract, *references, more])


def field(code: str, result: str = "", form: str = "") -> str:
    """Return a field with its code and its result, a run."""
    return (
        f'<w:r><w:fldChar w:fldCharType="begin"><w:ffData>{form}</w:ffData></w:fldChar></w:r>'
        f"<w:r><w:instrText>{code}</w:instrText></w:r>"
        + (f'<w:r><w:fldChar w:fldCharType="separate"/></w:r>{result}' if result else "")
        + '<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    )


def table(*rows: str) -> str:
    """Return a table."""
    return f"<w:tbl>{''.join(rows)}</w:tbl>"


def row(*cells: str, properties: str = "") -> str:
    """Return a row of cells, or of texts."""
    return f"<w:tr><w:trPr>{properties}</w:trPr>{''.join(map(_as_cell, cells))}</w:tr>"


def cell(content: str, properties: str = "") -> str:
    """Return a cell of a paragraph, or of blocks."""
    blocks = content if content.startswith("<") else p(content)
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{blocks}</w:tc>"


def _as_cell(content: str) -> str:
    return content if content.startswith("<w:tc>") else cell(content)


def _relationships(*related: tuple[str, str, str]) -> str:
    entries = [
        f'<Relationship Id="{name}" Type="{_RELATIONSHIP}{kind}" Target="{target}"/>'
        for name, kind, target in related
    ]
    namespace = f"{_OFFICE}package/2006/relationships"
    return f'<Relationships xmlns="{namespace}">{"".join(entries)}</Relationships>'
