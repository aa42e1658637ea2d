from io import BytesIO

import pytest
from office_files import open_document

from chatproxy.documents.formats.open_document.slides import read
from chatproxy.documents.parts import Part
from chatproxy.errors import ChatError


def frame(kind: str, content: str) -> str:
    return f'<draw:frame presentation:class="{kind}">{content}</draw:frame>'


def box(text: str) -> str:
    return f"<draw:text-box><text:p>{text}</text:p></draw:text-box>"


def test_slides() -> None:
    hidden = (
        '<style:style style:family="drawing-page" style:name="h">'
        '<style:drawing-page-properties presentation:visibility="hidden"/></style:style>'
    )
    end = "</text:list-item></text:list>"
    items = (
        "<text:list><text:list-item><text:p>One</text:p><text:list>"
        f"<text:list-item><text:p>Two</text:p>{end * 2}"
    )
    outline = frame("outline", f"<draw:text-box>{items}</draw:text-box>")
    notes = frame("page", "") + frame("notes", box("Say it"))
    inside = "<draw:g><draw:custom-shape><text:p>Inside</text:p></draw:custom-shape></draw:g>"
    body = (
        '<presentation:footer-decl presentation:name="f">ACME</presentation:footer-decl>'
        f"<draw:page>{outline}{frame('title', box('Plan'))}{inside}"
        f"<presentation:notes>{notes}</presentation:notes></draw:page>"
        '<draw:page draw:style-name="h"/>'
        f"<draw:page>{frame('graphic', '<draw:image/>')}</draw:page>"
    )
    reading = read(BytesIO(open_document("presentation", body, automatic=hidden)))
    assert list(reading.parts) == [
        Part("## Plan\n\n- One\n  - Two\n\nInside\n\nNotes:\nSay it\n\nACME", 1),
        Part("## Slide (hidden)", 2),
    ]
    assert [remark.message[:27] for remark in reading.remarks] == ["Slide 3 holds pictures only"]


def test_what_is_no_presentation() -> None:
    with pytest.raises(ChatError, match="not an ODP"):
        list(read(BytesIO(open_document("text", ""))).parts)
