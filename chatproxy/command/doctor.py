"""`chatproxy doctor`: check what a start depends on, and say what to do about each problem."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from time import monotonic
from typing import Final, Literal, Self

import msgspec
from msgspec import Raw, Struct

from chatproxy.command.output import say
from chatproxy.command.port import check_port, version_of_chatproxy
from chatproxy.config import UNQUOTED, Config, load, on_one_line
from chatproxy.embedding.embedder import is_possible
from chatproxy.embedding.questions import KEEP_ALIVE
from chatproxy.errors import ChatError, StartError
from chatproxy.models import selection
from chatproxy.models.catalog import KnownModel, listed
from chatproxy.models.embedding import NONE, SUGGESTED, find_embedding_model
from chatproxy.models.hosts import Host, Hosts
from chatproxy.models.selection import SUGGESTED as SUGGESTED_CHAT
from chatproxy.ollama.authorities import Fault
from chatproxy.ollama.wire import ChatMessage, ChatRequest
from chatproxy.store.sqlite.file import Health, health
from chatproxy.system.optional import install_documents
from chatproxy.values import is_easy_to_guess
from chatproxy.web.api import pages
from chatproxy.web.security import names_of

MIN_FREE: Final = 200 * 1024**2  # bytes on the disk
SLOW: Final = 4.0  # tokens per second
MAX_TOKENS: Final = 16  # of the test answer; a single one has no speed


class Finding(Struct, frozen=True):
    """The result of one check. `str()` gives one line, and a second one for a remedy."""

    mark: Literal["ok", "note", "wrong"]
    subject: str
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.mark:5}  {self.subject:13}  {self.detail}"
        return f"{line}\n{'':22}{self.remedy}" if self.remedy else line

    @classmethod
    def of(cls, mark: Literal["note", "wrong"], subject: str, sentence: str) -> Self:
        """Return the finding that a sentence of the form `cause; remedy` is about."""
        cause, _, remedy = sentence.partition("; ")
        return cls(mark, subject, cause, _as_sentence(remedy) if remedy else "")


async def examine(flags: Mapping[str, object], environ: Mapping[str, str], dotenv: Path) -> int:
    """Print the findings; return the exit code, 1 if something is wrong."""
    wrong = False
    async with aclosing(_findings(flags, environ, dotenv)) as findings:
        async for finding in findings:
            say(finding)
            wrong = wrong or finding.mark == "wrong"
    return int(wrong)


async def _findings(
    flags: Mapping[str, object], environ: Mapping[str, str], dotenv: Path
) -> AsyncGenerator[Finding, None]:
    try:
        loaded = load(flags, environ, dotenv)
        config = loaded.config
        yield _check_configuration(config)
        if unquoted := [name for name, source in loaded.sources.items() if source == UNQUOTED]:
            detail = f"those around {', '.join(unquoted)} do not count"
            yield Finding(
                "note", "quotes", detail, "Docker's --env-file passes them on: leave them out there."
            )
        yield _check_hosts(config)
        if config.jwt_secrets:
            yield Finding("ok", "users", "your own server may sign their tokens")
        if loaded.not_read and config.trusted_address_header is None:
            detail = f"{', '.join(loaded.not_read)} is set, which chatproxy does not read"
            remedy = "Name the header with the client's address in TRUSTED_ADDRESS_HEADER instead."
            yield Finding("note", "addresses", detail, remedy)
    except StartError as error:
        yield Finding("wrong", "configuration", str(error))
        return
    if config.visitors:
        yield _check_visitors(config)
    for path in loaded.exposed_files():
        detail = f"{path} holds a secret, and every user of this machine can read it"
        remedy = f"Keep it to its owner: chmod 600 {path}, or mount it with that mode."
        yield Finding("note", "secrets", detail, remedy)
    if not pages.has_markdown():
        yield Finding.of("note", "page", pages.NO_MARKDOWN)
    running = await version_of_chatproxy(config.host, config.port)
    findings, is_in_use = await asyncio.to_thread(check_database, config, running is not None)
    yield await _check_port(config, running if is_in_use else None)
    for finding in findings:
        yield finding
    models = Hosts.of(config)
    try:
        for fault in models.faults:
            yield _certificates(fault)
        for host, settings in zip(models.all_hosts, config.per_ollama(), strict=True):
            yield await _check_host(host, settings.ollama_url)
        model = await selection.for_plain_message(models, config.default_model)
        yield _check_models(model, [each.name for (each, *_) in selection.by_name(await models.all())])
        yield await _check_answer(models, model, config)
        yield await _check_embeddings(models, config.embedding_model)
    except ChatError as error:
        subject = "Ollama" if error.code.startswith("upstream_") else "models"
        yield Finding("wrong", subject, error.sentence)
    finally:
        await models.close()


async def _check_host(host: Host, url: str) -> Finding:
    """Ask for the version. Where there are several hosts, one that is away is no reason to end here."""
    try:
        return Finding("ok", "Ollama", f"{await host.ollama.version() or 'no version'} at {url}")
    except ChatError as error:
        if not host.name:
            raise
        return Finding("wrong", "Ollama", error.sentence)


def _certificates(fault: Fault) -> Finding:
    """Say what OpenSSL passes over; whether the rest is enough, the connection shows."""
    detail = f"{fault.name} names {on_one_line(fault.value)}, which {fault.what}"
    return Finding("note", "certificates", detail, _as_sentence(f"{fault.remedy}, and restart"))


def _as_sentence(clause: str) -> str:
    return f"{clause[0].upper()}{clause[1:]}."


def _check_configuration(config: Config) -> Finding:
    """Check who may connect. Raises StartError if the tokens cannot be read."""
    place = f"listens on {config.host} at port {config.port}"
    tokens = config.tokens
    if any(is_easy_to_guess(token.secret) for token in tokens):
        remedy = "If a proxy lets others in, use a longer one, such as `openssl rand -base64 24` prints."
        return Finding("note", "configuration", f"{place}, with a token that is easy to guess", remedy)
    if tokens:
        count = "a token" if len(tokens) == 1 else f"{len(tokens)} tokens"
        return Finding("ok", "configuration", f"{place}, with {count}")
    if not config.beyond_loopback:
        return Finding("ok", "configuration", f"{place}, for this machine only")
    if config.insecure_no_token:
        remedy = "Anyone who can connect can read and change everything: set API_TOKEN."
        return Finding("note", "configuration", f"{place}, without a token", remedy)
    return Finding("ok", "configuration", f"{place}, with a token generated at the first start")


def _check_hosts(config: Config) -> Finding:
    """Check by which names requests may call this server. Whether a proxy passes on others is a guess."""
    if config.allowed_hosts == ("*",):
        remedy = "Without a token, any page could call it: name the hosts."
        return Finding("ok" if config.tokens else "note", "hosts", "requests may use any name", remedy)
    detail = f"requests may use the names {', '.join(names_of(config))}"
    if config.allowed_hosts:
        return Finding("ok", "hosts", detail)
    is_behind_proxy = config.trusted_user_header or config.trusted_address_header
    remedy = "Behind a proxy, name the public one, as in ALLOWED_HOSTS=chat.example."
    return Finding("note" if is_behind_proxy else "ok", "hosts", detail, remedy)


async def _check_port(config: Config, running: str | None) -> Finding:
    """Check whether a start can listen, or `running` already does: the version of a chatproxy."""
    if running:
        return Finding("ok", "port", f"chatproxy {running} is running at {config.port}")
    try:
        await check_port(config.host, config.port)
    except StartError as error:
        return Finding("wrong", "port", str(error))
    return Finding("ok", "port", f"{config.port} is free")


def _check_models(model: KnownModel, names: Sequence[str]) -> Finding:
    """Say which models there are, and what to know about the one that would answer."""
    detail = f"{listed(names)}; {model.name} would answer"
    if model.remote:
        remedy = (
            f"It runs elsewhere, where messages are sent. To keep them here: ollama pull {SUGGESTED_CHAT}"
        )
        return Finding("note", "models", detail, remedy)
    if not model.is_described:
        remedy = "This Ollama does not say what models can do, so images and thinking are a try; update it."
        return Finding("note", "models", detail, remedy)
    return Finding("ok", "models", detail)


def _check_visitors(config: Config) -> Finding:
    """Check whether the addresses of visitors are known, by which they are limited."""
    detail = f"{config.visitors_per_minute} new ones a minute, {config.visitors_per_address} of one address"
    if config.trusted_address_header is not None:
        return Finding("ok", "visitors", detail)
    remedy = (
        "Behind a proxy, all have its address: let it set a header, and name that in TRUSTED_ADDRESS_HEADER."
    )
    return Finding("note", "visitors", detail, remedy)


def check_database(config: Config, is_running: bool = False) -> tuple[Sequence[Finding], bool]:
    """Check the database, its disk and SQLite, and return whether it is in use. The checks block."""
    if isinstance(config.database, str):
        return asyncio.run(_check_postgres(config.database))
    try:
        found = health(config.database_path)
    except (StartError, OSError) as error:
        return [Finding("wrong", "database", str(error))], False
    return list(_about_database(config.database_path, found, is_running)), found.is_in_use


async def _check_postgres(url: str) -> tuple[Sequence[Finding], bool]:
    try:
        from chatproxy.store.postgres import postgres_database

        postgres_database()
        from chatproxy.store.postgres.health import health

        found = await health(url)
    except StartError as error:
        return [Finding.of("wrong", "database", str(error))], False
    server = f"PostgreSQL {found.server}"
    if not found.version:
        finding = Finding("ok", "database", f"{found.name}, {server}: the tables are made at the first start")
    else:
        replicas = f", with {found.replicas} replicas" if found.replicas > 1 else ""
        size = f"{found.size / 1024**2:.1f} MiB"
        finding = Finding("ok", "database", f"{found.name}, {server}, {size}{replicas}")
    return [finding], found.is_in_use


def _about_database(path: Path, found: Health, is_running: bool) -> Iterator[Finding]:
    if found.damage:
        remedy = "Stop chatproxy and restore the last back-up (docs/operate.md)."
        yield Finding("wrong", "database", f"{path} is damaged: {'; '.join(found.damage)}", remedy)
    elif found.damage is None:
        yield Finding("ok", "database", f"{path} will be created at the first start")
    elif found.is_in_use and not is_running:
        remedy = "Stop that one before you start another, or name another file in DATABASE_URL."
        yield Finding("note", "database", f"{path} is in use by a chatproxy at another port", remedy)
    else:
        yield Finding("ok", "database", f"{path} is intact, {found.size / 1024**2:.1f} MiB")
    if found.index_is_damaged:
        remedy = "Nothing is lost: the next start builds it again from the conversations."
        yield Finding("note", "search", "the index for searches is damaged", remedy)
    free = f"{found.free / 1024**3:.1f} GiB free"
    if found.free < MIN_FREE:
        yield Finding(
            "wrong", "disk", free, "Free some space: on a full disk, answers end with storage_full."
        )
    else:
        yield Finding("ok", "disk", free)
    if found.sqlite_is_old:
        yield Finding("wrong", "SQLite", found.sqlite, "Use a Python with SQLite 3.37 or newer.")
    else:
        yield Finding("ok", "SQLite", found.sqlite)


async def _check_embeddings(models: Hosts, wanted: str) -> Finding:
    """Check whether documents are searched by meaning, with which model, and how fast that is."""
    words_alone = "documents are searched by words alone"
    if wanted.lower() == NONE:
        return Finding("ok", "embeddings", f"none, as set: {words_alone}")
    try:
        model = await find_embedding_model(models, wanted)
        if model is None:
            detail = f"no model for them is installed: {words_alone}"
            return Finding("ok", "embeddings", detail, f"To search by meaning, too: ollama pull {SUGGESTED}")
        if not is_possible(wanted):
            remedy = f"To search by meaning, too, {install_documents()}."
            return Finding("note", "embeddings", f"numpy is missing: {words_alone}", remedy)
        sent = monotonic()
        (vector,) = await models.embed(model.name, model.digest, ["Hi"], keep_alive=KEEP_ALIVE)
    except ChatError as error:
        return Finding("note", "embeddings", error.sentence, f"Until then, {words_alone}.")
    detail = f"{model.name} made a vector of {len(vector)} numbers in {monotonic() - sent:.1f} s"
    return Finding("ok", "embeddings", detail)


async def _check_answer(models: Hosts, model: KnownModel, config: Config) -> Finding:
    """Ask the model a short question and measure its speed. Raises the ChatErrors of Ollama."""
    request = ChatRequest(
        model=model.name,
        messages=[ChatMessage("user", "Hi")],
        truncate=False,
        options=Raw(msgspec.json.encode({"num_predict": MAX_TOKENS})),
    )
    sent, received = monotonic(), list[float]()
    try:
        async with asyncio.timeout(config.first_token_timeout):
            stream = models.client(model).chat(msgspec.json.encode(request))
            stream.deliver(lambda lines: received.append(monotonic()))
            last = await stream.finished
    except TimeoutError:
        detail = f"{model.name} said nothing for {config.first_token_timeout:g} s"
        return Finding("wrong", "answer", detail, "Check Ollama's log, or raise FIRST_TOKEN_TIMEOUT.")
    load = (last.load_ms or 0) / 1000
    detail = f"the first token after {received[0] - sent:.1f} s, {load:.1f} s of it to load the model"
    if (speed := last.tokens_per_second) is None:
        return Finding("ok", "answer", detail)
    detail += f"; {speed:.1f} tokens/s"
    if speed < SLOW:
        return Finding("note", "answer", detail, f"{model.name} is slow here; a smaller model is faster.")
    return Finding("ok", "answer", detail)
