"""What the elements of HTML do to the text in them."""

import re
from collections.abc import Mapping
from enum import Enum, auto
from typing import Final


class Mode(Enum):
    """What becomes of the text in an element."""

    SHOWN = auto()
    DRAWING = auto()  # an <svg>, of which only its <text> is one
    FORMULA = auto()
    CHOICE = auto()  # a <select>, of which only the options are
    HIDDEN = auto()


_VOID_WORDS: Final = "area base br col embed frame hr img input link meta param source track wbr"
VOID: Final = frozenset(_VOID_WORDS.split())
HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
LISTS: Final = frozenset({"ul", "ol", "menu"})
_INLINE_WORDS: Final = (
    "a abbr acronym b bdi bdo big button cite code data del dfn em font i iframe img input ins kbd label"
    " mark math meter optgroup option output picture progress q rb rp rt rtc ruby s samp select small span"
    " strike strong sub sup svg text textarea time tspan tt u var wbr"
)
INLINE: Final = frozenset(_INLINE_WORDS.split())
LINES: Final = frozenset({"li", "dt", "dd"})
PARTS_OF_TABLES: Final = frozenset({"caption", "colgroup", "thead", "tbody", "tfoot", "tr", "td", "th"})
# Which open elements a start tag ends, and which of their ancestors it leaves alone (WHATWG HTML, 13.1.2.4).
ENDS: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    "li": (frozenset({"li"}), LISTS | {"table"}),
    **dict.fromkeys(["dt", "dd"], (frozenset({"dt", "dd"}), frozenset({"dl", "table"}))),
    "option": (frozenset({"option"}), frozenset({"select"})),
    "optgroup": (frozenset({"option", "optgroup"}), frozenset({"select"})),
    **dict.fromkeys(["rt", "rp", "rb", "rtc"], (frozenset({"rt", "rp", "rb"}), frozenset({"ruby"}))),
    **dict.fromkeys(["td", "th"], (frozenset({"td", "th", "caption"}), frozenset({"table"}))),
    "tr": (frozenset({"td", "th", "tr", "caption"}), frozenset({"table"})),
    **dict.fromkeys(["thead", "tbody", "tfoot"], (PARTS_OF_TABLES, frozenset({"table"}))),
}
# To the end tags of other elements.
BARRIERS: Final = frozenset(
    {"td", "th", "caption", "table", "svg", "math", "select", "template", "object", "button"}
)
INPUTS_WITHOUT_TEXT: Final = frozenset({"hidden", "password", "file", "image"})

_NEVER_SHOWN_WORDS: Final = (
    "annotation annotation-xml audio canvas datalist iframe mphantom noembed noframes noscript rp script"
    " style template video"
)
_NEVER_SHOWN: Final = frozenset(_NEVER_SHOWN_WORDS.split())
_HIDING: Final = re.compile(r"(?:^|;)(?:display:none|visibility:(?:hidden|collapse))(?:;|!|$)")
_FOOTNOTE: Final = re.compile(r"\b(doc-noteref|noteref|footnote-?ref(?:erence)?|fnref|reference)\b", re.I)
_SHIFT: Final = re.compile(r"(?:^|;)vertical-align:(super|sub)\b")
_LIST_STYLE: Final = re.compile(r"(?:^|;)list-style(?:-type)?:(?:[^;]*?\s)?([a-z-]+)")


def style(attributes: Mapping[str, str]) -> str:
    """Return the style attribute without the white space that it may have anywhere."""
    if "style" not in attributes:
        return ""
    return re.sub(r"(?<!\s)\s++(?=[:;!])|(?<=[:;!])\s++", "", attributes["style"]).strip().lower()


def mode_of(tag: str, attributes: Mapping[str, str], parent: Mode, parent_tag: str) -> Mode:
    """Return what becomes of the text in an element. Screen readers are spared what is doubled or decoration.

    While a dialog is open, they are spared the whole page behind it, which is in <body> directly.
    """
    spared = attributes.get("aria-hidden") == "true" and not (
        tag == "img" or (parent_tag == "body" and tag not in INLINE)
    )
    hidden = "hidden" in attributes or spared or (tag == "dialog" and "open" not in attributes)
    if parent is Mode.HIDDEN or hidden or tag in _NEVER_SHOWN or _HIDING.search(style(attributes)):
        return Mode.HIDDEN
    if parent is Mode.DRAWING:
        return Mode.SHOWN if tag in {"text", "foreignobject"} else Mode.DRAWING
    if parent is Mode.CHOICE:
        return Mode.SHOWN if tag == "option" else Mode.CHOICE
    return {"svg": Mode.DRAWING, "math": Mode.FORMULA, "select": Mode.CHOICE}.get(tag, parent)


def shift(tag: str, attributes: Mapping[str, str]) -> str:
    """Return `sup` or `sub` for an element that raises or lowers its text, or an empty string."""
    if tag in {"sup", "sub"}:
        return tag
    found = _SHIFT.search(style(attributes)) if tag in INLINE else None
    return {"super": "sup", "sub": "sub"}[found[1]] if found else ""


def marks_note(attributes: Mapping[str, str]) -> bool:
    """Tell whether an element says that it is the mark of a note."""
    return any(_FOOTNOTE.search(attributes.get(name, "")) for name in ("class", "role", "epub:type"))


def list_style(attributes: Mapping[str, str]) -> str | None:
    """Return the kind of numbers that a list says it has."""
    found = _LIST_STYLE.search(style(attributes))
    return found[1] if found else attributes.get("type")
