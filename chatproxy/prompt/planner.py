"""What an answer takes, gathered before anything is stored.

The message's images, the passages of its document, as much of the past as the window may hold, and the
models to ask.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from chatproxy.config import Config
from chatproxy.errors import ChatError
from chatproxy.generation.generation import Generation
from chatproxy.generation.registry import GenerationRegistry
from chatproxy.models import selection
from chatproxy.models.catalog import KnownModel, Models
from chatproxy.models.selection import Choice
from chatproxy.models.tokens import size_of
from chatproxy.prompt import passages as retrieval
from chatproxy.prompt.passages import Passages
from chatproxy.prompt.plan import Plan
from chatproxy.prompt.prompt import ENOUGH, IMAGE_TOKENS, Prompt
from chatproxy.prompt.request import SendRequest
from chatproxy.store.records import HistoryMessage, Notice, Session
from chatproxy.store.store import Store

PAGE: Final = 64  # messages of the past read first; each page is as long as all before it
GONE: Final = Notice(
    code="document_gone",
    message="This session's document was deleted, so the answer does without; add it again to ask about it.",
)


class Planner:
    def __init__(self, config: Config, store: Store, models: Models, generations: GenerationRegistry) -> None:
        self._config = config
        self._store = store
        self._models = models
        self._generations = generations

    async def plan(self, owner: str, session: Session, request: SendRequest) -> Plan:
        """Who is asked what, and who else if that one fails. Raises where nobody can be."""
        images = await self._images(owner, session.id, request)
        passages = await self._passages(owner, session, request)
        named = selection.named(request.model, session.model, self._config.default_model)
        models = [await self._models.find(named[0])] if named else await self._models.all()
        later = await self._store.count_from(owner, session.id, request.replaces) if request.replaces else 0
        prompt = Prompt(
            request=request,
            system=_first(request.system, session.system, self._config.system_prompt),
            images=images,
            earlier=session.message_count - later,
            sources=passages.sources,
        )
        if named:
            choices = [Choice(models[0], named[1])]
        else:
            prompt = await self._with_past(owner, session.id, prompt, ENOUGH)
            choices = selection.rank(models, prompt.need())
        first = choices[0].model
        prompt = await self._with_past(owner, session.id, prompt, first.most_text)
        shown = _pictured(prompt.past, [choice.model for choice in choices[:2]])
        if shown:
            prompt = replace(prompt, past_images=await self._store.images(owner, session.id, shown))
        return Plan(prompt, choices, prompt.fit(first), passages)

    async def _images(self, owner: str, session_id: str, request: SendRequest) -> list[bytes]:
        """The message's own, else those of the message that it replaces."""
        if request.replaces is not None:
            await self._store.check_replaces(owner, session_id, request.replaces)
            if not request.images:
                kept = await self._store.images(owner, session_id, [request.replaces])
                return kept.get(request.replaces, [])
        return request.images or []

    async def _passages(self, owner: str, session: Session, request: SendRequest) -> Passages:
        """What of a document the message is answered from: a number sticks to the session, null takes it
        off. Raises `not_found` for one that is named; one that the session had is done without."""
        named = request.document
        document_id = session.document_id if named is UNSET else named
        if document_id is None:
            return Passages()
        try:
            return await retrieval.passages(self._store, owner, document_id, request.message)
        except ChatError as error:
            if named is not UNSET or error.code != "not_found":
                raise
            return Passages(notice=GONE)

    async def _with_past(self, owner: str, session_id: str, prompt: Prompt, most: int) -> Prompt:
        """With as much of the conversation as makes that many bytes, or all of it."""
        past = list(prompt.past)
        while len(past) < prompt.earlier and sum(size_of(message.content) for message in past) < most:
            live = self._generations.now()
            before = past[-1].id if past else prompt.request.replaces
            limit = max(PAGE, len(past))
            page = await self._store.history(owner, session_id, before=before, limit=limit)
            past += [_as_it_was_said(message, live) for message in page]
            if len(page) < limit:
                break
        return replace(prompt, past=past)


def _as_it_was_said(past: HistoryMessage, live: Mapping[int, Generation]) -> HistoryMessage:
    """Also where the text could not be committed yet."""
    generation = live.get(past.id)
    if generation is None:
        return past
    return replace(past, content=str(generation.answer.content), model=generation.answer.model)


def _pictured(past: Sequence[HistoryMessage], models: Sequence[KnownModel]) -> list[int]:
    """The messages whose images could be sent again, newest first: no more than a window has room for."""
    room = max((model.likely_window for model in models if model.sees), default=0)
    pictured: list[int] = []
    for message in past:
        if message.image_count and room > 0:
            pictured.append(message.id)
            room -= IMAGE_TOKENS * message.image_count
    return pictured


def _first(*texts: str | None) -> str | None:
    """The first that is given; an empty one is given too, and means none."""
    return next((text for text in texts if text is not None), None)
