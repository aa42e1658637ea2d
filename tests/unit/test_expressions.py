"""Every regular expression of the package takes linear time, whatever the text.

The texts are made of each expression's own characters: what leads to one of its repeats, and then that
repeat, or any two of its characters, thousands of times.
"""

import ast
import re
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from re import _constants, _parser
from typing import Any, Final

import pytest
from cost import seconds

import chatproxy

PACKAGE: Final = Path(chatproxy.__file__).parent
SCANNING: Final = frozenset({"search", "finditer", "findall", "sub", "subn", "split"})
ANCHORED: Final = frozenset({"match", "fullmatch"})
FLOOR: Final = 0.002  # seconds of CPU; what takes less is not measured further
REPEATS: Final = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)
CATEGORIES: Final = {
    _constants.CATEGORY_DIGIT: "0",
    _constants.CATEGORY_NOT_DIGIT: "a",
    _constants.CATEGORY_SPACE: " ",
    _constants.CATEGORY_NOT_SPACE: "a",
    _constants.CATEGORY_WORD: "a",
    _constants.CATEGORY_NOT_WORD: "-",
}


# -- the expressions of the package


def expressions(source: str) -> Iterator[tuple["re.Pattern[Any]", bool]]:
    """Yield each expression of a module, for each way that it is used: whether it is searched for."""
    tree = ast.parse(source)
    used: dict[str, set[str]] = {}
    names: dict[ast.AST, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used.setdefault(node.value.id, set()).add(node.attr)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            names[node.value] = node.target.id
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re.")):
            continue
        function = ast.unparse(node.func).removeprefix("re.")
        if function not in {"compile", *SCANNING, *ANCHORED}:
            continue
        literal = node.args[0]
        assert isinstance(literal, ast.Constant), f"{ast.unparse(node)} is not one literal"
        assert isinstance(literal.value, str | bytes)
        pattern: re.Pattern[Any] = re.compile(literal.value, _flags(node))
        ways = {function} if function != "compile" else used.get(names.get(node, ""), set())
        for group in (SCANNING, ANCHORED):
            if ways & group or not ways:  # used by way of another name
                yield pattern, group is SCANNING


def _flags(call: ast.Call) -> int:
    """Return the flags in a call: its argument that names attributes of `re`."""
    for argument in [*call.args, *[keyword.value for keyword in call.keywords]]:
        if (text := ast.unparse(argument)).startswith("re."):
            return int(eval(text))
    return 0


ALL: Final = [
    (pattern, scanning)
    for path in sorted(PACKAGE.rglob("*.py"))
    for pattern, scanning in expressions(path.read_text())
]


# -- hostile texts


def sample(items: Any) -> str:
    """Return a short text that the items of a parsed expression match, or almost."""
    return "".join([_one(operation, argument) for operation, argument in items])


def _one(operation: Any, argument: Any) -> str:
    if operation is _constants.LITERAL:
        return chr(argument)
    if operation is _constants.IN:
        return next((_one(*item) for item in _negated(argument)), "")
    if operation is _constants.RANGE:
        return chr(argument[0])
    if operation is _constants.CATEGORY:
        return str(CATEGORIES[argument])
    if operation in {_constants.ANY, _constants.NOT_LITERAL}:
        return "a"
    if operation in REPEATS:
        return str(sample(argument[2]) * max(argument[0], 1))
    return sample(next(_inner(operation, argument), []))


def _negated(items: Any) -> Any:
    """Return the items of a set; of one that excludes some characters, another that it includes."""
    if items[0][0] is not _constants.NEGATE:
        return items
    excluded = [chr(argument) for operation, argument in items[1:] if operation is _constants.LITERAL]
    return [(_constants.LITERAL, ord(next(each for each in "aA0 -" if each not in excluded)))]


def _inner(operation: Any, argument: Any) -> Iterator[Any]:
    """Yield the expressions within a group, a choice, or a look ahead or behind."""
    if operation is _constants.SUBPATTERN:
        yield argument[3]
    elif operation is _constants.BRANCH:
        yield from argument[1]
    elif operation in {_constants.ASSERT, _constants.ASSERT_NOT}:
        yield argument[1]
    elif operation is _constants.ATOMIC_GROUP:
        yield argument


def beginnings(items: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """Yield what leads to each long repeat, and one turn of the repeat."""
    for operation, argument in items:
        if operation in REPEATS:
            if argument[1] > 99:
                yield before, sample(argument[2])
            yield from beginnings(argument[2], before)
        for inner in _inner(operation, argument):
            yield from beginnings(inner, before)
        before += _one(operation, argument)


def alphabet(items: Any) -> Iterator[str]:
    """Yield a character for each set, class and literal."""
    for operation, argument in items:
        if operation in REPEATS:
            yield from alphabet(argument[2])
        elif operation is _constants.IN:
            yield from [_one(*item) for item in argument if item[0] is not _constants.NEGATE]
        elif inner := list(_inner(operation, argument)):
            for each in inner:
                yield from alphabet(each)
        else:
            yield _one(operation, argument)


def hostile(pattern: "re.Pattern[Any]") -> Iterator[Callable[[int], Any]]:
    """Yield functions that make a text of so many turns."""
    tree = _parser.parse(pattern.pattern, pattern.flags & re.VERBOSE)
    starts = dict.fromkeys([("", ""), *beginnings(tree)])
    letters = list(dict.fromkeys([*alphabet(tree), *"a0 .\n"]))[:8]
    turns = dict.fromkeys([*letters, *["".join(two) for two in product(letters[:4], repeat=2)]])
    texts = [(start, turn) for start, _ in starts for turn in turns] + [each for each in starts if each[1]]
    for (start, turn), end in product(dict.fromkeys(texts), ("", "\0")):
        yield partial(_text, start, turn, end, isinstance(pattern.pattern, bytes))


def _text(start: str, turn: str, end: str, as_bytes: bool, turns: int) -> Any:
    text = start + turn * turns + end
    return text.encode("latin-1") if as_bytes else text


# -- how long they take


def is_linear(pattern: "re.Pattern[Any]", scanning: bool, text: Callable[[int], Any]) -> bool:
    """Return whether the time grows no faster than the text."""

    def taken(turns: int) -> float:
        given = text(turns)
        if scanning:
            return seconds(lambda: deque(pattern.finditer(given), maxlen=0), FLOOR)
        return seconds(lambda: pattern.fullmatch(given), FLOOR)

    for turns in (20, 128, 512, 2048):
        if (once := taken(turns)) > FLOOR:  # few turns that take so long would take for ever, if doubled
            return turns > 200 and taken(2 * turns) < 3 * once
    return True


def find_slow(pattern: "re.Pattern[Any]", scanning: bool) -> str | None:
    """Return the beginning of a text for which the time grows too fast."""
    return next((repr(text(9)) for text in hostile(pattern) if not is_linear(pattern, scanning, text)), None)


def test_all_expressions_are_found() -> None:
    assert {"(?<!\\w)(\\w+)-\\n(\\w+)", "[1-9][0-9]{0,17}", "\\s+"} <= {pattern.pattern for pattern, _ in ALL}


@pytest.mark.parametrize(("pattern", "scanning"), ALL, ids=[repr(pattern.pattern) for pattern, _ in ALL])
def test_takes_linear_time(pattern: "re.Pattern[Any]", scanning: bool) -> None:
    assert find_slow(pattern, scanning) is None


@pytest.mark.parametrize(
    ("pattern", "scanning"),
    [
        (r"(a+)+b", True),
        (r"(a+)+b", False),
        (r"\n(?=[1-9]\.(?:[0-9]+\.?)* {1,3}x)", True),
        (r"\s*\S+", True),
        (r"\s+$", True),
        (r'"(?:[^"\\]|\\.)*"', True),
        (rb"<.*>", True),
    ],
)
def test_finds_expressions_that_do_not(pattern: Any, scanning: bool) -> None:
    assert find_slow(re.compile(pattern), scanning) is not None
