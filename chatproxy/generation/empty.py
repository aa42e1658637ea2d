"""Answers without an answer: what a model did instead, and what to do about it."""

from typing import Final

from chatproxy.answers.answer import Answer
from chatproxy.ollama.wire import Line
from chatproxy.store.records import Notice

EMPTY: Final = "empty_answer"


def empty_answer(answer: Answer, last: Line, tool: str | None) -> Notice | None:
    """Return the warning for an answer that ended with Ollama's `last` line; None if it says something.

    `tool` is one that the model called.
    """
    if str(answer.content).strip():
        return None
    return Notice(code=EMPTY, message=_sentence(answer, last, tool))


def _sentence(answer: Answer, last: Line, tool: str | None) -> str:
    if tool:
        return (
            f"The model called {tool} instead of answering, but there are no tools here;"
            " ask it to answer in words, or choose another model."
        )
    if last.done_reason == "length":
        return (
            "The model reached its length limit before it began to answer;"
            " raise num_predict, or ask with thinking turned off."
        )
    if answer.thinking.length:
        return (
            "The model ended after thinking, without an answer;"
            " send the message again, or ask with thinking turned off."
        )
    return "The model ended without a word; send the message again, or choose another model."
