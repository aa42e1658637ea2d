"""Signed tokens: what counts in one, and all that is refused with a sentence and nothing else."""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import Iterator
from time import time
from typing import Any, Final

import jwt
import pytest
from matrix import matrix

from chatproxy.values import VISITOR, folded
from chatproxy.web.access import signed
from chatproxy.web.access.signed import LEEWAY, SignedTokens

SECRET: Final = "wE5vYqZr8xK2mT9bN4cL7hJ1gF6dS3aP0uQ-oI_"
OLD_SECRET: Final = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0"


def tokens(*secrets: str, visitors: bool = True) -> SignedTokens:
    return SignedTokens(secrets or (SECRET,), str, visitors=visitors)


def owner(of: SignedTokens, token: str | bytes) -> str | None:
    raw = token if isinstance(token, bytes) else token.encode()
    return of.owner(raw, hashlib.sha256(raw).digest())


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def made(claims: object, header: object = None, secret: str = SECRET, digest: str = "sha256") -> str:
    """Return a token of any content with a right signature."""
    text = f"{part(header or {'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}"
    return f"{text}.{part(hmac.digest(secret.encode(), text.encode(), digest))}"


def claims(**more: Any) -> dict[str, Any]:
    return {"sub": "zelda", "exp": int(time()) + 60} | more


def test_the_subject_is_the_user() -> None:
    with matrix() as cases:
        for sub in ("ann", "Ann", "André", "a" * 256, "10"):
            cases.expect(sub, owner(tokens(), made(claims(sub=sub))), sub)
        cases.expect("ann", owner(tokens(), made(claims(sub=" ann "))), "space around it")
        cases.expect("visitor:a", owner(tokens(), made(claims(sub=f"{VISITOR}a"))), "a visitor's name")
        for more in ({"visitor": False}, {"iat": int(time())}, {"nbf": int(time())}, {"admin": True}):
            cases.expect("zelda", owner(tokens(), made(claims(**more))), more)
    form = SignedTokens((SECRET,), folded, visitors=True)
    assert owner(form, made(claims(sub="ANNE\u0301"))) == "ann\u00e9"
    assert owner(tokens(), made(claims(visitor=True))) == f"{VISITOR}zelda"


def test_what_is_in_the_header_counts_for_nothing_but_the_algorithm() -> None:
    with matrix() as cases:
        for more in (
            {"kid": "../../etc/passwd"},
            {"jku": "https://evil.example/keys"},
            {"x5u": "https://evil.example/x", "jwk": {"kty": "oct", "k": part(b"evil")}},
            {"typ": "at+jwt", "cty": "JWT"},
        ):
            token = made(claims(), {"alg": "HS256", **more})
            cases.expect("zelda", owner(tokens(), token), more)
            forged = made(claims(), {"alg": "HS256", **more}, secret="evil")
            with pytest.raises(ValueError, match="not signed with the secret"):
                owner(tokens(), forged)


def hostile() -> Iterator[tuple[str, str]]:
    """Yield tokens that are refused, and a name for each."""
    good = made(claims())
    head, body, _ = good.split(".")
    yield "another secret", made(claims(), secret=OLD_SECRET)
    yield "another algorithm", made(claims(), {"alg": "HS512"}, digest="sha512")
    yield "another algorithm, signed with HS256", made(claims(), {"alg": "RS256"})
    for name in ("none", "None", "NONE", "", "hs256", "HS256 ", 256, None, ["HS256"], {"a": 1}):
        yield f"alg {name}", made(claims(), {"alg": name})
        yield f"alg {name} with any signature", f"{part({'alg': name})}.{body}.{part(b'x')}"
    yield "no algorithm", made(claims(), {"typ": "JWT"})
    yield "extensions that have to be understood", made(claims(), {"alg": "HS256", "crit": ["exp"], "exp": 1})
    yield "unknown ones", made(claims(), {"alg": "HS256", "crit": ["x"], "x": 1})
    yield "no base64 of its content", made(claims(), {"alg": "HS256", "b64": False, "crit": ["b64"]})
    yield "kid of another type", made(claims(), {"alg": "HS256", "kid": [1]})
    yield "other claims", f"{head}.{part(claims(sub='bob'))}.{good.split('.')[2]}"
    yield "half a signature", good[:-20]
    yield "one character less", good[:-1]
    for what, value in {
        "deep": b"[" * 5000,
        "deeper": b'{"a":' * 1000,
        "number": b"1",
        "text": b'"a"',
        "list": b"[]",
        "null": b"null",
        "not UTF-8": b'{"sub":"\xff"}',
        "nothing": b" ",
        "NaN": b'{"sub":"zelda","exp":NaN}',
        "infinite": b'{"sub":"zelda","exp":Infinity}',
        "1e999": b'{"sub":"zelda","exp":1e999}',
        "digits": b'{"sub":"zelda","exp":' + b"9" * 5000 + b"}",
    }.items():
        yield f"claims: {what}", made(value)
        yield f"header: {what}", f"{part(value)}.{body}.{part(b'x')}"
    wrong: Any
    for name in ("sub", "exp"):
        yield f"without {name}", made({key: value for key, value in claims().items() if key != name})
        for wrong in (None, [], {}, True, False, "", " ", [name], 0.5):
            yield f"{name} is {wrong!r}", made(claims(**{name: wrong}))
    now = int(time())
    for exp in (0, -1, now - LEEWAY - 1, str(now + 60), "x", (now + 60) * 1000, 10**400, now + 400 * 86_400):
        yield f"exp is {str(exp)[:20]}", made(claims(exp=exp))
    for sub in (1, 10**400, "a" * 257, "a\nb", "a\tb", "\x00", "a\u202eb", "\ud800", "\u2028"):
        yield f"sub is {str(sub)[:20]!r}", made(claims(sub=sub))
    for name in ("nbf", "iat"):
        for wrong in (now + LEEWAY + 60, "x", [], None, 10**400):
            yield f"{name} is {str(wrong)[:20]}", made(claims(**{name: wrong}))
    for aud in ("other", ["other"], "", None, 1):
        yield f"aud is {aud!r}", made(claims(aud=aud))
    for wrong in (1, "true", None, [], {}):
        yield f"visitor is {wrong!r}", made(claims(visitor=wrong))


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
def test_hostile_tokens_are_refused_with_a_sentence_that_quotes_none() -> None:
    ours, tried = tokens(), 0
    with matrix() as cases:
        for what, token in hostile():
            tried += 1
            try:
                got = owner(ours, token)
            except ValueError as error:
                cases.check(type(error) is ValueError, f"{error!r}", what)
                cases.check(token[:40] not in str(error) and "zelda" not in str(error), str(error), what)
                cases.check("; " in str(error) or ": " in str(error), f"no remedy: {error}", what)
            else:
                allowed = {"aud is None": "zelda", "aud is ''": "zelda"}  # no audience
                cases.expect(allowed.get(what, "an error"), got, what)
    assert tried > 100


def test_what_has_not_the_form_of_one_is_none() -> None:
    with matrix() as cases:
        for text in (
            "",
            ".",
            "..",
            "a.b",
            "a.b.c.d",
            "a..c",
            "a.b.",
            "a b.c.d",
            "\u00e4.b.c",
            "a.b.c=",
            "x" * 9000,
        ):
            cases.expect(None, owner(tokens(), text), text)
        cases.expect(None, owner(tokens(), b"\xff.\xff.\xff"), "bytes")


def test_clocks_may_differ_a_little() -> None:
    now = int(time())
    assert owner(tokens(), made(claims(exp=now - LEEWAY + 10))) == "zelda"
    assert owner(tokens(), made(claims(nbf=now + LEEWAY - 10))) == "zelda"


def test_secrets_are_changed_without_a_break() -> None:
    before, both, after = tokens(OLD_SECRET), tokens(SECRET, OLD_SECRET), tokens(SECRET)
    old = before.visitor(None, 60)
    assert owner(both, old) == owner(before, old)
    new = both.visitor(owner(both, old), 60)
    assert owner(after, new) == owner(before, old)
    with pytest.raises(ValueError, match="not signed"):
        owner(after, old)


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens whose signature was verified."""
    verified: list[str] = []
    decode = jwt.decode

    def noted(token: str, *rest: Any, **more: Any) -> Any:
        verified.append(token)
        return decode(token, *rest, **more)

    monkeypatch.setattr(jwt, "decode", noted)
    return verified


def test_a_known_token_is_not_verified_again_until_it_expires(
    verified: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, token = tokens(), made(claims())
    assert [owner(ours, token) for _ in range(3)] == ["zelda"] * 3
    assert verified == [token]
    monkeypatch.setattr(signed, "time", lambda: time() + 60 + LEEWAY)
    owner(ours, token)  # by PyJWT's clock, it is still good
    assert verified == [token] * 2


def test_it_remembers_a_bounded_number_and_no_wrong_one(
    verified: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed, "KNOWN", 3)
    ours = tokens()
    right = [made(claims(sub=f"user {number}")) for number in range(4)]
    wrong = made(claims(), secret=OLD_SECRET)
    for token in right:
        owner(ours, token)
    for _ in range(2):
        with pytest.raises(ValueError, match="not signed"):
            owner(ours, wrong)
    assert verified == [*right, wrong, wrong]
    for token in (right[1], right[3], right[0]):
        owner(ours, token)
    assert verified[6:] == [right[0]]


def test_nothing_is_imported_for_those_who_have_no_signed_tokens() -> None:
    script = "import sys; from chatproxy import *; create_app(Config()); print('jwt' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, encoding="utf-8", check=True)
    assert run.stdout == "False\n"
