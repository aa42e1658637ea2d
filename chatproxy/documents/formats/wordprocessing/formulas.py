"""Formulas of Word (ECMA-376, part 1, chapter 22), written in a line."""

from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element

from chatproxy.documents.markup import child, children
from chatproxy.documents.notation import equations

_SKIPPED: Final = frozenset({"w:del", "w:moveFrom", "m:phant"})


def formula(element: Element | None) -> str:
    """Return what is in an element, side by side."""
    if element is None:
        return ""
    return equations.row([_written(each) for each in element if each.tag not in _SKIPPED])


def _written(element: Element) -> str:
    match element.tag:
        case "m:t" | "w:t":
            return equations.sign(element.text or "")
        case "m:f":
            return _fraction(element)
        case "m:sSup" | "m:sSub" | "m:sSubSup" | "m:limLow" | "m:limUpp":
            low = _in(element, "m:sub") or (_in(element, "m:lim") if element.tag == "m:limLow" else "")
            high = _in(element, "m:sup") or (_in(element, "m:lim") if element.tag == "m:limUpp" else "")
            return equations.scripts(_in(element, "m:e"), low, high)
        case "m:sPre":
            return equations.scripts("", _in(element, "m:sub"), _in(element, "m:sup")) + _in(element, "m:e")
        case "m:nary":
            sign = _said(element, "m:naryPr", "m:chr", otherwise="∫")
            return equations.scripts(sign, _in(element, "m:sub"), _in(element, "m:sup")) + _in(element, "m:e")
        case "m:rad":
            return equations.root(_in(element, "m:e"), _in(element, "m:deg"))
        case "m:func":
            return equations.row([_in(element, "m:fName").strip(), " ", _in(element, "m:e")])
        case "m:acc":
            accent = _said(element, "m:accPr", "m:chr", otherwise="\u0302")
            return equations.accented(_in(element, "m:e"), accent)
        case "m:bar" if _said(element, "m:barPr", "m:pos", otherwise="bot") == "top":
            return equations.accented(_in(element, "m:e"), "\u0304")
        case "m:d":
            return _delimited(element)
        case "m:m":
            return equations.matrix([list(_each(row)) for row in children(element, "m:mr")])
        case "m:eqArr":
            return "; ".join(_each(element))
    if element.tag.endswith("Pr"):
        return ""
    return formula(element)


def _fraction(element: Element) -> str:
    top, bottom = _in(element, "m:num"), _in(element, "m:den")
    if _said(element, "m:fPr", "m:type", otherwise="bar") == "noBar":
        return f"{top} over {bottom}"
    return equations.quotient(top, bottom)


def _delimited(element: Element) -> str:
    opening = _said(element, "m:dPr", "m:begChr", otherwise="(")
    closing = _said(element, "m:dPr", "m:endChr", otherwise=")")
    separator = _said(element, "m:dPr", "m:sepChr", otherwise="|")
    return opening + separator.join(_each(element)) + closing


def _in(element: Element, name: str) -> str:
    return formula(child(element, name))


def _each(element: Element) -> Iterator[str]:
    return (formula(each) for each in children(element, "m:e"))


def _said(element: Element, *path: str, otherwise: str) -> str:
    found = child(element, *path)
    return otherwise if found is None else found.get("m:val", "")
