"""Whether a plain message would be answered; the log says what is missing, and when it is there again.

Nothing asks Ollama again and again for this. The command asks at its start. From then on, it is learned from
what others ask: probes, of which the page makes some while it is seen, and lists of models.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Self

from chatproxy import log
from chatproxy.errors import ChatError
from chatproxy.models import selection
from chatproxy.models.catalog import canonical
from chatproxy.models.hosts import Hosts
from chatproxy.ollama.client import Model

logger: Final = logging.getLogger(__name__)

MOST_SAID: Final = 5  # sentences with one code, until another one, or an answer
OF_OLLAMA: Final = "upstream_"  # how the codes begin of what is wrong with Ollama rather than its models


class Readiness:
    """What is missing for an answer by `default_model`, which is DEFAULT_MODEL, as far as is known."""

    def __init__(self, models: Hosts, default_model: str) -> None:
        self._models = models
        self._default = default_model
        self._missing: str | None = None  # the code of the error that the log has said last
        self._said = set[str]()  # the sentences with that code
        self._looking: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def running(cls, models: Hosts, default_model: str) -> AsyncIterator[Self]:
        """Follow the catalog's lists while the block runs."""
        readiness = cls(models, default_model)
        models.on_list = readiness.listed
        try:
            yield readiness
        finally:
            if readiness._looking is not None:
                readiness._looking.cancel()
                await asyncio.wait({readiness._looking})

    def look(self) -> None:
        """Ask Ollama in the background, and log what is new."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="what is missing for an answer")

    def failed(self, error: ChatError) -> None:
        """Note that Ollama cannot be asked. Different causes may have one code, and a proxy's any words."""
        if error.code != self._missing:
            self._missing = error.code
            self._said.clear()
        if error.sentence not in self._said and len(self._said) < MOST_SAID:
            self._said.add(error.sentence)
            log.event(logger, logging.WARNING, error.sentence, code=error.code)

    def answered(self) -> None:
        """Note that Ollama has said something."""
        if (self._missing or "").startswith(OF_OLLAMA):
            self.look()

    def listed(self, found: Sequence[Model] | ChatError) -> None:
        """Note which models Ollama lists, or why it does not; one that is slow to do so may be busy."""
        if isinstance(found, ChatError):
            if found.code != "upstream_timeout":
                self.failed(found)
            return
        names = {canonical(model.name) for model in found}
        is_enough = canonical(self._default) in names if selection.is_named(self._default) else bool(names)
        if self._missing is not None or not is_enough:
            self.look()

    async def _look(self) -> None:
        try:
            model = await selection.for_plain_message(self._models, self._default)
        except ChatError as error:
            self.failed(error)
        else:
            if self._missing is not None:
                self._missing = None
                log.event(logger, logging.INFO, "messages can be answered", model=model.name)
