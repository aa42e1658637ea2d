"""What elements of properties say."""

from xml.etree.ElementTree import Element

from chatproxy.documents.markup import child

_OFF = frozenset({"0", "false", "off", "none"})


def is_on(properties: Element | None, name: str) -> bool | None:
    """Tell whether a property is on; None if it is not mentioned."""
    found = child(properties, name)
    return None if found is None else found.get("w:val", "1") not in _OFF


def value(element: Element | None, *path: str) -> str | None:
    """Return the value of the property at a path; None if it is not mentioned."""
    found = child(element, *path)
    return None if found is None else found.get("w:val")


def number(text: str | None) -> int | None:
    """Return an integer, within what Word writes; None for anything else."""
    text = (text or "").strip()
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None
