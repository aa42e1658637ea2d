"""What people have installed, and the model that a person would choose for a first "Hello".

The models are as Ollama lists and describes them: with their names, sizes, templates and system prompts.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import pytest
from fake_ollama import FakeOllama

from chatproxy.models.catalog import ModelCatalog
from chatproxy.models.selection import Need, rank
from chatproxy.ollama.client import Ollama
from chatproxy.store.records import Measurement

CHAT: Final = "{{ range .Messages }}<|{{ .Role }}|>{{ .Content }}{{ end }}<|assistant|>"
BARE: Final = "{{ .Prompt }}"
QWEN: Final = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
CAPTAIN: Final = "You are Captain Flint, who sails the southern seas. Answer as he would, in his words."
LLAMA: Final = "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible."
MAGISTRAL: Final = "First draft your thinking process (inner monologue) until you arrive at a response."
PHI: Final = "You are Phi, a language model trained by Microsoft to help users."
MARIO: Final = "You are Mario from Super Mario Bros, acting as an assistant."
NOTHING: Final[dict[str, Any]] = {}


@dataclass(frozen=True)
class Pulled:
    """A model as `ollama pull` or `ollama create` makes it; `weights` names the model whose blob it has."""

    name: str
    billions: float
    gigabytes: float
    can: str = ""
    family: str = "llama"
    basename: str = ""
    system: str = ""
    template: str = CHAT
    renderer: str = ""
    parent: str = ""
    weights: str = ""
    experts: tuple[int, int] | None = None
    examples: bool = False
    window: int | None = None
    remote: bool = False

    @property
    def digest(self) -> str:
        return _sha256(self.name)

    def tags(self) -> dict[str, Any]:
        size = f"{self.billions:.2f}B" if self.billions >= 1 else f"{self.billions * 1000:.2f}M"
        return {
            "name": self.name,
            "model": self.name,
            "size": round(self.gigabytes * 1e9),
            "digest": self.digest,
            "details": {
                "family": self.family,
                "families": [self.family],
                "parameter_size": size,
                "quantization_level": "Q4_K_M",
                "parent_model": self.parent,
            },
            "capabilities": ["completion"],
            **({"remote_host": "https://ollama.com:443", "remote_model": self.name} if self.remote else {}),
        }

    def show(self) -> dict[str, Any]:
        used, count = self.experts or (0, 0)
        lines = [
            f"FROM /usr/share/ollama/.ollama/models/blobs/sha256-{_sha256(self.weights or self.name)}",
            f'TEMPLATE """{self.template}"""',
            *([f"RENDERER {self.renderer}", f"PARSER {self.renderer}"] if self.renderer else []),
            *([f'SYSTEM "{self.system}"'] if self.system else []),
        ]
        return {
            "modelfile": "\n".join(lines) + "\n",
            "template": self.template,
            **({"system": self.system} if self.system else {}),
            **({"messages": [{"role": "user", "content": "Ahoy!"}]} if self.examples else {}),
            **({"parameters": f"num_ctx    {self.window}"} if self.window else {}),
            "details": self.tags()["details"],
            "model_info": {
                "general.architecture": self.family,
                **({"general.basename": self.basename} if self.basename else {}),
                f"{self.family}.context_length": 32768,
                **(
                    {f"{self.family}.expert_count": count, f"{self.family}.expert_used_count": used}
                    if count
                    else {}
                ),
            },
            "capabilities": ["embedding"] if self.can == "embedding" else ["completion", *self.can.split()],
        }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


LIBRARY: Final = {
    model.name: model
    for model in [
        # General ones
        Pulled("gemma3:270m", 0.268, 0.29, family="gemma3"),
        Pulled("gemma3:1b", 1.0, 0.82, family="gemma3"),
        Pulled("gemma3:4b", 4.3, 3.3, "vision", family="gemma3"),
        Pulled("gemma3:12b", 12.2, 8.1, "vision", family="gemma3"),
        Pulled("gemma3:27b", 27.4, 17.4, "vision", family="gemma3"),
        Pulled("llama3.2:1b", 1.2, 1.3, "tools"),
        Pulled("llama3.2:latest", 3.2, 2.0, "tools"),
        Pulled("llama3.1:8b", 8.0, 4.9, "tools"),
        Pulled("llama3.3:70b", 70.6, 42.5, "tools"),
        Pulled("llama3.1:405b", 405.9, 243, "tools"),
        Pulled("llama3.2-vision:11b", 10.7, 7.8, "vision", family="mllama"),
        Pulled("llava:7b", 7.2, 4.7, "vision"),
        Pulled("mistral:7b", 7.2, 4.4, "tools"),
        Pulled(
            "mistral-small:24b",
            23.6,
            14.3,
            "tools",
            system="You are Mistral Small 3, a Large Language Model (LLM) created by Mistral AI.",
        ),
        Pulled("mixtral:8x7b", 46.7, 26.4, experts=(2, 8)),
        Pulled("phi4:14b", 14.7, 9.1, family="phi3"),
        Pulled("phi4-mini:latest", 3.8, 2.5, "tools", family="phi3"),
        Pulled("qwen2.5:0.5b", 0.494, 0.398, "tools", family="qwen2", system=QWEN),
        Pulled("qwen2.5:7b", 7.6, 4.7, "tools", family="qwen2", system=QWEN),
        Pulled("qwen3:0.6b", 0.752, 0.523, "tools thinking", family="qwen3"),
        Pulled("qwen3:4b", 4.0, 2.5, "tools thinking", family="qwen3"),
        Pulled("qwen3:8b", 8.2, 5.2, "tools thinking", family="qwen3"),
        Pulled("qwen3:30b", 30.5, 18.6, "tools thinking", family="qwen3moe", experts=(8, 128)),
        Pulled("qwen3:32b", 32.8, 20.2, "tools thinking", family="qwen3"),
        Pulled("qwen3-vl:4b", 4.4, 3.3, "vision tools", family="qwen3vl", template=BARE, renderer="qwen3-vl"),
        Pulled("deepseek-r1:1.5b", 1.8, 1.1, "thinking", family="qwen2"),
        Pulled("deepseek-r1:8b", 8.2, 5.2, "thinking", family="qwen3"),
        Pulled("gpt-oss:20b", 20.9, 13.8, "tools thinking", family="gptoss", experts=(4, 32)),
        Pulled("gpt-oss:120b", 116.8, 65.4, "tools thinking", family="gptoss", experts=(4, 128)),
        Pulled("gpt-oss:120b-cloud", 116.8, 0, "tools thinking", family="gptoss", remote=True),
        Pulled("granite3.3:8b", 8.2, 4.9, "tools insert", family="granite"),
        Pulled("tinyllama:latest", 1.1, 0.64, system="You are a helpful AI assistant."),
        Pulled(
            "smollm2:135m",
            0.135,
            0.27,
            "tools",
            system="You are a helpful AI assistant named SmolLM, trained by Hugging Face",
        ),
        Pulled(
            "hf.co/unsloth/gemma-3-4b-it-GGUF:Q4_K_M", 3.9, 2.5, family="gemma3", basename="Gemma-3-4B-It"
        ),
        Pulled("codefriend/llama3.2:3b", 3.2, 2.0, "tools"),
        Pulled(
            "qwen2:7b", 7.6, 4.4, "tools", family="qwen2", system="You are Qwen, created by Alibaba Cloud."
        ),
        Pulled("qwen-16k:latest", 7.6, 4.7, "tools", family="qwen2", system=QWEN, parent="qwen2.5:7b"),
        Pulled("llama2:7b", 6.7, 3.8, system=LLAMA),
        Pulled("reflection:8b", 8.0, 4.7, system="You are a world-class AI system, capable of reflection."),
        Pulled("beluga:7b", 6.7, 3.8, system="You are Stable Beluga, an AI that follows instructions."),
        Pulled("glm-zh:9b", 9.4, 5.5, family="chatglm", system="你是一个人工智能助手。"),
        Pulled("kauderwelsch:8b", 8.0, 4.9, system="Ein Gespräch mit einem KI-Assistenten."),
        Pulled("a1b/llama3.3:70b", 70.6, 42.5, "tools"),
        Pulled("magistral:24b", 23.6, 14.3, "tools thinking", system=MAGISTRAL),
        Pulled("phi4-reasoning:14b", 14.7, 11.1, family="phi3", system=PHI),
        Pulled("gemma3n:e4b", 6.9, 7.5, family="gemma3n"),
        Pulled("gemma4:e4b", 8.0, 9.6, "vision tools thinking", family="gemma4"),
        Pulled("MFDoom/deepseek-r1-tool-calling:8b", 8.0, 4.9, "tools"),
        Pulled("granite4:tiny-h", 6.9, 4.2, "tools insert", family="granitehybrid", experts=(6, 64)),
        Pulled("plain-text:latest", 0.494, 0.398, template=BARE, weights="qwen2.5:0.5b"),
        # For one subject
        Pulled("qwen2.5-coder:1.5b", 1.5, 0.99, "tools insert", family="qwen2", system=QWEN),
        Pulled("qwen2.5-coder:7b", 7.6, 4.7, "tools insert", family="qwen2", system=QWEN),
        Pulled("qwen3-coder:30b", 30.5, 18.6, "tools", family="qwen3moe", experts=(8, 128)),
        Pulled("codellama:7b", 6.7, 3.8),
        Pulled("codegemma:7b", 8.5, 5.0, family="gemma"),
        Pulled("deepseek-coder:6.7b", 6.7, 3.8),
        Pulled("starcoder2:3b", 3.0, 1.7, family="starcoder2"),
        Pulled("codestral:22b", 22.2, 12.6, "insert"),
        Pulled("devstral:24b", 23.6, 14.3, "tools"),
        Pulled("sqlcoder:7b", 7.2, 4.1),
        Pulled("duckdb-nsql:7b", 6.7, 3.8),
        Pulled("wizard-math:7b", 7.2, 4.1),
        Pulled("mathstral:7b", 7.2, 4.1),
        Pulled("medllama2:7b", 6.7, 3.8),
        Pulled("meditron:7b", 6.7, 3.8),
        Pulled("medgemma:4b", 4.3, 3.3, "vision", family="gemma3"),
        Pulled("deepseek-prover:7b", 6.9, 4.2),
        Pulled("mine:3b", 3.0, 1.7, family="starcoder2"),
        Pulled("moondream:1.8b", 1.4, 1.7, "vision", family="phi2"),
        Pulled("hf.co/bartowski/Qwen2.5-Coder-7B-Instruct-GGUF:Q4_K_M", 7.6, 4.7, "tools", family="qwen2"),
        Pulled("helper:latest", 7.6, 4.7, "tools", family="qwen2", basename="Qwen2.5-Coder"),
        Pulled("filler:latest", 7.6, 4.7, "insert"),
        Pulled(
            "phi4-mini-reasoning:3.8b",
            3.8,
            3.2,
            family="phi3",
            system="Your name is Phi, an AI math expert developed by Microsoft.",
        ),
        Pulled("hf.co/mradermacher/SWE-agent-LM-7B-GGUF:Q4_K_M", 7.6, 4.7, family="qwen2"),
        Pulled("hf.co/TheBloke/BioMistral-7B-GGUF:Q4_K_M", 7.2, 4.4),
        Pulled("hf.co/mradermacher/finance-Llama3-8B-GGUF:Q4_K_M", 8.0, 4.9),
        Pulled("hf.co/Mungert/Foundation-Sec-8B-GGUF:Q4_K_M", 8.0, 4.9),
        Pulled("hf.co/mradermacher/Psyonic-RP-8B-GGUF:Q4_K_M", 8.0, 4.9),
        # No use in a conversation
        Pulled("nomic-embed-text:latest", 0.137, 0.274, "embedding", family="nomic-bert"),
        Pulled("mxbai-embed-large:latest", 0.334, 0.67, "embedding", family="bert"),
        Pulled("hf.co/Qwen/Qwen3-Embedding-8B-GGUF:Q4_K_M", 7.6, 4.7, family="qwen3"),
        Pulled("hf.co/mradermacher/Qwen3-Reranker-4B-GGUF:Q4_K_M", 4.0, 2.5, family="qwen3"),
        Pulled("llama-guard3:8b", 8.0, 4.9),
        Pulled("shieldgemma:9b", 9.2, 5.8, family="gemma2"),
        Pulled("granite3-guardian:8b", 8.2, 5.8, family="granite"),
        Pulled("gpt-oss-safeguard:20b", 20.9, 13.8, "tools thinking", family="gptoss", experts=(4, 32)),
        Pulled("functiongemma:latest", 0.268, 0.30, "tools", family="gemma3"),
        Pulled("llama3-groq-tool-use:8b", 8.0, 4.7, "tools"),
        Pulled("nexusraven:13b", 13.0, 7.4),
        Pulled("qwen2.5-draft:0.5b", 0.494, 0.398, family="qwen2"),
        Pulled("translategemma:4b", 4.3, 3.3, "vision", family="gemma3"),
        Pulled("deepseek-ocr:3b", 3.3, 6.7, "vision", family="deepseekocr"),
        Pulled("hf.co/bartowski/Skywork-Reward-Llama-3.1-8B-GGUF:Q4_K_M", 8.0, 4.9),
        Pulled("hf.co/Salesforce/xLAM-7b-fc-r-gguf:Q4_K_M", 6.9, 4.2),
        Pulled("orpheus-tts:3b", 3.8, 2.4),
        Pulled("vectors:8b", 8.0, 4.9, "tools embedding"),
        Pulled("nuextract:3.8b", 3.8, 2.2, family="phi3"),
        Pulled("deepseek-llm:7b-base", 6.9, 4.0),
        Pulled("reader-lm:1.5b", 1.5, 0.94, family="qwen2"),
        Pulled("bespoke-minicheck:7b", 7.7, 4.7, family="internlm2"),
        Pulled("llama3:8b-text", 8.0, 4.7),
        Pulled("codellama:7b-code", 6.7, 3.8),
        Pulled("hf.co/mlabonne/Mistral-7B-Base-GGUF:latest", 7.2, 4.4),
        Pulled("hf.co/google/gemma-3-4b-pt-qat-q4_0-gguf:latest", 3.9, 3.2, family="gemma3"),
        Pulled("echo:latest", 7.2, 4.4, template=BARE),
        Pulled("hf.co/intfloat/e5-mistral-7b-instruct-GGUF:Q4_K_M", 7.1, 4.4),
        Pulled("hf.co/Alibaba-NLP/gte-Qwen2-7B-instruct-GGUF:Q4_K_M", 7.6, 4.7, family="qwen2"),
        Pulled("hf.co/mradermacher/Qwen2.5-Math-PRM-7B-GGUF:Q4_K_M", 7.6, 4.7, family="qwen2"),
        Pulled("hf.co/flowaicom/Flow-Judge-v0.1-GGUF:Q4_K_M", 3.8, 2.4, family="phi3"),
        Pulled("hf.co/mradermacher/Nemotron-Content-Safety-8B-GGUF:Q4_K_M", 8.0, 4.9),
        Pulled("hf.co/mradermacher/Prompt-Injection-Detector-1B-GGUF:Q4_K_M", 1.2, 0.8),
        Pulled("hf.co/Team-ACE/ToolACE-8B-GGUF:Q4_K_M", 8.0, 4.9),
        Pulled("hf.co/katanemo/Arch-Router-1.5B.gguf:Q4_K_M", 1.5, 1.0, family="qwen2"),
        Pulled("hf.co/LiquidAI/LFM2-1.2B-Extract-GGUF:Q4_K_M", 1.2, 0.73, family="lfm2"),
        Pulled("hf.co/ibm-granite/granite-docling-258M-GGUF:f16", 0.258, 0.5, "vision", family="granite"),
        Pulled("hf.co/tencent/Hunyuan-MT-7B-GGUF:Q4_K_M", 7.5, 4.6, family="hunyuan-dense"),
        Pulled("hf.co/OuteAI/OuteTTS-0.2-500M-GGUF:Q4_K_M", 0.5, 0.4, family="qwen2"),
        # Characters
        Pulled("captain:latest", 0.268, 0.29, family="gemma3", system=CAPTAIN, weights="gemma3:270m"),
        Pulled("captain:8b", 8.0, 4.9, "tools", system=CAPTAIN, weights="llama3.1:8b"),
        Pulled("a-captain:8b", 8.0, 4.9, "tools", system=MARIO, weights="llama3.1:8b"),
        Pulled("mario:latest", 8.0, 4.9, "tools", system=MARIO, parent="llama3.1:8b"),
        Pulled("pirate:latest", 8.0, 4.9, "tools", examples=True),
        Pulled("samantha-mistral:7b", 7.2, 4.1, system="You are Samantha, a caring companion."),
        Pulled("somebody/pirate:latest", 7.2, 4.1, system="You are a pirate assistant. Talk like a pirate."),
        Pulled("marvin:latest", 8.0, 4.9, "tools", system="Du bist Marvin, ein paranoider Android."),
        Pulled("roleplay-hermes:7b", 7.2, 4.1),
        # A file of somebody's own, which is a general model all the same
        Pulled(
            "ours:latest",
            8.0,
            4.9,
            system="You are a helpful assistant.",
            parent="/root/.ollama/models/blobs/sha256-" + "0" * 64,
        ),
        Pulled("giant:latest", 70.0, 0.3),  # whatever its file is said to be
    ]
}


# What is installed, what is known besides, and the choice. `rate`: tokens per second by name; `load`:
# seconds; `warm`: those that are loaded; `need`: what the message requires.
CASES: Final[list[tuple[str, list[str], dict[str, Any], str]]] = [
    # One
    ("the only one", ["llama3.2:latest"], NOTHING, "llama3.2:latest"),
    ("the only one that chats", ["nomic-embed-text:latest", "llama3.2:latest"], NOTHING, "llama3.2:latest"),
    ("a coder, where there is nothing else", ["qwen2.5-coder:7b"], NOTHING, "qwen2.5-coder:7b"),
    ("a character, where there is nothing else", ["captain:8b"], NOTHING, "captain:8b"),
    # General ones first: characters
    ("not the captain", ["captain:latest", "gemma3:270m"], NOTHING, "gemma3:270m"),
    (
        "not the captain, though he is loaded",
        ["captain:8b", "gemma3:1b"],
        {"warm": ["captain:8b"], "rate": {"captain:8b": 50}},
        "gemma3:1b",
    ),
    ("not a larger captain", ["captain:8b", "llama3.2:latest"], NOTHING, "llama3.2:latest"),
    (
        "not one that acts as an assistant, beside the model that it is made of",
        ["a-captain:8b", "llama3.1:8b"],
        NOTHING,
        "llama3.1:8b",
    ),
    ("nor where that model is gone", ["mario:latest", "gemma3:1b"], NOTHING, "gemma3:1b"),
    ("not one with a conversation of its own", ["pirate:latest", "gemma3:1b"], NOTHING, "gemma3:1b"),
    ("not a companion", ["samantha-mistral:7b", "llama3.2:1b"], NOTHING, "llama3.2:1b"),
    ("not one for role play", ["roleplay-hermes:7b", "llama3.2:1b"], NOTHING, "llama3.2:1b"),
    (
        "but one whose maker says that it is an assistant",
        ["qwen2.5:7b", "llama3.2:latest"],
        NOTHING,
        "qwen2.5:7b",
    ),
    (
        "also beside the same weights that only go on with a text",
        ["qwen2.5:0.5b", "plain-text:latest", "smollm2:135m"],
        NOTHING,
        "qwen2.5:0.5b",
    ),
    ("and one that says its name besides", ["smollm2:135m", "captain:8b"], NOTHING, "smollm2:135m"),
    (
        "and a language model",
        ["mistral-small:24b", "llama3.1:8b"],
        {"rate": {"llama3.1:8b": 90}, "load": {"llama3.1:8b": 3}},
        "mistral-small:24b",
    ),
    ("and one that says no more than who it is", ["qwen2:7b", "llama3.2:latest"], NOTHING, "qwen2:7b"),
    ("and who it is to be", ["llama2:7b", "llama3.2:latest"], NOTHING, "llama2:7b"),
    ("and an AI", ["beluga:7b", "llama3.2:1b"], NOTHING, "beluga:7b"),
    ("in Chinese, too", ["glm-zh:9b", "llama3.2:1b"], NOTHING, "glm-zh:9b"),
    ("and in German", ["kauderwelsch:8b", "llama3.2:1b"], NOTHING, "kauderwelsch:8b"),
    ("and an AI system", ["reflection:8b", "llama3.2:latest"], NOTHING, "reflection:8b"),
    (
        "and one that is told how to think",
        ["magistral:24b", "llama3.1:8b"],
        {"rate": {"llama3.1:8b": 90}, "load": {"llama3.1:8b": 3}},
        "magistral:24b",
    ),
    (
        "and one of another name",
        ["phi4-reasoning:14b", "llama3.1:8b"],
        {"rate": {"llama3.1:8b": 60}, "load": {"llama3.1:8b": 3}},
        "phi4-reasoning:14b",
    ),
    (
        "and one with another window and its maker's words",
        ["qwen-16k:latest", "llama3.2:1b"],
        NOTHING,
        "qwen-16k:latest",
    ),
    ("not one whose maker is not known", ["somebody/pirate:latest", "llama3.2:1b"], NOTHING, "llama3.2:1b"),
    ("in whatever language", ["marvin:latest", "gemma3:1b"], NOTHING, "gemma3:1b"),
    ("and one made from a file", ["ours:latest", "llama3.2:latest"], NOTHING, "ours:latest"),
    # For one subject
    ("not a coder", ["qwen2.5-coder:7b", "llama3.2:latest"], NOTHING, "llama3.2:latest"),
    ("not a coder, but one that reasons", ["qwen2.5-coder:7b", "deepseek-r1:8b"], NOTHING, "deepseek-r1:8b"),
    ("not a small coder", ["qwen2.5-coder:1.5b", "qwen2.5:0.5b"], NOTHING, "qwen2.5:0.5b"),
    ("not a coder of many experts", ["qwen3-coder:30b", "gemma3:4b"], NOTHING, "gemma3:4b"),
    ("not codellama", ["codellama:7b", "llama3.2:1b"], NOTHING, "llama3.2:1b"),
    ("not codegemma", ["codegemma:7b", "gemma3:4b"], NOTHING, "gemma3:4b"),
    ("not deepseek-coder", ["deepseek-coder:6.7b", "deepseek-r1:1.5b"], NOTHING, "deepseek-r1:1.5b"),
    ("not starcoder", ["starcoder2:3b", "gemma3:1b"], NOTHING, "gemma3:1b"),
    (
        "not codestral",
        ["codestral:22b", "mistral:7b"],
        {"rate": {"codestral:22b": 40, "mistral:7b": 90}, "load": {"codestral:22b": 3}},
        "mistral:7b",
    ),
    (
        "not devstral",
        ["devstral:24b", "llama3.1:8b"],
        {"rate": {"devstral:24b": 40, "llama3.1:8b": 90}, "load": {"devstral:24b": 3}},
        "llama3.1:8b",
    ),
    ("not sqlcoder", ["sqlcoder:7b", "llama3.2:1b"], NOTHING, "llama3.2:1b"),
    ("not nsql", ["duckdb-nsql:7b", "llama3.2:1b"], NOTHING, "llama3.2:1b"),
    ("not wizard-math", ["wizard-math:7b", "tinyllama:latest"], NOTHING, "tinyllama:latest"),
    ("not mathstral", ["mathstral:7b", "llama3.2:1b"], NOTHING, "llama3.2:1b"),
    ("not a doctor", ["medllama2:7b", "llama3.2:1b"], NOTHING, "llama3.2:1b"),
    ("not another doctor", ["meditron:7b", "llama3.2:1b"], NOTHING, "llama3.2:1b"),
    ("not a doctor who sees", ["medgemma:4b", "gemma3:1b"], NOTHING, "gemma3:1b"),
    ("not what proves theorems", ["deepseek-prover:7b", "llama3.2:1b"], NOTHING, "llama3.2:1b"),
    ("not a family of coders", ["mine:3b", "gemma3:1b"], NOTHING, "gemma3:1b"),
    ("not one that describes pictures", ["moondream:1.8b", "gemma3:1b"], NOTHING, "gemma3:1b"),
    (
        "not a coder from Hugging Face",
        ["hf.co/bartowski/Qwen2.5-Coder-7B-Instruct-GGUF:Q4_K_M", "llama3.2:latest"],
        NOTHING,
        "llama3.2:latest",
    ),
    ("not a coder under another name", ["helper:latest", "llama3.2:latest"], NOTHING, "llama3.2:latest"),
    (
        "not one that says that it is an expert",
        ["phi4-mini-reasoning:3.8b", "llama3.2:latest"],
        NOTHING,
        "llama3.2:latest",
    ),
    (
        "not an engineer",
        ["hf.co/mradermacher/SWE-agent-LM-7B-GGUF:Q4_K_M", "llama3.2:latest"],
        NOTHING,
        "llama3.2:latest",
    ),
    (
        "not a biologist",
        ["hf.co/TheBloke/BioMistral-7B-GGUF:Q4_K_M", "llama3.2:latest"],
        NOTHING,
        "llama3.2:latest",
    ),
    (
        "not a banker",
        ["hf.co/mradermacher/finance-Llama3-8B-GGUF:Q4_K_M", "llama3.2:latest"],
        NOTHING,
        "llama3.2:latest",
    ),
    (
        "not what looks for holes",
        ["hf.co/Mungert/Foundation-Sec-8B-GGUF:Q4_K_M", "llama3.2:latest"],
        NOTHING,
        "llama3.2:latest",
    ),
    (
        "not a player",
        ["hf.co/mradermacher/Psyonic-RP-8B-GGUF:Q4_K_M", "llama3.2:latest"],
        NOTHING,
        "llama3.2:latest",
    ),
    ("not what fills in code", ["filler:latest", "llama3.2:latest"], NOTHING, "llama3.2:latest"),
    (
        "but a general one that can do that, too",
        ["granite3.3:8b", "llama3.2:latest"],
        NOTHING,
        "granite3.3:8b",
    ),
    (
        "under whatever account",
        ["codefriend/llama3.2:3b", "gemma3:1b"],
        NOTHING,
        "codefriend/llama3.2:3b",
    ),
    (
        "a general one from Hugging Face",
        ["hf.co/unsloth/gemma-3-4b-it-GGUF:Q4_K_M", "llama3.2:1b"],
        NOTHING,
        "hf.co/unsloth/gemma-3-4b-it-GGUF:Q4_K_M",
    ),
    # No use in a conversation
    ("not an embedder", ["mxbai-embed-large:latest", "smollm2:135m"], NOTHING, "smollm2:135m"),
    (
        "not an embedder that says it completes",
        ["hf.co/Qwen/Qwen3-Embedding-8B-GGUF:Q4_K_M", "captain:latest"],
        NOTHING,
        "captain:latest",
    ),
    (
        "not a reranker",
        ["hf.co/mradermacher/Qwen3-Reranker-4B-GGUF:Q4_K_M", "captain:latest"],
        NOTHING,
        "captain:latest",
    ),
    ("not a guard", ["llama-guard3:8b", "captain:latest"], NOTHING, "captain:latest"),
    ("not a shield", ["shieldgemma:9b", "qwen2.5-coder:1.5b"], NOTHING, "qwen2.5-coder:1.5b"),
    ("not a guardian", ["granite3-guardian:8b", "qwen2.5-coder:1.5b"], NOTHING, "qwen2.5-coder:1.5b"),
    ("not a safeguard", ["gpt-oss-safeguard:20b", "qwen2.5-coder:1.5b"], NOTHING, "qwen2.5-coder:1.5b"),
    ("not what calls functions", ["functiongemma:latest", "captain:latest"], NOTHING, "captain:latest"),
    ("not what uses tools", ["llama3-groq-tool-use:8b", "captain:latest"], NOTHING, "captain:latest"),
    ("not a raven", ["nexusraven:13b", "captain:latest"], NOTHING, "captain:latest"),
    ("not a draft model", ["qwen2.5-draft:0.5b", "captain:latest"], NOTHING, "captain:latest"),
    ("not a translator", ["translategemma:4b", "captain:latest"], NOTHING, "captain:latest"),
    ("not what reads scans", ["deepseek-ocr:3b", "captain:latest"], NOTHING, "captain:latest"),
    (
        "not what rewards answers",
        ["hf.co/bartowski/Skywork-Reward-Llama-3.1-8B-GGUF:Q4_K_M", "captain:latest"],
        NOTHING,
        "captain:latest",
    ),
    (
        "not what acts",
        ["hf.co/Salesforce/xLAM-7b-fc-r-gguf:Q4_K_M", "captain:latest"],
        NOTHING,
        "captain:latest",
    ),
    ("not what speaks", ["orpheus-tts:3b", "captain:latest"], NOTHING, "captain:latest"),
    ("not what embeds, too", ["vectors:8b", "captain:latest"], NOTHING, "captain:latest"),
    ("not what extracts", ["nuextract:3.8b", "captain:latest"], NOTHING, "captain:latest"),
    ("not the base of a model", ["deepseek-llm:7b-base", "captain:latest"], NOTHING, "captain:latest"),
    ("not what reads pages", ["reader-lm:1.5b", "captain:latest"], NOTHING, "captain:latest"),
    ("not what checks facts", ["bespoke-minicheck:7b", "captain:latest"], NOTHING, "captain:latest"),
    ("not what goes on with a text", ["llama3:8b-text", "captain:latest"], NOTHING, "captain:latest"),
    ("nor with code", ["codellama:7b-code", "captain:latest"], NOTHING, "captain:latest"),
    (
        "not a base model",
        ["hf.co/mlabonne/Mistral-7B-Base-GGUF:latest", "captain:latest"],
        NOTHING,
        "captain:latest",
    ),
    ("not what has no template", ["echo:latest", "captain:latest"], NOTHING, "captain:latest"),
    *(
        ("not " + what, [name, "gemma3:270m"], NOTHING, "gemma3:270m")
        for what, name in (
            ("a pretrained one", "hf.co/google/gemma-3-4b-pt-qat-q4_0-gguf:latest"),
            ("vectors of a family of them", "hf.co/intfloat/e5-mistral-7b-instruct-GGUF:Q4_K_M"),
            ("of another one", "hf.co/Alibaba-NLP/gte-Qwen2-7B-instruct-GGUF:Q4_K_M"),
            ("what rewards steps", "hf.co/mradermacher/Qwen2.5-Math-PRM-7B-GGUF:Q4_K_M"),
            ("a judge", "hf.co/flowaicom/Flow-Judge-v0.1-GGUF:Q4_K_M"),
            ("what keeps contents safe", "hf.co/mradermacher/Nemotron-Content-Safety-8B-GGUF:Q4_K_M"),
            ("what detects attacks", "hf.co/mradermacher/Prompt-Injection-Detector-1B-GGUF:Q4_K_M"),
            ("what is made for tools", "hf.co/Team-ACE/ToolACE-8B-GGUF:Q4_K_M"),
            ("what finds a route", "hf.co/katanemo/Arch-Router-1.5B.gguf:Q4_K_M"),
            ("what finds fields", "hf.co/LiquidAI/LFM2-1.2B-Extract-GGUF:Q4_K_M"),
            ("machine translation", "hf.co/tencent/Hunyuan-MT-7B-GGUF:Q4_K_M"),
            ("a voice", "hf.co/OuteAI/OuteTTS-0.2-500M-GGUF:Q4_K_M"),
        )
    ),
    (
        "but a general one with tools",
        ["MFDoom/deepseek-r1-tool-calling:8b", "gemma3:1b"],
        NOTHING,
        "MFDoom/deepseek-r1-tool-calling:8b",
    ),
    ("but one that Ollama renders", ["qwen3-vl:4b", "llama3.2:latest"], NOTHING, "qwen3-vl:4b"),
    (
        "a giant that chats before a small one that does not",
        ["llama3.3:70b", "functiongemma:latest"],
        NOTHING,
        "llama3.3:70b",
    ),
    # The largest that is fast here: nothing measured
    ("the larger of two", ["llama3.2:1b", "llama3.2:latest"], NOTHING, "llama3.2:latest"),
    ("the larger by little", ["phi4-mini:latest", "llama3.2:latest"], NOTHING, "phi4-mini:latest"),
    ("eight billion on any computer", ["llama3.2:1b", "llama3.1:8b"], NOTHING, "llama3.1:8b"),
    ("a larger one that reasons", ["gemma3:1b", "deepseek-r1:1.5b"], NOTHING, "deepseek-r1:1.5b"),
    ("not twelve billion, unmeasured", ["gemma3:4b", "gemma3:12b"], NOTHING, "gemma3:4b"),
    ("not 32 billion, unmeasured", ["qwen3:4b", "qwen3:32b"], NOTHING, "qwen3:4b"),
    ("not a giant, unmeasured", ["llama3.2:1b", "llama3.3:70b"], NOTHING, "llama3.2:1b"),
    ("whatever its file is said to be", ["llama3.2:1b", "giant:latest"], NOTHING, "llama3.2:1b"),
    ("not the largest there is", ["llama3.1:405b", "smollm2:135m"], NOTHING, "smollm2:135m"),
    ("few experts are fast", ["granite4:tiny-h", "llama3.2:latest"], NOTHING, "granite4:tiny-h"),
    ("but may not fit, unmeasured", ["gpt-oss:20b", "llama3.1:8b"], NOTHING, "llama3.1:8b"),
    ("where there is nothing else that is general", ["gpt-oss:20b", "codellama:7b"], NOTHING, "gpt-oss:20b"),
    ("part of the parameters, by its name", ["gemma3n:e4b", "llama3.2:latest"], NOTHING, "gemma3n:e4b"),
    ("but not of an account", ["a1b/llama3.3:70b", "llama3.2:1b"], NOTHING, "llama3.2:1b"),
    ("of another family, too", ["gemma4:e4b", "gemma3:12b", "gemma3:1b"], NOTHING, "gemma4:e4b"),
    ("but many take long to load", ["gpt-oss:120b", "llama3.1:8b"], NOTHING, "llama3.1:8b"),
    (
        "a coder before a giant that takes minutes",
        ["qwen2.5-coder:7b", "llama3.3:70b"],
        NOTHING,
        "qwen2.5-coder:7b",
    ),
    ("and a captain, too", ["captain:8b", "gpt-oss:120b"], NOTHING, "captain:8b"),
    ("of two giants the one that is soonest", ["llama3.1:405b", "llama3.3:70b"], NOTHING, "llama3.3:70b"),
    ("nothing is sent elsewhere unasked", ["gpt-oss:120b-cloud", "gemma3:270m"], NOTHING, "gemma3:270m"),
    # Measured
    (
        "twelve billion that were measured as fast",
        ["gemma3:4b", "gemma3:12b"],
        {"rate": {"gemma3:12b": 35}, "load": {"gemma3:12b": 4}},
        "gemma3:12b",
    ),
    (
        "not eight billion that were measured as slow",
        ["llama3.2:latest", "llama3.1:8b"],
        {"rate": {"llama3.1:8b": 4}, "warm": ["llama3.1:8b"]},
        "llama3.2:latest",
    ),
    (
        "a giant on a machine for giants",
        ["llama3.1:8b", "llama3.3:70b"],
        {"rate": {"llama3.3:70b": 18, "llama3.1:8b": 120}, "load": {"llama3.3:70b": 20}},
        "llama3.3:70b",
    ),
    (
        "but not while it takes minutes to load",
        ["llama3.1:8b", "llama3.3:70b"],
        {"rate": {"llama3.3:70b": 18, "llama3.1:8b": 120}, "load": {"llama3.3:70b": 150}},
        "llama3.1:8b",
    ),
    (
        "unless it is loaded",
        ["llama3.1:8b", "llama3.3:70b"],
        {"rate": {"llama3.3:70b": 18}, "load": {"llama3.3:70b": 150}, "warm": ["llama3.3:70b"]},
        "llama3.3:70b",
    ),
    # Estimated
    (
        "twice the size of one that is fast",
        ["qwen3:8b", "phi4:14b"],
        {"rate": {"qwen3:8b": 60}, "load": {"qwen3:8b": 3}},
        "phi4:14b",
    ),
    (
        "not eight billion where one billion is slow",
        ["gemma3:1b", "llama3.1:8b"],
        {"rate": {"gemma3:1b": 12}},
        "gemma3:1b",
    ),
    (
        "three billion where one billion is fast",
        ["llama3.2:1b", "llama3.2:latest"],
        {"rate": {"llama3.2:1b": 30}},
        "llama3.2:latest",
    ),
    (
        "not a giant beside a small one that is fast",
        ["llama3.1:8b", "llama3.3:70b"],
        {"rate": {"llama3.1:8b": 120}, "load": {"llama3.1:8b": 1.5}},
        "llama3.1:8b",
    ),
    (
        "not what would take a minute to load by what others took",
        ["llama3.1:8b", "gemma3:27b"],
        {"rate": {"llama3.1:8b": 60}, "load": {"llama3.1:8b": 25}},
        "llama3.1:8b",
    ),
    (
        "not the experts of one that is slow",
        ["qwen3:4b", "qwen3:30b"],
        {"rate": {"qwen3:4b": 5}, "load": {"qwen3:4b": 1.5}},
        "qwen3:4b",
    ),
    (
        "the experts where one of that size would be slow",
        ["qwen3:8b", "qwen3:30b"],
        {"rate": {"qwen3:8b": 20}, "load": {"qwen3:8b": 3}},
        "qwen3:30b",
    ),
    (
        "many experts, where what was measured tells of the memory",
        ["gpt-oss:20b", "llama3.1:8b"],
        {"rate": {"llama3.1:8b": 12}, "load": {"llama3.1:8b": 6}},
        "gpt-oss:20b",
    ),
    (
        "not by a small one, which fits anywhere",
        ["gpt-oss:20b", "llama3.2:1b"],
        {"rate": {"llama3.2:1b": 25}, "load": {"llama3.2:1b": 2}},
        "llama3.2:1b",
    ),
    (
        "but by one that shows a fast machine",
        ["phi4-reasoning:14b", "gemma3:1b"],
        {"rate": {"gemma3:1b": 150}, "load": {"gemma3:1b": 1.5}},
        "phi4-reasoning:14b",
    ),
    (
        "two experts of eight are not few",
        ["qwen3:8b", "mixtral:8x7b"],
        {"rate": {"qwen3:8b": 10}, "load": {"qwen3:8b": 3}},
        "qwen3:8b",
    ),
    (
        "twelve billion where one billion is very fast",
        ["llama3.2:1b", "gemma3:12b"],
        {"rate": {"llama3.2:1b": 150}, "load": {"llama3.2:1b": 1.2}},
        "gemma3:12b",
    ),
    (
        "by the small one of like size",
        ["gemma3:270m", "llama3.1:8b", "gemma3:1b"],
        {"rate": {"gemma3:270m": 60, "llama3.1:8b": 0.5}},
        "gemma3:1b",
    ),
    (
        "by the one of like size",
        ["gemma3:270m", "llama3.1:8b", "qwen3:8b"],
        {"rate": {"gemma3:270m": 300, "llama3.1:8b": 5}},
        "gemma3:270m",
    ),
    # Loaded ones
    ("of two alike the loaded one", ["llama3.1:8b", "qwen3:8b"], {"warm": ["llama3.1:8b"]}, "llama3.1:8b"),
    (
        "not a much smaller one that is loaded",
        ["llama3.2:1b", "llama3.1:8b"],
        {"warm": ["llama3.2:1b"]},
        "llama3.1:8b",
    ),
    (
        "not a guard that is loaded",
        ["llama-guard3:8b", "gemma3:270m"],
        {"warm": ["llama-guard3:8b"]},
        "gemma3:270m",
    ),
    # Slow ones
    (
        "where all are slow, the soonest",
        ["llama3.2:1b", "llama3.1:8b"],
        {"rate": {"llama3.2:1b": 6, "llama3.1:8b": 1}},
        "llama3.2:1b",
    ),
    (
        "a slow general one before a fast coder",
        ["qwen2.5-coder:1.5b", "llama3.1:8b"],
        {"rate": {"qwen2.5-coder:1.5b": 30, "llama3.1:8b": 6}},
        "llama3.1:8b",
    ),
    # What the message needs
    ("images", ["llama3.1:8b", "gemma3:4b"], {"need": Need(images=True)}, "gemma3:4b"),
    (
        "images, and a readable answer",
        ["llama3.2-vision:11b", "gemma3:4b"],
        {"need": Need(images=True)},
        "gemma3:4b",
    ),
    ("images, but not moondream", ["moondream:1.8b", "llava:7b"], {"need": Need(images=True)}, "llava:7b"),
    (
        "images, but no scans",
        ["deepseek-ocr:3b", "moondream:1.8b"],
        {"need": Need(images=True)},
        "moondream:1.8b",
    ),
    (
        "images, but no documents",
        ["hf.co/ibm-granite/granite-docling-258M-GGUF:f16", "moondream:1.8b"],
        {"need": Need(images=True)},
        "moondream:1.8b",
    ),
    ("thinking", ["llama3.1:8b", "qwen3:0.6b"], {"need": Need(think=True)}, "qwen3:0.6b"),
    ("the larger that thinks", ["deepseek-r1:1.5b", "qwen3:4b"], {"need": Need(think=True)}, "qwen3:4b"),
    (
        "the one that answered before",
        ["captain:8b", "llama3.1:8b"],
        {"need": Need(last_model="captain:8b")},
        "captain:8b",
    ),
    # What is in a drawer after a year
    (
        "a collection",
        [
            "captain:latest",
            "functiongemma:latest",
            "gemma3:270m",
            "qwen2.5-coder:7b",
            "nomic-embed-text:latest",
            "llama-guard3:8b",
            "deepseek-r1:1.5b",
            "llama3.2:latest",
            "llama3.3:70b",
        ],
        NOTHING,
        "llama3.2:latest",
    ),
    (
        "four small ones",
        ["captain:latest", "functiongemma:latest", "echo:latest", "gemma3:270m"],
        {"warm": ["captain:latest"], "rate": {"captain:latest": 45, "functiongemma:latest": 60}},
        "gemma3:270m",
    ),
]


@pytest.mark.parametrize(
    ("installed", "known", "expected"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
@pytest.mark.parametrize("turned", [False, True], ids=["", "listed the other way round"])
async def test_the_choice_is_a_persons(
    fake: FakeOllama, installed: list[str], known: dict[str, Any], expected: str, turned: bool
) -> None:
    models = [LIBRARY[name] for name in (installed[::-1] if turned else installed)]
    fake.models = [model.tags() for model in models]
    fake.shows = {model.name: model.show() for model in models}
    fake.running = [
        {"name": name, "digest": LIBRARY[name].digest, "size": 1, "size_vram": 0, "context_length": 4096}
        for name in known.get("warm", [])
    ]
    rates, loads = known.get("rate", {}), known.get("load", {})
    rows = [
        Measurement(
            digest=LIBRARY[name].digest,
            tokens_per_second=rates.get(name),
            load_ms=None if name not in loads else loads[name] * 1000,
        )
        for name in {*rates, *loads}
    ]
    ollama = Ollama(fake.url, headers={}, connect_timeout=5)
    catalog = ModelCatalog(ollama, rows)
    try:
        choice = rank(await catalog.all(), known.get("need", Need()))[0]
    finally:
        await catalog.close()
        await ollama.close()
    assert choice.model.name == expected, choice.reason


def test_every_model_of_the_library_is_in_a_case() -> None:
    assert {name for row in CASES for name in row[1]} == LIBRARY.keys()
