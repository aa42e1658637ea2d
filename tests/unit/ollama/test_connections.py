"""Why there is no connection, or none with Ollama: the sentence names the cause, on both paths."""

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from fake_ollama import FakeOllama, Mute

from chatproxy.config import FOR_OPENSSL
from chatproxy.errors import ChatError
from chatproxy.ollama.authorities import FILE, FOLDER, set_variables, trust
from chatproxy.ollama.client import Ollama

BODY: Final = b'{"version":"1.2.3","message":{"content":"Hi"},"done":true}'
OK: Final = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
# What servers say to HTTP at a port for TLS: Go's, nginx, and those that answer in TLS.
GO: Final = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
NGINX: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
    b"<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>"
)
ALERT: Final = b"\x15\x03\x01\x00\x02\x02\x46"

CURVE: Final = ("-pkeyopt", "ec_paramgen_curve:prime256v1")

Certificate = Callable[..., ssl.SSLContext]


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Certificate]:
    """Return a function that makes a server's certificate of its own, which chatproxy is to trust or not."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, request, chain = (str(tmp_path / name) for name in ("key", "request", "chain"))

    def make(*, trusted: bool = True, name: str = "localhost", days: int = 1) -> ssl.SSLContext:
        subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
        ask = ["req", "-new", "-newkey", "ec", *CURVE, "-nodes", "-keyout", key, "-out", request, *subject]
        sign = ["x509", "-req", "-in", request, "-signkey", key, "-copy_extensions", "copy", "-out", chain]
        for command in (ask, [*sign, "-days", str(days)]):
            subprocess.run(["openssl", *command], check=True, capture_output=True)
        for variable in FOR_OPENSSL:
            monkeypatch.delenv(variable, raising=False)
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", chain)
        trust.cache_clear()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(chain, key)
        return context

    yield make
    trust.cache_clear()


@asynccontextmanager
async def serving(response: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve that response to every request; the result is host:port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "localhost", 0, ssl=context) as server:
        yield f"localhost:{server.sockets[0].getsockname()[1]}"


async def outcomes(url: str) -> tuple[ChatError | str, ChatError | str]:
    """Return what comes of a list and of an answer."""
    ollama = Ollama(url, headers={}, connect_timeout=5)

    async def answer() -> str:
        stream = ollama.chat(b"{}")
        stream.deliver(lambda _: None)
        return (await stream.finished).content

    async def outcome(call: Awaitable[str]) -> ChatError | str:
        try:
            return await call
        except ChatError as error:
            return error

    try:
        return await outcome(ollama.version()), await outcome(answer())
    finally:
        await ollama.close()


async def fails(url: str, code: str, *words: str) -> None:
    for error in await outcomes(url):
        assert isinstance(error, ChatError), error
        assert error.code == code
        assert [word for word in words if word not in error.sentence] == [], error.sentence


async def test_a_certificate_of_ones_own_is_trusted_if_it_is_named(certificate: Certificate) -> None:
    async with serving(OK, certificate()) as place:
        assert await outcomes(f"https://{place}") == ("1.2.3", "Hi")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"trusted": False}, ("self-signed certificate", "set SSL_CERT_FILE", "restart")),
        ({"days": -1}, ("certificate has expired", "renew it")),
        ({"name": "ollama.example"}, ("'localhost'", "set OLLAMA_HOST to a name that the certificate has")),
    ],
    ids=["untrusted", "expired", "another name"],
)
async def test_a_certificate_that_is_not_trusted(
    certificate: Certificate, made: dict[str, object], words: tuple[str, ...]
) -> None:
    async with serving(OK, certificate(**made)) as place:
        await fails(
            f"https://{place}", "upstream_invalid", f"certificate of Ollama at https://{place}", *words
        )


NOT_THERE: Final = "cannot be read (No such file or directory); correct it, and restart."
NO_PEM: Final = "holds no certificate in PEM; correct it, and restart."
LACKS: Final = "lacks the certificate of the authority that signed it"


@pytest.fixture
def other(certificate: Certificate, tmp_path: Path) -> ssl.SSLContext:
    """What may be named in a folder, and the context of a server whose certificate none of it is."""
    certificate(name="other.example")
    (tmp_path / "chain").rename(tmp_path / "other")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    return certificate(trusted=False)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({FILE: "missing"}, f"{FILE} {NOT_THERE}"),
        ({FILE: "folder"}, f"{FILE} cannot be read (Is a directory); correct it, and restart."),
        ({FILE: "empty"}, f"{FILE} {NO_PEM}"),
        ({FILE: "key"}, f"{FILE} {NO_PEM}"),
        ({FILE: "other"}, f"{FILE} {LACKS}; add that, or name a file that has it, and restart."),
        ({FOLDER: "missing"}, f"{FOLDER} {NOT_THERE}"),
        ({FOLDER: "empty"}, f"{FOLDER} cannot be read (Not a directory); correct it, and restart."),
        (
            {FOLDER: "folder"},
            f"{FOLDER} holds no certificate under its hash; run `openssl rehash` on it, and restart.",
        ),
        ({FILE: "empty", FOLDER: "missing"}, f"{FILE} {NO_PEM}"),
        (
            {FILE: "other", FOLDER: "missing"},
            f"{FILE} {LACKS}, and {FOLDER} cannot be read (No such file or directory); correct either, and",
        ),
    ],
)
async def test_a_certificate_that_is_not_trusted_because_of_a_variable(
    other: ssl.SSLContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    named: dict[str, str],
    said: str,
) -> None:
    """Visitors read this, too: no path of the server is in it."""
    for name, what in named.items():
        monkeypatch.setenv(name, str(tmp_path / what))
    async with serving(OK, other) as place:
        for error in await outcomes(f"https://{place}"):
            assert isinstance(error, ChatError)
            assert (error.code, f"; {said}" in error.sentence) == ("upstream_invalid", True), error.sentence
            assert str(tmp_path) not in error.sentence


async def test_what_is_said_is_about_the_files_that_count(
    other: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is corrected counts after a restart; until then, nothing reads it."""
    monkeypatch.setenv(FILE, str(tmp_path / "empty"))
    async with serving(OK, other) as place:
        await fails(f"https://{place}", "upstream_invalid", f"{FILE} {NO_PEM}")
        (tmp_path / "empty").write_bytes((tmp_path / "chain").read_bytes())
        await fails(f"https://{place}", "upstream_invalid", f"{FILE} {NO_PEM}")
        trust.cache_clear()
        assert await outcomes(f"https://{place}") == ("1.2.3", "Hi")


async def test_a_variable_that_does_not_matter(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = certificate()
    monkeypatch.setenv(FOLDER, "/nowhere")
    async with serving(OK, context) as place:
        assert await outcomes(f"https://{place}") == ("1.2.3", "Hi")
    assert [fault.name for fault in trust().faults] == [FOLDER]


def faults() -> list[str]:
    trust.cache_clear()
    return [fault.what for fault in trust().faults]


def test_variables_that_can_be_used(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate()
    hashed = tmp_path / "hashed"
    hashed.mkdir()
    (hashed / "0a1b2c3d.0").touch()
    for name in FOR_OPENSSL:  # restored in the end
        monkeypatch.setenv(name, "/nowhere")
    set_variables({FILE: str(tmp_path / "chain"), FOLDER: f"/nowhere{os.pathsep}{hashed}"})
    assert faults() == []
    set_variables({})
    assert faults() == []
    assert os.environ.keys().isdisjoint(FOR_OPENSSL)
    reading, writing = os.pipe()
    os.write(writing, (tmp_path / "chain").read_bytes())
    os.close(writing)
    set_variables({FILE: f"/dev/fd/{reading}"})  # as the shell has it for <(command), to be read once
    assert faults() == []
    assert trust().context.cert_store_stats()["x509"] > 0
    os.close(reading)
    set_variables({FILE: "", FOLDER: "/nowhere"})
    assert faults() == ["cannot be read (No such file or directory)"] * 2


async def test_tls_with_a_server_that_has_none(fake: FakeOllama) -> None:
    url = fake.url.replace("http", "https")
    await fails(url, "upstream_invalid", "no TLS", "begin OLLAMA_HOST with http://")


@pytest.mark.parametrize(
    ("response", "code"),
    [(GO, "upstream_error"), (NGINX, "upstream_error"), (ALERT, "upstream_invalid")],
    ids=["Go", "nginx", "alert"],
)
async def test_http_with_a_server_that_wants_tls(response: bytes, code: str) -> None:
    async with serving(response) as place:
        await fails(f"http://{place}", code, "begin", "OLLAMA_HOST", "with https://")


async def test_a_server_that_closes_the_connection() -> None:
    async with serving(b"") as place:
        for error in await outcomes(f"http://{place}"):
            assert isinstance(error, ChatError)
            assert "closed before Ollama answered" in error.sentence
            assert "https://" in error.sentence
            assert error.retryable


async def test_a_name_that_is_not_known() -> None:
    await fails(
        "http://no-such-host.invalid:11434", "upstream_unavailable", "no-such-host.invalid", "is not known"
    )


async def test_a_refused_connection() -> None:
    with socket.socket() as bound:  # but not listening
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        await fails(url, "upstream_unavailable", f"reached at {url}", "`ollama serve`")


async def test_a_connection_that_is_not_accepted_in_time() -> None:
    async with Mute.listening() as mute:
        ollama = Ollama(f"https://{mute.address}", headers={}, connect_timeout=0.05)
        with pytest.raises(ChatError, match="was not accepted in time") as caught:
            await ollama.version()
        assert caught.value.code == "upstream_unavailable"
        await ollama.close()


def test_the_command_loads_no_certificates_that_it_does_not_use(certificate: Certificate) -> None:
    certificate()
    code = (
        "import os, chatproxy.command, aiohttp.connector\n"
        "from chatproxy.ollama.authorities import trust\n"
        "contexts = aiohttp.connector._SSL_CONTEXT_VERIFIED, trust().context\n"
        "print(*[each.cert_store_stats()['x509'] for each in contexts], os.environ['SSL_CERT_FILE'])\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["0", "1", os.environ["SSL_CERT_FILE"]]
