"""MathML, written in a line."""

from collections.abc import Mapping, Sequence
from typing import Final

from chatproxy.documents.notation import equations

LEAVES: Final = frozenset({"mi", "mn", "mo", "ms", "mtext"})


def written(tag: str, pieces: Sequence[str], attributes: Mapping[str, str]) -> str:
    """Return an element of MathML, `pieces` of which are its children, or the text of a leaf."""
    first, second, third, *_ = [*pieces, "", "", ""]
    match tag:
        case "mi" | "mn" | "mo" | "ms":
            return equations.sign("".join(pieces)).strip()
        case "mtext":
            return "".join(pieces)
        case "mfrac" if attributes.get("linethickness", "").startswith("0"):
            return f"({first} over {second})"
        case "mfrac":
            return equations.quotient(first, second)
        case "msqrt":
            return equations.root(equations.row(pieces))
        case "mroot":
            return equations.root(first, second)
        case "msup":
            return equations.scripts(first, high=second)
        case "msub" | "munder":
            return equations.scripts(first, second)
        case "msubsup" | "munderover":
            return equations.scripts(first, second, third)
        case "mover":
            return equations.accented(first, second)
        case "mmultiscripts":
            return _multiscripts(pieces)
        case "mtr" | "mlabeledtr":
            return ", ".join(pieces)
        case "mtable":
            return f"[{'; '.join(pieces)}]"
        case "mfenced":
            opening, closing = attributes.get("open", "("), attributes.get("close", ")")
            return opening + (attributes.get("separators", ",").strip()[:1] or "").join(pieces) + closing
        case "semantics":
            return first
        case "none" | "mprescripts" | "mspace":
            return "\0" if tag == "mprescripts" else ""
    return equations.row(pieces)


def _multiscripts(pieces: Sequence[str]) -> str:
    """Return a base with pairs of indices and exponents, behind it and, after `mprescripts`, before it."""
    base, *after = pieces or [""]
    before: list[str] = []
    if "\0" in after:
        middle = after.index("\0")
        after, before = after[:middle], after[middle + 1 :]
    written = "".join(
        [equations.scripts("", low, high) for low, high in zip(before[::2], before[1::2], strict=False)]
    )
    return written + equations.scripts(base, "".join(after[::2]), "".join(after[1::2]))
