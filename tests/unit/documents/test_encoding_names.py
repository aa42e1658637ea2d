import pytest

from chatproxy.documents.encoding_names import CODECS, usual_name


@pytest.mark.parametrize(
    ("usual", "spellings"),
    [
        ("UTF-8", "utf8 UTF-8 utf_8 utf-8-sig cp65001"),
        ("UTF-16LE", "utf16le UTF-16-LE utf_16_le"),
        ("windows-1250", "cp1250 CP-1250 windows-1250 Windows1250 win1250 win-1250 x-cp1250 1250 ms1250"),
        ("windows-874", "cp874 tis-620 iso-8859-11 874"),
        ("ISO-8859-1", "latin1 Latin-1 l1 iso8859-1 iso_8859-1:1987 ISO88591 8859-1"),
        ("ISO-8859-2", "latin2 latin-2 iso8859-2 ISO_8859-2 iso88592"),
        ("ISO-8859-15", "latin9 latin-9 iso8859-15"),
        ("ISO-8859-16", "latin10 iso8859-16"),
        ("IBM852", "cp852 ibm852 IBM-852 dos852 oem852 852"),
        ("IBM437", "cp437 437 dos-437"),
        ("macintosh", "macroman mac-roman macOS-Roman mac x-mac-roman"),
        ("x-mac-ce", "maccentraleurope mac-centraleurope x-mac-ce mac_latin2"),
        ("KOI8-R", "koi8r koi8-r KOI8_R"),
        ("Shift_JIS", "sjis shift-jis cp932 ms932 windows-31j x-sjis 932"),
        ("EUC-KR", "cp949 euckr ks_c_5601-1987 uhc"),
        ("GBK", "gb2312 cp936 936"),
        ("Big5", "cp950 big5 950"),
    ],
)
def test_spellings(usual: str, spellings: str) -> None:
    assert {usual_name(spelling) for spelling in spellings.split()} == {usual}


def test_every_usual_name_and_codec_is_known() -> None:
    for name, codec in CODECS.items():
        assert usual_name(name) == usual_name(name.lower()) == name
        assert usual_name(codec) is not None


@pytest.mark.parametrize(
    "spelling", ["", "-", "rot13", "hex", "zip", "idna", "punycode", "unicode_escape", "utf-7", "klingon"]
)
def test_what_is_no_encoding_of_text_is_not_known(spelling: str) -> None:
    assert usual_name(spelling) is None
