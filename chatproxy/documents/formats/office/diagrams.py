"""Charts and diagrams of Office, as far as they are text: what is in their data."""

from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element

from chatproxy.documents.formats.office.number_formats import number
from chatproxy.documents.formats.office.paragraphs import Paragraphs
from chatproxy.documents.markup import child, children
from chatproxy.documents.notation.tables import Cell, Table
from chatproxy.documents.parts import Part

MAX_POINTS: Final = 100_000  # of a chart
_INDENT: Final = "  "


def chart(root: Element) -> Iterator[str | Part]:
    """Yield a chart as a table of its categories and series."""
    drawn = child(root, "c:chart")
    title = child(drawn, "c:title")
    caption = "" if title is None else "".join([each.text or "" for each in title.iter("a:t")])
    series = list(root.iter("c:ser"))
    columns = [_points(child(each, "c:val")) or _points(child(each, "c:yVal")) for each in series]
    categories: dict[int, str] = {}
    for each in series:
        categories = _points(child(each, "c:cat")) or _points(child(each, "c:xVal")) or categories
    table = Table(caption)
    table.add([Cell(""), *[Cell(" ".join(_points(child(each, "c:tx")).values())) for each in series]])
    for place in sorted(set(categories).union(*columns)):
        table.add([Cell(categories.get(place, "")), *[Cell(column.get(place, "")) for column in columns]])
    if series:
        yield table.part(1)
    elif caption:
        yield caption


def diagram(root: Element) -> str:
    """Return the texts of a diagram, as a list with levels."""
    points = {each.get("modelId", ""): each for each in root.iter("dgm:pt")}
    below: dict[str, list[tuple[int, str]]] = {}
    for each in root.iter("dgm:cxn"):
        if each.get("type", "parOf") == "parOf":
            place = (int(each.get("srcOrd", "0")), each.get("destId", ""))
            below.setdefault(each.get("srcId", ""), []).append(place)
    lines: list[str] = []
    open_ = [(name, 0) for name, point in points.items() if point.get("type") == "doc"]
    while open_:  # a cycle ends, because no point is taken twice
        name, level = open_.pop()
        point = points.pop(name, None)
        if point is None:
            continue
        body = child(point, "dgm:t")
        text = "" if body is None else Paragraphs().text(body)
        if text:
            lines.append(f"{_INDENT * min(level, 8)}- {text}")
        following = sorted(below.get(name, []), reverse=True)
        open_ += [(each, level + bool(text)) for _, each in following]
    return "\n".join(lines)


def _points(source: Element | None) -> dict[int, str]:
    """Return the cached values of a series, by place."""
    if source is None:
        return {}
    if (said := child(source, "c:v")) is not None:
        return {0: said.text or ""}
    code = next((each.text or "" for each in source.iter("c:formatCode")), "")
    points: dict[int, str] = {}
    for point in source.iter("c:pt"):
        text = "".join([each.text or "" for each in children(point, "c:v")])
        if len(points) < MAX_POINTS:
            points[int(point.get("idx", "0"))] = number(float(text), code) if code and text else text
    return points
