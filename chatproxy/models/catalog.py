"""The models: which are installed and loaded, as Ollama lists them, and how fast they have been here.

Ollama's lists are cached (`Cached`), so that they are always at hand, and so is what each model can do
(`DetailsCache`). What Ollama is slow to say is left out of a choice.

Measurements are running averages in which a new one counts a third, so that they follow within a few answers
when the machine gets busy, or idle. What was learned about a model that has not answered for a day is
forgotten: it may be why the model is not chosen, and then nothing would correct it.
"""

import asyncio
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from time import monotonic
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from chatproxy.errors import ChatError
from chatproxy.models import measured
from chatproxy.models.details import DetailsCache, digest_of
from chatproxy.models.purpose import Purpose, purpose_of
from chatproxy.ollama.cached import Cached
from chatproxy.ollama.client import Details, Model, Ollama, RunningModel
from chatproxy.ollama.wire import Line
from chatproxy.store.records import Measurement

FRESH: Final = 3.0  # seconds for which a list of Ollama's is used as it is
USABLE: Final = 60.0  # seconds after which callers wait for a new one
PATIENCE: Final = 1.0  # seconds for which callers wait for a list
LEARNED_FOR: Final = 86_400.0  # seconds
WINDOW_FOR: Final = 600.0  # seconds; if it is larger by then, nothing else may show it
MOST_NAMES: Final = 20  # in a sentence
MOST_INSTALLED: Final = 100  # in an error's `installed`
UNKNOWN_WINDOW: Final = 131_072  # tokens, if nothing names the window
ID_LENGTH: Final = 12  # of the ids in `ollama list`


class Learned(Struct, frozen=True, kw_only=True):
    """What answers and refusals showed about one model, the last of them at the monotonic time `at`.

    `window` is the one that Ollama named when it refused a prompt, at `window_at`; None if it did not.
    `begins_inside` is whether the last answer began inside unmarked thinking; None if none showed it.
    """

    measured: Measurement
    window: int | None = None
    window_at: float = 0.0
    begins_inside: bool | None = None
    at: float


class Runner(Struct, frozen=True):
    """What answers for a model; names with equal weights share one. A remote one runs elsewhere.

    One that answers `one_at_a_time` does so whatever `OLLAMA_NUM_PARALLEL` is.
    """

    name: str
    remote: bool = False
    one_at_a_time: bool = False
    host: str = ""


class KnownModel(Struct, frozen=True, kw_only=True):
    """One installed model.

    `is_described` says whether Ollama has said what it can do, which an old one, or another server in its
    place, never does. `size` is the number of parameters, 0 until
    known. `window` is the one in force, in tokens, None until known; `expected_window` is the one that Ollama
    named last, or else the one that the model was trained for. `warm` means loaded; `in_memory` means wholly
    in the fastest memory. `has_system` says whether it has a system prompt of its own. One that
    `begins_inside` writes its thinking into the text, without an opening tag; `surely_inside` if its template
    says so, and not only its last answer. A token needs the share `active` of its weights. `tags` is its
    entry in Ollama's list. `host` is the name of the host that has it, empty if there is only one; one that
    `is_failing` has failed there a moment ago.
    """

    name: str
    host: str = ""
    digest: str | None = None
    weights: str | None = None
    size: float = 0.0
    remote: bool = False
    is_described: bool = True
    capabilities: frozenset[str] = frozenset()
    purpose: Purpose = Purpose.GENERAL
    has_system: bool = False
    begins_inside: bool = False
    surely_inside: bool = False
    active: float = 1.0
    window: int | None = None
    expected_window: int | None = None
    warm: bool = False
    in_memory: bool = False
    measured: Measurement = Measurement(digest="")
    tags: Model | None = None
    is_failing: bool = False

    @property
    def tokens_per_second(self) -> float | None:
        """The speed measured here; None until measured."""
        return self.measured.tokens_per_second

    @property
    def runner(self) -> Runner:
        """What runs it in Ollama, or elsewhere."""
        only_embeds = bool(self.capabilities) and "completion" not in self.capabilities
        one_at_a_time = only_embeds or (self.tags is not None and self.tags.one_at_a_time)
        return Runner(self.weights or canonical(self.name), self.remote, one_at_a_time, self.host)

    @property
    def ready(self) -> bool:
        """Whether nothing has to be loaded first; a model that runs elsewhere never has to be."""
        return self.warm or self.remote

    @property
    def sees(self) -> bool:
        """Whether it accepts images."""
        return "vision" in self.capabilities

    @property
    def likely_window(self) -> int:
        """The window in force, or a guess; if the guess is too large, Ollama's refusal names the window."""
        return self.window or self.expected_window or UNKNOWN_WINDOW

    def is_same(self, other: "KnownModel") -> bool:
        """Return whether the other one is this one, as another host may have it."""
        if self.digest is not None and self.digest == other.digest:
            return self.host != other.host or self.name == other.name
        return canonical(self.name) == canonical(other.name)

    @property
    def id(self) -> str:
        """What names it beside what it counted: its id in `ollama list`, or its name if it has none."""
        return self.digest[:ID_LENGTH] if self.digest else canonical(self.name)


def canonical(name: str) -> str:
    """Normalize a model's name as Ollama does: lower case, with `:latest` if it has no tag."""
    name = name.lower()
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


class ModelCatalog:
    """What is known about every model of one host."""

    def __init__(
        self,
        ollama: Ollama,
        measurements: Iterable[Measurement] = (),
        context_window: int | None = None,
        *,
        host: str = "",
    ) -> None:
        """Start from earlier measurements. If `context_window` is set, it is every model's window.

        `host` is the host's name, which is kept with its measurements; empty if there is only one.
        """
        self.installed: Cached[Sequence[Model]] = Cached(
            self._list_installed, fresh=FRESH, usable=USABLE, patience=PATIENCE
        )
        self.running: Cached[Sequence[RunningModel]] = Cached(
            self._list_running, fresh=FRESH, usable=USABLE, patience=PATIENCE
        )
        self.on_list: Callable[[Sequence[Model] | ChatError], None] = lambda found: None
        """Called with each list of Ollama's, or with why there is none."""
        self.on_silence: Callable[[ChatError], None] = lambda error: None
        """Called with why Ollama does not say which models are loaded."""
        self._host = host
        self._ollama = ollama
        self._details = DetailsCache(ollama.show)
        self._indexed: Sequence[Model] = ()  # the list that `_by_name` is of
        self._by_name: dict[str, Model] = {}
        self._learned: dict[str, Learned] = {}  # by digest
        self._context_window = context_window
        for row in measurements:
            digest, _, measured_at = row.digest.partition("@")
            if measured_at == host:
                self._learned[digest] = Learned(measured=measured.stored(row), at=monotonic() - row.age)

    async def close(self) -> None:
        """End the requests that are under way."""
        await self.installed.close()
        await self.running.close()
        await self._details.close()

    def expire(self) -> None:
        """Believe neither lists nor failures any more: Ollama was away, and may have others now."""
        self.installed.expire()
        self.running.expire()
        self._details.expire()

    async def _list_installed(self) -> Sequence[Model]:
        try:
            installed = await self._ollama.tags()
        except ChatError as error:
            self.on_list(error)
            raise
        self.on_list(installed)
        return installed

    async def _list_running(self) -> Sequence[RunningModel]:
        """Return the loaded models; none if they cannot be listed, the last ones if that takes too long."""
        try:
            return await self._ollama.ps()
        except ChatError as error:
            self.on_silence(error)
            return (self.running.last or ()) if error.code == "upstream_timeout" else ()

    async def all(self, usable: float = USABLE, *, patient: bool = False) -> list[KnownModel]:
        """Return every installed model, as far as it is known.

        Lists that are older than `usable` seconds are waited for, but not for long; a `patient` caller waits
        until Ollama has described all models, as far as it does.

        Raises `upstream_…` errors if Ollama cannot list them.
        """
        installed = await self.installed.get(usable) or await self.installed.fetch()
        self._index(installed)
        await self._details.ask(installed, patient=patient)
        runners = self._runners(await self._known_running(usable))
        return [self._known(model, runners) for model in installed]

    async def find(self, name: str) -> KnownModel:
        """Return the model of that name, in Ollama's spelling.

        Raises `model_not_found` after reading the list again. If the list cannot be read soon, the name is
        trusted.
        """
        installed = self.installed.at_hand()  # mostly, there is nothing to wait for, and to end in time
        model = None if installed is None else self._index(installed).get(canonical(name))
        if model is None:
            try:
                async with asyncio.timeout(PATIENCE):
                    model = self._index(await self.installed.get()).get(canonical(name))
                    if model is None:
                        model = self._index(await self.installed.fetch()).get(canonical(name))
            except (ChatError, TimeoutError):
                return KnownModel(name=name, host=self._host, is_described=False, window=self._context_window)
        if model is None:
            raise not_installed(name, [model.name for model in self._indexed])
        running = await self._known_running()
        others = (self._by_name.get(canonical(runner.name)) for runner in running)
        await self._details.ask([model, *filter(None, others)])
        return self._known(model, self._runners(running))

    @property
    def listed(self) -> Sequence[Model]:
        """The installed models as Ollama listed them last."""
        return self._indexed

    def name_of(self, digests: Collection[str]) -> str | None:
        """Return what a model with one of the digests is called, as listed last; None if there is none."""
        return next((model.name for model in self._indexed if model.digest in digests), None)

    def _index(self, installed: Sequence[Model]) -> dict[str, Model]:
        """Return the list by canonical name. What is not in it any more is forgotten."""
        if installed is not self._indexed:
            self._indexed = installed
            self._by_name = {canonical(model.name): model for model in installed}
            self._details.keep(installed)
            digests = set(map(digest_of, installed))
            self._learned = {digest: kept for digest, kept in self._learned.items() if digest in digests}
        return self._by_name

    async def _known_running(self, usable: float = USABLE) -> Sequence[RunningModel]:
        """Return the loaded models, or those that were last known, if Ollama takes long to list them."""
        if (running := self.running.at_hand(usable)) is not None:
            return running
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.running.get(usable)
        except TimeoutError:
            return self.running.last or ()

    def _runners(self, running: Sequence[RunningModel]) -> "Runners":
        """Return the loaded models by what they run.

        Names with equal weights share one runner, listed under the name that loaded it. A name that sets
        another window does not: Ollama would reload the model.
        """
        runners = Runners()
        for runner in reversed(running):  # the first one counts
            name = canonical(runner.name)
            runners.by_name[name] = runner
            model = self._by_name.get(name)
            details = model and self._details.get(model)
            if details and details.weights is not None:
                runners.by_weights[details.weights, details.window] = runner
        return runners

    def _known(self, model: Model, runners: "Runners") -> KnownModel:
        details = self._details.get(model) or Details()
        runner = runners.by_name.get(canonical(model.name))
        if runner is None and details.weights is not None:
            runner = runners.by_weights.get((details.weights, details.window))
        digest = digest_of(model)
        learned = self._learned_about(digest)
        return KnownModel(
            name=model.name,
            host=self._host,
            digest=digest,
            weights=details.weights,
            size=parameters(model.details.parameter_size if model.details else None),
            remote=model.remote,
            is_described=bool(details.capabilities),
            capabilities=details.capabilities,
            purpose=purpose_of(model.name, details),
            has_system=bool(details.system),
            begins_inside=details.begins_inside if learned.begins_inside is None else learned.begins_inside,
            surely_inside=details.begins_inside,
            active=details.active,
            window=self._context_window or (runner and runner.context_length) or details.window,
            expected_window=learned.window
            or details.trained_window
            or (model.details.context_length if model.details else None),
            warm=runner is not None,
            in_memory=runner is not None and (runner.size_vram or 0) >= (runner.size or 1),
            measured=learned.measured,
            tags=model,
        )

    async def loaded(self, model: KnownModel, age: float) -> bool:
        """Return whether the model is loaded, by a list of Ollama's that is at most `age` seconds old.

        All who wait for a model share the question. False if Ollama cannot be asked.
        """
        running = await self.running.within(age)
        return model.tags is not None and self._known(model.tags, self._runners(running)).warm

    def warm(self, model: KnownModel) -> bool:
        """Return whether the model is loaded, as far as is known without a request.

        While a message waited in the queue, another one may have loaded it.
        """
        if model.ready or model.tags is None:
            return model.ready
        return self._known(model.tags, self._runners(self.running.last or ())).warm

    # -- what answers show about their models

    def measurement(
        self, model: KnownModel, last: Line, *, begins_inside: bool | None = None
    ) -> Measurement | None:
        """Update the running figures with this answer's and return them.

        `last` has no more than what is `possible`. `begins_inside` is None if the answer does not show it.
        """
        if model.digest is None:
            return None
        before, tokens = self._learned_about(model.digest), last.prompt_eval_count
        after = self._learned[model.digest] = replace(
            before,
            measured=measured.updated(before.measured, last),
            window=None if (tokens or 0) > (before.window or 0) else before.window,
            begins_inside=before.begins_inside if begins_inside is None else begins_inside,
            at=monotonic(),
        )
        if measured.real_load_ms(last) or not self.warm(model):
            self.running.refresh()  # it is loaded now, and its window is in force
        return after.measured

    def refused(self, model: KnownModel, window: int) -> KnownModel:
        """Return the model with the window that Ollama named when it refused a prompt."""
        if model.digest is not None:
            now = monotonic()
            before = self._learned_about(model.digest)
            self._learned[model.digest] = replace(before, window=window, window_at=now, at=now)
        self.running.refresh()  # a model that has counted tokens is loaded, so the list names its window
        return replace(model, window=window, warm=True)

    def _learned_about(self, digest: str) -> Learned:
        """Return what was learned and still counts."""
        now = monotonic()
        learned = self._learned.get(digest)
        if learned is None or now - learned.at >= LEARNED_FOR:
            key = f"{digest}@{self._host}" if self._host else digest
            return Learned(measured=Measurement(digest=key), at=now)
        if now - learned.window_at >= WINDOW_FOR:
            return replace(learned, window=None)
        return learned


class Runners:
    """Loaded models by canonical name, and by their weights and window."""

    def __init__(self) -> None:
        self.by_name: dict[str, RunningModel] = {}
        self.by_weights: dict[tuple[str, int | None], RunningModel] = {}


def not_installed(name: str, installed: Sequence[str]) -> ChatError:
    """Return `model_not_found` for a name, where these models are installed."""
    return ChatError(
        "model_not_found",
        f"The model {name} is not installed; type `ollama pull {name}`, or choose one of: "
        f"{listed(installed) or 'none yet'}.",
        installed=list(installed[:MOST_INSTALLED]),
    )


def listed(names: Sequence[str]) -> str:
    """Return the names for a sentence, which has room for some of them."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def parameters(size: str | None) -> float:
    """Return "268.10M" as a number; 0 for None or anything else."""
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([KMBT]?)", size or "")
    return float(found[1]) * {"": 1, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}[found[2]] if found else 0.0
