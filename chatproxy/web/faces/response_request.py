"""What a request for a kept Response means: which are kept, and the message, history and options of one.

What would change the meaning of a request, and cannot be done here, is refused by its name; other fields that
are not known are ignored.
"""

import re
from collections.abc import Collection, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import replace

from chatproxy.errors import ChatError, unusable
from chatproxy.ollama.lenient import DECODE_ERRORS, decode_halves
from chatproxy.prompt.images import image_in
from chatproxy.prompt.request import (
    MAX_IMAGE,
    MAX_IMAGES,
    MAX_JSON,
    MAX_MESSAGE,
    ModelName,
    Send,
    SendRequest,
    SystemPrompt,
    at_most,
)
from chatproxy.store.records import ImportedTurn
from chatproxy.web.faces.response_events import Asked
from chatproxy.web.json import MAX_BODY, reading_json

MAX_INPUT: Final = 1024 * 1024  # bytes of items without images; unfolded, they take thirty times as much
TOO_LONG: Final = f"input is longer than {MAX_INPUT // 1024} KiB without its images; shorten it."
MAX_TOKENS: Final = 2**31 - 1
# Which level of thinking an effort is; none is none.
EFFORTS: Final = {"none": False, "minimal": "low", "xhigh": "max"}

Thought = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
_IMAGE: Final = re.compile(rb'"data:image[^"]*"')


class TextFormat(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How the text is to be formed."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class TextConfig(Struct, frozen=True, omit_defaults=True):
    """What is wanted of the text."""

    format: TextFormat | None = TextFormat(type="text")


class ReasoningConfig(Struct, frozen=True):
    """How much the model is to think."""

    effort: Thought | None = None


class ResponseRequest(Struct, frozen=True, kw_only=True):
    """A request for a Response that is kept. Null means absent."""

    input: Annotated[
        Raw,
        at_most(
            MAX_BODY,
            "A text, or OpenAI's input items, the last of which is a message of the user's.",
            anyOf=[{"type": "string"}, {"type": "array", "items": {"type": "object"}}],
        ),
    ]
    instructions: SystemPrompt | None = None
    model: ModelName | None = None
    background: bool | None = None
    store: bool | None = None
    stream: bool | None = None
    previous_response_id: (
        Annotated[str, Meta(max_length=512, description="The Response after which the conversation goes on.")]
        | None
    ) = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_output_tokens: Annotated[int, Meta(ge=1, le=MAX_TOKENS)] | None = None
    text: Annotated[TextConfig | None, at_most(MAX_JSON, "How the text is to be formed.")] = None
    reasoning: Annotated[ReasoningConfig | None, at_most(MAX_JSON, "How much to think.")] = None
    metadata: (
        Annotated[
            dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]],
            Meta(max_length=16),
            at_most(MAX_JSON, "Repeated in the Response."),
        ]
        | None
    ) = None
    # What is refused unless it is absent or says nothing.
    conversation: Annotated[Raw | UnsetType, at_most(MAX_JSON, "Not possible here.", enum=[None])] = UNSET
    prompt: Annotated[Raw | UnsetType, at_most(MAX_JSON, "Not possible here.", enum=[None])] = UNSET
    top_logprobs: Annotated[Raw | UnsetType, at_most(MAX_JSON, "Not possible here.", enum=[None, 0])] = UNSET

    def check(self) -> None:
        """Raise `unsupported_parameter` for what cannot be done here, `invalid` for a missing schema."""
        advice = {
            "conversation": "go on with previous_response_id instead",
            "prompt": "send the text itself as instructions and input",
            "top_logprobs": "leave it out",
        }
        for name, instead in advice.items():
            value = getattr(self, name)
            if value is not UNSET and bytes(value) not in {b"null", b"0"}:
                raise unsupported(name, f"{name} is not possible here; {instead}.")
        wanted = self.text.format if self.text else None
        if wanted is not None and wanted.type == "json_schema" and wanted.schema is None:
            raise unusable("text.format.schema", "a json_schema needs one")
        if self.store is False:
            raise unsupported(
                "store", "background and previous_response_id need a Response that is kept; send store: true."
            )

    async def send(self, question: "Question", system: str | None, allowed: Collection[str]) -> Send:
        """Return the message to answer; `system` is the system prompt of the conversation that it goes on.

        Raises what `SendRequest.checked` does, and `too_large` for the system prompt.
        """
        said = "\n\n".join([text for text in (self.instructions, system, question.system) if text])
        if len(said.encode()) > MAX_MESSAGE:
            raise ChatError(
                "too_large", f"The instructions are longer than {MAX_MESSAGE // 1024} KiB in all."
            )
        options = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "num_predict": self.max_output_tokens,
        }
        effort = self.reasoning.effort if self.reasoning else None
        message = SendRequest(
            message=question.text,
            model=self.model,
            system=said or None,
            images=list(question.images),
            options={name: value for name, value in options.items() if value is not None} or None,
            think=EFFORTS.get(effort, effort) if effort else None,  # type: ignore[arg-type]
            format=self._format(),
        )
        return replace(
            await message.checked(allowed), asked=self._asked(), unattended=self.background is True
        )

    def _format(self) -> str | dict[str, Any] | None:
        wanted = self.text.format if self.text else None
        if wanted is None or wanted.type == "text":
            return None
        return "json" if wanted.type == "json_object" else wanted.schema

    def _asked(self) -> Raw:
        asked = Asked(
            background=self.background is True,
            max_output_tokens=self.max_output_tokens,
            metadata=_raw(self.metadata or {}),
            previous_response_id=self.previous_response_id,
            reasoning=_raw(self.reasoning),
            temperature=self.temperature,
            text=_raw(self.text or TextConfig(TextFormat(type="text"))),
            top_p=self.top_p,
        )
        return _raw(asked)


class Question(Struct, frozen=True, kw_only=True):
    """What an input asks, and what was said before that. `system` is all that its system messages say."""

    text: str
    images: Sequence[bytes]
    earlier: Sequence[ImportedTurn]
    system: str


class Part(Struct, frozen=True):
    """A part of an item's content."""

    type: str
    text: str = ""
    refusal: str = ""
    image_url: str | None = None


class Item(Struct, frozen=True):
    """An item of an input."""

    type: str = "message"
    role: str | None = None
    content: str | list[Part] | None = None


class Kind(Struct, frozen=True):
    """The fields that tell which requests are kept."""

    background: Raw = Raw(b"null")
    store: Raw = Raw(b"null")
    previous_response_id: Raw = Raw(b"null")
    tools: Raw = Raw(b"null")


def is_kept(body: bytes | bytearray) -> bool:
    """Return whether the Response is one to keep; one with tools is not, as Ollama itself can do all of that.

    Raises `unsupported_parameter` for tools with what Ollama cannot do.
    """
    try:
        kind = decode_halves(body, Kind)
    except DECODE_ERRORS:
        return False
    follows = bytes(kind.previous_response_id) not in {b"null", b'""'}
    cannot_pass = follows or bytes(kind.background) == b"true"
    has_tools = bytes(kind.tools).translate(None, b" \t\r\n") not in {b"null", b"[]"}
    if has_tools and cannot_pass:
        raise unsupported(
            "tools",
            "A Response in the background, or after another one, cannot have tools here; leave them out, or"
            " send the whole conversation as input.",
        )
    return cannot_pass or (bytes(kind.store) == b"true" and not has_tools)


def question_of(given: Raw) -> Question:
    """Return what an input asks. Raises `invalid`, `too_large` or `unsupported_parameter`."""
    raw = memoryview(given)
    images = sum(image.end() - image.start() for image in _IMAGE.finditer(raw))
    if raw[0] == ord("[") and len(raw) - images > MAX_INPUT:
        raise ChatError("too_large", TOO_LONG)
    with reading_json("input"):
        said = msgspec.json.decode(given, type=str | list[Item])
    items = [Item(role="user", content=said)] if isinstance(said, str) else said
    turns = [_turn(item, f"input[{number}]") for number, item in enumerate(items)]
    return _question([turn for turn in turns if turn is not None])


def unsupported(field: str, sentence: str) -> ChatError:
    """Return the error for a field that cannot be used in a kept Response."""
    return ChatError("unsupported_parameter", sentence, field=field)


def _question(turns: Sequence[ImportedTurn]) -> Question:
    if sum(len(turn.content) for turn in turns) > MAX_INPUT:  # texts that looked like images
        raise ChatError("too_large", TOO_LONG)
    spoken = [turn for turn in turns if turn.role != "system"]
    if not spoken or spoken[-1].role != "user" or not (spoken[-1].content or spoken[-1].images):
        raise unusable("input", "input has to end with a message of the user's that says something")
    last = spoken[-1]
    if len(last.content.encode()) > MAX_MESSAGE:
        raise ChatError("too_large", f"input's last message is longer than {MAX_MESSAGE // 1024} KiB.")
    return Question(
        text=last.content,
        images=last.images,
        earlier=[turn for turn in turns if turn is not last],
        system="\n\n".join([turn.content for turn in turns if turn.role == "system" and turn.content]),
    )


def _turn(item: Item, field: str) -> ImportedTurn | None:
    """Return an item as a message; None for what a model thought, which is not repeated to it."""
    if item.type == "reasoning":
        return None
    if item.type != "message":
        raise unsupported(f"{field}.type", f"Only messages can be sent here; leave the {item.type[:40]} out.")
    role = "system" if item.role == "developer" else item.role
    if role not in {"user", "assistant", "system"}:
        raise unusable(f"{field}.role", "a role is user, assistant, system or developer")
    content = item.content or ""
    parts = [Part("input_text", content)] if isinstance(content, str) else content
    texts: list[str] = []
    images: list[bytes] = []
    for number, part in enumerate(parts):
        if part.type in {"input_text", "output_text", "text", "refusal"}:
            texts.append(part.text or part.refusal)
        elif part.type == "input_image" and role == "user":
            images.append(_image(part, f"{field}.content[{number}].image_url"))
        else:
            raise unsupported(
                f"{field}.content[{number}].type",
                f"A part of the type {part.type[:40]} is not possible here; send text or images.",
            )
    if len(images) > MAX_IMAGES:
        raise unusable(field, f"a message has at most {MAX_IMAGES} images")
    return ImportedTurn(role=role, content="\n".join(texts), images=images)  # type: ignore[arg-type]


def _image(part: Part, field: str) -> bytes:
    try:
        image = image_in(part.image_url or "")
    except ValueError:
        raise unusable(field, "the image is not in base64") from None
    if image is None:
        raise unsupported(
            field, "Images cannot be fetched from elsewhere; send each as a data URL in base64."
        )
    if not 0 < len(image) <= MAX_IMAGE:
        raise unusable(field, f"an image has at most {MAX_IMAGE // 1024**2} MiB, and is not empty")
    return image


def _raw(value: object) -> Raw:
    return Raw(msgspec.json.encode(value))
