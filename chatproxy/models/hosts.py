"""The hosts that run Ollama, one or several, and what is known about the models of all of them.

Models of one name are one model. A host that has another name for what has the same digest has it, too, and
is asked by its own name for it. A host that has failed is left alone for RESTS, longer each time, until it
has listed what it runs: one that refuses everything at once would otherwise seem to be idle. While all are
away, all are asked as ever.

With one host, everything is that host's, and nothing here waits or asks.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from time import monotonic
from typing import Any, Final, Self, TypeVar

from msgspec.structs import replace
from yarl import URL

from chatproxy import log
from chatproxy.config import Config
from chatproxy.errors import ChatError
from chatproxy.models.catalog import (
    PATIENCE,
    USABLE,
    KnownModel,
    ModelCatalog,
    canonical,
    not_installed,
)
from chatproxy.ollama.authorities import Fault
from chatproxy.ollama.client import Model, Ollama
from chatproxy.ollama.wire import Line, RefusalError
from chatproxy.store.records import Measurement

logger: Final = logging.getLogger(__name__)

RESTS: Final = (10.0, 20.0, 40.0, 60.0)  # seconds, after the first failure since a text, the second, …
LOOK: Final = 2.0  # seconds between two looks whether a host hangs

T = TypeVar("T")


class Host:
    """One Ollama: the client, and what is known about its models."""

    def __init__(self, name: str, ollama: Ollama, catalog: ModelCatalog) -> None:
        """Create a host; its `name` tells it apart from others, and is empty if it is the only one."""
        self.name = name
        self.ollama = ollama
        self.catalog = catalog
        self.recovery: asyncio.Task[None] | None = None  # while it is away
        self.rests = 0  # since it wrote a text; each is longer than the one before it

    @property
    def is_away(self) -> bool:
        """Whether it has failed, and not answered since."""
        return self.recovery is not None


class Hosts:
    """The models of all hosts. Create it in a running event loop, and close it."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self.all_hosts = hosts
        self.on_list: Callable[[Sequence[Model] | ChatError], None] = lambda found: None
        """Called with each list of a host's models, or with why none of them has one."""
        self.on_failure: Callable[[str], None] = lambda host: None
        """Called with the name of each host that is left alone from now on."""
        self._by_name = {host.name: host for host in hosts}
        self._failing: dict[tuple[str, str], float] = {}  # by host and name: until when, monotonic
        self._questions: set[asyncio.Task[Any]] = set()
        for host in hosts:
            host.catalog.on_list = partial(self._listed, host)
            host.catalog.on_silence = partial(self.note_failure, host)

    @classmethod
    def of(cls, config: Config, measurements: Iterable[Measurement] = ()) -> Self:
        """Return the hosts that the settings name, with what was measured of their models before."""
        known = list(measurements)
        settings = config.per_ollama()
        hosts = []
        for name, each in zip(names_of(config), settings, strict=True):
            ollama = Ollama.of(each)
            hosts.append(Host(name, ollama, ModelCatalog(ollama, known, config.context_window, host=name)))
        return cls(hosts)

    async def close(self) -> None:
        """End all that is under way, and close all kept connections."""
        tasks = [*self._questions, *(host.recovery for host in self.all_hosts if host.recovery is not None)]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for host in self.all_hosts:
            await host.catalog.close()
            await host.ollama.close()

    @property
    def are_several(self) -> bool:
        """Whether there is more than one, so that there is another one to ask."""
        return len(self.all_hosts) > 1

    @property
    def faults(self) -> Sequence[Fault]:
        """What is wrong with the variables that name authorities, if they count for any host."""
        return list(dict.fromkeys(fault for host in self.all_hosts for fault in host.ollama.faults))

    @property
    def heard_at(self) -> float:
        """When bytes last came from any host, on `clock`."""
        return max(host.ollama.heard_at for host in self.all_hosts)

    @property
    def usable(self) -> Sequence[Host]:
        """The hosts that may be asked: those that are not away, or all of them if all are."""
        return [host for host in self.all_hosts if not host.is_away] or self.all_hosts

    def of_model(self, model: KnownModel) -> Host:
        """Return the host of a model."""
        return self._by_name[model.host]

    def client(self, model: KnownModel) -> Ollama:
        """Return the client of a model's host."""
        return self.of_model(model).ollama

    # -- which models there are

    async def all(self, usable: float = USABLE, *, patient: bool = False) -> list[KnownModel]:
        """Return every model of every host; see `ModelCatalog.all`. Raises only if no host answers."""
        lists = await self.of_each(lambda host: host.catalog.all(usable, patient=patient))
        return self._marked([model for models in lists for model in models])

    def are_missing(self, models: Iterable[KnownModel]) -> bool:
        """Return whether these are not the models of all hosts, because one of several is away or slow."""
        hosts = {model.host for model in models}
        return self.are_several and any(
            host.name not in hosts
            and (host.is_away or host.catalog.installed.last is None or bool(host.catalog.listed))
            for host in self.all_hosts
        )

    async def find(self, name: str) -> KnownModel:
        """Return the model of that name; see `ModelCatalog.find`. Several hosts may have it: see `found`."""
        return (await self.found(name))[0]

    async def found(self, name: str) -> list[KnownModel]:
        """Return what each host has that is called so, or has the digest of one that is; at least one.

        Raises `model_not_found`. Where no list can be read soon, the name is trusted.
        """
        if not self.are_several:
            return [await self.all_hosts[0].catalog.find(name)]
        lists = await self.of_each(lambda host: _found(host.catalog, name))
        named = list(chain.from_iterable(lists))
        models = [model for model in named if model.tags is not None] or named
        if not models:
            installed = sorted({model.name for host in self.usable for model in host.catalog.listed})
            raise not_installed(name, installed)
        digests = {model.digest for model in models if model.digest}
        having = {model.host for model in models}
        for host in self.usable:
            if host.name not in having and (alias := host.catalog.name_of(digests)) is not None:
                with suppress(ChatError):  # it is gone by now
                    models.append(await host.catalog.find(alias))
        return self._marked(models)

    async def elsewhere(self, model: KnownModel, asked: Collection[str]) -> KnownModel | None:
        """Return the model as another host than those `asked` has it; None if none lists it soon.

        One that was away and lists its models is back.
        """
        for host in self.all_hosts:
            if host.name not in asked:
                with suppress(ChatError, TimeoutError):
                    async with asyncio.timeout(PATIENCE):
                        await host.catalog.installed.fetch()
                        if host.recovery is not None:
                            host.recovery.cancel()
                            self._end_rest(host)
                        found = await host.catalog.all()
                    if same := next(filter(model.is_same, found), None):
                        return same
        return None

    def _marked(self, models: list[KnownModel]) -> list[KnownModel]:
        """Return the models, with those that are failing marked."""
        now = monotonic()
        self._failing = {key: until for key, until in self._failing.items() if until > now}
        if not self._failing:
            return models
        return [replace(each, is_failing=(each.host, each.name) in self._failing) for each in models]

    def warm(self, model: KnownModel) -> bool:
        """Return whether the model is loaded, as far as is known; see `ModelCatalog.warm`."""
        return self.of_model(model).catalog.warm(model)

    async def loaded(self, model: KnownModel, age: float) -> bool:
        """Return whether the model is loaded; see `ModelCatalog.loaded`."""
        return await self.of_model(model).catalog.loaded(model, age)

    def expire(self) -> None:
        """Believe nothing any more; see `ModelCatalog.expire`."""
        for host in self.all_hosts:
            host.catalog.expire()

    async def of_each(self, ask: Callable[[Host], Coroutine[Any, Any, T]]) -> list[T]:
        """Return what the usable hosts answer, without those that take longer than others and PATIENCE.

        Raises the error of the first one if none answers.
        """
        hosts = self.usable
        if len(hosts) == 1:
            return [await ask(hosts[0])]
        tasks = [asyncio.create_task(ask(host), name=f"asking {host.name}") for host in hosts]
        for host, task in zip(hosts, tasks, strict=True):
            self._questions.add(task)
            task.add_done_callback(partial(self._answered, host))
        waiting, until = set(tasks), None
        while waiting:
            left = None if until is None else until - monotonic()
            done, waiting = await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            if until is None and any(map(_has_result, done)):
                until = monotonic() + PATIENCE
        return [task.result() for task in tasks if _has_result(task)] or [tasks[0].result()]

    def _answered(self, host: Host, task: asyncio.Task[Any]) -> None:
        self._questions.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), ChatError):
            self.note_failure(host, error)

    # -- what answers show about their models

    def measurement(
        self, model: KnownModel, last: Line, *, begins_inside: bool | None = None
    ) -> Measurement | None:
        """Update the running figures; see `ModelCatalog.measurement`."""
        return self.of_model(model).catalog.measurement(model, last, begins_inside=begins_inside)

    def refused(self, model: KnownModel, window: int) -> KnownModel:
        """Return the model with the window that Ollama named; see `ModelCatalog.refused`."""
        return self.of_model(model).catalog.refused(model, window)

    # -- vectors

    async def embed(
        self, model: str, digest: str, texts: Sequence[str], *, keep_alive: str
    ) -> list[list[float]]:
        """Return a vector for each text, of the first host that can make them; see `Ollama.embed`.

        Only vectors of one digest can be compared. Where it is not known, it is the model's name.
        """
        if not self.are_several:
            return await self.all_hosts[0].ollama.embed(model, texts, keep_alive=keep_alive)
        having = [each for each in await self.found(model) if each.digest in {None, digest}]
        failure = not_installed(model, [])
        for each in having:
            try:
                return await self.client(each).embed(each.name, texts, keep_alive=keep_alive)
            except ChatError as error:
                if not blames_host(error):
                    raise
                self.gone(each, error)
                failure = error
        raise failure

    async def running(self, age: float) -> set[str]:
        """Return the canonical names of the models that any host has loaded, by lists of at most that age."""
        lists = await self.of_each(lambda host: host.catalog.running.within(age))
        return {canonical(each.name) for running in lists for each in running}

    # -- which hosts are away

    def failed(self, model: KnownModel) -> None:
        """Ask for the model elsewhere for a time, because of how a request to its host has ended."""
        if self.are_several:
            self._failing[model.host, model.name] = monotonic() + RESTS[0]

    def gone(self, model: KnownModel, error: ChatError) -> None:
        """Leave the model's host alone for a time, because it has not answered."""
        self.note_failure(self.of_model(model), error)

    def answers(self, model: KnownModel) -> None:
        """Note the first text of an answer: the next time that its host fails, it rests for a short time."""
        self.of_model(model).rests = 0

    def is_away(self, model: KnownModel) -> bool:
        """Return whether the model's host has failed, and not answered since."""
        return self.of_model(model).is_away

    async def hung(self, host: Host) -> ChatError:
        """Return why a host is left alone, once it is: while it is waited for, it is asked what it runs."""
        while True:
            await host.catalog.running.within(LOOK)
            if host.is_away:
                return silent(host.name)
            await asyncio.sleep(LOOK)

    def _listed(self, host: Host, found: Sequence[Model] | ChatError) -> None:
        if isinstance(found, ChatError):
            self.note_failure(host, found)
            if self.are_several and not all(other.is_away for other in self.all_hosts):
                return
        self.on_list(found)

    def note_failure(self, host: Host, error: ChatError) -> None:
        """Leave a host alone for a time, if it is not the only one, unless the error is not its own."""
        if not self.are_several or host.is_away or not error.code.startswith("upstream_"):
            return
        host.recovery = asyncio.create_task(self._recover(host), name=f"{host.name} is away")
        self.on_failure(host.name)
        log.event(logger, logging.WARNING, error.sentence, code=error.code, host=host.name)

    async def _recover(self, host: Host) -> None:
        """Wait until a host answers again, at least to this question."""
        while True:
            rest = RESTS[min(host.rests, len(RESTS) - 1)]
            host.rests += 1
            await asyncio.sleep(rest)
            try:
                await host.ollama.ps()
            except ChatError:
                continue
            return self._end_rest(host)

    def _end_rest(self, host: Host) -> None:
        host.catalog.expire()
        host.recovery = None
        log.event(logger, logging.INFO, "Ollama answers again", host=host.name)


async def _found(catalog: ModelCatalog, name: str) -> list[KnownModel]:
    try:
        return [await catalog.find(name)]
    except ChatError as error:
        if error.code != "model_not_found":
            raise
        return []


def _has_result(task: asyncio.Task[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def blames_host(error: ChatError) -> bool:
    """Return whether only another host may do better: this one is away, silent, full, or no Ollama."""
    if isinstance(error, RefusalError) and error.is_busy:
        return True
    return error.code in {"upstream_unavailable", "upstream_timeout", "upstream_invalid"}


def silent(host: str) -> ChatError:
    """Return the error for a host that is left alone."""
    return ChatError("upstream_timeout", f"Ollama at {host} does not answer; look whether it runs.")


def names_of(config: Config) -> Sequence[str]:
    """Return what tells the hosts apart: their names and ports, and more only if that is not enough.

    The only one has an empty name.
    """
    places = [URL(each.ollama_url) for each in config.per_ollama()]
    if len(places) == 1:
        return [""]
    names = [place.authority for place in places]
    return names if len(set(names)) == len(names) else [str(place) for place in places]
