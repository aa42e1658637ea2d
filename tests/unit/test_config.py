import argparse
import re
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
from systems import modes

from chatproxy import create_app
from chatproxy.config import SETTINGS, Config, add_flags, load
from chatproxy.errors import StartError
from chatproxy.values import Token, without_password

NOWHERE = Path("no-such-file")
SECRET = "wE5vYqZr8xK2mT9bN4cL7hJ1gF6dS3aP0uQ-oI_"
OTHER_SECRET = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0"


def refusal(**settings: object) -> str:
    with pytest.raises(StartError) as caught:
        Config(**settings)  # type: ignore[arg-type]  # any value at all may come from the environment
    return str(caught.value)


def test_the_defaults_are_those_of_a_machine_with_ollama_on_it() -> None:
    config = Config()
    assert (config.host, config.port) == ("127.0.0.1", 11435)
    assert config.ollama_host == "http://127.0.0.1:11434"
    assert config.database_path == Path("chatproxy.db")
    assert config.cors_origins == ()
    assert config.disconnect_grace_seconds is None


def test_every_default_is_a_valid_value() -> None:
    for name, setting in SETTINGS.items():
        default = getattr(Config(), name.lower())
        if default is not None:
            assert setting.read(default) == default


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":1234", "http://127.0.0.1:1234"),
        ("1.2.3.4:1234", "http://1.2.3.4:1234"),
        ("example.com", "http://example.com:11434"),
        ("example.com:1234", "http://example.com:1234"),
        (":66000", "http://127.0.0.1:11434"),
        (":-1", "http://127.0.0.1:11434"),
        ("example.com:", "http://example.com:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("[::1]:1337", "http://[::1]:1337"),
        ("[::]", "http://[::1]:11434"),
        ("[::]:1337", "http://[::1]:1337"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:1337", "http://127.0.0.1:1337"),
        (" 1.2.3.4 ", "http://1.2.3.4:11434"),
        ('"1.2.3.4"', "http://1.2.3.4:11434"),
        (' " 1.2.3.4 " ', "http://1.2.3.4:11434"),
        ("'1.2.3.4'", "http://1.2.3.4:11434"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("http://1.2.3.4:4321", "http://1.2.3.4:4321"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("HTTPS://1.2.3.4:4321", "https://1.2.3.4:4321"),
        ("http://", "http://127.0.0.1:80"),
        ("http://127.0.0.1:11434/", "http://127.0.0.1:11434"),
        ("https://example.com/ollama", "https://example.com:443/ollama"),
        ("example.com:1234/ollama/", "http://example.com:1234/ollama"),
        ("ollama.com", "https://ollama.com:443"),
    ],
)
def test_the_address_of_ollama_is_read_as_ollama_reads_it(given: str, url: str) -> None:
    assert load({}, {"OLLAMA_HOST": given}, NOWHERE).config.ollama_host == url


@pytest.mark.parametrize(
    "given",
    [
        "ftp://example.com",
        "unix:///run/ollama.sock",
        "://example.com",
        "a:b:c",
        "two words",
        "[not-an-address",
        "http://example.com/a path",
        "http://example.com/?query",
        "http://example.com/#fragment",
        "[nonsense]:80",
        "http://http://example.com",
        "[::1]:80:80",
        ":0",
        11434,
    ],
)
def test_an_address_that_leads_nowhere_is_refused(given: object) -> None:
    assert refusal(ollama_host=given).startswith("OLLAMA_HOST is ")


@pytest.mark.parametrize(
    ("given", "urls"),
    [
        ("gpu1,gpu2:1", ["http://gpu1:11434", "http://gpu2:1"]),
        ("gpu1:11434, https://gpu2/ollama", ["http://gpu1:11434", "https://gpu2/ollama"]),
        ("http://me:a@gpu,http://you:b@other", ["http://gpu", "http://other"]),
        ("http://me:a,b@gpu", ["http://gpu"]),  # a password
    ],
)
def test_several_addresses_of_ollama(given: str, urls: list[str]) -> None:
    config = Config(ollama_host=given)
    assert [each.ollama_url for each in config.per_ollama()] == urls
    assert Config(ollama_host=config.ollama_host) == config
    assert SETTINGS["OLLAMA_HOST"].masked(config.ollama_host).count("me:") == 0


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ("gpu1,http://gpu1:11434", "name each Ollama once"),
        ("http://me:a@gpu1,http://you:b@gpu1", "name each Ollama once"),
        ("gpu1,,gpu2", "use some text"),
        ("gpu1,ftp://gpu2", "use the address of Ollama"),
        (",".join(f"gpu{number}" for number in range(65)), "use at most 64 addresses"),
    ],
)
def test_a_list_of_addresses_that_cannot_be_used_is_refused(given: str, remedy: str) -> None:
    assert remedy in refusal(ollama_host=given)


def test_each_address_has_one_authorization() -> None:
    config = Config(ollama_host="http://me:a@gpu,other")
    assert [dict(each.headers_for_ollama) for each in config.per_ollama()] == [
        {"Authorization": "Basic bWU6YQ=="},
        {},
    ]
    both = refusal(ollama_host="http://me:a@gpu,other", ollama_api_key="key")
    assert both == "OLLAMA_HOST and OLLAMA_API_KEY each set Authorization in requests to Ollama; keep one."


def test_a_password_in_an_address_is_not_repeated() -> None:
    assert refusal(ollama_host="http://me:secret@example.com/?query") == (
        "OLLAMA_HOST is 'http://****@example.com/?query', which cannot be used: "
        "use the address of Ollama, as 127.0.0.1:11434 or https://ollama.example/path."
    )
    assert "secret" not in refusal(ollama_host="http://me:sec ret@example.com")


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        ("http://me:secret@example.com", "me:secret"),
        ("me:secret@example.com", "me:secret"),
        ("https://me:p%40ss%2Fword%3A@example.com/ollama", "me:p@ss/word:"),
        ("http://me@firm.example:secret@example.com", "me@firm.example:secret"),
        ("http://me@example.com", "me:"),
        ("http://zoë:süß@example.com", "zoë:süß"),
    ],
)
def test_a_password_in_an_address_is_sent_as_basic(address: str, sent: str) -> None:
    config = Config(ollama_host=address)
    assert "@" not in config.ollama_url
    kind, _, encoded = config.headers_for_ollama["Authorization"].partition(" ")
    assert (kind, b64decode(encoded).decode()) == ("Basic", sent)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("X-Key: a b", {"X-Key": "a b"}),
        ("X-Key: a:b\n\nCF-Access-Client-Id:c", {"X-Key": "a:b", "CF-Access-Client-Id": "c"}),
        (
            '{"X-Key": "a, b", "Authorization": "Basic YTpi"}',
            {"X-Key": "a, b", "Authorization": "Basic YTpi"},
        ),
    ],
)
def test_headers_for_ollama(given: str, sent: dict[str, str]) -> None:
    config = load({"OLLAMA_HEADERS": given}, {}, NOWHERE).config
    assert dict(config.headers_for_ollama) == sent


@pytest.mark.parametrize(
    "given",
    [
        "X-Key",
        "X Key: a",
        '{"X-Key": 1}',
        '["X-Key"]',
        "X-Key:",
        "X-Key: ä",
        "Host: a",
        '{"Connection": "a"}',
    ],
)
def test_headers_that_cannot_be_sent(given: str) -> None:
    sentence = refusal(ollama_headers=given)
    assert sentence.startswith("OLLAMA_HEADERS is '****', which cannot be used: ")


def test_only_one_setting_names_the_authorization() -> None:
    assert refusal(ollama_host="http://me:secret@example.com", ollama_api_key="sesame") == (
        "OLLAMA_HOST and OLLAMA_API_KEY each set Authorization in requests to Ollama; keep one."
    )


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ('"sesame"', "sesame"),
        ("'sesame'", "sesame"),
        (' "sesame" ', "sesame"),
        ("sesame", "sesame"),
        ("\"sesame'", "\"sesame'"),
        ('"yes" or "no"', '"yes" or "no"'),
        ('say "yes"', 'say "yes"'),
        ('"it\'s"', "it's"),
        ('"', '"'),
    ],
)
def test_quotes_around_a_value_of_the_environment_do_not_count(given: str, meant: str) -> None:
    assert load({}, {"SYSTEM_PROMPT": given}, NOWHERE).config.system_prompt == meant
    assert load({"SYSTEM_PROMPT": given}, {}, NOWHERE).config.system_prompt == given


def test_quotes_are_alike_for_all_settings() -> None:
    plain = {
        "PORT": "80",
        "API_TOKEN": "sesame",
        "DEFAULT_MODEL": "m",
        "CORS_ORIGINS": "http://a,http://b",
        "VISITORS": "on",
    }
    quoted = {name: f'"{value}"' for name, value in plain.items()}
    assert load({}, quoted, NOWHERE).config == load({}, plain, NOWHERE).config
    assert load({}, {"DEFAULT_MODEL": '""'}, NOWHERE).config == Config()


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("sqlite:///chat.db", Path("chat.db")),
        ("sqlite:///data/chat.db", Path("data/chat.db")),
        ("sqlite:////data/chat.db", Path("/data/chat.db")),
    ],
)
def test_three_slashes_are_relative_and_four_absolute(given: str, path: Path) -> None:
    assert Config(database_url=given).database_path == path


@pytest.mark.parametrize(
    "path", ["C:\\Users\\ann\\chatproxy.db", "C:/Users/ann/chatproxy.db", "D:\\new folder\\%2e#.db", "C:/x"]
)
@pytest.mark.parametrize("quote", ["", "'"])
def test_a_path_of_windows_follows_three_slashes(tmp_path: Path, path: str, quote: str) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"DATABASE_URL={quote}sqlite:///{path}{quote}\n", encoding="utf-8")
    given = f"sqlite:///{path}"
    for loaded in (load({"DATABASE_URL": given}, {}, NOWHERE), load({}, {}, dotenv)):
        found = PureWindowsPath(str(loaded.config.database_path))
        assert found == PureWindowsPath(path)
        assert found.is_absolute()


@pytest.mark.parametrize(
    "given",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite://chat.db",
        "sqlite:///:memory:",
        "sqlite:///data/",
        "sqlite:///chat.db?mode=memory",
        "mysql://localhost/chat",
        "chat.db",
    ],
)
def test_only_files_and_postgresql_are_databases(given: str) -> None:
    assert refusal(database_url=given) == (
        f"DATABASE_URL is {given!r}, which cannot be used: "
        "use a file, as sqlite:///chatproxy.db, or with four slashes an absolute path, or "
        "postgresql://user:password@host/database."
    )


@pytest.mark.parametrize(
    ("given", "shown", "named"),
    [
        ("postgres://h/chat", "postgres://h/chat", "postgres://h/chat"),
        ("postgresql://ann:pass@h:1,i/c", "postgresql://****@h:1,i/c", "postgresql://ann@h:1,i/c"),
        ("postgresql://h/c?a=b&password=p&c=d", "postgresql://h/c?a=b&password=****&c=d", "postgresql://h/c"),
        ("postgresql://a:p@q@/c?host=/x", "postgresql://****@/c?host=/x", "postgresql://a@/c"),
        ("postgresql://a:p?q@h/c", "postgresql://****@h/c", "postgresql://a"),
    ],
)
def test_urls_of_postgresql_are_shown_without_passwords(given: str, shown: str, named: str) -> None:
    assert Config(database_url=given).database == given
    assert shown in load({"DATABASE_URL": given}, {}, NOWHERE).table()
    assert without_password(given) == named


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("*", ("*",)),
        ("https://chat.example", ("https://chat.example",)),
        ("http://localhost:3000, https://a.example,", ("http://localhost:3000", "https://a.example")),
        ("https://Chat.Example:443", ("https://chat.example",)),
        ("http://[::1]:3000", ("http://[::1]:3000",)),
        (["http://localhost:3000"], ("http://localhost:3000",)),
        (" , ", ()),
    ],
)
def test_origins_are_kept_as_browsers_send_them(given: object, origins: tuple[str, ...]) -> None:
    assert Config(cors_origins=given).cors_origins == origins  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given",
    [
        "chat.example",
        "https://chat.example/",
        "https://chat.example/path",
        "https://*.example",
        "https://a.example,*",
        "https://me@chat.example",
        "https://chat.example:99999",
        "null",
        5,
    ],
)
def test_origins_that_no_browser_sends_are_refused(given: object) -> None:
    assert refusal(cors_origins=given).startswith("CORS_ORIGINS is ")


@pytest.mark.parametrize("given", [True, "true", "TRUE", "1", " yes ", "on"])
def test_what_means_true(given: object) -> None:
    assert Config(enable_streaming=given).enable_streaming is True  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [False, "false", "0", "no", "Off"])
def test_what_means_false(given: object) -> None:
    assert Config(enable_streaming=given).enable_streaming is False  # type: ignore[arg-type]


def test_what_means_neither() -> None:
    assert refusal(enable_streaming="maybe") == (
        "ENABLE_STREAMING is 'maybe', which cannot be used: use true or false."
    )


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("4", 4),
        (' "4" ', 4),
        ('" 4 "', 4),
        ("'4'", 4),
        ("00004", 4),
        ("0", 1),
        (str(2**64 - 1), 2**64 - 1),
        *[
            (wrong, None)
            for wrong in ("four", "-1", "+4", "4.5", "1_000", "4'", '""', str(2**64), "9" * 5000)
        ],
    ],
)
def test_a_parallelism_that_is_no_whole_number_counts_as_unset(given: str, read: int | None) -> None:
    assert load({}, {"OLLAMA_NUM_PARALLEL": given}, NOWHERE).config.ollama_num_parallel == read


def test_a_number_is_the_parallelism_in_code_and_quotes_are_for_shells() -> None:
    assert Config(ollama_num_parallel=4).ollama_num_parallel == 4
    assert load({"OLLAMA_NUM_PARALLEL": "'4'"}, {}, NOWHERE).config.ollama_num_parallel is None
    with pytest.raises(StartError, match="use the address of Ollama"):
        load({"OLLAMA_HOST": "'1.2.3.4'"}, {}, NOWHERE)


@pytest.mark.parametrize(
    ("setting", "given"),
    [
        ("port", "65536"),
        ("port", -1),
        ("port", "http"),
        ("port", "1_000"),
        ("port", "1e3"),
        ("port", True),
        ("port", 80.5),
        ("max_concurrent_generations", 0),
        ("max_subscribers", "0"),
        ("max_queued_generations", "9" * 5000),
        ("token_timeout", "nan"),
        ("token_timeout", float("inf")),
        ("token_timeout", "-inf"),
        ("token_timeout", 0),
        ("token_timeout", "-5"),
        ("token_timeout", "30s"),
        ("token_timeout", True),
        ("token_timeout", None),
        ("token_timeout", 10**400),
        ("disconnect_grace_seconds", "-1"),
        ("disconnect_grace_seconds", "nan"),
        ("heartbeat_seconds", "31536001"),
        ("drain_seconds", "-1"),
        ("log_format", "xml"),
        ("log_level", "loud"),
        ("host", "http://127.0.0.1"),
        ("host", "127.0.0.1:80"),
        ("default_model", "two words"),
        ("default_model", " "),
        ("system_prompt", ""),
        ("system_prompt", "\udcff"),
        ("trusted_user_header", "X-User:"),
        ("ollama_api_key", "line\nbreak"),
        ("ollama_api_key", "ключ"),
    ],
)
def test_the_refusal_of_a_value_names_the_setting(setting: str, given: object) -> None:
    sentence = refusal(**{setting: given})
    assert sentence.startswith(f"{setting.upper()} is ")
    assert ", which cannot be used: use " in sentence
    assert "\n" not in sentence


def test_numbers_may_come_as_text() -> None:
    config = Config(port="0", token_timeout="2.5", disconnect_grace_seconds="0")  # type: ignore[arg-type]
    assert (config.port, config.token_timeout, config.disconnect_grace_seconds) == (0, 2.5, 0)


def test_spaces_around_a_word_are_removed() -> None:
    config = Config(
        host=" [::1] ", default_model=" gemma3 ", trusted_user_header=" X-User ", log_level="INFO"
    )
    assert config.host == "::1"
    assert config.default_model == "gemma3"
    assert config.trusted_user_header == "X-User"
    assert config.log_level == "info"


def test_a_secret_is_neither_in_the_representation_nor_in_a_refusal() -> None:
    assert "hunter2" not in repr(Config(ollama_api_key="hunter2"))
    assert refusal(ollama_api_key="hunter 2").startswith("OLLAMA_API_KEY is '****', which cannot be used: ")


def test_flags_win_over_the_environment_and_the_environment_over_env_file(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("PORT=1\nHOST=1.1.1.1\nDEFAULT_MODEL=gemma3\nUNRELATED=1\n", encoding="utf-8")
    loaded = load({"PORT": "3", "HOST": None}, {"PORT": "2", "HOST": "2.2.2.2"}, dotenv)
    config = loaded.config
    assert (config.port, config.host, config.default_model) == (3, "2.2.2.2", "gemma3")
    sources = [loaded.sources[name] for name in ("PORT", "HOST", "DEFAULT_MODEL", "LOG_LEVEL")]
    assert sources == ["flag", "environment", ".env", "default"]


def test_an_empty_value_counts_as_unset(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("PORT=1\nHOST\n", encoding="utf-8")
    loaded = load({"PORT": ""}, {"PORT": " ", "HOST": ""}, dotenv)
    assert (loaded.config.port, loaded.config.host) == (1, "127.0.0.1")


@pytest.mark.parametrize(
    ("flags", "environ", "dotenv", "token"),
    [
        ({"API_TOKEN_FILE": "{file}"}, {"API_TOKEN": "said"}, "", "kept"),
        ({}, {"API_TOKEN_FILE": "{file}"}, "API_TOKEN=said", "kept"),
        ({}, {"API_TOKEN": "said"}, "API_TOKEN_FILE={file}", "said"),
        ({"API_TOKEN": "said"}, {"API_TOKEN_FILE": "{file}"}, "", "said"),
        ({}, {"API_TOKEN": "said", "API_TOKEN_FILE": "{file}"}, "", "said"),
    ],
)
def test_the_token_and_the_file_that_holds_it_are_one_setting(
    tmp_path: Path, flags: dict[str, str], environ: dict[str, str], dotenv: str, token: str
) -> None:
    file = tmp_path / "token"
    file.write_text("kept", encoding="utf-8")
    (tmp_path / ".env").write_text(dotenv.format(file=file), encoding="utf-8")
    flags, environ = (
        {name: value.format(file=file) for name, value in each.items()} for each in (flags, environ)
    )
    assert load(flags, environ, tmp_path / ".env").config.tokens == (Token(token),)


def test_a_secret_and_the_file_that_holds_it_are_one_setting(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n", encoding="utf-8")
    said, kept = {"JWT_SECRET": OTHER_SECRET}, {"JWT_SECRET_FILE": str(file)}
    assert load(kept, said, NOWHERE).config.jwt_secrets == (SECRET,)
    assert load(said, kept, NOWHERE).config.jwt_secrets == (OTHER_SECRET,)
    assert load(said, kept, NOWHERE).unused_files() == {"JWT_SECRET": str(file)}
    assert load(kept, said, NOWHERE).unused_files() == {}
    assert load({}, {}, NOWHERE).config.jwt_secrets == ()


def test_the_other_name_of_ollama_host() -> None:
    assert load({}, {"OLLAMA_BASE_URL": "a:1"}, NOWHERE).config.ollama_host == "http://a:1"
    both = {"OLLAMA_BASE_URL": "a:1", "OLLAMA_HOST": "b:2"}
    assert load({}, both, NOWHERE).config.ollama_host == "http://b:2"


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_bytes(b"SYSTEM_PROMPT=\xff\n")
    with pytest.raises(StartError, match=r"\.env cannot be read \(.*\): make it a readable UTF-8 file"):
        load({}, {}, dotenv)


def test_every_setting_has_a_flag() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    given = parser.parse_args(["--database-url", "sqlite:///a.db", "--ollama-base-url", "gpu"])
    config = load(vars(given), {}, NOWHERE).config
    assert (config.database_url, config.ollama_host) == ("sqlite:///a.db", "http://gpu:11434")
    assert vars(given).keys() == SETTINGS.keys()
    assert all(name in parser.format_help() for name in SETTINGS)


def test_the_table_shows_each_value_with_its_source_on_one_line_and_masks_secrets() -> None:
    environ = {
        "OLLAMA_API_KEY": "hunter2",
        "SYSTEM_PROMPT": "Be\nbrief",
        "CORS_ORIGINS": "http://a.example,http://b.example",
    }
    table = load({"PORT": "0"}, environ, NOWHERE).table()
    rows = [line.split() for line in table.split("\n")]
    assert [row[0] for row in rows] == list(SETTINGS)
    assert ["PORT", "0", "flag"] in rows
    assert ["ENABLE_STREAMING", "true", "default"] in rows
    assert ["OLLAMA_API_KEY", "****", "environment"] in rows
    assert ["SYSTEM_PROMPT", r"'Be\nbrief'", "environment"] in rows
    assert ["CORS_ORIGINS", "http://a.example,http://b.example", "environment"] in rows
    assert ["TRUSTED_USER_HEADER", "-", "default"] in rows


# -- the token


def test_a_token_may_be_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(" correct-horse-battery\n", encoding="utf-8")
    assert Config(api_token_file=str(path)).tokens == (Token("correct-horse-battery"),)
    assert Config(api_token_file=str(path), api_token="other").tokens == (Token("other"),)
    assert Config().tokens == ()


@pytest.mark.parametrize("token", ["a", "fifteen-letters", "a" * 40, "abcabcabcabcabcabc"])
def test_a_token_that_can_be_guessed_is_for_loopback_only(tmp_path: Path, token: str) -> None:
    path = tmp_path / "token"
    path.write_text(token, encoding="utf-8")
    for config in (Config(api_token=token), Config(api_token_file=str(path), host="::1")):
        assert config.tokens == (Token(token),)
    for host in ("0.0.0.0", "::", "10.0.0.1", "chat.example"):
        for config in (Config(api_token=token, host=host), Config(api_token_file=str(path), host=host)):
            with pytest.raises(StartError, match=f"too easy to guess for a server at {host}, .*[.]$"):
                create_app(config)


@pytest.mark.parametrize("token", ["sixteen-letters-", "0123456789012345"])
def test_a_token_of_sixteen_characters_is_for_every_address(token: str) -> None:
    assert Config(api_token=token, host="0.0.0.0").tokens == (Token(token),)


@modes
@pytest.mark.parametrize(
    ("mode", "is_exposed"), [(0o644, True), (0o602, True), (0o640, False), (0o600, False)]
)
def test_files_with_secrets_that_all_users_can_read_are_named(
    tmp_path: Path, mode: int, is_exposed: bool
) -> None:
    token, dotenv = tmp_path / "token", tmp_path / ".env"
    token.write_text("correct-horse-battery", encoding="utf-8")
    dotenv.write_text("PORT=0\n", encoding="utf-8")
    for path in (token, dotenv):
        path.chmod(mode)
    environ = {"API_TOKEN_FILE": str(token)}
    assert load({}, {}, dotenv).exposed_files() == []
    assert load({}, environ, dotenv).exposed_files() == ([token] if is_exposed else [])
    assert load(environ, {"API_TOKEN": "unused"}, dotenv).exposed_files() == ([token] if is_exposed else [])
    dotenv.write_text("OLLAMA_API_KEY=sesame\n", encoding="utf-8")
    assert load({}, environ, dotenv).exposed_files() == ([dotenv, token] if is_exposed else [])
    assert load({}, {"OLLAMA_API_KEY": "other"}, dotenv).exposed_files() == []


def test_a_file_that_cannot_be_looked_at_is_reported_when_it_is_read(tmp_path: Path) -> None:
    loaded = load({"API_TOKEN_FILE": str(tmp_path / ("x" * 300))}, {}, tmp_path / ".env")
    assert loaded.exposed_files() == []
    with pytest.raises(StartError, match="cannot be read"):
        _ = loaded.config.tokens


def test_a_token_is_not_shown() -> None:
    assert "correct-horse-battery" not in repr(Config(api_token="correct-horse-battery"))


@pytest.mark.parametrize("content", [None, b"", b" \n", b"three words here", b"\xff", "ö".encode(), b"a\nb"])
def test_a_token_file_without_a_token_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartError, match=f"The file {path} of API_TOKEN_FILE .*[.]$"):
        create_app(Config(api_token_file=str(path)))


ANN, BOB, ANY = "ann-has-a-long-token", "bob-has-a-long-token", "one-for-all-the-others"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"ann {ANN}\nbob {BOB}\n", [Token(ANN, "ann", 1), Token(BOB, "bob", 2)]),
        (f"ann {ANN}", [Token(ANN, "ann", 1)]),
        (f"\ufeff# the family\r\n\r\n  Zo\xeb\t {ANN} \r\n", [Token(ANN, "Zo\xeb", 3)]),
        (f"ann {ANN}\rbob {BOB}", [Token(ANN, "ann", 1), Token(BOB, "bob", 2)]),
        (f"{ANY}\nann {ANN}", [Token(ANY, "", 1), Token(ANN, "ann", 2)]),
        (f"ann {ANN}\n # {BOB}\n{ANY}\n", [Token(ANN, "ann", 1), Token(ANY, "", 3)]),
        (f"# for all\n{ANY}\n", [Token(ANY, "", 2)]),
        (f"\n#{ANY}\n", [Token(f"#{ANY}", "", 2)]),  # a single word is the token, as it always was
        (f"{'n' * 256} #{ANN}", [Token(f"#{ANN}", "n" * 256, 1)]),
    ],
)
def test_a_file_may_hold_a_token_for_each_user(tmp_path: Path, content: str, expected: list[Token]) -> None:
    path = tmp_path / "tokens"
    path.write_text(content, encoding="utf-8", newline="")
    assert list(Config(api_token_file=str(path), host="0.0.0.0").tokens) == expected


@pytest.mark.parametrize(
    ("content", "line", "remedy"),
    [
        (f"ann {ANN}\nbob {BOB} {ANY}", 2, "write one name and one token, without spaces in them"),
        (f"# ann\nann {ANN}\nann {BOB}", 3, "name another user than on line 2"),
        (f"ann {ANN}\n\nbob {ANN}", 3, "use another token than on line 1"),
        (f"ann {ANN}\n{ANN}", 2, "use another token than on line 1"),
        (f"{ANY}\nann {ANN}\n{BOB}", 3, "name a user, as only one line may have none, such as line 1"),
        (f"ann {ANN}\nb\0b {BOB}", 2, "use a name of printable characters"),
        (f"ann {ANN}\n\u200bbob {BOB}", 2, "use a name of printable characters"),
        (f"{'n' * 257} {ANN}", 1, "use a name of at most 256 characters"),
        (f"ann {ANN}\nbob {BOB}\xf6", 2, "use the key as it was issued, in printable ASCII"),
    ],
)
def test_a_line_of_the_file_that_cannot_be_used_is_named_and_not_quoted(
    tmp_path: Path, content: str, line: int, remedy: str
) -> None:
    path = tmp_path / "tokens"
    path.write_text(content, encoding="utf-8", newline="")
    with pytest.raises(StartError) as caught:
        create_app(Config(api_token_file=str(path)))
    assert str(caught.value) == (
        f"The file {path} of API_TOKEN_FILE cannot be used: on line {line}, {remedy}."
    )


def test_two_forms_of_a_name_are_one_user_where_names_are_folded(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"Zo\xeb {ANN}\nZOE\u0308 {BOB}\n", encoding="utf-8")
    assert [token.user for token in Config(api_token_file=str(path)).tokens] == ["Zo\xeb", "ZOE\u0308"]
    with pytest.raises(StartError, match="on line 2, name another user than on line 1"):
        create_app(Config(api_token_file=str(path), fold_user_names=True))


@pytest.mark.parametrize("content", ["# nothing\n# yet\n", "", "\n \n"])
def test_a_file_without_tokens_does_not_open_the_server(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(StartError, match="cannot be used: write a token to it, or lines of a user's name"):
        create_app(Config(api_token_file=str(path)))


def test_a_users_token_that_can_be_guessed_is_for_loopback_only(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"ann {ANN}\nbob fifteen-letters\n", encoding="utf-8")
    assert len(Config(api_token_file=str(path)).tokens) == 2
    with pytest.raises(
        StartError, match=f"The token on line 2 of {path} is too easy to guess .*[.]$"
    ) as caught:
        create_app(Config(api_token_file=str(path), host="0.0.0.0"))
    assert "fifteen-letters" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "beyond"),
    [
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("::1", False),
        ("localhost", False),
        ("LocalHost", False),
        ("0.0.0.0", True),
        ("::", True),
        ("192.168.1.7", True),
        ("chat.example", True),
        ("localhost.example", True),
    ],
)
def test_which_hosts_are_beyond_loopback(host: str, beyond: bool) -> None:
    assert Config(host=host).beyond_loopback is beyond


# -- the secrets of signed tokens


def test_a_file_of_secrets_has_one_on_each_line(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text(f"# the new one\n{SECRET}\n\n  {OTHER_SECRET}\r\n{SECRET}\n", encoding="utf-8")
    assert Config(jwt_secret_file=str(file)).jwt_secrets == (SECRET, OTHER_SECRET)


@pytest.mark.parametrize(
    "secret",
    [
        *("short", "x" * 31, "a" * 64, "ab" * 32, "two words of a secret that has more than 32 bytes"),
        *("ö" * 40, "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOC\n-----END PUBLIC KEY-----"),
    ],
)
def test_a_secret_that_can_be_guessed_stops_the_start_and_is_not_shown(tmp_path: Path, secret: str) -> None:
    file = tmp_path / "secret"
    for content in (secret, f"{SECRET}\n{secret}\n"):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(
            StartError, match=r"The file .* of JWT_SECRET_FILE cannot be used: on line"
        ) as error:
            create_app(Config(jwt_secret_file=str(file)))
        assert secret[:26] not in str(error.value)
    with pytest.raises(StartError, match=r"JWT_SECRET is '\*\*\*\*', which cannot be used: use ") as error:
        Config(jwt_secret=secret)
    assert secret[:26] not in str(error.value)


@pytest.mark.parametrize(
    "content", [None, "", "\n \n", "# only this\n", "\n".join(f"{n}-{'0a1b2c3d' * 5}" for n in range(9))]
)
def test_a_file_without_secrets_or_with_too_many_stops_the_start(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(StartError, match=r"The file .* of JWT_SECRET_FILE cannot .*[.]$"):
        create_app(Config(jwt_secret_file=str(file)))


def test_a_secret_is_not_shown() -> None:
    assert SECRET not in repr(Config(jwt_secret=SECRET))
    assert SECRET not in load({}, {"JWT_SECRET": SECRET}, NOWHERE).table()


def test_what_openssl_reads_is_found_and_shown() -> None:
    environ = {"SSL_CERT_FILE": '"/my own/ca.pem"', "SSL_CERT_DIR": ""}
    loaded = load({}, environ, NOWHERE)
    assert loaded.for_openssl == {"SSL_CERT_FILE": "/my own/ca.pem"}
    last = loaded.table().splitlines()[-1]
    assert re.fullmatch(r"SSL_CERT_FILE +/my own/ca\.pem +environment, unquoted", last)
    assert "SSL_CERT" not in load({}, {}, NOWHERE).table()


def test_what_openssl_reads_may_be_in_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SSL_CERT_FILE=ca.pem\nSSL_CERT_DIR=certs\n", encoding="utf-8")
    loaded = load({}, {"SSL_CERT_DIR": "/certs"}, tmp_path / ".env")
    assert loaded.for_openssl == {"SSL_CERT_FILE": "ca.pem", "SSL_CERT_DIR": "/certs"}


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, ()),
        ({"ollama_host": "http://me:sesame@a"}, ("OLLAMA_HOST",)),
        ({"ollama_api_key": "sesame"}, ("OLLAMA_API_KEY",)),
        ({"ollama_headers": '{"Authorization": "Bearer sesame"}'}, ("OLLAMA_HEADERS",)),
        (
            {"ollama_host": "http://me:sesame@a", "ollama_headers": '{"X-Key": "sesame"}'},
            ("OLLAMA_HOST", "OLLAMA_HEADERS"),
        ),
    ],
)
def test_the_settings_with_credentials_for_ollama(settings: dict[str, Any], names: Sequence[str]) -> None:
    assert Config(**settings).credentials_for_ollama == names
