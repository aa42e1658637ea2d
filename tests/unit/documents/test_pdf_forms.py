"""What the fields of a PDF form say, and notes that are part of a page."""

import pytest
from pdf_files import Pdf, codes, put
from reading import read_pdf


class Form(Pdf):
    """A page with fields, which are as large as they are placed."""

    def __init__(self, content: str = "", entries: str = "") -> None:
        super().__init__()
        self._content, self._entries, self._fields = content, entries, list[int]()
        self._annotations: list[int] = []

    def field(self, entries: str, box: tuple[int, int, int, int] = (150, 695, 350, 715)) -> int:
        number = self.add(f"<</Type/Annot/Subtype/Widget/F 4/Rect[{' '.join(map(str, box))}]{entries}>>")
        self._fields.append(number)
        self._annotations.append(number)
        return number

    def note(self, entries: str, y: int = 500) -> None:
        self._annotations.append(self.add(f"<</Type/Annot/Rect[150 {y} 350 {y + 20}]/F 4{entries}>>"))

    def drawn(self, content: str) -> int:
        return self.stream(
            content,
            f"/Type/XObject/Subtype/Form/BBox[0 0 200 20]/Resources<</Font<</F {self.fonts['F']} 0 R>>>>",
        )

    def written(self) -> bytes:
        self.page(self._content, f"/Annots[{references(self._annotations)}]")
        self.catalog += f"/AcroForm<</Fields[{references(self._fields)}]{self._entries}>>"
        return super().written()

    def lines(self) -> list[str]:
        return [line for part in read_pdf(self.written()).parts for line in part.text.split("\n") if line]


def references(numbers: list[int]) -> str:
    return " ".join([f"{number} 0 R" for number in numbers])


BOX = "/AP<</N<</Yes 9 0 R/Off 9 0 R>>>>"
HEX = codes("Größe №").replace("<", "<feff")


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ("/FT/Tx/T(name)/V(Hopper)", "Surname: Hopper"),
        (f"/FT/Tx/T(name)/V{HEX}", "Surname: Größe №"),
        ("/FT/Tx/T(name)", "Surname: (empty)"),
        ("/FT/Tx/T(name)/V()", "Surname: (empty)"),
        (r"/FT/Tx/Ff 4096/T(name)/V(Main Street 5\r12345 Berlin)", "Surname: Main Street 5 12345 Berlin"),
        ("/FT/Tx/Ff 16777216/MaxLen 6/T(name)/V(123456)", "Surname: 123456"),
        ("/FT/Tx/Ff 8192/T(name)/V(secret)", "Surname: (filled in)"),
        ("/FT/Ch/Ff 131072/T(name)/Opt[[(a)(Apples)][(b)(Bananas)]]/V(b)", "Surname: Bananas"),
        ("/FT/Ch/Ff 131072/T(name)/Opt[(Apples)(Bananas)]", "Surname: (empty)"),
        ("/FT/Ch/Ff 2097152/T(name)/Opt[(Apples)(Bananas)(Figs)]/V[(Apples)(Figs)]", "Surname: Apples, Figs"),
        ("/FT/Sig/T(name)", "Surname: (not signed)"),
        (
            "/FT/Sig/T(name)/V<</Type/Sig/Filter/Adobe.PPKLite/ByteRange[0 1 2 3]/Contents<00>>>",
            "Surname: (signed)",
        ),
        (f"/FT/Btn/T(name){BOX}/AS/Yes/V/Yes", "Surname: [x]"),
        (f"/FT/Btn/T(name){BOX}/AS/Off", "Surname: [ ]"),
        ("/FT/Btn/T(name)/V/Yes", "Surname: [x]"),
        ("/FT/Btn/Ff 65536/T(name)", "Surname:"),
    ],
)
def test_values_stand_beside_their_labels(entries: str, expected: str) -> None:
    form = Form(put(50, 700, "Surname:"))
    form.field(entries)
    assert form.lines() == [expected]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ("/FT/Tx/T(form[0].page[0].name[0])/V(Hopper)", "name: Hopper"),
        ("/FT/Tx/T(f1)/TU(Name of the tenant)/V(Hopper)", "Name of the tenant: Hopper"),
        (f"/FT/Btn/T(married){BOX}/AS/Yes", "[x] married"),
        (f"/FT/Btn/T(c1)/TU(Is married){BOX}/AS/Off", "[ ] Is married"),
    ],
)
def test_fields_without_text_beside_them_have_their_names(entries: str, expected: str) -> None:
    form = Form(put(50, 400, "Some text"))
    form.field(entries)
    assert form.lines() == [expected, "Some text"]


def test_boxes_to_tick_before_their_labels() -> None:
    form = Form(put(75, 700, "Single") + put(175, 700, "Married"))
    form.field("/FT/Btn/T(a)/AP<</N<</Yes 9 0 R>>>>/AS/Off", (60, 697, 70, 707))
    form.field("/FT/Btn/T(b)/AP<</N<</Yes 9 0 R>>>>/AS/Yes", (160, 697, 170, 707))
    assert form.lines() == ["[ ] Single  [x] Married"]


def test_one_of_several_buttons() -> None:
    form = Form(put(50, 700, "A form"))
    group = len(form.objects) + 1
    form.add(f"<</FT/Btn/Ff 49152/T(Colour)/V/red/Kids[{group + 1} 0 R {group + 2} 0 R]>>")
    for name, y, state in (("red", 600, "red"), ("green", 570, "Off")):
        form.field(f"/Parent {group} 0 R/AP<</N<</{name} 9 0 R/Off 9 0 R>>>>/AS/{state}", (60, y, 70, y + 10))
    assert form.lines() == ["A form", "[x] Colour: red", "[ ] Colour: green"]


def test_what_fields_inherit() -> None:
    form = Form(put(50, 700, "Surname:"))
    parent = form.add("<</FT/Tx/T(person)/V(Hopper)>>")
    form.field(f"/Parent {parent} 0 R")
    assert form.lines() == ["Surname: Hopper"]


def test_values_that_are_only_drawn() -> None:
    form = Form(put(50, 700, "Surname:"))
    drawn = form.drawn("/Tx BMC q " + put(2, 5, "Hopper") + " Q EMC")
    form.field(f"/FT/Tx/T(name)/AP<</N {drawn} 0 R>>")
    assert form.lines() == ["Surname: Hopper"]


def test_hidden_fields_are_left_out() -> None:
    form = Form(put(50, 700, "Surname:"))
    form.field("/FT/Tx/T(name)/V(Hopper)/F 2")
    assert form.lines() == ["Surname:"]


def test_notes_on_the_page_are_kept_and_comments_left_out() -> None:
    form = Form(put(50, 700, "Text"))
    form.note("/Subtype/FreeText/Contents(Void since May)/DA(/F 10 Tf)")
    form.note("/Subtype/Text/Contents(Is this right?)")
    form.note("/Subtype/Highlight/Contents(Check)/QuadPoints[0 0 0 0 0 0 0 0]")
    form.note("/Subtype/Popup/Contents(A window)")
    drawn = form.drawn(put(2, 5, "APPROVED"))
    form.note(f"/Subtype/Stamp/Contents(by me)/AP<</N {drawn} 0 R>>", 300)
    assert form.lines() == ["Text", "Void since May", "APPROVED"]


def test_a_form_that_is_only_xfa() -> None:
    form = Form(put(50, 700, "Please wait"))
    packets = form.stream("<xdp:xdp/>")
    form._entries = f"/XFA {packets} 0 R"
    assert [remark.message for remark in read_pdf(form.written()).remarks] == [
        "The fields of the form are kept as XFA, which is not read; print it to a PDF and send that."
    ]
