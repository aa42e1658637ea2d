from io import BytesIO

import pytest
from office_files import packed, pptx, relations, shape

from chatproxy.documents.formats.office.presentations import read
from chatproxy.documents.parts import Part, Remark
from chatproxy.errors import ChatError

PICTURE = "<p:pic/>"


def parts(content: bytes) -> tuple[list[Part], list[Remark]]:
    reading = read(BytesIO(content))
    return list(reading.parts), list(reading.remarks)


def frame(content: str) -> str:
    return f"<p:graphicFrame><a:graphic><a:graphicData>{content}</a:graphicData></a:graphic></p:graphicFrame>"


def test_slides_are_pages_with_titles_and_lists() -> None:
    level = '<a:pPr lvl="1"/>'
    body = shape("One", f"{level}<a:r><a:t>Two</a:t></a:r>", kind="")
    numbered = '<a:pPr><a:buAutoNum type="alphaLcParenR" startAt="2"/></a:pPr><a:r><a:t>{}</a:t></a:r>'
    plain = shape(numbered.format("first"), numbered.format("second"), "Note")
    assert parts(pptx([body + shape("Plan", kind="title"), plain])) == (
        [Part("## Plan\n\n- One\n  - Two", 1), Part("b) first\nc) second\nNote", 2)],
        [],
    )


def test_raised_text_and_line_breaks() -> None:
    runs = (
        '<a:r><a:t>10</a:t></a:r><a:r><a:rPr baseline="30000"/>'
        "<a:t>6</a:t></a:r><a:br/><a:r><a:t>H</a:t></a:r>"
        '<a:r><a:rPr baseline="-25000"/><a:t>2</a:t></a:r>'
    )
    assert parts(pptx([shape(runs)]))[0] == [Part("10⁶\nH₂", 1)]


def test_struck_text_is_marked() -> None:
    runs = (
        '<a:r><a:t>Rent </a:t></a:r><a:r><a:rPr strike="sngStrike"/><a:t>$9</a:t></a:r>'
        '<a:r><a:rPr strike="dblStrike"/><a:t>00 </a:t></a:r>'
        '<a:r><a:rPr strike="noStrike"/><a:t>$950</a:t></a:r>'
    )
    assert parts(pptx([shape(runs)]))[0] == [Part("Rent ~~$900~~ $950", 1)]


def test_groups_tables_and_fallbacks() -> None:
    row = "<a:tr>{}</a:tr>".format
    cell = "<a:tc {}><a:txBody><a:p><a:r><a:t>{}</a:t></a:r></a:p></a:txBody></a:tc>".format
    table = (
        '<a:tbl><a:tblPr firstRow="1"/>'
        + row(cell("", "City") + cell("", "Rent"))
        + row(cell('rowSpan="2"', "Kiel") + cell("", "5"))
        + row(cell('vMerge="1"', "") + cell("", "6"))
        + "</a:tbl>"
    )
    group = f"<p:grpSp><p:grpSp>{shape('Inside')}</p:grpSp></p:grpSp>"
    either = (
        f"<mc:AlternateContent><mc:Choice>{shape('New')}</mc:Choice>"
        f"<mc:Fallback>{shape('Old')}</mc:Fallback></mc:AlternateContent>"
    )
    assert parts(pptx([group + frame(table) + either]))[0] == [
        Part("Inside", 1),
        Part("City | Rent\nKiel | 5\nKiel | 6", 1, "City | Rent"),
        Part("New", 1),
    ]


def test_notes_and_footers() -> None:
    slide = shape("Plan", kind="title") + shape("ACME 2024", kind="ftr") + shape("7", kind="sldNum")
    notes = f"<p:notes NS><p:cSld><p:spTree>{shape('Say it', kind='body')}{shape('1', kind='sldNum')}"
    content = pptx(
        [slide, slide],
        related={1: [("notesSlide", "../notesSlides/notes1.xml"), ("comments", "../comments/comment1.xml")]},
        more={
            "ppt/notesSlides/notes1.xml": f"{notes}</p:spTree></p:cSld></p:notes>",
            "ppt/comments/comment1.xml": "",
        },
    )
    assert parts(content)[0] == [Part("## Plan\n\nACME 2024\n\nNotes:\nSay it", 1), Part("## Plan", 2)]


def test_hidden_slides_and_slides_of_pictures() -> None:
    content = pptx([PICTURE, shape("Plan", kind="title") + PICTURE, PICTURE, ""], shown={2: "0"})
    found, (remark,) = parts(content)
    assert found == [Part("## Plan (hidden)", 2)]
    assert remark.message.startswith("Slides 1 and 3 hold pictures only")


def test_charts_and_diagrams() -> None:
    cache = '<c:strRef><c:strCache><c:pt idx="{}"><c:v>{}</c:v></c:pt></c:strCache></c:strRef>'.format
    chart = (
        "<c:chartSpace NS><c:chart><c:title><a:t>Growth</a:t></c:title><c:plotArea><c:ser>"
        f"<c:tx>{cache(0, 'Rate')}</c:tx><c:cat>{cache(0, 'May')}</c:cat><c:val><c:numRef><c:numCache>"
        '<c:formatCode>0%</c:formatCode><c:pt idx="0"><c:v>0.25</c:v></c:pt></c:numCache></c:numRef></c:val>'
        "</c:ser></c:plotArea></c:chart></c:chartSpace>"
    )
    point = '<dgm:pt modelId="{}"><dgm:t><a:p><a:r><a:t>{}</a:t></a:r></a:p></dgm:t></dgm:pt>'.format
    line = '<dgm:cxn srcId="{}" destId="{}" srcOrd="{}"/>'.format
    diagram = (
        '<dgm:dataModel NS><dgm:ptLst><dgm:pt modelId="0" type="doc"/>'
        + "".join([point(2, "Second"), point(1, "First"), point(3, "Below")])
        + "</dgm:ptLst><dgm:cxnLst>"
        + "".join([line(0, 2, 1), line(0, 1, 0), line(1, 3, 0), line(3, 1, 0)])
        + "</dgm:cxnLst></dgm:dataModel>"
    )
    content = pptx(
        [frame('<c:chart r:id="rId1"/>') + frame('<dgm:relIds r:dm="rId2"/>')],
        related={1: [("chart", "../charts/chart1.xml"), ("diagramData", "../diagrams/data1.xml")]},
        more={"ppt/charts/chart1.xml": chart, "ppt/diagrams/data1.xml": diagram},
    )
    assert parts(content)[0] == [
        Part("Growth\n | Rate\nMay | 25%", 1, "Growth\n | Rate"),
        Part("- First\n  - Below\n- Second", 1),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            packed({"[Content_Types].xml": "", "_rels/.rels": relations(("officeDocument", "a.xml"))}),
            "not a PPTX",
        ),
        (pptx([shape("x") * 9])[:-40], "damaged"),
        (pptx([shape("<a:pPr lvl='x'/>") + "<p:sp>"]), "damaged"),
        (pptx(["<p:grpSp>" * 300 + "</p:grpSp>" * 300]), "damaged"),
    ],
)
def test_what_is_not_read(content: bytes, said: str) -> None:
    with pytest.raises(ChatError, match=said):
        parts(content)
