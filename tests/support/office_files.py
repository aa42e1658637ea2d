"""Small files of office programs and books, made of their XML."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

OFFICE = "http://schemas.openxmlformats.org"
RELATIONS = f"{OFFICE}/officeDocument/2006/relationships"
_ODF = " ".join(
    [
        *(
            f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
            for prefix, name in {
                **{"office": "office", "text": "text", "table": "table", "draw": "drawing", "style": "style"},
                **{"presentation": "presentation", "form": "form", "fo": "xsl-fo-compatible"},
            }.items()
        ),
        'xmlns:xlink="http://www.w3.org/1999/xlink"',
    ]
)
Relation = tuple[str, str]  # kind and target


def packed(files: Mapping[str, str | bytes]) -> bytes:
    """Return an archive of files."""
    written = BytesIO()
    with ZipFile(written, "w", ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(ZipInfo(name), content, ZIP_STORED if name == "mimetype" else ZIP_DEFLATED)
    return written.getvalue()


def relations(*related: Relation) -> str:
    """Return a file of relationships, `rId1` to as many as there are."""
    entries = [
        f'<Relationship Id="rId{number}" Type="{RELATIONS}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(related, start=1)
    ]
    return f'<Relationships xmlns="{OFFICE}/package/2006/relationships">{"".join(entries)}</Relationships>'


def xlsx(
    sheets: Mapping[str, str],
    *,
    strings: str = "",
    styles: Sequence[str] = (),
    states: Mapping[str, str] = {},
    settings: str = "",
    more: Mapping[str, str] = {},
) -> bytes:
    """Return a workbook: `sheets` by name, as the XML of rows or of all that a sheet holds.

    `styles` are the codes of numbers, from `s="1"`.
    """
    ns = f'xmlns="{OFFICE}/spreadsheetml/2006/main"'
    entries = "".join(
        f'<sheet name="{name}" sheetId="{number}" state="{states.get(name, "visible")}" r:id="rId{number}"/>'
        for number, name in enumerate(sheets, start=1)
    )
    codes = "".join(
        f"<numFmt numFmtId=\"{200 + number}\" formatCode='{code}'/>" for number, code in enumerate(styles)
    )
    formats = "".join(f'<xf numFmtId="{200 + number}"/>' for number in range(len(styles)))
    return packed(
        {
            "[Content_Types].xml": f'<Types xmlns="{OFFICE}/package/2006/content-types"/>',
            "_rels/.rels": relations(("officeDocument", "xl/workbook.xml")),
            "xl/workbook.xml": f'<workbook {ns} xmlns:r="{RELATIONS}">{settings}<sheets>{entries}</sheets>'
            "</workbook>",
            "xl/_rels/workbook.xml.rels": relations(
                *(("worksheet", f"worksheets/sheet{number}.xml") for number in range(1, len(sheets) + 1)),
                ("sharedStrings", "sharedStrings.xml"),
                ("styles", "/xl/styles.xml"),
            ),
            "xl/sharedStrings.xml": f"<sst {ns}>{strings}</sst>",
            "xl/styles.xml": f"<styleSheet {ns}><numFmts>{codes}</numFmts>"
            f'<cellXfs><xf numFmtId="0"/>{formats}</cellXfs></styleSheet>',
            **{
                f"xl/worksheets/sheet{number}.xml": f"<worksheet {ns}>"
                + (content if content.startswith("<sheet") else f"<sheetData>{content}</sheetData>")
                + "</worksheet>"
                for number, content in enumerate(sheets.values(), start=1)
            },
            **more,
        }
    )


def row(*cells: str | float | None) -> str:
    """Return a row of a workbook; a text that begins with `<` is the XML of a cell."""
    return f"<row>{''.join(map(_cell, cells))}</row>"


def _cell(value: str | float | None) -> str:
    if value is None:
        return "<c/>"
    if isinstance(value, str):
        return value if value.startswith("<") else f'<c t="inlineStr"><is><t>{value}</t></is></c>'
    return f"<c><v>{value}</v></c>"


def pptx(
    slides: Sequence[str],
    *,
    related: Mapping[int, Sequence[Relation]] = {},
    shown: Mapping[int, str] = {},
    more: Mapping[str, str] = {},
) -> bytes:
    """Return a presentation: `slides` as the XML of their shapes; by number, what they refer to."""
    ns = (
        f'xmlns:p="{OFFICE}/presentationml/2006/main" xmlns:a="{OFFICE}/drawingml/2006/main"'
        f' xmlns:r="{RELATIONS}" xmlns:c="{OFFICE}/drawingml/2006/chart"'
        f' xmlns:dgm="{OFFICE}/drawingml/2006/diagram"'
        f' xmlns:mc="{OFFICE}/markup-compatibility/2006"'
    )
    ids = "".join(
        f'<p:sldId id="{255 + number}" r:id="rId{number}"/>' for number in range(1, len(slides) + 1)
    )
    files = {
        "[Content_Types].xml": f'<Types xmlns="{OFFICE}/package/2006/content-types"/>',
        "_rels/.rels": relations(("officeDocument", "ppt/presentation.xml")),
        "ppt/presentation.xml": f"<p:presentation {ns}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": relations(
            *(("slide", f"slides/slide{number}.xml") for number in range(1, len(slides) + 1))
        ),
    }
    for number, shapes in enumerate(slides, start=1):
        files[f"ppt/slides/slide{number}.xml"] = (
            f'<p:sld {ns} show="{shown.get(number, "1")}"><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld>'
            "</p:sld>"
        )
        files[f"ppt/slides/_rels/slide{number}.xml.rels"] = relations(*related.get(number, ()))
    return packed({**files, **{name: content.replace("NS", ns) for name, content in more.items()}})


def shape(*paragraphs: str, kind: str | None = None) -> str:
    """Return a shape with paragraphs, as text or as XML; `kind` of a placeholder."""
    place = "" if kind is None else f'<p:ph type="{kind}"/>' if kind else "<p:ph/>"
    texts = "".join(
        f"<a:p>{text}</a:p>" if text.startswith("<") else f"<a:p><a:r><a:t>{text}</a:t></a:r></a:p>"
        for text in paragraphs
    )
    return f"<p:sp><p:nvSpPr><p:nvPr>{place}</p:nvPr></p:nvSpPr><p:txBody>{texts}</p:txBody></p:sp>"


def open_document(
    kind: str, body: str, *, automatic: str = "", styles: str = "", manifest: str = ""
) -> bytes:
    """Return an OpenDocument file whose body is a "text", a "spreadsheet" or a "presentation"."""
    return packed(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{kind}",
            "content.xml": f"<office:document-content {_ODF}><office:automatic-styles>{automatic}"
            f"</office:automatic-styles><office:body><office:{kind}>{body}</office:{kind}></office:body>"
            "</office:document-content>",
            "styles.xml": f"<office:document-styles {_ODF}>{styles}</office:document-styles>",
            "META-INF/manifest.xml": '<manifest:manifest xmlns:manifest="'
            f'urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">{manifest}</manifest:manifest>',
        }
    )


def epub(
    pages: Mapping[str, str],
    *,
    items: str = "",
    metadata: str = "",
    guide: str = "",
    more: Mapping[str, str | bytes] = {},
) -> bytes:
    """Return a book: `pages` by name, as the content of their bodies, in their order."""
    manifest = "".join(
        f'<item id="p{number}" href="{name}" media-type="application/xhtml+xml"/>'
        for number, name in enumerate(pages)
    )
    spine = "".join(f'<itemref idref="p{number}"/>' for number in range(len(pages)))
    return packed(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
            '<rootfiles><rootfile full-path="OEBPS/content.opf"/></rootfiles></container>',
            "OEBPS/content.opf": '<package xmlns="http://www.idpf.org/2007/opf">'
            f"<metadata>{metadata}</metadata>"
            f"<manifest>{manifest}{items}</manifest><spine>{spine}</spine><guide>{guide}</guide></package>",
            **{
                f"OEBPS/{name}": '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Book</title></head>'
                f"<body>{content}</body></html>"
                for name, content in pages.items()
            },
            **more,
        }
    )
