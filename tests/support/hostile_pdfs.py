"""PDF files that keep a reader busy, each made in a moment."""

import zlib
from collections.abc import Callable, Mapping
from typing import Final

from pdf_files import Pdf, codes, put, rule

WORDS: Final = put(50, 700, "Words")


def _endless_pages() -> bytes:
    file = Pdf()
    data = file.written()
    return data.replace(b"/Kids[]/Count 0", b"/Kids[1 0 R 1 0 R]/Count 1000000")


def _many_pages() -> bytes:
    """Return a file whose tree names one page a hundred thousand times."""
    file = Pdf()
    file.page(WORDS)
    file.pages *= 100_000
    return file.written()


def _page_bomb() -> bytes:
    """Return a file with a tree of ten levels, each of which names the next one ten times."""
    file = Pdf()
    page = file.page(WORDS)
    file.pages.clear()
    below = page
    for level in range(7):
        below = file.add(
            f"<</Type/Pages/Parent 1 0 R/Count {10 ** (level + 1)}/Kids[{f'{below} 0 R ' * 10}]>>"
        )
    return file.written().replace(b"/Kids[]/Count 0", b"/Kids[%d 0 R]/Count %d" % (below, 10**7))


def _flate(data: bytes, times: int = 1) -> tuple[bytes, str]:
    for _ in range(times):
        data = zlib.compress(data, 9)
    return data, f"/Filter[{'/FlateDecode ' * times}]"


def _compressed(content: bytes, times: int = 1) -> bytes:
    file = Pdf()
    file.page(WORDS)
    packed, entries = _flate(content, times)
    file.objects[file.pages[0] - 2] = b"<<%s/Length %d>>stream\n%s\nendstream" % (
        entries.encode(),
        len(packed),
        packed,
    )
    return file.written()


def _bomb() -> bytes:
    return _compressed(b" " * 2**27, 3)


def _text_bomb() -> bytes:
    return _compressed(WORDS.encode() * 400_000, 2)


def _shape_bomb() -> bytes:
    return _compressed(rule(10, 10, 100).encode() * 3_000_000, 2)


def _open_states() -> bytes:
    return _compressed(b"q " * 5_000_000, 2)


def _nested_arrays() -> bytes:
    return _compressed(b"[" * 5_000_000 + b" TJ", 2)


def _form_in_itself() -> bytes:
    file = Pdf()
    form = file.stream(
        "/Fm Do " * 50,
        f"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</Fm {len(file.objects) + 1} 0 R>>>>",
    )
    file.page(WORDS + "/Fm Do", resources=f"/XObject<</Fm {form} 0 R>>")
    return file.written()


def _forms_in_forms() -> bytes:
    """Return a page with a form that draws another ten times, and so on for ten levels."""
    file = Pdf()
    below = file.stream(
        WORDS, f"/Type/XObject/Subtype/Form/BBox[0 0 999 999]/Resources<</Font<</F {file.fonts['F']} 0 R>>>>"
    )
    for _ in range(9):
        below = file.stream(
            "/Fm Do " * 10,
            f"/Type/XObject/Subtype/Form/BBox[0 0 999 999]/Resources<</XObject<</Fm {below} 0 R>>>>",
        )
    file.page("/Fm Do", resources=f"/XObject<</Fm {below} 0 R>>")
    return file.written()


def _deep_objects() -> bytes:
    file = Pdf()
    file.page(WORDS, "/A " + "[" * 100_000 + "]" * 100_000)
    return file.written()


def _deep_dictionaries() -> bytes:
    file = Pdf()
    file.page(WORDS)
    file.catalog = "/A" + "<</A" * 100_000 + " 0" + ">>" * 100_000
    return file.written()


def _references_in_a_circle() -> bytes:
    file = Pdf()
    number = file.add("")
    file.objects[number - 1] = f"{number} 0 R".encode()
    file.page(WORDS, f"/Annots {number} 0 R")
    file.catalog = f"/AcroForm {number} 0 R/StructTreeRoot {number} 0 R"
    return file.written()


def _length_in_a_circle() -> bytes:
    file = Pdf()
    file.page(WORDS)
    number = file.pages[0] - 1
    file.objects[number - 1] = file.objects[number - 1].replace(
        b"/Length", f"/Length {number} 0 R/Was".encode()
    )
    return file.written()


def _fields_in_a_circle() -> bytes:
    file = Pdf()
    first = len(file.objects) + 1
    file.add(f"<</T(a)/Kids[{first + 1} 0 R]/Parent {first + 1} 0 R>>")
    file.add(f"<</T(b)/Kids[{first} 0 R {first + 2} 0 R]/Parent {first} 0 R>>")
    file.add(f"<</Type/Annot/Subtype/Widget/FT/Tx/Rect[0 0 99 20]/Parent {first} 0 R/Kids[{first} 0 R]>>")
    file.page(WORDS, f"/Annots[{first + 2} 0 R]")
    file.catalog = f"/AcroForm<</Fields[{first} 0 R {first + 2} 0 R]>>"
    return file.written()


def _many_fields() -> bytes:
    file = Pdf()
    first = len(file.objects) + 1
    for number in range(60_000):
        file.add(f"<</Type/Annot/Subtype/Widget/FT/Tx/T(f{number})/V(v)/Rect[9 9 99 20]>>")
    fields = " ".join([f"{number} 0 R" for number in range(first, first + 60_000)])
    file.page(WORDS, f"/Annots[{fields}]")
    file.catalog = f"/AcroForm<</Fields[{fields}]>>"
    return file.written()


def _deep_fields() -> bytes:
    file = Pdf()
    first = len(file.objects) + 1
    for number in range(first, first + 20_000):
        file.add(f"<</T(a)/Kids[{number + 1} 0 R]/Parent {number - 1} 0 R>>")
    last = file.add(f"<</Type/Annot/Subtype/Widget/FT/Tx/V(v)/Rect[9 9 99 20]/Parent {first + 19_999} 0 R>>")
    file.page(WORDS, f"/Annots[{last} 0 R]")
    file.catalog = f"/AcroForm<</Fields[{first} 0 R]>>"
    return file.written()


def _options() -> bytes:
    file = Pdf()
    field = file.add(
        f"<</Type/Annot/Subtype/Widget/FT/Ch/T(f)/Rect[9 9 99 20]/Opt[{'(a)' * 300_000}]/V[{'(a)' * 3000}]>>"
    )
    file.page(WORDS, f"/Annots[{field} 0 R]")
    file.catalog = f"/AcroForm<</Fields[{field} 0 R]>>"
    return file.written()


def _tags_in_a_circle() -> bytes:
    file = Pdf()
    first = len(file.objects) + 1
    page = file.page("/P <</MCID 0>> BDC " + WORDS + " EMC", "/StructParents 0")
    first = len(file.objects) + 1
    file.add(f"<</Type/StructTreeRoot/K {first + 1} 0 R/ParentTree<</Nums[0[{first + 2} 0 R]]>>>>")
    file.add(f"<</S/Table/P {first + 2} 0 R/K[{first + 2} 0 R {first + 1} 0 R]>>")
    file.add(f"<</S/TR/P {first + 1} 0 R/Pg {page} 0 R/K[0 {first + 1} 0 R {first + 2} 0 R]>>")
    file.catalog = f"/MarkInfo<</Marked true>>/StructTreeRoot {first} 0 R"
    return file.written()


def _deep_tags() -> bytes:
    file = Pdf()
    page = file.page("/P <</MCID 0>> BDC " + WORDS + " EMC", "/StructParents 0")
    root = len(file.objects) + 1
    depth = 20_000
    file.add(f"<</Type/StructTreeRoot/K {root + 1} 0 R/ParentTree<</Nums[0[{root + depth} 0 R]]>>>>")
    for number in range(root + 1, root + depth):
        file.add(f"<</S/Sect/P {number - 1} 0 R/K {number + 1} 0 R>>")
    file.add(f"<</S/P/P {root + depth - 1} 0 R/Pg {page} 0 R/K 0>>")
    file.catalog = f"/MarkInfo<</Marked true>>/StructTreeRoot {root} 0 R"
    return file.written()


def _wide_cells() -> bytes:
    file = Pdf()
    page = file.page("/P <</MCID 0>> BDC " + WORDS + " EMC", "/StructParents 0")
    root = len(file.objects) + 1
    file.add(f"<</Type/StructTreeRoot/K {root + 1} 0 R/ParentTree<</Nums[0[{root + 3} 0 R]]>>>>")
    file.add(f"<</S/Table/P {root} 0 R/K[{f'{root + 2} 0 R ' * 30_000}]>>")
    file.add(f"<</S/TR/P {root + 1} 0 R/K[{f'{root + 3} 0 R ' * 300}]>>")
    file.add(f"<</S/TD/P {root + 2} 0 R/Pg {page} 0 R/K 0/A<</O/Table/ColSpan 1000000000/RowSpan 1e30>>>>")
    file.catalog = f"/MarkInfo<</Marked true>>/StructTreeRoot {root} 0 R"
    return file.written()


def _huge_table_of_objects() -> bytes:
    file = Pdf()
    file.page(WORDS)
    data = file.written()
    return data[: data.index(b"trailer")].replace(b"xref\n0 ", b"xref\n0 9") + data[
        data.index(b"trailer") :
    ].replace(b"/Size ", b"/Size 99999")


def _tables_of_objects_in_a_circle() -> bytes:
    file = Pdf()
    file.page(WORDS)
    data = file.written()
    start = data.index(b"xref\n")
    return data.replace(b"trailer<<", b"trailer<</Prev %d" % start)


def _empty_objects() -> bytes:
    file = Pdf()
    file.page(WORDS)
    file.objects += [b"0"] * 400_000
    return file.written()


def _damaged_with_many_pages() -> bytes:
    return b"%PDF-1.7\n" + b"".join(
        [b"%d 0 obj<</Type/Page>>endobj\n" % number for number in range(1, 200_000)]
    )


def _damaged_without_ends() -> bytes:
    return b"%PDF-1.7\n" + b"/Type/Page " * 500_000 + b"1 0 obj" * 300_000


def _map_of_characters() -> bytes:
    file = Pdf()
    packed, entries = _flate(b"1 beginbfrange <0000> <ffff> <0000> endbfrange\n" * 2_000_000, 2)
    file.stream(packed, entries)
    file.fonts["F"] = file.add(
        file.objects[file.fonts["F"] - 1].replace(b"/ToUnicode 2 0", b"/ToUnicode %d 0" % len(file.objects))
    )
    file.page(WORDS)
    return file.written()


def _one_line() -> bytes:
    return _compressed(put(0, 700, "ab " * 300_000, 0.01).encode(), 1)


def _columns() -> bytes:
    """Return a page of many short lines, each in a place of its own."""
    content = "".join([put((n * 7919) % 590, (n * 104_729) % 790, "word", 4) for n in range(40_000)])
    return _compressed(content.encode(), 1)


def _scripts() -> bytes:
    content = "".join([put(50 + n % 500, 700 + (n % 7) / 3, "12", 4 + n % 3) for n in range(40_000)])
    return _compressed(content.encode(), 1)


def _fractions() -> bytes:
    content = "".join([put(50, 703, "1", 5) + rule(49, 700, 4) + put(50, 694, "2", 5) for _ in range(20_000)])
    return _compressed(content.encode(), 1)


def _turned() -> bytes:
    content = "".join(
        [f"BT /F 5 Tf 1 {n / 999} -1 1 300 {n % 790} Tm {codes('word')} Tj ET\n" for n in range(30_000)]
    )
    return _compressed(content.encode(), 1)


def _heads() -> bytes:
    file = Pdf()
    content = file.stream("".join([put(x, 780, f"{x} 1", 3) for x in range(0, 600, 6)]))
    for _ in range(3000):
        file.page()
        file.objects[file.pages[-1] - 1] = file.objects[file.pages[-1] - 1].replace(
            b"/Contents %d 0 R" % (file.pages[-1] - 1), b"/Contents %d 0 R" % content
        )
    return file.written()


def _attached() -> bytes:
    file = Pdf()
    file.page(WORDS)
    tree = len(file.objects) + 1
    file.add(f"<</Kids[{tree} 0 R {tree} 0 R]/Names[{'(a)<<>>' * 100_000}]>>")
    file.catalog = f"/Names<</EmbeddedFiles {tree} 0 R>>"
    return file.written()


def _picture() -> bytes:
    file = Pdf()
    image = file.stream(
        b"", "/Type/XObject/Subtype/Image/Width 100000/Height 100000/BitsPerComponent 8/ColorSpace/DeviceRGB"
    )
    file.page(WORDS + "q 600 0 0 800 0 0 cm /Im Do Q", resources=f"/XObject<</Im {image} 0 R>>")
    return file.written()


FILES: Final[Mapping[str, Callable[[], bytes]]] = {
    name[1:].replace("_", " "): made
    for name, made in list(globals().items())
    if name.startswith("_") and name[1] != "_" and callable(made) and name not in {"_flate", "_compressed"}
}

# What takes more than half a second of processor time.
LONG: Final = frozenset(
    {
        "endless pages", "many pages", "bomb", "text bomb", "shape bomb", "open states", "form in itself",
        "forms in forms", "many fields", "options", "wide cells", "damaged with many pages",
        "damaged without ends", "map of characters", "columns", "scripts", "fractions", "turned", "heads",
    }
)  # fmt: skip
