"""The lines for existing clients in docs/embed.md, run as they are printed, but for the port."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest
from chat_client import Client
from node import run
from processes import Process
from readme import PAGES, example

HERE: Final = Path(__file__).parent
ADDRESS: Final = "http://127.0.0.1:11435"
WORDS: Final = "".join(f"w{number} " for number in range(20))
GREETING: Final = "Hello from a fake."
SECTION: Final = PAGES["docs/embed.md"].partition("\n## With what you already use\n")[2]
# The lines of the section's first table.
LINES: Final = re.findall(r"^\| .+ \| `(.+)` \|$", SECTION.partition("\n\nPrograms have")[0], re.MULTILINE)
ASKED: Final[list[Any]] = [{"role": "user", "content": "Say words."}]

# By module, how the client that the line makes is asked, and what it answers.
PYTHON: Final[dict[str, tuple[Callable[[Any], Any], str]]] = {
    "ollama": (lambda api: api.chat("llama3.2", ASKED).message.content, GREETING),
    "openai": (
        lambda api: api.chat.completions.create(model="llama3.2", messages=ASKED).choices[0].message.content,
        WORDS,
    ),
    "anthropic": (
        lambda api: api.messages.create(model="llama3.2", messages=ASKED, max_tokens=9).content[0].text,
        WORDS,
    ),
    "langchain_ollama": (lambda chat: chat.invoke("Say words.").text, GREETING),
    "langchain_openai": (lambda chat: chat.invoke("Say words.").text, WORDS),
}
# By name, the same, and where it is imported from.
JAVASCRIPT: Final = {
    "Ollama": ("ollama", "(await client.chat({ model, messages })).message.content", GREETING),
    "OpenAI": (
        "openai",
        "(await client.chat.completions.create({ model, messages })).choices[0].message.content",
        WORDS,
    ),
    "createOpenAICompatible": (
        "@ai-sdk/openai-compatible",
        "(await generateText({ model: client(model), messages })).text",
        WORDS,
    ),
    "createOllama": (
        "ai-sdk-ollama",
        "(await generateText({ model: client(model), messages })).text",
        GREETING,
    ),
}
IN_PYTHON: Final = [line for line in LINES if line.partition(".")[0] in PYTHON]
IN_JAVASCRIPT: Final = [line for line in LINES if line not in IN_PYTHON]


def test_there_are_lines_for_each_client() -> None:
    assert len(LINES) >= 8
    assert len(IN_PYTHON) == len(PYTHON)
    assert len(IN_JAVASCRIPT) == len(JAVASCRIPT)


@pytest.mark.usefixtures("clients_that_close_nothing")
@pytest.mark.parametrize("line", IN_PYTHON)
async def test_lines_of_python(line: str, client: Client) -> None:
    module = line.partition(".")[0]
    ask, answer = PYTHON[module]
    made = eval(line.replace(ADDRESS, client.base), {module: import_module(module)})
    assert await asyncio.to_thread(ask, made) == answer


async def test_the_lines_that_ask_the_demo(tmp_path: Path) -> None:
    async with Process.running(tmp_path, "--demo") as process:
        lines = example("python", "from openai").replace(ADDRESS, process.client.base)
        asking = [sys.executable, "-c", lines]
        ran = await asyncio.to_thread(subprocess.run, asking, capture_output=True, text=True, timeout=60)
    assert ran.stderr == ""
    assert ran.stdout.startswith("You wrote about **Hello**.")
    assert ran.stdout.endswith("without `--demo`.")


@pytest.mark.parametrize("line", IN_JAVASCRIPT)
async def test_lines_of_javascript(line: str, client: Client, node: str) -> None:
    name = line.removeprefix("new ").partition("(")[0]
    package, ask, answer = JAVASCRIPT[name]
    script = f"""
        import {{ generateText }} from "ai-7";
        import {{ {name} }} from "{package}";
        const [model, messages] = ["llama3.2", {json.dumps(ASKED)}];
        const client = {line.replace(ADDRESS, client.base)};
        console.log({ask});
    """
    assert await run(node, "--input-type=module", "-e", script, cwd=HERE) == f"{answer}\n"
