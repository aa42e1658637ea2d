import re
from io import BytesIO

import pytest

from chatproxy.documents.chunks import SEPARATOR
from chatproxy.documents.extract import ExtractedText, extract
from chatproxy.documents.formats import html
from chatproxy.documents.parts import Part, Remark
from chatproxy.errors import ChatError


def extracted(page: str) -> ExtractedText:
    return extract(BytesIO(page.encode()), "text/html")


def text_of(page: str) -> str:
    return SEPARATOR.join([part.text for part in extracted(page).parts])


def refusal(page: str) -> str:
    with pytest.raises(ChatError) as refused:
        extracted(page)
    assert refused.value.code == "invalid"
    return refused.value.sentence


def test_a_page() -> None:
    page = """<!DOCTYPE html><html><head><title>The title</title><style>p { color: red }</style>
        <script>if (a < b) alert("</p>")</script></head><body>
        <h1>The <em>big</em><br>one</h1><h2></h2><p>One &amp;
           two<br>three &euro;<!-- unseen --></p><ul><li>a<li>b</ul><svg/><p>Donau&shy;dampf</p>
        code:<pre>  x\n    y</pre></pre><hr><dl><dt>T<dd>D</dl>
        <template><p>hidden</template>last"""
    assert text_of(page).split("\n") == [
        *("The title", "", "# The big one", "", "One & two", "three €", "", "- a", "- b", ""),
        *("Donaudampf", "", "code:", "", "  x", "    y", "", "T", "D", "", "last"),
    ]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("10<sup>6</sup> m<sup>2</sup>", "10⁶ m²"),
        ("10<sup>-<b>3</b></sup>", "10⁻³"),
        ("H<sub>2</sub>SO<sub>4</sub>", "H₂SO₄"),
        ("<h2>Price per m<sup>2</sup></h2>", "## Price per m²"),
        ("the 1<sup>st</sup>, Acme<sup>TM</sup>", "the 1st, Acme™"),
        ("e<sup>x<sup>2</sup></sup>", "e^(x²)"),
        (
            "3<sup>1</sup>/<sub>2</sub> cups, 2<sup>5</sup>&frasl;<sub>16</sub>",
            "3½ cups, 2⁵\N{FRACTION SLASH}₁₆",
        ),
        ("10<span style='font-size: 70%; vertical-align: super'>6</span>", "10⁶"),
        ("in 1998<sup><a href='#f'>3</a></sup>", "in 1998[^3]"),
        ("in 1998<a href='x.html#f'><sup>3</sup></a>", "in 1998[^3]"),
        ("in 1998<sup class='reference'>[3]</sup>", "in 1998[^3]"),
        ("in 1998<a role='doc-noteref' href='notes.xhtml'>3</a>", "in 1998[^3]"),
    ],
)
def test_raised_and_lowered_text(page: str, expected: str) -> None:
    assert text_of(f"<p>{page}") == expected


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<ol start=4><li>d<li>e</ol>", "4. d\n5. e"),
        ("<ol type=a><li>x</li><li value=26>y</li><li>z</li></ol>", "a. x\nz. y\naa. z"),
        ("<ol type=I start=3><li>x<li>y</ol>", "III. x\nIV. y"),
        ("<ol style='list-style-type: lower-roman'><li>x<li>y</ol>", "i. x\nii. y"),
        ("<ol reversed><li>x<li>y<li>z</ol>", "3. x\n2. y\n1. z"),
        ("<ol reversed start=10><li>x<li>y</ol>", "10. x\n9. y"),
        ("<ol><li>x<ol type=i><li>y</ol><li>z</ol>", "1. x\n  i. y\n2. z"),
        ("<ol><li><p>x</p><p>y</p></li><li></li><li>z</ol>", "1. x\n\ny\n\n2.\n3. z"),
        ("<ul><li>x<ul><li>y</ul><li>z</ul>", "- x\n  - y\n- z"),
        ("<ul style='list-style: none'><li>x<li>y</ul>", "x\ny"),
    ],
)
def test_lists(page: str, expected: str) -> None:
    assert text_of(page) == expected


def test_tables() -> None:
    page = """before<table><caption>Rents <b>in</b> euros</caption>
        <tfoot><tr><td>All<td>5<td></tfoot>
        <thead><tr><th rowspan=2>Name<th colspan=2>Rent<tr><th>cold<th>warm</thead>
        <tr><td>Ann<br>Bee<td>1|2<td><tr><td colspan=3>Others
        <tr><td rowspan=2>Eve<td>3<td>4<tr><td>m<sup>2</sup>
        </table>after"""
    heading = "Rents in euros\nName | Rent | Rent\nName | cold | warm"
    assert extracted(page).parts == [
        Part("before"),
        Part(f"{heading}\nAnn Bee | 1\\|2 |\nOthers\nEve | 3 | 4\nEve | m² |\nAll | 5 |", repeated=heading),
        Part("after"),
    ]


@pytest.mark.parametrize(
    ("page", "expected", "repeated"),
    [
        ("<tr><td>a<td>b<tr><td>1<td>2", "a | b\n1 | 2", "a | b"),
        ("<tr><th>a<th>b<tr><th>c<th>d<tr><td>1<td>2", "a | b\nc | d\n1 | 2", "a | b\nc | d"),
        ("<tr><th>Born<td>1970<tr><th>Died<td>", "Born | 1970\nDied |", ""),
        ("<tr><td rowspan=0>a<td>1<tr><td>2<tr><td>3", "a | 1\na | 2\na | 3", ""),
        ("<tr><td colspan=x>a<td rowspan=-1>1<tr><td>b<td>2", "a | 1\nb | 2", ""),
        ("<tr><td>1<td>2<tr><td>3<td>4", "1 | 2\n3 | 4", ""),
        ("<tr><td>Rent<td>€900<tr><td>Deposit<td>€1,800", "Rent | €900\nDeposit | €1,800", ""),
        ("<tr><th>1<th>2<tr><td>3<td>4", "1 | 2\n3 | 4", "1 | 2"),
        ("<tr><td>Site<td>Q1<tr><td>Kiel<td>4", "Site | Q1\nKiel | 4", "Site | Q1"),
        ("<tr><td colspan=2>Rents<tr><td>a<td>1<tr><td>b<td>2", "Rents\na | 1\nb | 2", "Rents"),
        ("<tr><td>one<tr><td>two", "one\ntwo", ""),
        ("", "", ""),
        ("<tr><td><h2>Home</h2>text<td>more<p>here", "## Home\n\ntext\n\nmore\n\nhere", ""),
        ("<tr><td>menu<td><table><tr><th>a<th>b<tr><td>1<td>2</table>", "menu\n\na | b\n1 | 2", "a | b"),
        (
            "<tr><th>a<th>b<tr><td>1<td><table><tr><td>c<td>d<tr><td>3<td>4</table>",
            "a | b\n1 | c, d; 3, 4",
            "a | b",
        ),
        (f"<tr><td>{'word ' * 300}<td>side", f"{'word ' * 299}word side", ""),
    ],
)
def test_which_tables_are_rows(page: str, expected: str, repeated: str) -> None:
    parts = extracted(f"<p>.</p><table>{page}</table>").parts
    assert SEPARATOR.join([part.text for part in parts]) == f".\n\n{expected}".strip()
    assert max(part.repeated for part in parts) == repeated


def test_a_table_that_says_that_it_is_layout() -> None:
    assert text_of("<table role=presentation><tr><td>a<td>b<tr><td>c<td>d</table>") == "a b\nc d"


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<label>Name <input value=Ann></label>", "Name Ann"),
        ("<label for=n>Name</label><input id=n type=email placeholder='Your name' value=Ann>", "Name Ann"),
        ("<input placeholder=City value=Rome>", "City: Rome"),
        ("<input aria-label=City value=Rome><input placeholder=Empty>.", "City: Rome ."),
        ("<input type=checkbox checked> yes <input type=checkbox> no", "☒ yes ☐ no"),
        ("<input type=radio>a<input type=radio checked>b", "☐ a ☒ b"),
        ("<input type=hidden value=x><input type=password value=y>z", "z"),
        ("<select><option>red<option selected>green</select>", "green"),
        ("<select><option label=red></option><option>green</select>", "red"),
        (
            "<select multiple><optgroup label=x><option>red</optgroup><option selected>green</select>",
            "☐ red; ☒ green",
        ),
        ("<textarea>two\n  lines</textarea><button>Send</button>", "two\n  lines Send"),
    ],
)
def test_forms(page: str, expected: str) -> None:
    assert re.sub(r"(?<=\S) +", " ", text_of(f"<form>{page}</form>")) == expected


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<msup><mi>a</mi><mn>2</mn></msup><mo>+</mo><msub><mi>b</mi><mi>i</mi></msub>", "a²+bᵢ"),
        ("<mfrac><mrow><mi>a</mi><mo>+</mo><mn>1</mn></mrow><mi>b</mi></mfrac>", "(a+1)/b"),
        ("<mn>3</mn><mfrac><mn>1</mn><mn>2</mn></mfrac>", "3½"),
        ("<mn>2</mn><mfrac><mi>a</mi><mi>b</mi></mfrac><mi>c</mi>", "2(a/b)c"),
        ("<msqrt><mi>x</mi><mo>+</mo><mn>1</mn></msqrt>", "√(x+1)"),
        ("<mroot><mi>x</mi><mn>3</mn></mroot>", "∛x"),
        (
            "<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover><mi>i</mi>",
            "∑_(i=1)^n i",
        ),
        ("<msubsup><mi>x</mi><mn>1</mn><mn>2</mn></msubsup>", "x₁²"),
        ("<mover><mi>x</mi><mo>¯</mo></mover>", "x\u0304"),
        ("<mfenced><mi>a</mi><mi>b</mi></mfenced>", "(a,b)"),
        ("<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr></mtable>", "[1, 2]"),
        (
            "<mmultiscripts><mi>U</mi><mprescripts/><mn>92</mn><mn>238</mn></mmultiscripts>",
            "₉₂²³⁸U",
        ),
        ("<mi>sin</mi><mo>\u2061</mo><mi>\U0001d465</mi>", "sin x"),
        ("<mfrac linethickness=0><mi>n</mi><mi>k</mi></mfrac>", "(n over k)"),
        (
            "<semantics><mi>E</mi><annotation encoding='application/x-tex'>TeX</annotation></semantics>",
            "E",
        ),
    ],
)
def test_formulas(page: str, expected: str) -> None:
    assert text_of(f"<p>. <math>{page}</math> .") == f". {expected} ."


def test_a_formula_in_a_paragraph_of_its_own_or_without_elements() -> None:
    assert text_of("a<math display=block><mi>x</mi></math>b") == "a\n\nx\n\nb"
    assert text_of("a <math alttext='x^2'></math>") == "a x^2"


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<s>100</s> <del>90</del> <ins>80</ins>", "~~100~~ 80"),
        ("<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp></ruby>", "漢(かん)"),
        ("<q>said</q>", "“said”"),
        ("a<span hidden>b</span><i style='DISPLAY : none'>c</i><b aria-hidden=true>d</b>e", "ae"),
        ("<p hidden>a<p>b<dialog>c</dialog><dialog open>d</dialog>", "b\n\nd"),
        (
            "<body><div aria-hidden=true>behind a dialog</div><span aria-hidden=true>*</span>",
            "behind a dialog",
        ),
        ("<noscript>a</noscript><datalist><option>b</datalist>c", "c"),
        ("<details><summary>a</summary>b</details>", "a\n\nb"),
        ("<img alt='A cat'><img alt=''><img alt='☺' aria-hidden=true>", "[A cat]☺"),
        ("<svg><title>a</title><text>b</text><text>c</text></svg>", "b c"),
        ("<iframe srcdoc='&lt;p&gt;a'>b</iframe>c", "a\n\nc"),
        ("<?xml version='1.0'?><p>a <![CDATA[<b> ]]>c</p>", "a <b> c"),
        ("<div><p>a</div>b</p>c", "a\n\nb\n\nc"),
    ],
)
def test_what_is_shown(page: str, expected: str) -> None:
    assert text_of(page) == expected


def test_a_page_without_text_says_why() -> None:
    app = "<title>App</title><div id=root></div><script>start()</script><noscript>Use JavaScript.</noscript>"
    assert "scripts make in a browser only" in refusal(app)
    assert "in frames" in refusal("<frameset><frame src=a><frame src=b></frameset>")
    assert "no text" in refusal("<p></p>")


def test_what_is_not_read_is_said_if_there_is_little_else() -> None:
    page = "<title>Minutes</title><p>See below.<img src=1.png><img src=2.png><iframe src=x></iframe>"
    assert extracted(page).remarks == [
        Remark("partial", "1 frame of the page could not be read."),
        Remark("partial", "2 pictures without a description of the page could not be read."),
    ]
    assert not extracted(page + "word " * 50).remarks


SAVED = """From: <Saved by Blink>
MIME-Version: 1.0
Content-Type: multipart/related; type="text/html"; boundary="--b"

----b
Content-Type: image/png
Content-Transfer-Encoding: base64

AAAA
----b
Content-Type: text/html{charset}
Content-Transfer-Encoding: quoted-printable

<p>10<sup>6</sup> {letter} =
m
----b--
"""


@pytest.mark.parametrize(
    ("charset", "letter"),
    [("; charset=utf-8", "=C3=A9"), ("; charset=cp1252", "=E9"), ("; charset=x", "=C3=A9"), ("", "é")],
)
def test_a_saved_page(charset: str, letter: str) -> None:
    saved = SAVED.format(charset=charset, letter=letter).encode()
    assert [part.text.strip() for part in html.read_archive(BytesIO(saved)).parts] == ["10⁶ é m"]


def test_a_saved_page_that_is_none() -> None:
    with pytest.raises(ChatError, match="not a saved page"):
        html.read_archive(BytesIO(b"Subject: Hello\n\nHello"))


def test_markup_without_end_is_read_in_time_that_grows_with_it() -> None:
    for piece in ("<div>", "<table><tr><td>", "<ul><li>", "<sup>", "<b><p>", "</p></b>", "<select><option>"):
        assert len(text_of("Text" + piece * 5000 + "end")) < 500_000
