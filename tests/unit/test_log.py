import json
import logging
import re
from collections.abc import Iterator

import pytest
from chat_client import Client
from sockets import exchange

from chatproxy import log

logger = logging.getLogger("chatproxy.somewhere")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("chatproxy")
    before = root.handlers[:], root.level, own.level
    yield
    root.handlers[:], root.level = before[0], before[1]
    own.setLevel(before[2])


@pytest.fixture
def request_id() -> Iterator[str]:
    token = log.request_id.set("r-1")
    yield "r-1"
    log.request_id.reset(token)


def test_text_is_time_level_message_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("text", "info")
    log.event(logger, logging.INFO, "answer ended", sessionId="s1", tokens=5, model="a b", empty="")
    line = capsys.readouterr().err
    time, rest = line[:24], line[24:]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert rest == ' INFO answer ended sessionId=s1 tokens=5 model="a b" empty=""\n'


def test_json_is_one_object_with_the_fields(capsys: pytest.CaptureFixture[str], request_id: str) -> None:
    log.configure("json", "info")
    log.event(logger, logging.WARNING, "100% done", sessionId="s1", tokens=5, level="forged", other=object)
    entry = json.loads(capsys.readouterr().err)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("time"))
    assert entry == {
        "level": "warning",
        "logger": "chatproxy.somewhere",
        "event": "100% done",
        "requestId": request_id,
        "sessionId": "s1",
        "tokens": 5,
        "other": "<class 'object'>",
    }


def test_the_request_is_named_in_text_too(capsys: pytest.CaptureFixture[str], request_id: str) -> None:
    log.configure("text", "info")
    logger.info("hello %s", "you")
    assert capsys.readouterr().err.endswith(f" INFO hello you requestId={request_id}\n")


@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize("ending", ["\n", "\r", "\x0b", "\x85", "\u2028", "\x1b[2K"])
def test_a_message_cannot_forge_a_line(capsys: pytest.CaptureFixture[str], format: str, ending: str) -> None:
    log.configure(format, "info")
    forged = f"x{ending}2026-01-01T00:00:00.000Z ERROR forged"
    log.event(logger, logging.INFO, forged, model=forged)
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert len(written.splitlines()) == 1
    assert "\x1b" not in written


def test_an_exception_follows_on_indented_lines(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("text", "info")
    try:
        raise ValueError("first\n2026-01-01T00:00:00.000Z ERROR forged")
    except ValueError:
        logger.exception("it failed")
    head, *trace = capsys.readouterr().err.removesuffix("\n").split("\n")
    assert head.endswith(" ERROR it failed")
    assert trace[0] == "    Traceback (most recent call last):"
    assert trace[-1] == "    2026-01-01T00:00:00.000Z ERROR forged"
    assert all(line.startswith("    ") for line in trace)


def test_an_exception_is_a_field_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json", "info")
    logger.error("it failed", exc_info=ValueError("why"))
    assert json.loads(capsys.readouterr().err)["exception"] == "ValueError: why\n"


def test_libraries_log_from_warning_on(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("text", "debug")
    logging.getLogger("aiosqlite").debug("what a user wrote")
    logger.debug("ours")
    logging.getLogger("asyncio").warning("slow")
    written = capsys.readouterr().err
    assert [line.split(" ", 1)[1] for line in written.splitlines()] == ["DEBUG ours", "WARNING slow"]


def test_a_level_above_warning_applies_to_libraries_too(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("text", "error")
    logging.getLogger("asyncio").warning("slow")
    logger.warning("ours")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "bytes_",
    [
        b"GET / HTTP/1.1\r\nAuthorization: Bearer pomegranate\0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\npomegranate",
    ],
    ids=["token", "text"],
)
@pytest.mark.parametrize("format", ["text", "json"])
async def test_a_request_that_is_not_http_is_not_logged(
    client: Client, capsys: pytest.CaptureFixture[str], bytes_: bytes, format: str
) -> None:
    log.configure(format, "info")
    assert (await exchange(client, bytes_)).status == 400
    assert capsys.readouterr().err == ""
