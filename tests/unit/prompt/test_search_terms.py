from functools import partial

import pytest
from cost import seconds

from chatproxy.prompt.search_terms import MAX_EARLIER, MAX_QUESTION, MAX_TERMS, queries, search_terms


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
        "Give me an overview of the lease",
        "Fasse das Protokoll zusammen",
        "Résume le cahier",
        "Resume el cuaderno",
        "总结这份说明书",
        "この説明書は何についてですか",
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


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("谁卖蜂蜜", ["谁卖蜂蜜"]),
        ("丢了书怎么赔", ["丢", "书", "赔"]),
        ("如何申请读者证", ["申请读者证"]),
        ("駅からの送迎バスはありますか", ["駅", "送迎バス"]),
        ("刺青があっても大丈夫ですか", ["刺青"]),
    ],
)
def test_words_that_no_space_parts(question: str, expected: list[str]) -> None:
    assert search_terms(question) == expected


@pytest.mark.parametrize(
    "question",
    [
        "Why?",
        "And then?",
        "Can you explain that in more detail?",
        "Tell me more about it.",
        "Give me an example.",
        "What does that mean?",
        "Please elaborate",
        "Summarise that",
        "Warum?",
        "Kannst du das genauer erklären?",
        "Erzähl mir mehr darüber",
        "Pourquoi ?",
        "Tu peux expliquer plus en détail ?",
        "¿Por qué?",
        "Cuéntame más",
        "Perché?",
        "Waarom?",
        "为什么",
        "能详细说明一下吗",
        "なぜですか",
        "もっと詳しく教えてください。",
        "왜?",
        "더 자세히 설명해 주세요",
        # Kinds of them, in each language
        "Thanks, and how long?",
        "And the second one?",
        "Are you sure?",
        "On which page?",
        "Translate that into German.",
        "Sorry, I don't understand.",
        "What's the difference?",
        "Danke, und wie viel?",
        "Und das zweite?",
        "Bist du sicher?",
        "Wie lautet der genaue Wortlaut?",
        "Merci, et combien de temps ?",
        "Et le deuxième ?",
        "Que veux-tu dire ?",
        "Gracias, ¿y cuánto tiempo?",
        "¿Estás seguro?",
        "Resúmelo",
        "Grazie, e per quanto tempo?",
        "Puoi dirmi di più?",
        "Fammi un esempio.",
        "Não entendi.",
        "Pode explicar melhor?",
        "Vertel me meer.",
        "Geef een voorbeeld.",
        "Ik begrijp het niet.",
        "第二个呢",
        "你确定吗",
        "本当ですか",
        "どのくらいかかりますか",
        "정말요?",
        "이해가 안 돼요.",
    ],
)
def test_one_without_words_of_its_own_asks_for_what_was_asked_before(question: str) -> None:
    (asked,) = queries(question, ["Who pays the rent?"])
    assert (asked.words, asked.weight) == (["pays", "rent"], 1)
    assert queries(question, []) == []


@pytest.mark.parametrize(
    "question",
    ["Summarise the document", "What is this contract about?", "Give me an overview", "总结这份文件"],
)
def test_one_about_the_whole_goes_on_from_nothing(question: str) -> None:
    assert queries(question, ["Who pays the rent?"]) == []


@pytest.mark.parametrize(
    ("question", "weight"),
    [("What about pets?", 0.5), ("How long does it take?", 1), ("Und danach im Mai?", 1)],
)
def test_earlier_words_count_less_unless_a_question_points_back(question: str, weight: float) -> None:
    own, earlier = queries(question, ["The rent?"])
    assert (own.weight, own.following) == (1, 0)
    assert (earlier.words, earlier.weight, earlier.following) == (["rent"], weight, weight / 2)


def test_words_count_once_and_few_questions_do() -> None:
    asked = queries("Is rent due?", ["Why?", "Rent? Pay!", "Why?", "the rent", "pets", "keys", "cats"])
    assert [query.words for query in asked] == [
        ["rent", "due", "rent due"],
        ["pay", "rent pay"],
        ["pets"],
        ["keys"],
    ]
    assert len(asked) == 1 + MAX_EARLIER


def test_long_questions_count_at_their_ends() -> None:
    words = search_terms(" and ".join([f"w{number}" for number in range(1000)]))
    assert words == [f"w{number}" for number in (*range(16), *range(984, 1000))]
    assert len(words) == MAX_TERMS


def test_terms_of_many_parts_are_left_out() -> None:
    """Each part costs a search as much as a term of its own does."""
    assert search_terms("10.0.0.1 and " + "x/" * 100_000) == ["10", "0", "1", "x", "10.0.0.1"]


@pytest.mark.parametrize("unit", ["a/", "ab cd ", "谁卖蜂蜜", "l'", "12 ", "İ"])
def test_a_long_question_costs_no_more_than_one_of_middle_length(unit: str) -> None:
    questions = [unit * (size // len(unit)) for size in (256 * 1024, 2 * MAX_QUESTION)]
    longest, middle = [seconds(partial(search_terms, question)) for question in questions]
    assert longest < 3 * middle
