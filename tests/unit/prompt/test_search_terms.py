import pytest

from chatproxy.prompt.search_terms import MAX_TERMS, search_terms


@pytest.mark.parametrize(
    "question",
    [
        "What is this about?",
        "what is this document about",
        "What's the contract about?",
        "What is this?",
        "Summarise",
        "Summarize this document in three bullet points, please.",
        "Can you give me a short summary of the PDF?",
        "TL;DR",
        "Write an overview of the main points",
        "Worum geht es in diesem Dokument?",
        "Fasse den Text zusammen",
        "De quoi parle ce document ?",
        "Résume-moi ce texte",
        "De qu'est-ce que parle le livre ?",
        "¿De qué trata este documento?",
        "Resumen del texto",
        "Di cosa parla questo libro?",
        "Do que trata este documento?",
        "Waar gaat dit boek over?",
        "",
        "???",
        "😀",
    ],
)
def test_about_the_whole(question: str) -> None:
    assert search_terms(question) == []


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What does the contract say about rent?", ["rent"]),
        ("Was steht im Vertrag über die Miete?", ["miete"]),
        ("What is a contract?", ["contract"]),
        ("Which package does a file belong to?", ["package", "file", "belong", "file belong"]),
        ("Summarise the termination clause", ["summarise", "termination", "clause", "termination clause"]),
        ("What's John's notice period?", ["john", "notice", "period", "john notice", "notice period"]),
        ("Qu'est-ce que l'article 5.2 dit ?", ["article", "5", "2", "5.2", "article 5.2"]),
        ("where is /var/tmp", ["var", "tmp", "var/tmp"]),
        ("Straße, STRASSE", ["straße", "strasse", "straße strasse"]),
        ("policy_rc policy_rc", ["policy", "rc", "policy_rc", "policy_rc policy_rc"]),
        ('"a" OR b* NEAR(c)', ["b", "near", "b near"]),
    ],
)
def test_words(question: str, expected: list[str]) -> None:
    assert search_terms(question) == expected


def test_long_questions_count_at_their_ends() -> None:
    words = search_terms(" and ".join([f"w{number}" for number in range(1000)]))
    assert words == [f"w{number}" for number in (*range(16), *range(984, 1000))]
    assert len(words) == MAX_TERMS
