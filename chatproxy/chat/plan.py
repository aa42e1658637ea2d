"""What to ask for an answer: the prompt, and the models in the order in which they are asked."""

from collections.abc import Sequence

from msgspec import Struct

from chatproxy.chat.context import Fitted, Prompt
from chatproxy.chat.selection import Choice


class Plan(Struct, frozen=True):
    """`fitted` is the prompt for the first model; `choices` are several where nobody named one."""

    prompt: Prompt
    choices: Sequence[Choice]
    fitted: Fitted

    @property
    def first(self) -> Choice:
        return self.choices[0]

    @property
    def second(self) -> Choice | None:
        return self.choices[1] if len(self.choices) > 1 else None
