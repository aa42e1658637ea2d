"""`chatproxy doctor`: check what a start depends on, and say what to do about each problem."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from time import monotonic
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from chatproxy.config import Config, load
from chatproxy.embedding.embedder import is_possible
from chatproxy.embedding.questions import KEEP_ALIVE
from chatproxy.errors import ChatError, StartError
from chatproxy.models import selection
from chatproxy.models.catalog import KnownModel, ModelCatalog
from chatproxy.models.embedding import NONE, SUGGESTED, find_embedding_model
from chatproxy.models.selection import Need
from chatproxy.ollama.client import Ollama
from chatproxy.ollama.wire import ChatMessage, ChatRequest
from chatproxy.store.file import health
from chatproxy.values import is_easy_to_guess

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


async def examine(flags: Mapping[str, object], environ: Mapping[str, str], dotenv: Path) -> int:
    """Print the findings; return the exit code, 1 if something is wrong."""
    wrong = False
    async with aclosing(_findings(flags, environ, dotenv)) as findings:
        async for finding in findings:
            print(finding, flush=True)
            wrong = wrong or finding.mark == "wrong"
    return int(wrong)


async def _findings(
    flags: Mapping[str, object], environ: Mapping[str, str], dotenv: Path
) -> AsyncGenerator[Finding, None]:
    try:
        loaded = load(flags, environ, dotenv)
        config = loaded.config
        yield _check_configuration(config)
        if config.jwt_secrets:
            yield Finding("ok", "users", "your own server may sign their tokens")
    except StartError as error:
        yield Finding("wrong", "configuration", str(error))
        return
    if config.visitors:
        yield _check_visitors(config)
    for path in loaded.exposed_files():
        detail = f"{path} holds a secret, and every user of this machine can read it"
        remedy = f"Keep it to its owner: chmod 600 {path}, or mount it with that mode."
        yield Finding("note", "secrets", detail, remedy)
    for finding in await asyncio.to_thread(lambda: list(check_database(config))):
        yield finding
    ollama = Ollama(
        config.ollama_url, headers=config.headers_for_ollama, connect_timeout=config.connect_timeout
    )
    models = ModelCatalog(ollama, context_window=config.context_window)
    try:
        yield Finding("ok", "Ollama", f"{await ollama.version() or 'no version'} at {config.ollama_url}")
        if named := selection.named(None, None, config.default_model):
            model = await models.find(named[0])
            await selection.check_named(model, Need(), models)
        else:
            model = selection.rank(await models.all(), Need())[0].model
        names = ", ".join(each.name for each in await models.all())
        yield Finding("ok", "models", f"{names}; {model.name} would answer")
        yield await _check_answer(ollama, model, config)
        yield await _check_embeddings(ollama, models, config.embedding_model)
    except ChatError as error:
        yield Finding("wrong", "Ollama", error.sentence)
    finally:
        await models.close()
        await ollama.close()


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


def _check_visitors(config: Config) -> Finding:
    """Check whether the addresses of visitors are known, by which they are limited."""
    detail = f"{config.visitors_per_minute} new ones a minute, {config.visitors_per_address} of one address"
    if config.trusted_address_header is not None:
        return Finding("ok", "visitors", detail)
    remedy = (
        "Behind a proxy, all have its address: let it set a header, and name that in TRUSTED_ADDRESS_HEADER."
    )
    return Finding("note", "visitors", detail, remedy)


def check_database(config: Config) -> Iterator[Finding]:
    """Check the database file, its disk and SQLite. The checks block."""
    path = config.database_path
    try:
        found = health(path)
    except (StartError, OSError) as error:
        yield Finding("wrong", "database", str(error))
        return
    if found.damage:
        remedy = "Stop chatproxy and restore the last back-up (docs/operate.md)."
        yield Finding("wrong", "database", f"{path} is damaged: {'; '.join(found.damage)}", remedy)
    elif found.damage is None:
        yield Finding("ok", "database", f"{path} will be created at the first start")
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


async def _check_embeddings(ollama: Ollama, models: ModelCatalog, wanted: str) -> Finding:
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
            remedy = "To search by meaning, too: pip install 'ollama-chatproxy[documents]'"
            return Finding("note", "embeddings", f"numpy is missing: {words_alone}", remedy)
        sent = monotonic()
        (vector,) = await ollama.embed(model.name, ["Hi"], keep_alive=KEEP_ALIVE)
    except ChatError as error:
        return Finding("note", "embeddings", error.sentence, f"Until then, {words_alone}.")
    detail = f"{model.name} made a vector of {len(vector)} numbers in {monotonic() - sent:.1f} s"
    return Finding("ok", "embeddings", detail)


async def _check_answer(ollama: Ollama, model: KnownModel, config: Config) -> Finding:
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
            stream = ollama.chat(msgspec.json.encode(request))
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
