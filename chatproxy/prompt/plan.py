"""What an answer needs, gathered before anything is stored: the prompt, and the models to ask.

A prompt consists of the message with its images, passages of the documents, and as much of the history as the
window may hold.
"""

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Final

from msgspec import UNSET, Struct
from msgspec.structs import replace

from chatproxy.answers.transcript import Transcript
from chatproxy.config import Config
from chatproxy.errors import ChatError
from chatproxy.fair import FairSlots
from chatproxy.models import selection
from chatproxy.models.catalog import KnownModel, Runner
from chatproxy.models.hosts import Hosts
from chatproxy.models.selection import Choice, Need, by_host
from chatproxy.models.tokens import IMAGE_TOKENS
from chatproxy.prompt.passages import Passages, passages_for
from chatproxy.prompt.prompt import FittedPrompt, Prompt
from chatproxy.prompt.request import Send, says_nothing
from chatproxy.store.records import HistoryMessage, NewTurn, Notice, PromptCount, Session
from chatproxy.store.store import Store

FIRST_PAGE: Final = 64  # messages of the history at most; each further page at most doubles what was read
IMAGE_BYTES: Final = 16 * 1024 * 1024  # in one prompt
LOOKED_BACK: Final = 16  # messages in which a question about a document may find what it goes on from
MAX_READS_WAITING: Final = 512
READS: Final = 4  # conversations read at once, as nothing counts what is read before the queue does
# Of the history in one prompt, however large the window is.
HISTORY_BYTES: Final = 8 * 1024 * 1024
HISTORY_MESSAGES: Final = 8192


class Plan(Struct, frozen=True):
    """A prompt and the models to send it to, in order of preference.

    If a model was named, it is the only one; otherwise, all models that can answer are. Each is a choice for
    each host that has it. `fitted` is the prompt for the first, with as many of the `passages` as its window
    has room for.
    """

    prompt: Prompt
    choices: Sequence[Choice]
    fitted: FittedPrompt
    passages: Passages

    @property
    def first(self) -> Choice:
        """The model to ask."""
        return self.choices[0]

    def turn(self) -> NewTurn:
        """Return what is stored before Ollama is asked."""
        request = self.prompt.request
        return NewTurn(
            content=request.message,
            images=list(self.prompt.images),
            documents=[(document.id, document.title) for document in self.passages.documents],
            model=self.first.model.name,
            model_reason=self.first.reason,
            sources=list(self.fitted.sources),
            warnings=[*self.passages.notices, *self.fitted.notices],
            client_message_id=request.client_message_id,
            fingerprint=request.fingerprint,
            replaces=request.replaces,
            asked=request.asked,
        )


class Planner:
    """Makes plans. It only reads."""

    def __init__(
        self,
        config: Config,
        store: Store,
        transcript: Transcript,
        models: Hosts,
        wait: Callable[[Runner], float],
    ) -> None:
        """`wait` returns how many seconds others will take before it is the turn of who comes now."""
        self._config = config
        self._wait = wait
        self._store = store
        self._transcript = transcript
        self._models = models
        self._reads = FairSlots(
            READS,
            MAX_READS_WAITING,
            slots_per_user=READS - 1,
            places_per_user=MAX_READS_WAITING // 2,
            refusal=lambda: ChatError(
                "overloaded", "Too many messages are being checked; try again in a moment.", retry_after=1
            ),
        )

    async def plan(self, owner: str, session: Session, request: Send, counts: Sequence[PromptCount]) -> Plan:
        """Return the plan of an answer; `counts` are those of the session's prompts.

        Raises, in the order of docs/api.md, Sending: `invalid` for `replaces`, `not_found` for the document,
        then `model_not_found`, `no_models`, `no_suitable_model` or `upstream_…`, then `message_too_long`.
        """
        # What comes after an imported answer may be another one.
        if request.replaces is not None and request.follows is None:
            await self._store.messages.check_replaces(session, request.replaces)
        passages = await self._passages(owner, session, request)
        named = selection.named(request.model, session.model, self._config.default_model)
        models = await (self._models.found(named[0]) if named else self._models.all())
        request = self._with_settings(request, session, models)
        async with self._reads.slot(owner):
            return await self._read(session, request, counts, passages, models, named[1] if named else None)

    async def _read(
        self,
        session: Session,
        request: Send,
        counts: Sequence[PromptCount],
        passages: Passages,
        models: Sequence[KnownModel],
        reason: str | None,
    ) -> Plan:
        """Read what the prompt repeats of the conversation; `reason` is why `models` are a named one."""
        images = await self._images(session, request)
        replaced = request.replaces and await self._store.messages.count_from(session, request.replaces)
        prompt = Prompt(
            request=request,
            system=_first(request.system, session.system, self._config.system_prompt),
            images=images,
            earlier=session.message_count - (replaced or 0),
            sources=passages.sources,
            counts=counts,
        )
        if reason:
            need = self._need(prompt)
            choices = [Choice.of(model, reason) for model in by_host(models, need)]
            await selection.check_named(choices[0].model, need, self._models)
        else:  # the history says what answered last
            prompt = await self._with_history(session, prompt, lambda prompt: not prompt.history)
            choices = selection.rank(models, self._need(prompt))
        first = choices[0].model
        prompt = await self._with_history(session, prompt, lambda prompt: prompt.may_hold_more(first))
        following = next((choice.model for choice in choices if choice.model.name != first.name), first)
        ids = _with_images(prompt.history, [first, following])
        if ids:
            room = IMAGE_BYTES - sum(map(len, images))
            history_images = await self._store.messages.images(session, ids, room)
            prompt = replace(prompt, history_images=history_images)
        return Plan(prompt, choices, prompt.fit(first), passages)

    def _need(self, prompt: Prompt) -> Need:
        """Return what a prompt requires, with what tells hosts apart."""
        last = prompt.counts[-1] if prompt.counts else None
        before = last.tokens if last is not None else 0

        def tokens(model: KnownModel) -> int:
            return before + prompt.estimate(model).tokens(prompt.size)

        return replace(prompt.need(), prompt=tokens, last=last, wait=self._wait)

    def _with_settings(self, request: Send, session: Session, models: Sequence[KnownModel]) -> Send:
        """Return the message with the session's `think` and options, if it brings none.

        A session's `think` is a wish: it does not count where no model can.
        """
        if request.options is None and session.options is not None:
            request = request.with_options(session.options, self._config.allowed_options)
        if request.think is None and any("thinking" in model.capabilities for model in models):
            request = replace(request, think=session.think)
        return request

    async def _images(self, session: Session, request: Send) -> Sequence[bytes]:
        """Return the message's own images, or else those of the message that it is another version of.

        Raises `invalid` if there are none of either, and no text.
        """
        if request.images or request.replaces is None or request.follows is not None:
            return request.images
        kept = await self._store.messages.images(session, [request.replaces], IMAGE_BYTES)
        images = kept.get(request.replaces, [])
        if not request.message and not images:
            raise says_nothing()
        return images

    async def _passages(self, owner: str, session: Session, request: Send) -> Passages:
        """Return the passages that the message is answered from.

        Documents in the request stay with the session, and an empty list removes those that it has. A deleted
        one raises `not_found` if the request names it; if only the session does, the answer does without.
        """
        ids = session.document_ids if request.documents is UNSET else request.documents
        if not ids:
            return Passages()
        earlier = await self._earlier_questions(owner, session, request, ids)
        found = await self._found(owner, ids, request.message, earlier)
        there = {document.id for document in found.documents}
        gone = [id for id in ids if id not in there]
        if not gone:
            return found
        if request.documents is not UNSET:
            await self._store.documents.get(owner, gone[0])
        titles = await self._store.sessions.document_titles(session)
        return replace(
            found, notices=[_gone([titles.get(id) or f"number {id}" for id in gone]), *found.notices]
        )

    async def _found(self, owner: str, ids: Sequence[int], question: str, earlier: Sequence[str]) -> Passages:
        """Return the passages of those documents that there are."""
        store = self._store.documents
        documents = await store.some(owner, ids)
        try:
            return await passages_for(store, owner, documents, question, earlier) if documents else Passages()
        except ChatError as error:
            if error.code != "not_found" or await store.some(owner, ids) == documents:
                raise
            return await self._found(owner, ids, question, earlier)  # without one that was deleted meanwhile

    async def _earlier_questions(
        self, owner: str, session: Session, request: Send, ids: Sequence[int]
    ) -> list[str]:
        """Return the last questions about any of these documents, newest first, up to one about none."""
        async with self._reads.slot(owner):
            history = await self._transcript.history(session, limit=LOOKED_BACK, before=request.replaces)
        questions = [message for message in history if message.role == "user"]
        return [
            message.content
            for message in takewhile(lambda message: not set(ids).isdisjoint(message.document_ids), questions)
        ]

    async def _with_history(
        self, session: Session, prompt: Prompt, wants_more: Callable[[Prompt], bool]
    ) -> Prompt:
        """Return the prompt with more history while it `wants_more`, and may have it."""
        while (
            (read := len(prompt.history)) < min(prompt.earlier, HISTORY_MESSAGES)
            and prompt.history_size.bytes < HISTORY_BYTES
            and wants_more(prompt)
        ):
            before = prompt.history[-1].id if read else prompt.request.replaces
            limit = min(max(FIRST_PAGE, read), HISTORY_MESSAGES - read)
            page = await self._transcript.history(session, limit=limit, before=before)
            if not page:
                break
            prompt = prompt.with_history(page)
        return prompt


def _with_images(history: Sequence[HistoryMessage], models: Sequence[KnownModel]) -> list[int]:
    """Return the ids of messages whose images may be sent again, newest first, while a window has room."""
    room = max((model.likely_window for model in models if model.sees), default=0)
    ids: list[int] = []
    for message in history:
        if message.image_count and room > 0:
            ids.append(message.id)
            room -= IMAGE_TOKENS * message.image_count
    return ids


def _gone(titles: Sequence[str]) -> Notice:
    """Return the warning that documents of a session were deleted."""
    names = ", ".join([f"“{title}”" for title in titles])
    what, it = (f"documents {names} were", "them") if len(titles) > 1 else (f"document {names} was", "it")
    sentence = f"The {what} deleted, so the answer does without; add {it} again to ask about {it}."
    return Notice(code="document_gone", message=sentence)


def _first(*texts: str | None) -> str | None:
    """Return the first text that is not None. An empty one counts: it means no system prompt."""
    return next((text for text in texts if text is not None), None)
