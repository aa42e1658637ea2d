import json
from collections.abc import Callable
from itertools import chain, pairwise
from typing import Final

import pytest
from cost import seconds
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix import matrix
from recordings import BROKEN, CUTS, STREAMS, at_random, by_line, recorded, texts
from yarl import URL

from chatproxy.errors import ChatError
from chatproxy.ollama import wire
from chatproxy.ollama.login import Login
from chatproxy.ollama.wire import MAX_LINE, Line, LineBuffer, Message, refusal, unwrap

Cut = Callable[[bytes], list[bytes]]
KEY: Final = Login(["OLLAMA_HEADERS"])


def read(pieces: list[bytes]) -> tuple[list[Line], ChatError | None]:
    """Return the lines before the end or the error, and the error."""
    buffer, lines = LineBuffer(), list[Line]()
    try:
        for line in chain(chain.from_iterable(map(buffer.feed, pieces)), buffer.end()):
            lines.append(line)
    except ChatError as error:
        return lines, error
    return lines, None


def code(error: ChatError | None) -> str | None:
    return None if error is None else error.code


# -- recordings


def test_a_recording_gives_the_same_lines_however_it_is_cut() -> None:
    with matrix() as cases:
        for name in STREAMS:
            data = recorded(name)
            whole, _ = read([data])
            for cut in CUTS:
                lines, error = read(cut(data))
                text = "".join(line.thinking for line in lines), "".join(line.content for line in lines)
                expected = "upstream_error" if name == "runner_killed" else None
                cases.check(lines == whole, "other lines than in one piece", name, cut.__name__)
                cases.expect(texts(name), text, name, cut.__name__)
                cases.expect(
                    (expected, name not in BROKEN), (code(error), lines[-1].done), name, cut.__name__
                )


def test_the_last_line_has_the_numbers() -> None:
    lines, _ = read([recorded("answer_cold")])
    assert lines[-1] == Line(
        model="gemma3:270m",
        message=Message(""),
        done=True,
        done_reason="stop",
        total_duration=1904441385,
        load_duration=1327579892,
        prompt_eval_count=74,
        prompt_eval_duration=177040000,
        eval_count=18,
        eval_duration=392620000,
    )
    assert (lines[-1].load_ms, lines[-1].total_ms) == (1328, 1904)
    assert lines[-1].tokens_per_second == pytest.approx(18 / 0.39262)


@pytest.mark.parametrize("name", ["load_only", "unload"])
def test_absent_numbers_are_none(name: str) -> None:
    ((line,), error) = read([recorded(name)])
    assert error is None
    assert line.done
    assert line.done_reason == name.removesuffix("_only")
    assert (line.prompt_eval_count, line.eval_count) == (None, None)
    assert (line.tokens_per_second, line.load_ms, line.total_ms) == (None, None, None)


def test_an_answer_that_was_not_streamed_is_one_line() -> None:
    ((line,), error) = read([recorded("answer_not_streamed")])
    assert error is None
    assert line.done
    assert line.content.startswith(" An octopus")


@pytest.mark.parametrize("duration", ["", ',"eval_duration":0', ',"eval_duration":-5'])
def test_no_speed_without_a_duration(duration: str) -> None:
    assert wire.parse(f'{{"done":true,"eval_count":3{duration}}}'.encode()).tokens_per_second is None


def test_no_speed_of_one_token() -> None:
    lines, _ = read([recorded("history_too_long")])
    assert (lines[-1].eval_count, lines[-1].eval_duration) == (1, 1000)
    assert lines[-1].tokens_per_second is None


# -- lines


def test_null_content_is_no_content() -> None:
    line = wire.parse(b'{"message":{"content":null,"thinking":null}}')
    assert (line.content, line.thinking) == ("", "")
    assert (Line().content, Line().thinking) == ("", "")


@pytest.mark.parametrize(
    "data", [b'{"done":false}\r\n\r\n\n \n{"done":true}\r\n', b'\n{"done":false}\n{"done":true}']
)
@pytest.mark.parametrize("cut", CUTS)
def test_line_ends(data: bytes, cut: Cut) -> None:
    assert read(cut(data)) == ([Line(), Line(done=True)], None)


def test_only_the_byte_lf_ends_a_line() -> None:
    text = "a\u2028b\u2029c\u0085d\x0be\x0cf"
    data = json.dumps({"message": {"content": text}}, ensure_ascii=False).encode()
    data = data.replace(b"\\u000b", b"\\u000B")
    ((line,), _) = read([data + b"\n"])
    assert line.content == text


def test_an_empty_line_is_no_line() -> None:
    assert read([]) == ([], None)
    assert read([b" \r"]) == ([], None)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
    st.sampled_from([b"\n", b"\r\n", b"\n\n"]),
    st.booleans(),
    st.data(),
)
def test_any_text_survives_any_cut(
    contents: list[str], newline: bytes, ended: bool, data: st.DataObject
) -> None:
    lines = [json.dumps({"message": {"content": c}}, ensure_ascii=False).encode() for c in contents]
    body = newline.join(lines) + (newline if ended else b"")
    at = sorted(data.draw(st.sets(st.integers(0, len(body)))) | {0, len(body)})
    found, error = read([body[a:b] for a, b in pairwise(at)])
    assert error is None
    assert [line.content for line in found] == contents


# -- values of another type

VALUES: Final = [
    "true",
    "1",
    "0",
    "-1",
    "1.5",
    "1e400",
    str(2**63 - 1),
    "9" * 5000,
    '"many"',
    '"7"',
    "[1]",
    "{}",
    '{"message":{"content":5}}',
    "null",
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(
    "name", [name for name in Line.__struct_fields__ if name not in ("message", "error")]
)
def test_a_value_of_another_type_is_unknown_and_the_text_is_kept(name: str, value: str) -> None:
    rest = {"message": {"content": "Hi", "role": 5}, "done_reason": "stop", "eval_count": 3, "model": "m"}
    rest.pop(name, None)
    line = wire.parse(f'{{"{name}":{value},{json.dumps(rest)[1:]}'.encode())
    assert line.content == "Hi"
    expected = wire.parse(json.dumps(rest).encode())
    assert [getattr(line, other) for other in rest] == [getattr(expected, other) for other in rest]
    found = getattr(line, name)
    assert found is getattr(Line(), name) or found == json.loads(value)
    assert not isinstance(found, float)
    assert found in (None, False) or not isinstance(found, int) or 0 <= found < 2**31


def test_null_text_beside_a_value_of_another_type_is_no_text() -> None:
    for message in ("null", "{}", '{"content":null}'):
        line = wire.parse(f'{{"message":{message},"done":true,"eval_count":1.5}}'.encode())
        assert (line.done, line.content, line.eval_count) == (True, "", None)


# -- what is not Ollama's


BAD: Final = [
    b"<!doctype html>",
    b"[]",
    b"null",
    b'"text"',
    b"{} {}",
    b'\xef\xbb\xbf{"done":true}',
    b'{"message":5}',
    b'{"message":{"content":5}}',
    b'{"message":{"content":"\xff"}}',
    b'{"message":{"content":"\xed\xa0\xbd"}}',
    b'{"message":{"content":"\\ud83d"}}',
    b'{"message":{"content":"\\udc00 x"}}',
    b'{"message":{"content":5},"eval_count":1.5}',
    b'{"message":{"thinking":[]}}',
    b'{"done":true,"eval_count":NaN}',
    b'{"deep":' + b"[" * 100_000,
    b'{"message":{"content":"cut',
]


def test_a_bad_line_fails_after_the_good_ones() -> None:
    with matrix() as cases:
        for bad in BAD:
            for cut in (by_line, at_random):
                lines, error = read(cut(b'{"model":"m"}\n' + bad + b'\n{"done":true}\n'))
                cases.expect(([Line(model="m")], "upstream_invalid"), (lines, code(error)), bad, cut.__name__)


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        (b'{"message":{"content":"hal', "upstream_incomplete"),
        (b'{"message":{"content":"\xe2\x82', "upstream_incomplete"),
        (b"{", "upstream_incomplete"),
        (b"<html>", "upstream_invalid"),
        (b'{"done":5', "upstream_incomplete"),
        (b'{"error":"broken"}', "upstream_error"),
        (b'{"done":true}', None),
    ],
)
def test_a_body_that_ends_inside_a_line(rest: bytes, expected: str | None) -> None:
    _, error = read([b'{"done":false}\n' + rest])
    assert code(error) == expected


def padded(size: int) -> bytes:
    start, end = b'{"message":{"content":"', b'"}}'
    return start + b"x" * (size - len(start) - len(end)) + end


def test_the_longest_line() -> None:
    for cut in (lambda data: [data], lambda data: at_random(data, most=500_000)):
        ((line,), error) = read(cut(padded(MAX_LINE) + b"\n"))
        assert error is None
        assert len(line.content) == MAX_LINE - 26


@pytest.mark.parametrize("end", [b"\n", b"", b"\n{}\n"])
def test_a_line_that_is_too_long(end: bytes) -> None:
    for cut in (lambda data: [data], lambda data: at_random(data, most=500_000)):
        lines, error = read(cut(b"{}\n" + padded(MAX_LINE + 1) + end))
        assert lines == [Line()]
        assert code(error) == "upstream_invalid"


def test_a_long_line_is_not_gathered_past_the_limit() -> None:
    buffer, fed = LineBuffer(), 0
    with pytest.raises(ChatError, match="1 MiB"):  # noqa: PT012 - how far it gets is the point
        while True:
            fed += 65536
            list(buffer.feed(b"x" * 65536))
    assert fed == MAX_LINE + 65536


def test_time_is_linear_in_single_bytes() -> None:
    def feed(size: int) -> None:
        buffer = LineBuffer()
        for _ in range(size):
            list(buffer.feed(b" "))

    fortyfold = seconds(lambda: feed(400_000)) / seconds(lambda: feed(10_000))
    assert fortyfold < 400  # quadratic would be 1600


# -- errors in Ollama's words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"error":"it broke"}', "Ollama reports: it broke"),
        (b'{"error":"it broke","message":5,"done":true}', "Ollama reports: it broke"),
        (b'{"error":{"message":"it broke"},"done":true}', "Ollama reports: it broke"),
        (b'{"error":{"code":5}}', "Ollama broke off the answer without saying why; look into its log."),
        (b'{"error":7}', "Ollama broke off the answer without saying why; look into its log."),
    ],
)
def test_an_error_line(line: bytes, words: str) -> None:
    with pytest.raises(ChatError) as caught:
        wire.parse(line)
    assert (caught.value.code, caught.value.sentence, caught.value.retryable) == (
        "upstream_error",
        words,
        False,
    )


@pytest.mark.parametrize("line", [b'{"error":""}', b'{"error":null}'])
def test_an_empty_error_is_none(line: bytes) -> None:
    assert not wire.parse(line).done


def test_the_recorded_error_line() -> None:
    _, error = read([recorded("runner_killed")])
    assert str(error) == (
        "Ollama reports: an error was encountered while running the model: unexpected EOF; its model has"
        " stopped working: try again, and if that does not help, look into Ollama's log."
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"404 page not found\n", "404 page not found"),
        ('{"error":"unauthorized","signin_url":"https://x"}', "unauthorized"),
        (b"<html><body>nginx</body></html>", ""),
        (b"", ""),
        (b"\x1f\x8b\xff", ""),
        (b'{"detail":"else"}', ""),
        (b"{cut", "{cut"),
        ('{"error":"\ud800"}', '{"error":"\ud800"}'),
        (b'{"error":"{\\"message\\":\\"{braces} stay\\"}"}', "{braces} stay"),
        (b"[1]", "[1]"),
        (b"x" * 2000, "x" * 1000 + "…"),
    ],
)
def test_unwrap(body: bytes | str, words: str) -> None:
    assert unwrap(body) == words


def test_unwrap_copes_with_deep_nesting() -> None:
    assert unwrap(b'{"error":' * 100_000) == (b'{"error":' * 100_000).decode()[:1000] + "…"
    assert unwrap(b'{"error":' * 200 + b'"core"' + b"}" * 200) == "core"


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        (
            "error_bad_format",
            500,
            'invalid format: "\\"xml\\""; expected "json" or a valid JSON Schema object',
        ),
        ("error_bad_json", 400, "unexpected EOF"),
        ("error_queue_full", 503, "server busy, please try again.  maximum pending requests exceeded"),
        (
            "error_images_unsupported",
            400,
            "Multimodal data provided, but model does not support multimodal requests.",
        ),
        (
            "history_too_long_refused",
            400,
            "request (5371 tokens) exceeds the available context size (4096 tokens), try increasing it",
        ),
    ],
)
def test_recorded_refusals(name: str, status: int, words: str) -> None:
    error = refusal(status, recorded(name))
    assert (error.code, error.sentence) == ("upstream_error", f"Ollama reports: {words}")
    assert error.retryable == (status in {429, 500, 503})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 499, 500, 501, 505, 204])
def test_which_refusals_are_retryable(status: int) -> None:
    error = refusal(status, b"")
    assert error.code == "upstream_error"
    assert error.retryable == (status in {429, 500, 503})


WORDS: Final = {
    b"no available server\n": "no available server",  # Traefik
    b'{"message":"no upstream"}': "no upstream",  # Kong
    b"error code: 1033": "error code: 1033",  # Cloudflare
}
PAGES: Final = (
    b"",  # Caddy
    b"<html><h1>Bad gateway</h1></html>",  # nginx, HAProxy, Apache
    b"<" * 70_000,
    b"\xff\x00",
    b"a" * 5000,
    b"two\nlines",
)


def test_a_proxy_that_does_not_reach_ollama() -> None:
    with matrix() as cases:
        for code, statuses in (
            ("upstream_unavailable", (502, 503, 520, 521, 523, 525, 526, 530)),
            ("upstream_timeout", (504, 522, 524)),
        ):
            for status in statuses:
                for body in (*WORDS, *PAGES):
                    error = refusal(status, body, KEY)
                    got = error.code, error.retryable, error.is_busy
                    cases.expect((code, True, False), got, status, body[:20])
                    said = f"{status}: {WORDS[body]}" if body in WORDS else str(status)
                    cases.check(f" ({said}); " in error.sentence, error.sentence, status, body[:20])
                    # Servers with Ollama's API explain these, too.
                    is_surely_a_proxy = error.sentence.startswith("A proxy in front of Ollama d")
                    may_be = status in (502, 503) and body in WORDS
                    cases.expect(not may_be, is_surely_a_proxy, status, body[:20])


@pytest.mark.parametrize("status", [413, 502, 503, 504, 522, 530])
def test_an_error_of_ollamas_own_is_no_proxys(status: int) -> None:
    error = refusal(status, b'{"error":"the model is gone"}')
    assert (error.code, error.retryable, error.is_busy) == ("upstream_error", status == 503, False)
    assert error.sentence == "Ollama reports: the model is gone"


@pytest.mark.parametrize(
    ("status", "body", "is_busy"),
    [
        (503, recorded("error_queue_full"), True),
        (503, b'{"error":"Server busy"}', True),
        (503, b'{"error":{"message":"too many pending requests"}}', True),
        (503, b'{"error":"Service Unavailable"}', False),
        (503, b'{"error":{}}', False),
        (503, b"The server is busy", False),
        (500, recorded("error_queue_full"), False),
    ],
)
def test_which_refusals_say_that_ollamas_queue_is_full(status: int, body: bytes, is_busy: bool) -> None:
    assert refusal(status, body).is_busy == is_busy


@pytest.mark.parametrize("body", [b"", b"<html>Sign in</html>", b'{"message":"bad key"}', b"sesame?"])
@pytest.mark.parametrize("status", [401, 407])
def test_credentials_that_are_not_accepted(status: int, body: bytes) -> None:
    for places, named in (
        (["OLLAMA_HOST"], "OLLAMA_HOST"),
        (["OLLAMA_API_KEY", "OLLAMA_HEADERS"], "OLLAMA_API_KEY and OLLAMA_HEADERS"),
    ):
        error = refusal(status, body, Login(places))
        assert (error.code, error.blames_request) == ("upstream_error", status == 401)
        assert error.sentence == (
            f"Ollama, or a proxy in front of it, does not accept the login in {named} ({status}); correct it,"
            " or add what is missing, and restart."
        )


@pytest.mark.parametrize("login", [Login(), Login(["OLLAMA_HEADERS"])])
def test_ollamas_own_401_is_about_its_cloud(login: Login) -> None:
    """A header for a proxy need not be a login."""
    for body in (b'{"error":"unauthorized","signin_url":"https://x"}', b'{"error":"who?"}'):
        sentence = refusal(401, body, login).sentence
        assert sentence.startswith("Ollama, or a proxy in front of it, wants to know who asks (")
        assert "for a cloud model, type `ollama signin` where Ollama runs; for anything else, " in sentence
        assert sentence.endswith(", and restart.")


@pytest.mark.parametrize(
    ("headers", "secrets"),
    [
        ({"Authorization": "Bearer open-sesame"}, ["open-sesame", "Bearer open-sesame"]),
        ({"Authorization": "basic bWU6c2VzYW1l"}, ["bWU6c2VzYW1l", "me:sesame", "sesame"]),
        ({"X-Key": 'open "sesame"'}, ['open "sesame"']),
        ({"X-Tenant": "a", "X-Key": "sesame", "Authorization": "Basic ====="}, ["sesame"]),
    ],
    ids=["token", "password", "quotes", "short"],
)
def test_no_refusal_repeats_a_secret(headers: dict[str, str], secrets: list[str]) -> None:
    login = Login.of(["OLLAMA_HEADERS"], headers)
    with matrix() as cases:
        for status in (200, 302, 400, 401, 403, 404, 407, 413, 429, 500, 502, 503, 504, 524, 530):
            for secret in secrets:
                for said in (f"bad key {secret} at a", f"{'a ' * 497}{secret}", f"model {secret} not found"):
                    bodies = said, json.dumps({"error": said}), json.dumps({"message": {"error": said}})
                    for body in map(str.encode, bodies):
                        sentence = refusal(status, body, login).sentence
                        for hidden in (secret, secret[:5]):
                            cases.check(hidden not in sentence, sentence, status, body[:40])
    assert refusal(500, b'{"error":"a bad gateway"}', login).sentence == "Ollama reports: a bad gateway"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>Forbidden</html>", "403"),
        (b"Forbidden", "403: Forbidden"),
        (b'{"message":"no access"}', "403: no access"),
    ],
)
def test_a_403_of_a_proxys(body: bytes, said: str) -> None:
    keeps_out = f"A proxy in front of Ollama does not let chatproxy in ({said}); "
    for login, remedy in ((Login(), "set OLLAMA_HEADERS to what it wants"), (KEY, "correct OLLAMA_HEADERS")):
        assert refusal(403, body, login).sentence == f"{keeps_out}{remedy}, or correct its rules."


def test_a_redirect_may_be_a_login() -> None:
    assert "set OLLAMA_HEADERS to what it wants" in refusal(302, b"").sentence
    assert "correct OLLAMA_HEADERS" in refusal(302, b"", KEY).sentence


def test_a_prompt_that_does_not_fit_names_both_numbers() -> None:
    refused = refusal(400, recorded("prompt_too_long_refused"))
    assert (refused.blames_request, refused.prompt_tokens, refused.window) == (True, 43957, 4096)
    other = refusal(400, recorded("error_bad_json"))
    assert (other.blames_request, other.prompt_tokens, other.window) == (True, None, None)


@pytest.mark.parametrize(
    "body",
    [recorded("error_model_missing"), b'{"error":"model \\"nope:1b\\" not found, try pulling it first"}'],
)
def test_a_missing_model(body: bytes) -> None:
    error = refusal(404, body)
    assert error.code == "model_not_found"
    assert "`ollama pull nope:1b`" in error.sentence


@pytest.mark.parametrize(
    ("status", "body", "hint"),
    [
        (301, b"<a href=x>Moved</a>", "set OLLAMA_HOST to the final address"),
        (401, b'{"error":"unauthorized","signin_url":"https://x"}', "OLLAMA_API_KEY"),
        (403, b"", "OLLAMA_ORIGINS"),
        (403, b'{"error":"cloud is disabled"}', "Ollama reports: cloud is disabled"),
        (302, b"<a href=/login>Found</a>", "OLLAMA_HEADERS"),
        (401, b"<html>Sign in</html>", "OLLAMA_HEADERS"),
        (403, b"<html>Forbidden</html>", "A proxy in front of Ollama does not let chatproxy in"),
        (407, b"<html>Proxy authentication</html>", "OLLAMA_HEADERS"),
        (404, b"<html>Not found</html>", "check the address and its path"),
        (404, recorded("no_such_path"), "check the address and its path"),
        (413, b"<html>Too large</html>", "client_max_body_size"),
        (413, b"Request Entity Too Large", "client_max_body_size"),
        (413, b'{"message":"Too large"}', "client_max_body_size"),
        (413, b"", "client_max_body_size"),
        (502, b"<html>Bad gateway</html>", "start Ollama"),
        (502, b"Bad gateway", "start Ollama"),
        (504, b"<html>Timeout</html>", "proxy_read_timeout"),
        (522, b"error code: 522", "firewall"),
        (526, b"error code: 526", "does not trust its certificate"),
        (418, b"<html>Teapot</html>", "status 418"),
    ],
)
def test_what_to_do_about_a_status(status: int, body: bytes, hint: str) -> None:
    assert hint in refusal(status, body).sentence


def test_an_address_is_shown_without_its_secrets() -> None:
    assert unavailable_at("http://me:secret@host:1/path") == (
        "Ollama cannot be reached at http://host:1; start it with `ollama serve` or set OLLAMA_HOST."
    )


def unavailable_at(url: str) -> str:
    return wire.upstream_unavailable(URL(url), ConnectionRefusedError(), "").sentence
