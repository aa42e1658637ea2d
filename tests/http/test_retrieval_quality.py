"""How often the right passage of a document is found, at least. `make retrieval` measures it in full."""

from pathlib import Path
from typing import Any

import pytest
from chat_client import Client

from benchmarks.retrieval.measure import ask_by_words
from benchmarks.retrieval.questions import ACROSS, RETRIEVAL, read_all

DATA = Path(__file__).parents[1] / "data" / "documents"


@pytest.mark.slow
async def test_the_right_chunk_is_among_the_first_five() -> None:
    """Ask the questions about the shorter documents, of both halves, by words alone."""
    questions = [each for each in read_all() if each.document.parent == RETRIEVAL and each.group != ACROSS]
    outcomes = await ask_by_words([each for each in questions if each.kind == "place"])
    for held_out, least in ((False, 0.88), (True, 0.82)):
        found = [each.is_right for each in outcomes if each.question.held_out == held_out]
        assert len(found) >= 140
        assert sum(found) / len(found) >= least


async def test_the_search_endpoint_finds_what_a_question_would(client: Client) -> None:
    form: dict[str, Any] = {"title": "GPL", "text": (DATA / "gpl-3.html").read_text()}
    document = await client.call("POST", "/api/documents", status=201, json=form)
    path = f"/api/documents/{document['id']}/search"
    found = await client.call("GET", path, params={"q": "Is there a warranty for the program?"})
    assert any("THERE IS NO WARRANTY FOR THE PROGRAM" in source["snippet"] for source in found["sources"])
