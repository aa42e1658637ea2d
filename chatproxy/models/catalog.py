"""What is known of each model: from Ollama what it is and whether it is loaded, from here how it did.

The figures run along: each new measurement counts a third, so that a machine that has become busy, or
idle, shows within a few answers.
"""

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from chatproxy.errors import ChatError
from chatproxy.models.tokens import TokenEstimate
from chatproxy.ollama.catalog import Catalog
from chatproxy.ollama.client import Details, Model, Running
from chatproxy.ollama.wire import Line
from chatproxy.store.records import Measurement

WEIGHT: Final = 1 / 3  # of a new measurement
REAL_LOAD_MS: Final = 100  # below it, the model was loaded: Ollama reports about 1 ms then, never 0
UNKNOWN: Final = 131_072  # tokens, for a window that nobody names
MIN_TOKENS: Final = 8  # an answer shorter than that says nothing about the pace


class KnownModel(Struct, frozen=True, kw_only=True):
    """One installed model. `window` is the one in force, in tokens, None until known; `expected_window` is
    the one that Ollama named last, or else what the model was made for. `size` is 0 until known."""

    name: str
    digest: str | None = None
    weights: str | None = None
    size: float = 0.0  # parameters
    remote: bool = False
    capabilities: frozenset[str] = frozenset()
    window: int | None = None
    expected_window: int | None = None
    warm: bool = False
    in_memory: bool = False  # loaded, and all of it in the fastest memory
    measured: Measurement = Measurement(digest="")
    estimate: TokenEstimate = TokenEstimate()
    tags: Model | None = None

    @property
    def tokens_per_second(self) -> float | None:
        return self.measured.tokens_per_second

    @property
    def runner(self) -> str:
        """What answers for it in Ollama: names with the same weights share one."""
        return self.weights or canonical(self.name)

    @property
    def ready(self) -> bool:
        """Nothing has to be loaded first; what runs elsewhere never has."""
        return self.warm or self.remote

    @property
    def sees(self) -> bool:
        return "vision" in self.capabilities

    @property
    def likely_window(self) -> int:
        """The window in force; until that is known a guess, and Ollama's refusal will name it."""
        return self.window or self.expected_window or UNKNOWN

    @property
    def most_text(self) -> int:
        """Bytes of it that could ever fit."""
        return int(self.likely_window / self.estimate.slope)


def canonical(name: str) -> str:
    """Names match as Ollama's do: any case, `:latest` implied."""
    name = name.lower()
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


class Models:
    def __init__(
        self, catalog: Catalog, measurements: Iterable[Measurement], context_window: int | None
    ) -> None:
        """`context_window` is the setting: where it is given, it is every model's window."""
        self._catalog = catalog
        self._measured = {measured.digest: measured for measured in measurements}
        self._estimates = {measured.digest: _estimate(measured) for measured in self._measured.values()}
        self._context_window = context_window
        self._refused: dict[str, int] = {}  # windows that Ollama named when it refused a prompt

    async def all(self) -> list[KnownModel]:
        """Raises what kept Ollama from listing them."""
        installed = await self._catalog.installed.get() or await self._catalog.installed.fetch()
        running = await self._catalog.running.get()
        return list(await asyncio.gather(*[self._known(model, running) for model in installed]))

    async def find(self, name: str) -> KnownModel:
        """The model of that name, as Ollama spells it. Raises `model_not_found`, once the list was read
        again; where it cannot be read, the name is taken on trust."""
        try:
            installed = await self._catalog.installed.get()
            if _named(installed, name) is None:
                installed = await self._catalog.installed.fetch()
        except ChatError:
            return KnownModel(name=name, window=self._context_window)
        model = _named(installed, name)
        if model is None:
            raise ChatError(
                "model_not_found",
                f"The model {name} is not installed; type `ollama pull {name}`, or choose one of: "
                f"{', '.join(model.name for model in installed) or 'none yet'}.",
                installed=[model.name for model in installed],
            )
        return await self._known(model, await self._catalog.running.get())

    async def _known(self, model: Model, running: Sequence[Running]) -> KnownModel:
        details = await self._catalog.details(model.name, model.digest)
        runner = await self._runner(model, details, running)
        digest = model.digest or model.name
        return KnownModel(
            name=model.name,
            digest=digest,
            weights=details.weights,
            size=parameters(model.details.parameter_size if model.details else None),
            remote=model.remote,
            capabilities=details.capabilities,
            window=self._context_window or (runner and runner.context_length) or details.window,
            expected_window=self._refused.get(digest)
            or details.trained_window
            or (model.details.context_length if model.details else None),
            warm=runner is not None,
            in_memory=runner is not None and (runner.size_vram or 0) >= (runner.size or 1),
            measured=self._measured.get(digest, Measurement(digest=digest)),
            estimate=self._estimates.get(digest, TokenEstimate()),
            tags=model,
        )

    async def _runner(self, model: Model, details: Details, running: Sequence[Running]) -> Running | None:
        """What runs it now: names with the same weights share one runner, under the name that loaded it,
        unless they set another window: Ollama would load them anew."""
        for runner in running:
            if canonical(runner.name) == canonical(model.name):
                return runner
        if details.weights is not None:
            for runner in running:
                other = await self._catalog.details(runner.name, runner.digest)
                if (other.weights, other.window) == (details.weights, details.window):
                    return runner
        return None

    async def loaded(self, model: KnownModel) -> bool:
        """Asked of Ollama now."""
        running = await self._catalog.running.fetch()
        return model.tags is not None and (await self._known(model.tags, running)).warm

    async def warm(self, model: KnownModel) -> bool:
        """As far as is known without asking: while a message stood in line, others may have loaded it."""
        if model.ready or model.tags is None:
            return model.ready
        return (await self._known(model.tags, self._catalog.running.last or ())).warm

    # -- what answers show

    def measurement(self, model: KnownModel, last: Line, size: int | None) -> Measurement | None:
        """Update the running figures with this answer's and return them; `size` as in `FittedPrompt`."""
        if model.digest is None:
            return None
        if last.prompt_eval_count and size:
            self._learn(model.digest, size, last.prompt_eval_count)
        before, estimate = self._measured.get(model.digest, model.measured), self._estimates.get(model.digest)
        rate = last.tokens_per_second if (last.eval_count or 0) >= MIN_TOKENS else None
        load = last.load_ms if (last.load_ms or 0) >= REAL_LOAD_MS else None
        after = self._measured[model.digest] = Measurement(
            digest=model.digest,
            tokens_per_second=_running(before.tokens_per_second, rate),
            load_ms=_running(before.load_ms, load),
            prompt_base=estimate.base if estimate else None,
            prompt_slope=estimate.slope if estimate else None,
        )
        if load or not model.ready:
            self._catalog.running.refresh()  # it is loaded now, and its window is in force
        return after

    def refused(
        self, model: KnownModel, size: int | None, expected: int, *, window: int, tokens: int
    ) -> KnownModel:
        """The model with what Ollama named when a prompt did not fit: both numbers are exact. Where images
        were in it, which nothing is learned from, the next prompt is taken to cost as much more."""
        if model.digest is not None:
            self._refused[model.digest] = window
            if size:
                self._learn(model.digest, size, tokens)
        self._catalog.running.refresh()  # only a loaded one counts tokens, and the list tells its window
        if size:
            estimate = model.estimate.learned(size, tokens)
        else:
            estimate = replace(model.estimate, base=model.estimate.base + max(0, tokens - expected))
        return replace(model, window=window, warm=True, estimate=estimate)

    def _learn(self, digest: str, size: int, tokens: int) -> None:
        self._estimates[digest] = self._estimates.get(digest, TokenEstimate()).learned(size, tokens)


def _named(models: Sequence[Model], name: str) -> Model | None:
    return next((model for model in models if canonical(model.name) == canonical(name)), None)


def _estimate(measured: Measurement) -> TokenEstimate:
    if measured.prompt_base is None or measured.prompt_slope is None:
        return TokenEstimate()
    return TokenEstimate(measured.prompt_base, measured.prompt_slope)


def _running(before: float | None, now: float | None) -> float | None:
    if before is None or now is None:
        return before if now is None else now
    return before + (now - before) * WEIGHT


def parameters(size: str | None) -> float:
    """ "268.10M" as a number; 0 where it is missing."""
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([KMBT]?)", size or "")
    return float(found[1]) * {"": 1, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}[found[2]] if found else 0.0
