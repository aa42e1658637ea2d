from io import BytesIO

import pytest

from chatproxy.documents import markup
from chatproxy.documents.markup import child, children, elements, parse
from chatproxy.errors import ChatError

SHEET = b"""<?xml version="1.0"?><s:worksheet xmlns:s="http://purl.oclc.org/ooxml/spreadsheetml/main">
<s:row r="1"><s:c>a<s:v>1</s:v>b<s:v>2</s:v>c</s:c></s:row><s:row r="2"/>
<unknown xmlns="urn:else"/></s:worksheet>"""


def test_names_are_the_same_whatever_the_prefix() -> None:
    root = parse(BytesIO(SHEET))
    assert [element.tag for element in root] == ["x:row", "x:row", "other:unknown"]
    cell = child(root, "x:row", "x:c")
    assert cell is not None
    assert "".join(cell.itertext()) == "a1b2c"
    assert [each.text for each in children(cell, "x:v")] == ["1", "2"]
    assert child(root, "x:nothing", "x:c") is None


def test_only_what_is_wanted_is_kept() -> None:
    assert [element.get("r") for element in elements(BytesIO(SHEET), "x:row")] == ["1", "2"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"<a><b></a>",
        b"<a>" * 300 + b"</a>" * 300,
        b'<!DOCTYPE a [<!ENTITY b "text">]><a>&b;</a>',
        b'<!DOCTYPE a [<!ENTITY % b SYSTEM "file:///etc/passwd">%b;]><a/>',
    ],
)
def test_what_is_not_read(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"not well-formed|no element|syntax error|mismatched|deeply|entity"):
        parse(BytesIO(content))


def test_a_document_type_alone_does_no_harm() -> None:
    root = parse(BytesIO(b'<!DOCTYPE a PUBLIC "x" "http://example.com/a.dtd"><a>1&nbsp;2</a>'))
    assert root.text == "12"


def test_too_many_elements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markup, "MAX_ELEMENTS", 3)
    with pytest.raises(ChatError) as refused:
        parse(BytesIO(b"<a><b/><b/><b/></a>"))
    assert refused.value.code == "too_large"
