"""`chatproxy doctor`: looks at what a start would find, and says what to do about it."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from time import monotonic
from typing import Final, Literal

import msgspec
from msgspec import Struct

from chatproxy.config import Config, load
from chatproxy.errors import ChatError, StartError
from chatproxy.models import selection
from chatproxy.models.catalog import KnownModel, ModelCatalog
from chatproxy.models.selection import Need
from chatproxy.ollama.client import Ollama
from chatproxy.ollama.wire import ChatMessage, ChatRequest, Line
from chatproxy.store.file import health

LITTLE: Final = 200 * 1024**2  # bytes of free space
SLOW: Final = 4.0  # tokens per second
TOKENS: Final = 16  # of the answer: the first one alone says nothing of the pace, Ollama counts it as prompt


class Finding(Struct, frozen=True):
    mark: Literal["ok", "note", "wrong"]
    about: str
    said: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.mark:5}  {self.about:13}  {self.said}"
        return f"{line}\n{'':22}{self.remedy}" if self.remedy else line


async def examine(flags: Mapping[str, object], environ: Mapping[str, str], dotenv: Path) -> int:
    """Prints a line for each finding; the exit code is 1 if something is wrong."""
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
        config = load(flags, environ, dotenv).config
        yield _configuration(config)
    except StartError as error:
        yield Finding("wrong", "configuration", str(error))
        return
    for finding in await asyncio.to_thread(lambda: list(_database(config))):
        yield finding
    ollama = Ollama(config.ollama_host, api_key=config.ollama_api_key, connect_timeout=config.connect_timeout)
    models = ModelCatalog(ollama, context_window=config.context_window)
    try:
        yield Finding("ok", "Ollama", f"{await ollama.version()} at {config.ollama_host}")
        model = await _model(models, config)
        names = ", ".join(each.name for each in await models.all())
        yield Finding("ok", "models", f"{names}; {model.name} would answer")
        yield await _answer(ollama, model, config)
    except ChatError as error:
        yield Finding("wrong", "Ollama", error.sentence)
    finally:
        await models.close()
        await ollama.close()


def _configuration(config: Config) -> Finding:
    """Raises StartError."""
    place = f"listens on {config.host} at port {config.port}"
    if config.token is not None:
        return Finding("ok", "configuration", f"{place}, with a token")
    if not config.beyond_loopback:
        return Finding("ok", "configuration", f"{place}, for this machine only")
    if config.insecure_no_token:
        remedy = "Whoever reaches it can read and write everything: set API_TOKEN."
        return Finding("note", "configuration", f"{place}, without a token", remedy)
    return Finding("ok", "configuration", f"{place}, with a token made at the first start")


def _database(config: Config) -> Iterator[Finding]:
    path = config.database_path
    try:
        found = health(path)
    except (StartError, OSError) as error:
        yield Finding("wrong", "database", str(error))
        return
    if found.damage:
        remedy = "Stop chatproxy, and put the last back-up in its place (README, Back up and restore)."
        yield Finding("wrong", "database", f"{path} is damaged: {'; '.join(found.damage)}", remedy)
    elif found.damage is None:
        yield Finding("ok", "database", f"{path} will be made at the first start")
    else:
        yield Finding("ok", "database", f"{path} is sound, {found.size / 1024**2:.1f} MiB")
    free = f"{found.free / 1024**3:.1f} GiB free"
    if found.free < LITTLE:
        yield Finding("wrong", "disk", free, "Make room: a full disk ends answers with storage_full.")
    else:
        yield Finding("ok", "disk", free)
    if found.sqlite_is_old:
        yield Finding("wrong", "SQLite", found.sqlite, "Use a Python with SQLite 3.37 or newer.")
    else:
        yield Finding("ok", "SQLite", found.sqlite)


async def _model(models: ModelCatalog, config: Config) -> KnownModel:
    """That a short message would get."""
    named = selection.named(None, None, config.default_model)
    return await models.find(named[0]) if named else selection.rank(await models.all(), Need())[0].model


async def _answer(ollama: Ollama, model: KnownModel, config: Config) -> Finding:
    request = ChatRequest(
        model=model.name,
        messages=[ChatMessage("user", "Hi")],
        truncate=False,
        options={"num_predict": TOKENS},
    )
    began, came = monotonic(), list[float]()
    try:
        async with asyncio.timeout(config.first_token_timeout):
            stream = await ollama.chat(msgspec.json.encode(request), lambda lines: came.append(monotonic()))
            last = await stream.finished
    except TimeoutError:
        said = f"{model.name} said nothing for {config.first_token_timeout:g} s"
        return Finding("wrong", "answer", said, "Look into Ollama's log, or raise FIRST_TOKEN_TIMEOUT.")
    return _speed(model, last, came[0] - began)


def _speed(model: KnownModel, last: Line, seconds: float) -> Finding:
    pace = last.tokens_per_second
    said = (
        f"the first token after {seconds:.1f} s, {(last.load_ms or 0) / 1000:.1f} s of it to load the model"
    )
    said += f"; {pace:.1f} tokens/s" if pace is not None else ""
    if pace is not None and pace < SLOW:
        return Finding("note", "answer", said, f"{model.name} is slow here; a smaller model is faster.")
    return Finding("ok", "answer", said)
