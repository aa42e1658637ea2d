"""The AI SDK's own clients: what `useChat` does, in all versions that are supported, and assistant-ui."""

from pathlib import Path
from typing import Any, Final

import pytest
from chat_client import Client
from fake_ollama import FakeOllama, Script, answer, error, token
from node import run

SCRIPTS: Final = Path(__file__).parent
LONG: Final = " ".join(f"word{number} 🌈" for number in range(60))


class Answers:
    """The answers to a script's questions, by their text."""

    def __init__(self) -> None:
        self._has_broken = False

    def __call__(self, request: dict[str, Any]) -> Script:
        asked = request["messages"][-1]["content"]
        match asked:
            case "long":
                lines = answer(LONG)
                return Script(lines, delays=[0.01] * len(lines))
            case "stuck":
                return Script(answer(LONG)[:-1], end="hang")
            case "broken" if not self._has_broken:
                self._has_broken = True
                return Script([token("to"), error("model runner has unexpectedly stopped")])
        return Script(answer(f"to {asked}", thinking="Hm 🌈"))


@pytest.mark.usefixtures("sees")
@pytest.mark.parametrize("version", ["5.0.110", "5", "6", "7", "assistant-ui"])
async def test_use_chat(client: Client, fake: FakeOllama, node: str, version: str) -> None:
    fake.script = Answers()
    said = await run(node, "use-chat.js", version, client.url(""), cwd=SCRIPTS)
    assert said.strip() == "as expected"
