"""One answer's call to Ollama: the slot, the model, the prompt and the connection.

Ollama says nothing until the first token, so what the answer waits for until then is told from what is known:
others, whose turn comes first (`Ticket.position`); that the model is loaded; that the prompt is read.

If Ollama has no room for the request, it waits for a slot again, at the head of the line. A model that
chatproxy chose and that fails before its first token is replaced by the next best one, once. Where several
hosts have a model, the others are asked first, whatever is wrong with the one, and no reader is told; before
the answer fails, so are those that were away when the message came. A prompt that Ollama rejects as too long
is fitted again, with the numbers that Ollama gave, and if they do not help twice, without anything that can
be left out. That a message is too long is Ollama's word.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Final

from msgspec.structs import replace

from chatproxy import clock
from chatproxy.answers.answer import Answer
from chatproxy.background import later
from chatproxy.errors import ChatError
from chatproxy.generation.ticket import Ticket
from chatproxy.models.catalog import KnownModel
from chatproxy.models.hosts import Hosts, blames_host, silent
from chatproxy.models.measured import possible
from chatproxy.models.pace import pace_of
from chatproxy.models.selection import Choice, too_long
from chatproxy.models.tokens import learned
from chatproxy.ollama.stream import ChatStream
from chatproxy.ollama.wire import Line, Message, OllamaError, RefusalError
from chatproxy.prompt.plan import Plan
from chatproxy.prompt.prompt import TRUNCATED, FittedPrompt, Prompt
from chatproxy.store.records import Measurement, Notice
from chatproxy.text.reasoning import Part, Reasoning

MAX_BYTES: Final = 4  # of a code point in UTF-8
LOADING_POLL: Final = 1.0  # seconds between two checks whether the model is loaded

Fit = Callable[[Prompt, KnownModel], FittedPrompt]


class LimitReached(Exception):
    """An answer has reached a limit of chatproxy's own, and ends there."""

    def __init__(self, limit: str, setting: str) -> None:
        super().__init__(setting)
        sentence = f"The answer was ended after {limit}; to get longer ones, raise {setting}."
        self.warning = Notice(code="answer_limit", message=sentence)


class UpstreamCall:
    """Appends Ollama's answer to an `Answer` until it is stopped, or longer than `max_bytes`.

    A line without text counts as a byte, so that an endless number of them has an end, too.
    """

    __slots__ = (
        "_answer",
        "_asked",
        "_away",
        "_choices",
        "_found_alone",
        "_has_format",
        "_loaded",
        "_max_bytes",
        "_model",
        "_models",
        "_reasoning",
        "_refused",
        "_room",
        "_spent",
        "_stopped",
        "_stream",
        "_ticket",
        "_unanswered",
        "counts",
        "first_text",
        "last_text",
        "measurement",
        "thought_until",
        "tool",
    )

    def __init__(
        self,
        answer: Answer,
        plan: Plan,
        ticket: Ticket,
        models: Hosts,
        *,
        stream: ChatStream | None,
        max_bytes: int,
    ) -> None:
        """Prepare to call Ollama; `stream` is the first answer that it was asked for, if it was."""
        self.first_text: float | None = None  # monotonic times of thinking or answer text
        self.thought_until: float | None = None  # when the first answer text came
        self.last_text: float | None = None
        self.measurement: Measurement | None = None  # what the answer showed about its model
        self.counts = plan.prompt.counts  # what Ollama counted in this session, this answer included
        self._answer = answer
        self._choices = plan.choices
        self._asked = [plan.first]  # the last one is asked now
        self._away: set[str] = set()  # hosts that no other model need be asked of
        self._unanswered: Plan | None = plan  # until the first text: it may hold megabytes of images
        self._ticket = ticket
        self._models = models
        self._max_bytes = max_bytes
        self._room = max_bytes
        self._model = plan.first.model  # that is asked
        self._loaded = False  # whether it probably is
        self._spent = 0.0  # seconds that Ollama took for a model that failed
        self._refused: tuple[float, ChatError] | None = None  # when Ollama had no room first, on `clock`
        self._stream = stream
        self._stopped = False
        self._has_format = plan.prompt.request.format is not None
        self._reasoning: Reasoning | None = None  # while it may come in the content
        self.tool: str | None = None  # the first one that the model called
        self._found_alone: bool | None = None  # see `Reasoning`

    @property
    def installed(self) -> bool:
        """Whether Ollama lists the model; if not, its name may be anything that a client sent."""
        return self._choices[0].model.digest is not None

    @property
    def host(self) -> str:
        """The host that was asked last, where there are several."""
        return self._model.host

    @property
    def _plan(self) -> Plan:
        assert self._unanswered is not None, "no text has arrived"
        return self._unanswered

    async def run(self) -> Line:
        """Make the call and return Ollama's final line. Raises ChatError and LimitReached."""
        while True:
            model = self._asked[-1].model
            try:
                return await self._ask(model)
            except ChatError as error:
                if self.first_text is None and blames_host(error):
                    self._away.add(model.host)
                    self._models.gone(model, error)
                following = await self._next(error)
                if following is None:
                    raise
                self._models.failed(model)
                self._fall_back(model, following.model, error)
            self._asked.append(following)
            self._refit(self._plan.prompt.fit(following.model))

    def _may_follow(self, error: ChatError) -> bool:
        """Return whether something else may succeed after an error, and nothing was said yet."""
        return self.first_text is None and (blames_host(error) or _is_models_fault(error))

    async def _next(self, error: ChatError) -> Choice | None:
        """Return what to ask after an error, also of hosts that nothing was chosen from: they may be back."""
        if (following := self._following(error)) is not None or not self._may_follow(error):
            return following
        asked = {choice.model.host for choice in self._asked}
        found = await self._models.elsewhere(self._asked[-1].model, asked)
        return None if found is None else Choice.of(found, "the same elsewhere")

    def _following(self, error: ChatError) -> Choice | None:
        """Return what to ask after an error of what was chosen, if something else may succeed.

        That is the same model of another host, or else another model, once.
        """
        if not self._may_follow(error):
            return None
        now = self._asked[-1].model
        away = {*self._away, now.host} if blames_host(error) else self._away
        others = [each for each in self._choices if each not in self._asked and each.model.host not in away]
        others.sort(key=lambda each: self._models.is_away(each.model))
        same = [each for each in others if each.model.is_same(now)]
        if same or not now.is_same(self._asked[0].model):
            return same[0] if same else None
        return others[0] if others else None

    def _fall_back(self, first: KnownModel, second: KnownModel, error: ChatError) -> None:
        spent = self._spent + self._turn_seconds
        try:
            self._ticket = self._ticket.rejoin(second.runner, pace_of(second))
        except ChatError:  # the queue is full; the first one's error says more
            raise error from None
        self._refused, self._spent = None, spent
        if second.is_same(first):
            self._answer.fall_back(second.name, f"{first.host} failed, so on {second.host}")
            return
        message = f"{first.name} failed ({error.sentence}); {second.name} answers instead."
        notice = Notice(code="model_fallback", message=message)
        reason = f"{first.name} failed" + (f", so on {second.host}" if second.host else "")
        self._answer.fall_back(second.name, reason, notice)

    async def _ask(self, model: KnownModel) -> Line:
        self._model = model
        self._ticket.follow(self._report)
        self._report()
        for _ in range(2):
            await asyncio.sleep(0)  # whoever sent the message is woken by then, and subscribes first
        ways = iter((Prompt.fit, Prompt.fit, Prompt.bare))
        while True:
            await self._ticket.wait_for_slot()
            if self._stream is None and self._models.is_away(model):  # meanwhile
                following = await self._next(hung := silent(model.host))
                if following is not None and not self._models.is_away(following.model):
                    raise hung
            try:
                return await self._exchange(model)
            except RefusalError as refused:
                if refused.is_busy:
                    if self._following(refused) is not None:
                        raise
                    self._wait_again(refused)
                else:
                    model = self._model = self._shorten(model, refused, ways)

    def _wait_again(self, refused: RefusalError) -> None:
        """Give the slot back, because Ollama had no room for the request."""
        if self._refused is None:
            self._refused = clock.now(), refused
        self._ticket.refused()

    def tell_place(self) -> None:
        """Report a place that is another than was told last."""
        if self._ticket.has_news:
            self._report()

    def _report(self) -> None:
        """Report what the answer waits for."""
        if self.first_text is not None:
            return
        if self._ticket.waits:
            self._ticket.note_told()
            self._answer.enter("queued", place=lambda: self._ticket.place)
        else:
            self._loaded = self._models.warm(self._model)  # another answer may have loaded it meanwhile
            self._report_model()

    def _report_model(self) -> None:
        """Report what Ollama does, whose turn it is to do it."""
        if self._loaded:
            self._answer.enter("waiting")
        else:
            self._answer.enter("loading", eta_ms=self._model.measured.load_ms)

    def _shorten(self, model: KnownModel, refused: RefusalError, ways: Iterator[Fit]) -> KnownModel:
        """Fit the prompt again, in the next of these ways that makes it shorter.

        Returns the model as the refusal shows it. Raises the refusal if it names no numbers, and
        `message_too_long` if there is no such way.
        """
        if refused.window is None or refused.prompt_tokens is None:
            raise refused
        fitted = self._plan.fitted
        model = self._models.refused(model, refused.window)
        self.counts = learned(
            self.counts, self._answer.id, model.id, fitted.size, refused.prompt_tokens, host=model.host
        )
        self._unanswered = replace(self._plan, prompt=replace(self._plan.prompt, counts=self.counts))
        for way in ways:
            shorter = way(self._plan.prompt, model)
            if shorter.most_tokens < fitted.most_tokens:
                self._refit(shorter)
                return model
        raise too_long(model, refused.prompt_tokens) from refused

    def _refit(self, fitted: FittedPrompt) -> None:
        """Replace the prompt, and the sources and the warnings of the earlier one."""
        self._unanswered = replace(self._plan, fitted=fitted)
        others = [notice for notice in self._answer.warnings if notice.code != TRUNCATED]
        self._answer.refit(fitted.sources, [*others, *fitted.notices])

    async def _exchange(self, model: KnownModel) -> Line:
        size, most_tokens = self._plan.fitted.size, self._plan.fitted.most_tokens
        async with later(LOADING_POLL, lambda: self._watch_loading(model), name="loading"):
            try:
                if self._stream is None:
                    self._ticket.asks()
                    self._stream = self._models.client(model).chat(self._plan.fitted.body)
                self._stream.deliver(self._receive, self._receive_token)
                last = possible(
                    await self._stream.finished,
                    prompt=most_tokens,
                    window=model.window,
                    answer=MAX_BYTES * (self._answer.cursor.thinking + self._answer.cursor.content),
                )
            except ChatError:
                self._stream = None  # no timeout applies to it any more
                raise
        self.measurement = self._models.measurement(model, last, begins_inside=self._found_alone)
        self.counts = learned(
            self.counts, self._answer.id, model.id, size, last.prompt_eval_count, host=model.host
        )
        return last

    async def _watch_loading(self, model: KnownModel) -> None:
        """Look until the first token whether the model is loaded, or one of several hosts hangs.

        One that was believed to be loaded may have to be loaded again.
        """
        loaded, hung = model.remote, silent(model.host)
        while self.first_text is None and (self._models.are_several or not loaded):
            loaded = await self._models.loaded(model, LOADING_POLL) or model.remote
            if self._models.is_away(model) and await self._next(hung) and self.moves_on(hung):
                return
            if loaded != self._loaded:
                self._loaded = loaded
                if self.first_text is None and not self._ticket.waits:
                    self._report_model()
            await asyncio.sleep(LOADING_POLL)

    def _receive(self, lines: Sequence[Line]) -> None:
        """Append what one read brought. The connection calls this directly; no task is woken.

        Raises LimitReached after the last text that the limit leaves room for.
        """
        thinking = content = ""
        tokens = 0
        for line in lines:
            thought, said = line.thinking, line.content
            thinking += thought
            content += said
            tokens += bool(thought or said)
        if not content and self.tool is None:
            self.tool = next((line.tool for line in lines if line.tool), None)
        done = lines[-1].done
        if done:
            self._ticket.end(complete=True)
        if self._stopped:
            return
        room = self._room - (len(lines) - tokens - done)
        self._room = room - _bytes(thinking) - _bytes(content)
        if self._room < 0:
            thinking = _cut(thinking, room)
            content = _cut(content, room - _bytes(thinking))
        if thinking or content:
            self._append(thinking, content, tokens)
        if done:
            self._tell_last(complete=lines[-1].done_reason != "length" and self._room >= 0)
        if self._room < 0:
            raise LimitReached(f"{self._max_bytes} bytes", "MAX_ANSWER_BYTES")

    def _receive_token(self, text: str, json: bytes) -> None:
        """Append the text of one plain line, as `_receive` does: in the middle of an answer, at once.

        `json` is the text in UTF-8, which is also how it stands in JSON.
        """
        room = self._room - len(json)
        reasoning = self._reasoning
        if (
            self.thought_until is None
            or room < 0
            or self._stopped
            or (reasoning is not None and not reasoning.is_content(text))
        ):
            self._receive([Line(message=Message(content=text))])
        else:
            self._room = room
            self.last_text = monotonic()
            self._answer.append_token(text, json)

    def _append(self, thinking: str, content: str, tokens: int) -> None:
        self.last_text = monotonic()
        if self.first_text is None:
            self.first_text = self.last_text
            self._unanswered = None
            self._ticket.discard_body()
            self._ticket.text_started()
            self._models.answers(self._model)
            self._answer.enter("generating")
            self._reasoning = Reasoning(
                self._answer.content,
                begins_inside=self._model.begins_inside,
                surely=self._model.surely_inside,
                alone=not self._has_format,  # text of a given form has no reasoning before it
            )
        reasoning = self._reasoning
        if reasoning is not None and (thinking or not reasoning.is_content(content)):
            thinking, content = self._tell_apart(reasoning, thinking, content)
        if content and self.thought_until is None:
            self.thought_until = self.last_text
        self._answer.append(thinking, content, tokens)

    def _tell_apart(self, reasoning: Reasoning, thinking: str, content: str) -> tuple[str, str]:
        """Return both without the tags. If Ollama marks the thinking, those in the content are text."""
        if thinking:
            self._tell_last(complete=False)
            return thinking, content
        part = reasoning.feed(content)
        if reasoning.decided:
            self._reasoning, self._found_alone = None, reasoning.found_alone
        return self._swapped(part)

    def _swapped(self, part: Part) -> tuple[str, str]:
        if part.swapped:
            self._answer.swap()
            self.thought_until = None  # what came was thinking
        return part.thinking, part.content

    def _tell_last(self, *, complete: bool) -> None:
        """Append what was held back until it was known what it is."""
        if (reasoning := self._reasoning) is not None:
            self._reasoning = None
            self._answer.append(*self._swapped(reasoning.end(complete=complete)), 0)
            self._found_alone = reasoning.found_alone

    def stop(self) -> None:
        """Append nothing more but what was held back, and close the connection."""
        self._tell_last(complete=False)
        self._stopped = True
        self._ticket.end(complete=False)
        if self._stream is not None:
            self._stream.abort()

    def release_slot(self) -> None:
        """Give up the slot, or the place in the queue."""
        self._ticket.leave()

    def moves_on(self, error: ChatError) -> bool:
        """Have another host asked, or else fail, if there are several, and nothing was said yet."""
        if self._stream is None or not self._models.are_several or not self._may_follow(error):
            return False
        self._stream.fail(error)
        return True

    def timeout_error(self, first_token_timeout: float, token_timeout: float) -> ChatError | None:
        """Return `upstream_timeout` if Ollama has been silent for too long; the limits are in seconds.

        While it answers others first, it is not. If it has had no room for too long, this is what it said.
        """
        now = clock.now()
        if self._stream is None:
            if self._refused is None:
                return None
            since, refused = self._refused
            return refused if now - since >= first_token_timeout else None
        started = self._stream.started
        if self._ticket.waits and not started:
            return None
        limit = token_timeout if started else first_token_timeout
        if now - max(self._stream.last_read, self._ticket.turn_at or 0.0) < limit:
            return None
        setting = "TOKEN_TIMEOUT" if started else "FIRST_TOKEN_TIMEOUT"
        return ChatError(
            "upstream_timeout", f"Ollama sent nothing for {limit:g} s; try again, or raise {setting}."
        )

    def time_limit(self, max_seconds: float) -> LimitReached | None:
        """Return the limit that is reached if Ollama has taken that long, whichever models it was."""
        if self._spent + self._turn_seconds < max_seconds:
            return None
        return LimitReached(f"{max_seconds:g} s", "MAX_ANSWER_SECONDS")

    @property
    def _turn_seconds(self) -> float:
        """How long it has been this answer's turn."""
        return 0.0 if self._ticket.turn_at is None else clock.now() - self._ticket.turn_at


def _bytes(text: str) -> int:
    """Return the length in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def _cut(text: str, room: int) -> str:
    """Return as much of the text as that many bytes of UTF-8 hold."""
    return text.encode()[: max(0, room)].decode(errors="ignore")


def _is_models_fault(error: ChatError) -> bool:
    """Return whether another model may succeed: not if Ollama is unreachable or the request is at fault."""
    if isinstance(error, OllamaError) and error.blames_request:
        return False
    return error.code in {"upstream_error", "upstream_incomplete", "model_not_found"}
