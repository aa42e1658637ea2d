"""The pages for readers: every block of code is run by a test, and every link leads somewhere."""

import re
import shlex
import subprocess
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from matrix import matrix
from readme import BLOCKS, PAGES, ROOT
from stand_ins import PROGRAMS, check

from chatproxy.models.selection import SUGGESTED

EXAMPLE: Final = re.compile(r"""\bexample\(\s*"(\w*)",\s*("(?:[^"\\]|\\.)*"|'[^'\\]*')""")


def test_every_block_is_run_by_a_test() -> None:
    named = set[tuple[str, str]]()
    for path in (ROOT / "tests").glob("*/*.py"):
        found = EXAMPLE.findall(path.read_text(encoding="utf-8"))
        named |= {(language, str(literal_eval(word))) for language, word in found}
    with matrix() as cases:
        for block in BLOCKS:
            tested = any(block.language == language and word in block.text for language, word in named)
            cases.check(tested, "no test runs this block", block.page, block.text)


CODE: Final = re.compile(r"(?<!`)`([^`]+)`(?!`)")
OR: Final = re.compile(r"# or: (.*)")  # another line, at the end of one in a block


VARIABLE: Final = re.compile(r"[A-Z_]+=")


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Yield the page and the words of each command line outside of the blocks, or in a comment there."""
    for page, text in PAGES.items():
        for code in (*CODE.findall(without_code(text)), *OR.findall(text)):
            if not PROGRAMS & set(code.split()):
                continue
            for part in " ".join(code.split()).split(" | "):
                line = shlex.split(part)
                program = next((word for word in line if not VARIABLE.match(word)), "")
                if program in PROGRAMS and len(line) > 1:
                    yield page, line


def mistake(line: list[str]) -> str | None:
    """Return why that cannot be typed, or None if it can."""
    try:
        check(line)
    except ValueError as error:
        return str(error)
    return None


def test_every_command_within_a_sentence_can_be_typed() -> None:
    """By the program's own parser if it is chatproxy; there are such targets, services, files and options."""
    with matrix() as cases:
        for page, line in command_lines():
            cases.check((error := mistake(line)) is None, error, page, shlex.join(line))
    assert cases.tried > 30


@pytest.mark.parametrize(
    "line",
    [
        "chatproxy prune --older-then 90d",
        "chatproxy backups before.db",
        "HOSTS=0.0.0.0 chatproxy",
        "make tests",
        "docker compose logs chatroxy",
        "docker compose --file deploy/gpus.yaml up",
        "docker compose exec ollama ollama pul llama3.2",
        "docker compose exec chatproxy chatproxy backup",
        "docker run --detached chatproxy",
        "docker build --tag chatproxy",
        "pipx install --forced .",
        "uv install .",
        "uvx chatproxy --demos",
        "ollama pull",
    ],
)
def test_a_mistyped_command_is_found(line: str) -> None:
    assert mistake(line.split()) is not None


LINK: Final = re.compile(r"(?:(?<!`)\]\(|\bsrc(?:set)?=\")([^)\"\s]+)")
HEADING: Final = re.compile(r"^#+ (.*)$", re.MULTILINE)


def documents() -> list[Path]:
    """Return all Markdown files that git knows, but for test data."""
    listed = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, check=True)
    names = listed.stdout.decode().split("\0")[:-1]
    return [ROOT / name for name in names if not name.startswith("tests/data/")]


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(without_code(text)))
    return {heading.replace(" ", "-") for heading in plain}


def links() -> Iterator[tuple[Path, str]]:
    for page in documents():
        for link in LINK.findall(without_code(page.read_text(encoding="utf-8"))):
            if "://" not in link:
                yield page, link


def test_every_link_leads_somewhere() -> None:
    with matrix() as cases:
        for page, link in links():
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            cases.check(target.exists(), "no such file", page.relative_to(ROOT), link)
            if anchor and target.exists():
                found = anchor in anchors(target.read_text(encoding="utf-8"))
                cases.check(found, "no such heading", page.relative_to(ROOT), link)
    assert cases.tried > 100


def test_every_page_of_docs_is_linked_by_the_readme() -> None:
    linked = {link.partition("#")[0] for page, link in links() if page == ROOT / "README.md"}
    assert {str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md")} <= linked


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 250


def test_the_top_of_the_troubleshooting_names_every_symptom() -> None:
    top, rest = PAGES["docs/troubleshooting.md"].split("\n## ", 1)
    named = {link.removeprefix("#") for link in LINK.findall(top)}
    symptoms = anchors("\n".join(re.findall(r"^### .*$", rest, re.MULTILINE)))
    assert len(symptoms) > 15
    assert symptoms <= named


def test_what_the_troubleshooting_quotes_is_what_chatproxy_says() -> None:
    package = ROOT / "chatproxy"
    sources = [*package.glob("**/*.py"), *package.glob("static/texts/en.js")]
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    said = re.sub(r'"\s*f?"', "", code).replace("{SUGGESTED}", SUGGESTED)  # literals that follow one another
    quotes = re.findall(r"^> (.*)$", PAGES["docs/troubleshooting.md"], re.MULTILINE)
    with matrix() as cases:
        for quote in quotes:
            for part in quote.split("…"):
                cases.check(part.strip(" :;,") in said, "nothing says this", part)
    assert len(quotes) > 10
