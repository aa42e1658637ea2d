"""The names of encodings: the usual one of each, how else people write it, and Python's codec for it."""

import re
from collections.abc import Mapping
from encodings.aliases import aliases
from typing import Final

# IANA's names, or WHATWG's where these are more common. What is said to be Shift_JIS, EUC-KR or Big5 is in
# practice what Windows writes, a superset.
CODECS: Final[Mapping[str, str]] = {
    "UTF-8": "utf_8",
    "UTF-16": "utf_16",
    "UTF-16LE": "utf_16_le",
    "UTF-16BE": "utf_16_be",
    "UTF-32": "utf_32",
    "UTF-32LE": "utf_32_le",
    "UTF-32BE": "utf_32_be",
    **{f"windows-{page}": f"cp{page}" for page in (874, *range(1250, 1259))},
    "ISO-8859-1": "latin_1",
    **{f"ISO-8859-{part}": f"iso8859_{part}" for part in (*range(2, 11), 13, 14, 15, 16)},
    **{f"IBM{page}": f"cp{page}" for page in (437, 720, 737, 775, 850, 852, 855, 857, 858, *range(860, 867))},
    **{f"IBM{page}": f"cp{page}" for page in (869, 1125, "037", 273, 424, 500, 1026, 1140)},
    "macintosh": "mac_roman",
    "x-mac-ce": "mac_latin2",
    "x-mac-croatian": "mac_croatian",
    "x-mac-cyrillic": "mac_cyrillic",
    "x-mac-greek": "mac_greek",
    "x-mac-icelandic": "mac_iceland",
    "x-mac-romanian": "mac_romanian",
    "x-mac-turkish": "mac_turkish",
    "KOI8-R": "koi8_r",
    "KOI8-U": "koi8_u",
    "Shift_JIS": "cp932",
    "EUC-JP": "euc_jp",
    "ISO-2022-JP": "iso2022_jp_ext",
    "EUC-KR": "cp949",
    "ISO-2022-KR": "iso2022_kr",
    "GBK": "gbk",
    "GB18030": "gb18030",
    "Big5": "cp950",
    "Big5-HKSCS": "big5hkscs",
}
# Beside Python's own aliases; letters and digits only.
_OTHERWISE: Final[Mapping[str, str]] = {
    "UTF-8": "utf8sig utf8bom",
    "UTF-16": "unicode ucs2",
    "windows-874": "tis620 iso885911 thai",
    "windows-1250": "ansi1250",
    "windows-1252": "ascii usascii ansi",
    "macintosh": "mac macosroman xmacroman",
    "x-mac-ce": "macce maccentraleuropean xmaccentraleurroman",
    "x-mac-cyrillic": "xmacukrainian",
    "Shift_JIS": "shiftjis sjis xsjis csshiftjis windows31j",
    "EUC-JP": "xeucjp",
    "ISO-2022-JP": "iso2022jp csiso2022jp",
    "EUC-KR": "euckr korean ksc56011987 ksc5601",
    "GBK": "gb2312 gb231280 euccn",
    "Big5": "big5tw cnbig5 xxbig5",
}
_PAGE: Final = re.compile(r"(?:x|cs)?(?:windows|win|cp|ibm|dos|oem|ms|codepage)+(\d{3,4})")


def usual_name(spelling: str) -> str | None:
    """Return the usual name of the encoding that is meant; None if none is known by it."""
    return _NAMES.get(_letters(spelling))


def _letters(spelling: str) -> str:
    """Return what spellings of a name have in common."""
    letters = re.sub("[^a-z0-9]", "", spelling.lower())
    page = _PAGE.fullmatch(letters)
    return page[1] if page else letters.removeprefix("iso").replace("latin", "l")


_NAMES: Final[Mapping[str, str]] = {
    **{_letters(alias): name for alias, codec in aliases.items() for name in CODECS if CODECS[name] == codec},
    **{_letters(codec): name for name, codec in CODECS.items()},
    **{_letters(other): name for name, others in _OTHERWISE.items() for other in others.split()},
    **{_letters(name): name for name in CODECS},
}
