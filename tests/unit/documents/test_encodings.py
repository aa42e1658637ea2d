# ruff: noqa: RUF001 - texts in other scripts, with their own signs
"""Texts in many languages, in every encoding that can write them, are read as they were written."""

import time
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatproxy.documents.encoding_names import CODECS
from chatproxy.documents.encodings import Decoded, decode

SAMPLES: Final = Path(__file__).parents[2] / "data" / "encodings" / "samples.txt"
LANGUAGES: Final[Mapping[str, str]] = {  # encodings: the languages of the samples that were written in them
    "windows-1252 ISO-8859-1 ISO-8859-15 IBM437 IBM850 IBM858 macintosh": "de fr es pt it nl da sv no fi",
    "windows-1250 ISO-8859-2 ISO-8859-16 IBM852 x-mac-ce": "pl cs sk hu ro hr sl de",
    "windows-1257 ISO-8859-13 ISO-8859-4 IBM775": "et lv lt",
    "windows-1254 ISO-8859-9 IBM857 x-mac-turkish": "tr",
    "windows-1251 IBM866 IBM855 IBM1125 KOI8-R KOI8-U ISO-8859-5 x-mac-cyrillic": "ru uk bg",
    "windows-1253 ISO-8859-7 IBM737 IBM869 x-mac-greek": "el",
    "windows-1255 ISO-8859-8 IBM862": "he",
    "windows-1256 ISO-8859-6 IBM720": "ar",
    "windows-1256": "fa",
    "windows-874": "th",
    "windows-1258": "vi",
    "Shift_JIS EUC-JP ISO-2022-JP": "ja",
    "EUC-KR": "ko",
    "GB18030": "zh-cn",
    "Big5": "zh-tw",
}
TONES: Final = "\u0300\u0301\u0303\u0309\u0323"  # windows-1258 has them after the letters


class Case(NamedTuple):
    language: str
    kind: str
    encoding: str
    text: str
    data: bytes


def samples() -> dict[str, dict[str, str]]:
    found = {}
    for block in SAMPLES.read_text("utf-8").split("# ")[1:]:
        language, paragraph, table, words = block.splitlines()
        texts = {"paragraph": paragraph, "table": table.replace("|", "\r\n"), "words": words}
        capitals = {kind: upper(texts[kind], language) for kind in ("paragraph", "words")}
        if capitals["words"] != words:
            texts |= {f"{kind} in capitals": text for kind, text in capitals.items()}
        found[language] = texts
    return found


def upper(text: str, language: str) -> str:
    if language == "el":  # capitals have no accents
        text = "".join(c for c in unicodedata.normalize("NFD", text) if c != "\u0301")
    return (text.replace("i", "İ") if language == "tr" else text).upper()


def written(text: str, encoding: str) -> bytes:
    if encoding == "windows-1258":
        decomposed = (unicodedata.normalize("NFD", c) for c in text)
        text = "".join(
            unicodedata.normalize("NFC", "".join(c for c in letter if c not in TONES))
            + "".join(c for c in letter if c in TONES)
            for letter in decomposed
        )
    return text.encode(CODECS[encoding])


def cases() -> Iterator[Case]:
    texts = samples()
    seen: set[tuple[str, bytes]] = set()
    for encodings, languages in LANGUAGES.items():
        for encoding in encodings.split():
            for language in languages.split():
                for kind, text in texts[language].items():
                    try:
                        data = written(text, encoding)
                    except UnicodeEncodeError:
                        continue  # as a capital letter that IBM437 does not have
                    if (text, data) not in seen and (not data.isascii() or encoding == "ISO-2022-JP"):
                        seen.add((text, data))
                        yield Case(language, kind, encoding, text, data)


def alike(one: str, other: str) -> bool:
    """Return whether texts differ at most in the two ways to write letters of Romanian."""
    commas = str.maketrans("ŞşŢţ", "ȘșȚț")
    return one.translate(commas) == other.translate(commas)


def test_the_matrix() -> None:
    right: dict[str, list[bool]] = {}
    wrong: list[str] = []
    doubtful: list[Case] = []
    for case in cases():
        found = decode(case.data)
        good = found is not None and alike(found.text, case.text)
        right.setdefault(case.kind, []).append(good)
        if not good:
            wrong.append(f"{case.language} {case.encoding} {case.kind}")
        if found is not None and found.alternative is not None:
            doubtful.append(case)
    shares = {kind: sum(each) / len(each) for kind, each in right.items()}
    assert sum(map(len, right.values())) > 450
    assert shares["paragraph"] >= 0.99, wrong
    assert shares["paragraph in capitals"] >= 0.99, wrong
    assert shares["table"] >= 0.98, wrong
    assert shares["words"] >= 0.96, wrong  # three names
    assert shares["words in capitals"] >= 0.95, wrong
    assert not any(case.kind.startswith("paragraph") for case in doubtful), doubtful


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Preis;Menge\r\n5,00 €;3\r\n12,50 €;4\r\n", "windows-1252"),
        ("Price;Amount\r\n£5.00;3\r\n", "windows-1252"),
        ("Price;Amount\r\n£5.00;3\r\n", "IBM850"),
        ("Price;Amount\r\n5.00 €;3\r\n", "ISO-8859-15"),
        ("Price;Amount\r\n¥500;3\r\n", "windows-1252"),
        ("Montant;Libellé\r\n1\xa0234,50;Achat\r\n12\xa0000,00;Vente\r\n", "windows-1252"),
        ("Temperatur 20 °C, 5 m², ±3 %\r\n", "windows-1252"),
        ("He said “yes” – and it’s done…\r\n", "windows-1252"),
        ("He said “yes” – and it’s done…\r", "macintosh"),
        ("Das ist „gut“ und – nun ja – fertig.\r\n", "windows-1250"),
        ("Copyright © 2020 Acme Corp. All rights reserved.\r\n", "windows-1252"),
        ("┌──────────┐\r\n│ Größe    │\r\n└──────────┘\r\n", "IBM437"),
        ("C:.\r\n├───docs\r\n│   └───src\r\n└───bin\r\n", "IBM850"),
        ("╔═══════╗\r\n║ Отчёт ║\r\n╚═══════╝\r\n", "IBM866"),
        ("int main() { /* für Größe */ return 0; }\n" * 9, "windows-1252"),
        ("<html><body><p>Zażółć gęślą jaźń</p></body></html>\n", "windows-1250"),
        ("Name,City\r\nBob,Łódź\r\nAnn,Leeds\r\n", "windows-1250"),
        ("Name,City\r\nBob,Łódź\r\nAnn,Leeds\r\n", "IBM852"),
        ("Name,City\r\nJosé,Málaga\r\nBob,London\r\n", "macintosh"),
        ("ﾌﾘｺﾐ ﾔﾏﾀﾞ ﾀﾛｳ 1000\r\n", "Shift_JIS"),
        ("価格：1000円\r\n", "Shift_JIS"),
        ("日期,金额\r\n2020-01-01,100元\r\n", "GB18030"),
    ],
)
def test_signs_and_few_letters(text: str, encoding: str) -> None:
    found = decode(text.encode(CODECS[encoding]))
    assert found is not None
    assert found.text == text


@pytest.mark.parametrize(
    "phrase",
    [
        "Zoë Smith", "a naïve view.", "naïvely, she said", "É. Dupont", "1 ÷ 2", "don’t", "It’s here",
        "Jürgen", "Éire", "à propos", "the fiancé was late", "Citroën", "œuvre", "¡Hola!", "rock ’n’ roll",
        "20 °C … 5 µm", "®", "20 × 30", "the café", "• one", "© 2024 ACME", "½ cup", "I don’t know", "5 €",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "text",
    [
        "The committee met on Monday and agreed to the new budget for the year. " * 5,
        "Shipping notes for warehouse staff; handle with care and keep dry.\n",
    ],
)
def test_one_special_letter_in_a_western_text(text: str, phrase: str) -> None:
    assert decode((text + phrase).encode("cp1252")) == Decoded(text + phrase, "windows-1252")


@pytest.mark.parametrize("text", ["I don’t know", "½ cup", "20 °C … 5 µm", "© 2024 ACME", "±0.5 mm", "“yes”"])
def test_signs_alone_are_no_doubt(text: str) -> None:
    assert decode(text.encode("cp1252")) == Decoded(text, "windows-1252")


@pytest.mark.parametrize(
    ("text", "encoding", "name"),
    [
        ("Größe und Straße, Übermut im März", "ISO-8859-1", "windows-1252"),
        ("Zażółć gęślą jaźń, proszę zapytać", "windows-1250", "windows-1250"),
        ("Zażółć gęślą jaźń, proszę zapytać", "ISO-8859-2", "ISO-8859-2"),
        ("Zażółć gęślą jaźń, proszę zapytać", "IBM852", "IBM852"),
        ("Съешь же ещё этих мягких булок", "KOI8-R", "KOI8-R"),
        ("これは日本語の文章です", "Shift_JIS", "Shift_JIS"),
    ],
)
def test_the_usual_name_without_an_alternative(text: str, encoding: str, name: str) -> None:
    assert decode(text.encode(CODECS[encoding])) == Decoded(text, name)


def test_as_likely_is_said_only_where_the_text_reads_otherwise() -> None:
    found = decode("Иван".encode("cp1251"))
    assert found is not None
    assert (found.encoding, found.text) == ("windows-1251", "Иван")
    assert found.alternative is not None
    assert "Иван".encode("cp1251").decode(CODECS[found.alternative]) != "Иван"
    assert decode("Müller, Schröder".encode("latin-1")) == Decoded("Müller, Schröder", "windows-1252")


@pytest.mark.parametrize(
    "text", ["Hello wörld\r\n", "Привет, мир.\r\nКак дела\r\n", "这是一个文件。\n第二行。\n"]
)
@pytest.mark.parametrize("encoding", ["UTF-16LE", "UTF-16BE"])
def test_utf16_without_a_mark(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == Decoded(text, encoding)
    assert decode(text.encode(encoding) + b"\x20") == Decoded(text, encoding)


def test_utf8_with_damage_is_utf8() -> None:
    text = "Größe und Straße, Übermut. " * 20
    assert decode(text.encode() + b"caf\xe9 ") == Decoded(text + "caf\ufffd ", "UTF-8")
    cut = "Größe, Straße".encode()[:-2]
    assert decode(cut) == Decoded("Größe, Stra\ufffd", "UTF-8")


@pytest.mark.parametrize("text", ["naïve café", "日本", "ok 😀😀"])
def test_utf8_that_ends_within_a_character(text: str) -> None:
    assert decode(text.encode()[:-1]) == Decoded(text[:-1] + "\ufffd", "UTF-8")


@pytest.mark.parametrize(
    "page",
    [
        '<meta charset="windows-1251"><p>{}',
        '<meta http-equiv="Content-Type" content="text/html; charset=windows-1251"><p>{}',
        '<?xml version="1.0" encoding="windows-1251"?><p>{}</p>',
        "# -*- coding: cp1251 -*-\nx = '{}'\n",
        "#!/usr/bin/python\n# vim: set fileencoding=cp1251 :\nx = '{}'\n",
        '@charset "windows-1251";\n/* {} */\n',
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=CP1251\\n"\n\nmsgstr "{}"\n',
        "\\usepackage[cp1251]{{inputenc}}\n{}\n",
    ],
)
def test_what_is_declared_is_used(page: str) -> None:
    text = page.format("њива")  # the letters alone would be read otherwise, as the declaration is for another
    assert decode(text.encode("cp1251")) == Decoded(text, "windows-1251")


@pytest.mark.parametrize(
    "declared", ["utf-8", "utf-16", "shift_jis", "koi8-unknown", "iso-2022-jp", "cp037", "idna", "iso-8859-2"]
)
def test_a_declaration_that_cannot_be_right_is_not_used(declared: str) -> None:
    text = f'<meta charset="{declared}"><p>„Größe“ und Straße'
    found = decode(text.encode("cp1252"))
    assert found is not None
    assert found.text == text


def test_bytes_that_latin_1_has_no_letters_for() -> None:
    text = '<meta charset="iso-8859-1"><p>„Größe“'
    assert decode(text.encode("cp1252")) == Decoded(text, "windows-1252")


def test_what_the_user_says_outweighs_all_but_a_mark() -> None:
    data = '<meta charset="windows-1252"><p>Größe'.encode("cp1252")
    found = decode(data, "windows-1250")
    assert found is not None
    assert found.encoding == "windows-1250"
    assert decode("Größe".encode(), "IBM850") == Decoded("Gr├Â├ƒe", "IBM850")
    assert decode("Größe".encode("utf-8-sig"), "IBM850") == Decoded("Größe", "UTF-8")
    assert decode(b"Gr\xf6\xdfe \x81", "windows-1252") == Decoded("Größe \ufffd", "windows-1252")
    assert decode("Nguyê\u0303n".encode("cp1258"), "windows-1258") == Decoded("Nguyễn", "windows-1258")


def test_what_comes_after_the_sample_does_not_lose_the_file() -> None:
    text = "Größe;Straße\n" * 5000
    found = decode(text.encode("cp1252") + b"\x81\n")
    assert found is not None
    assert found.text.startswith(text)


def test_letters_anywhere_in_a_long_file_count() -> None:
    text = "id;name\n" + "1;Smith\n" * 50_000 + "2;Żółw z Łodzi, proszę\n"
    assert decode(text.encode("cp1250")) == Decoded(text, "windows-1250")
    line = "1;Smith;" * 20_000 + "2;Żółw z Łodzi, proszę;" + "3;Brown;" * 20_000
    assert decode(line.encode("cp1250")) == Decoded(line, "windows-1250")


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    found = decode(data)
    assert found is None or found.encoding in CODECS


@pytest.mark.parametrize("piece", [b"\xe9", b"a\xe9\n", b"<meta \xe9", b"\x1b$B", b"\0"])
def test_time_grows_with_the_data(piece: bytes) -> None:
    def seconds(size: int) -> float:
        data = piece * (size // len(piece))
        started = time.process_time()
        decode(data)
        return time.process_time() - started

    assert seconds(1_200_000) < 8 * max(seconds(300_000), 0.1)
