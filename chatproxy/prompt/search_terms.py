"""What a question looks for: its own words, without those that questions are made of."""

import re
from itertools import pairwise
from typing import Final

MAX_WORDS: Final = 32  # of a question; a message may be as long as a document


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# In English, German, French, Spanish, Italian, Portuguese and Dutch. What questions are made of:
_COMMON: Final = _set(
    """
    a about all also am an and any are as at be been being but by can could did do does doing done for from
    get give gives got had has have having he her here him his how i if in into is it its just let like may me
    might more most much must my no not of off on one only or other our out over please say says said shall
    she should show so some such tell tells than that the their them then there these they this those to too
    under up upon us was we were what whatever when where whether which while who whom whose why will with
    would you your according mention mentioned mentions explain explains describe described describes

    aber als am an auf aus bei bin bis bitte da dann das dass dein dem den der des die dies diese diesem
    diesen dieser dieses doch du durch ein eine einem einen einer eines er erkläre es für gibt hat hatte hier
    ich ihm ihn ihr im in ist ja kann kein keine können man mein mich mir mit muss müssen nach nicht noch nur
    oder ob sagt sein seine sich sie sind so soll sollen steht über um und uns unter vom von vor wann war
    waren warum was welche welchem welchen welcher welches wenn wer werden wie wieso wird wo wurde zu zum zur

    au aux avec ce ces cet cette comment c d dans de des dit donc du elle elles en es est et été être faire
    fait faut il ils j je la le les leur lui l m ma mais me mes moi mon n ne nous on ont ou où par pas peut
    plus pour pourquoi qu quand que quel quelle quelles quels qui quoi s sa sans se ses si son sont sur t te
    tu un une vous y

    al algo como cómo con cuál cuáles cuando cuándo cuánto cuántos de del dice donde dónde dos e el ella
    ellos en entre era es esa ese eso esta está este esto ha hay la las le lo los más me mi muy no nos o para
    pero por porque puede que qué quien quién se ser si sin sobre son su sus también te tiene tu un una uno y

    ai alla alle allo che chi ci col come con cosa cui da dal dalla dei del della delle dello di dove è gli ha
    hanno i il la le lei lo loro ma mi nel nella non o per perché più può quale quali quando quanto questa
    questo sono su sua sui sul sulla suo tra un una uno

    ao aos as à com como da das de deve do dos e ela ele em entre é foi há isso isto mais mas na nas não no
    nos o onde os ou para pela pelo por qual quais quando quanto que quem se sem ser seu são sua também tem
    um uma você

    aan als bij dan dat de deze die dit door een en er haar heeft het hij hoe hun ik in is kan maar met moet
    naar niet nog of om ook op over te tot uit van voor waar waarom wanneer wat welk welke wie worden wordt ze
    zijn zo
    """
)
# What a question about the whole may be made of, besides:
_GENERAL: Final = _set(
    """
    brief briefly bullet bullets content contents essence gist idea ideas key list main message outline
    overall overview point points purpose recap sentence sentences short subject summaries summarise
    summarised summarising summarize summarized summarizing summary sum takeaway takeaways tldr theme tl dr
    topic topics words whole entire quick quickly write make create provide help understand read want need
    know find look think two three four five ten few paragraph paragraphs simple plain terms english language
    important interesting hello hi thanks detail details detailed

    fass fasse fassen geht gesamten ganzen hauptaussage hauptpunkte handelt inhalt kern kurz kurze kurzer
    stichpunkten stichworten thema themen überblick übersicht wesentlichen worum wovon zusammen
    zusammenfassen zusammenfassung

    agit aperçu bref grandes idées lignes parle principales principaux résume résumé résumer sujet synthèse
    traite

    breve habla ideas principal principales puntos resume resumen resúmeme resumir tema temas trata

    argomento breve parla principali punti riassumere riassumi riassunto sintesi tratta

    assunto fala principais pontos resuma resumo sobre

    hoofdlijnen hoofdpunten kort onderwerp overzicht samen samenvat samenvatten samenvatting vat gaat
    """
)
# What the document itself is called:
_DOCUMENT: Final = _set(
    """
    agreement book contract doc document documents essay file files guide handbook manual paper pdf report
    text buch datei dokument dokuments handbuch text textes texts vertrag vertrages vertrags contrat fichier
    guide livre manuel rapport texte archivo contrato documento informe libro manual texto contratto libro
    manuale rapporto testo arquivo livro relatório texto bestand boek contract handleiding tekst
    """
)
_POINTING: Final = _set(
    """
    this that the it der die das dies diese dieser dieses diesem den dem le la ce cet cette el este esta esto
    il lo questo questa isto dit deze het im vom zum du des del della do no nel
    """
)
_ELIDED: Final = re.compile(r"(?<=\w)['’](?:s|t|ll|re|ve|d|m)\b|\b(?:[cdjlmnst]|qu|dell|nell|all)['’](?=\w)")  # noqa: RUF001
_WORD: Final = re.compile(r"\w+(?:[./:_-]\w+)*")
_PART: Final = re.compile(r"[^\W_]+")


def search_words(question: str) -> list[str]:
    """What to look for, words and phrases of two; nothing where the question is about the whole document.

    What the document is called does not count where it is pointed at, as in "what does the contract say
    about rent?", but it does in "what is a contract?".
    """
    words = _WORD.findall(_ELIDED.sub(" ", question.lower()))
    own = [None if _is_filling(word, before) else word for before, word in pairwise(["", *words])]
    said = [word for word in own if word is not None]
    parts = [part for word in said for part in _parts(word)]
    if _GENERAL.issuperset(parts):
        return []
    phrases = [f"{first} {second}" for first, second in pairwise(own) if first and second]
    half = MAX_WORDS // 2
    found = list(dict.fromkeys([*parts, *said, *phrases]))
    return found if len(found) <= MAX_WORDS else found[:half] + found[-half:]


def _is_filling(word: str, before: str) -> bool:
    return not _parts(word) or (word in _DOCUMENT and before in _POINTING)


def _parts(word: str) -> list[str]:
    return [part for part in _PART.findall(word) if part not in _COMMON]
