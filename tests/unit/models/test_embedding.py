"""Which model makes vectors: every rule, every tie, and what stands before texts."""

import random
from typing import Any

import pytest

from chatproxy.models.catalog import KnownModel
from chatproxy.models.embedding import EmbeddingModel, select


def known(name: str, millions: float, *can: str, **more: Any) -> KnownModel:
    return KnownModel(
        name=name,
        digest=f"digest of {name}",
        size=millions * 1e6,
        capabilities=frozenset(can or {"embedding"}),
        **more,
    )


MINILM = known("all-minilm:22m", 22)
NOMIC = known("nomic-embed-text", 137)
MXBAI = known("mxbai-embed-large", 334)
GEMMA = known("embeddinggemma", 307)
BGE = known("bge-m3", 567)
QWEN = known("qwen3-embedding:8b", 7600)
QWEN_4 = known("qwen3-embedding:4b", 4000)
CHAT = known("llama3.2", 3200, "completion")


@pytest.mark.parametrize(
    ("models", "selected"),
    [
        ([], None),
        ([CHAT], None),
        ([CHAT, MINILM], MINILM),
        ([MINILM, NOMIC, MXBAI], MXBAI),
        ([MXBAI, GEMMA], GEMMA),
        ([MXBAI, GEMMA, BGE, QWEN], BGE),
        ([QWEN, QWEN_4, MXBAI], QWEN_4),
        ([known("b", 30), known("a", 30)], known("a", 30)),
        ([MINILM, known("bge-m3", 567, is_described=False, remote=True)], MINILM),
        ([known("bge-m3", 567, remote=True)], None),
        ([KnownModel(name="bge-m3", is_described=False)], None),
        ([MINILM, known("nomic-embed-text", 137, warm=True)], NOMIC),
        ([known("nomic-embed-text", 137, "embedding", "completion")], NOMIC),
    ],
)
def test_selection(models: list[KnownModel], selected: KnownModel | None) -> None:
    for _ in range(3):
        random.shuffle(models)
        found = select(models)
        assert (found and found.name) == (selected and selected.name)


@pytest.mark.parametrize(
    ("name", "question", "text"),
    [
        ("all-minilm", "", ""),
        ("nomic-embed-text:v1.5", "search_query: ", "search_document: "),
        ("nomic-embed-text-v2-moe", "search_query: ", "search_document: "),
        ("embeddinggemma:300m", "task: search result | query: ", "title: none | text: "),
        ("jeffh/intfloat-multilingual-e5-large:f16", "query: ", "passage: "),
        ("snowflake-arctic-embed2", "query: ", ""),
        (
            "snowflake-arctic-embed:335m",
            "Represent this sentence for searching relevant passages: ",
            "",
        ),
        ("bge-large", "Represent this sentence for searching relevant passages: ", ""),
        ("bge-m3", "", ""),
        ("paraphrase-multilingual", "", ""),
    ],
)
def test_what_stands_before_texts(name: str, question: str, text: str) -> None:
    found = select([known(name, 100)])
    assert found is not None
    assert (found.before_question, found.before_text) == (question, text)


def test_vectors_of_other_texts_cannot_be_compared() -> None:
    keys = {EmbeddingModel("a", digest, "", text).key for digest in ("1", "2") for text in ("", "passage: ")}
    assert len(keys) == 4
    assert EmbeddingModel("a", "1", "query: ").key == EmbeddingModel("b", "1").key
