"""docs/api.md is complete: it describes what the server has, and nothing else.

Each check returns what is wrong as sentences, so that a failure names what is missing.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from chatproxy import Config, create_app
from chatproxy.errors import RETRYABLE, STATUS, Details
from chatproxy.web.metrics import Load, Metrics
from chatproxy.web.openapi import OPENAPI

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "api.md").read_text()
# The tables of fields: the heading that each stands under, and its schema.
OBJECTS: Final[Mapping[str, str]] = {
    "Session": "Session",
    "Message": "Message",
    "Usage": "Usage",
    "Request body": "SendRequest",
    "JSON answer": "WholeAnswer",
    "Document": "Document",
    "Source": "Source",
    "Model": "ModelInfo",
}
OPENAPI_DOCUMENT: Final = json.loads(bytes(create_app(Config())[OPENAPI].content))
SCHEMAS: Final = OPENAPI_DOCUMENT["components"]["schemas"]


def section(page: str, heading: str) -> str:
    """Return what stands between a heading and the next one."""
    _, _, rest = f"\n{page}".partition(f"\n{heading}\n")
    return re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the table rows under a heading."""
    lines = [line for line in section(page, heading).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names(text: str) -> set[str]:
    """Return the names that stand in backticks."""
    return set(re.findall(r"`(\w+)`", text))


def differences(what: str, documented: set[str], real: set[str]) -> Iterator[str]:
    for name in sorted(real - documented):
        yield f"docs/api.md lacks {what} {name}"
    for name in sorted(documented - real):
        yield f"docs/api.md has {what} {name}, which the server has not"


def operations(page: str) -> Iterator[str]:
    documented = {
        f"{name} ({call})"
        for name, call in re.findall(r"^\| `(\w+)` \| `([A-Z]+ /[^`]*)` \|", page, re.MULTILINE)
    }
    paths = OPENAPI_DOCUMENT["paths"]
    real = {
        f"{operation['operationId']} ({method.upper()} {path})"
        for path, methods in paths.items()
        for method, operation in methods.items()
    }
    yield from differences("the operation", documented, real)
    for path, methods in paths.items():
        for method, operation in methods.items():
            for parameter in operation["parameters"]:
                if parameter["in"] != "path" and f"`{parameter['name']}`" not in page:
                    yield f"docs/api.md lacks the parameter {parameter['name']} of {method.upper()} {path}"


def errors(page: str) -> Iterator[str]:
    table = [row for row in rows(page, "## Errors") if row[0].isdigit()]
    documented = {f"{status} {code.strip('`')}" for status, code, *_ in table}
    yield from differences("the error", documented, {f"{status} {code}" for code, status in STATUS.items()})
    retryable = {code.strip("`") for _, code, retry, _ in table if retry == "yes"}
    yield from differences("the retry of", retryable, set(RETRYABLE))
    for field in sorted(Details.__annotations__.keys() - names(section(page, "## Errors"))):
        yield f"docs/api.md lacks the error field {field}"


def events(page: str) -> Iterator[str]:
    documented = {row[0].strip("`"): names(row[1]) for row in rows(page, "## The stream")}
    for tag, reference in SCHEMAS["Event"]["discriminator"]["mapping"].items():
        if tag not in documented:
            yield f"docs/api.md lacks the event {tag}"
        else:
            fields = set(SCHEMAS[reference.rpartition("/")[2]]["properties"]) - {"type"}
            yield from differences(f"in the event {tag} the field", documented[tag], fields)


def objects(page: str) -> Iterator[str]:
    for heading, schema in OBJECTS.items():
        documented = {row[0].strip("`") for row in rows(page, f"### {heading}") if row[0].startswith("`")}
        fields = set(SCHEMAS[schema]["properties"])
        yield from differences(f"under {heading!r} the field", documented, fields)


def metrics(page: str) -> Iterator[str]:
    documented = {f"{row[0].strip('`')} ({row[1]})" for row in rows(page, "### Metrics") if "_" in row[0]}
    text = Metrics().page(Load(active=0, queued=0, subscribers=0)).decode()
    real = {
        f"{family.name}{'_total' if family.type == 'counter' else ''} ({family.type})"
        for family in text_string_to_metric_families(text)
        if family.name.startswith("chatproxy_")  # those of any process depend on the system
    }
    yield from differences("the metric", documented, real)


CHECKS: Final = (operations, errors, events, objects, metrics)


@pytest.mark.parametrize("check", CHECKS)
def test_the_page_is_as_the_server(check: Callable[[str], Iterator[str]]) -> None:
    problems = "\n".join(check(PAGE))
    assert not problems, problems


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("| `listModels` | `GET /api/models` |", "lacks the operation listModels (GET /api/models)"),
        ("| 409 | `session_busy` | yes |", "lacks the error 409 session_busy"),
        ("| 409 | `session_busy` | yes |", "lacks the retry of session_busy"),
        ("| `chunk` | `content`, `cursor` |", "lacks the event chunk"),
        ("| `createdAt` | time |", "lacks under 'Session' the field createdAt"),
        ("| `replaces` | integer |", "lacks under 'Request body' the field replaces"),
        ("| `score` | number |", "lacks under 'Source' the field score"),
        ("| `chatproxy_subscribers` | gauge |", "lacks the metric chatproxy_subscribers (gauge)"),
    ],
)
def test_a_line_that_is_missing_is_named(line: str, complaint: str) -> None:
    assert line in PAGE
    rest = "\n".join(each for each in PAGE.splitlines() if line not in each)
    found = [problem for check in CHECKS for problem in check(rest)]
    assert any(complaint in problem for problem in found), found


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("`q`", "", "lacks the parameter q of GET /api/chat/sessions"),
        ("`neededTokens`", "", "lacks the error field neededTokens"),
        ("`content`, `cursor` | a piece of the answer", "`content` | a piece", "the field cursor"),
        ("| 409 | `session_busy`", "| 408 | `session_busy`", "has the error 408 session_busy"),
        ("| `id` | integer |", "| `identity` | integer |", "has under 'Message' the field identity"),
        ("`GET /healthz`", "`GET /health`", "has the operation getHealth (GET /health)"),
    ],
)
def test_a_line_that_is_wrong_is_named(before: str, after: str, complaint: str) -> None:
    assert before in PAGE
    found = [problem for check in CHECKS for problem in check(PAGE.replace(before, after))]
    assert any(complaint in problem for problem in found), found


def test_every_section_that_the_code_refers_to_exists() -> None:
    headings = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    sources = [path for ending in ("py", "js", "ts") for path in (ROOT / "chatproxy").rglob(f"*.{ending}")]
    missing = {
        (path.name, section)
        for path in sources
        for section in re.findall(r"docs/api\.md, ([A-Z][\w ]*)", path.read_text())
        if not any(section.startswith(heading) for heading in headings)
    }
    assert missing == set()
