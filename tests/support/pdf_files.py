"""PDF files, written object by object."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

_FONT: Final = (
    "<</Type/Font/Subtype/Type0/BaseFont/Helvetica/Encoding/Identity-H/DescendantFonts[<</Type/Font"
    "/Subtype/CIDFontType2/BaseFont/Helvetica/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)"
    "/Supplement 0>>/DW 500/FontDescriptor<</Type/FontDescriptor/FontName/Helvetica/Flags 4"
    "/FontBBox[0 -200 1000 800]/ItalicAngle 0/Ascent 800/Descent -200/CapHeight 700/StemV 80>>>>]{more}>>"
)
_VERTICAL: Final = (
    "<</Type/Font/Subtype/Type0/BaseFont/HeiseiMin-W3/Encoding/UniJIS-UTF16-V/DescendantFonts[<</Type/Font"
    "/Subtype/CIDFontType0/BaseFont/HeiseiMin-W3/CIDSystemInfo<</Registry(Adobe)/Ordering(Japan1)"
    "/Supplement 2>>/DW 1000/FontDescriptor<</Type/FontDescriptor/FontName/HeiseiMin-W3/Flags 4"
    "/FontBBox[0 -200 1000 800]/ItalicAngle 0/Ascent 800/Descent -200/CapHeight 700/StemV 80>>>>]>>"
)


class Pdf:
    """Collects objects; `/F` is a font with all characters, each half as wide as it is high."""

    def __init__(self) -> None:
        self.objects: list[bytes] = []
        self.pages: list[int] = []
        self.catalog = ""
        self._tree = self.add("")
        unicode = self.stream(_to_unicode())
        self.fonts = {
            "F": self.add(_FONT.format(more=f"/ToUnicode {unicode} 0 R")),
            "Unmapped": self.add(_FONT.format(more="")),
            "Vertical": self.add(_VERTICAL),
            "Plain": self.add("<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"),
        }

    def add(self, body: str | bytes) -> int:
        """Add an object; return its number."""
        self.objects.append(body.encode("latin-1") if isinstance(body, str) else body)
        return len(self.objects)

    def stream(self, data: str | bytes, entries: str = "") -> int:
        data = data.encode("latin-1") if isinstance(data, str) else data
        return self.add(b"<<%s/Length %d>>stream\n%s\nendstream" % (entries.encode(), len(data), data))

    def page(self, content: str | bytes = "", entries: str = "", resources: str = "") -> int:
        """Add a page of 600 by 800 points; return its number."""
        fonts = "".join([f"/{name} {number} 0 R" for name, number in self.fonts.items()])
        shown = self.stream(content)
        self.pages.append(
            self.add(
                f"<</Type/Page/Parent {self._tree} 0 R/MediaBox[0 0 600 800]/Contents {shown} 0 R"
                f"/Resources<</Font<<{fonts}>>{resources}>>{entries}>>"
            )
        )
        return self.pages[-1]

    def written(self) -> bytes:
        kids = " ".join([f"{number} 0 R" for number in self.pages])
        self.objects[self._tree - 1] = f"<</Type/Pages/Kids[{kids}]/Count {len(self.pages)}>>".encode()
        root = self.add(f"<</Type/Catalog/Pages {self._tree} 0 R{self.catalog}>>")
        objects = [
            b"%d 0 obj%s endobj\n" % (number, body) for number, body in enumerate(self.objects, start=1)
        ]
        head = b"%PDF-1.7\n"
        *starts, end = accumulate(map(len, objects), initial=len(head))
        table = "".join([f"{start:010} 00000 n \n" for start in starts])
        size = len(objects) + 1
        tail = (
            f"xref\n0 {size}\n0000000000 65535 f \n{table}"
            f"trailer<</Root {root} 0 R/Size {size}>>\nstartxref\n{end}\n%%EOF\n"
        )
        return b"".join([head, *objects, tail.encode("latin-1")])


def put(x: float, y: float, text: str, size: float = 10, font: str = "F") -> str:
    """Return operators that write text from a point on."""
    return f"BT /{font} {size} Tf 1 0 0 1 {x} {y} Tm {codes(text)} Tj ET\n"


def turned(matrix: Sequence[float], text: str, size: float = 10, font: str = "F") -> str:
    """Return operators that write text with a matrix."""
    return f"BT /{font} {size} Tf {' '.join(map(str, matrix))} Tm {codes(text)} Tj ET\n"


def lines(x: float, y: float, *texts: str, size: float = 10, leading: float = 12) -> str:
    """Return operators that write one line below the other."""
    return "".join([put(x, y - number * leading, text, size) for number, text in enumerate(texts)])


def codes(text: str) -> str:
    return f"<{text.encode('utf-16-be').hex()}>"


def rule(x: float, y: float, width: float, height: float = 0.5) -> str:
    """Return operators that draw a filled rectangle."""
    return f"{x} {y} {width} {height} re f\n"


def pdf(*pages: str) -> bytes:
    """Return a file with these contents of pages."""
    file = Pdf()
    for content in pages:
        file.page(content)
    return file.written()


def _to_unicode() -> str:
    ranges = [f"<{high:02x}00> <{high:02x}ff> <{high:02x}00>" for high in range(256)]
    blocks = [ranges[start : start + 64] for start in range(0, 256, 64)]
    mapped = "".join([f"{len(each)} beginbfrange\n{chr(10).join(each)}\nendbfrange\n" for each in blocks])
    return (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /A def /CMapType 2 def\n"
        "1 begincodespacerange <0000> <ffff> endcodespacerange\n"
        f"{mapped}endcmap CMapName currentdict /CMap defineresource pop end end"
    )
