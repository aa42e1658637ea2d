"""What to ask for an answer: the prompt, and the models in the order in which they are asked."""

from collections.abc import Sequence

from msgspec import Struct

from chatproxy.models.selection import Choice
from chatproxy.prompt.passages import Passages
from chatproxy.prompt.prompt import FittedPrompt, Prompt
from chatproxy.store.records import NewTurn


class Plan(Struct, frozen=True):
    """`choices` are several where nobody named one; `fitted` is the prompt for the first, with as many of the
    `passages` as it has room for."""

    prompt: Prompt
    choices: Sequence[Choice]
    fitted: FittedPrompt
    passages: Passages

    @property
    def first(self) -> Choice:
        return self.choices[0]

    @property
    def second(self) -> Choice | None:
        return self.choices[1] if len(self.choices) > 1 else None

    def question(self) -> NewTurn:
        """What is stored before anybody is asked."""
        request, notice = self.prompt.request, self.passages.notice
        return NewTurn(
            content=request.message,
            images=list(self.prompt.images),
            document_id=self.passages.document_id,
            model=self.first.model.name,
            model_reason=self.first.reason,
            sources=list(self.fitted.sources),
            warnings=[*([notice] if notice else []), *self.fitted.notices],
            client_message_id=request.client_message_id,
            fingerprint=request.fingerprint(),
            replaces=request.replaces,
        )
