"""`chatproxy doctor`: a line for each finding, with what to do about it, and an exit code."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import pytest
from damage import damage
from fake_ollama import FakeOllama, Gate, Script, answer, html, refused
from matrix import matrix
from processes import Process, environment, ran
from waiting import until

from chatproxy import Config
from chatproxy.command.doctor import examine
from chatproxy.store.store import Store
from chatproxy.web.api import pages

ONLY_EMBEDS: Final = b'{"models": [{"name": "all-minilm:22m"}]}'
REMOTE: Final = b'{"models": [{"name": "gpt-oss:120b-cloud", "remote_host": "https://ollama.com:443"}]}'


async def doctor(folder: Path, *flags: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(ran, folder, environment(**settings), "doctor", *flags)


def marks(said: str) -> dict[str, str]:
    """Return the first word of each line, by what the line is about."""
    lines = [line.split(maxsplit=2) for line in said.splitlines() if not line.startswith(" ")]
    return {about: mark for mark, about, _ in lines}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def test_doctor_finds_nothing(fake: FakeOllama, tmp_path: Path) -> None:
    fake.script = Script(answer("Hi", eval_count=16, eval_duration=800_000_000, load_duration=1_500_000_000))
    async with Process.running(tmp_path, ollama_host=fake.url) as process:  # that it runs is no finding
        port = process.client.base.rpartition(":")[2]
        run = await doctor(tmp_path, ollama_host=fake.url, port=port)
    assert (run.returncode, run.stderr) == (0, "")
    assert set(marks(run.stdout).values()) == {"ok"}
    assert list(marks(run.stdout)) == [
        *("configuration", "hosts", "port", "database", "disk", "SQLite"),
        *("Ollama", "models", "answer", "embeddings"),
    ]
    assert "gemma3:270m" in run.stdout
    assert "20.0 tokens/s" in run.stdout
    assert "1.5 s of it to load the model" in run.stdout
    assert fake.requests[0]["options"] == {"num_predict": 16}
    assert "all-minilm:22m made a vector of 384 numbers" in run.stdout


@pytest.mark.parametrize(
    ("wanted", "mark", "said"),
    [
        ("none", "ok", "none, as set"),
        ("bge-m3", "note", "ollama pull bge-m3"),
        ("gemma3:270m", "note", "makes no vectors"),
    ],
)
async def test_the_model_for_embeddings(
    fake: FakeOllama, tmp_path: Path, wanted: str, mark: str, said: str
) -> None:
    run = await doctor(tmp_path, ollama_host=fake.url, embedding_model=wanted)
    assert (run.returncode, marks(run.stdout)["embeddings"]) == (0, mark)
    assert said in run.stdout


async def test_it_changes_nothing(fake: FakeOllama, tmp_path: Path) -> None:
    run = await doctor(tmp_path, ollama_host=fake.url)
    assert (run.returncode, contents(tmp_path)) == (0, {})
    await (await Store.open(tmp_path / "chatproxy.db")).close()
    before = contents(tmp_path)
    assert (await doctor(tmp_path, ollama_host=fake.url)).returncode == 0
    assert contents(tmp_path) == before


async def test_a_setting_that_cannot_be_used(tmp_path: Path) -> None:
    run = await doctor(tmp_path, "--port", "eleven")
    assert run.returncode == 1
    assert marks(run.stdout) == {"configuration": "wrong"}
    assert "PORT is 'eleven', which cannot be used: use a whole number" in run.stdout


async def test_a_token_file_that_is_not_there(tmp_path: Path) -> None:
    run = await doctor(tmp_path, api_token_file="missing")
    assert (run.returncode, marks(run.stdout)) == (1, {"configuration": "wrong"})


async def test_a_port_open_to_all(fake: FakeOllama, tmp_path: Path) -> None:
    run = await doctor(tmp_path, "--insecure-no-token", host="0.0.0.0", ollama_host=fake.url)
    assert run.returncode == 0
    assert marks(run.stdout)["configuration"] == "note"
    assert "set API_TOKEN" in run.stdout


async def test_a_damaged_database(fake: FakeOllama, tmp_path: Path) -> None:
    path = tmp_path / "chatproxy.db"
    await (await Store.open(path)).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO session (id, owner, created_at, updated_at, activity) VALUES (?, '', '', '', ?)",
            [(str(number) * 100, number) for number in range(1000)],
        )
    pages = bytearray(path.read_bytes())
    pages[len(pages) // 2 : len(pages) // 2 + 8192] = b"\xff" * 8192
    path.write_bytes(pages)
    run = await doctor(tmp_path, ollama_host=fake.url)
    assert run.returncode == 1
    assert marks(run.stdout)["database"] == "wrong"
    assert "is damaged" in run.stdout
    assert "back-up" in run.stdout


@pytest.mark.parametrize("table", ["words_data", "words_idx", "words_config"])
async def test_a_damaged_index_is_no_reason_for_a_back_up(
    fake: FakeOllama, tmp_path: Path, table: str
) -> None:
    """The next start builds it again, and the doctor is content with what that leaves behind."""
    path = tmp_path / "chatproxy.db"
    async with Process.running(tmp_path, ollama_host=fake.url) as process:
        for number in range(5):
            words = " ".join([f"word{number * 1000 + each}" for each in range(1000)])
            await process.client.ask(await process.client.new_session(), words)
        page = await process.client.call("GET", "/api/chat/sessions?q=word4999")
        assert len(page["sessions"]) == 1
    damage(path, table)
    run = await doctor(tmp_path, ollama_host=fake.url)
    assert (run.returncode, marks(run.stdout)["database"], marks(run.stdout)["search"]) == (0, "ok", "note")
    assert "the next start builds it again" in run.stdout
    assert "back-up" not in run.stdout
    async with Process.running(tmp_path, ollama_host=fake.url) as process:
        await process.client.ask(await process.client.new_session(), "Hello")
        await process.client.call("GET", "/readyz")

        async def is_found() -> bool:
            with suppress(AssertionError):  # until it is built again, a search may be refused
                page = await process.client.call("GET", "/api/chat/sessions?q=word4999")
                return len(page["sessions"]) == 1
            return False

        await until(is_found)
    run = await doctor(tmp_path, ollama_host=fake.url)
    assert (run.returncode, marks(run.stdout)["database"]) == (0, "ok")
    assert "search" not in marks(run.stdout)


async def test_a_file_that_is_no_database(fake: FakeOllama, tmp_path: Path) -> None:
    (tmp_path / "chatproxy.db").write_bytes(b"Dear diary,\n" * 1000)
    run = await doctor(tmp_path, ollama_host=fake.url)
    assert run.returncode == 1
    assert marks(run.stdout)["database"] == "wrong"
    assert marks(run.stdout)["Ollama"] == "ok"


async def test_a_disk_that_is_full(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = shutil.disk_usage("/")._replace(free=10 * 1024**2)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    flags = {"DATABASE_URL": config.database_url, "OLLAMA_HOST": config.ollama_host}
    assert await examine(flags, {}, Path("no-such-file")) == 1
    assert marks(capsys.readouterr().out)["disk"] == "wrong"


async def test_a_page_without_its_library(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = {"DATABASE_URL": config.database_url, "OLLAMA_HOST": config.ollama_host}
    monkeypatch.setattr(pages, "has_markdown", lambda: False)
    await examine(flags, {}, Path("no-such-file"))
    said = capsys.readouterr().out
    assert marks(said)["page"] == "note"
    assert "Install npm" in said


@pytest.mark.parametrize(
    ("path", "script", "about", "sentence"),
    [
        ("/api/version", refused(500, "broken"), "Ollama", "broken"),
        ("/api/version", html(), "Ollama", "check that OLLAMA_HOST is the address of Ollama itself"),
        ("/api/version", refused(401, "who?"), "Ollama", "who?"),
        ("/api/tags", Script([b'{"models": []}']), "models", "ollama pull llama3.2"),
        ("/api/tags", Script([ONLY_EMBEDS]), "models", "None of the models here can chat"),
        ("/api/chat", refused(500, "out of memory"), "Ollama", "out of memory"),
        ("/api/chat", Script(head=Gate()), "answer", "said nothing for 2 s"),
    ],
    ids=["broken", "not Ollama", "no entry", "no models", "no chat model", "no answer", "silence"],
)
async def test_an_ollama_that_does_not_answer(
    fake: FakeOllama, tmp_path: Path, path: str, script: Script, about: str, sentence: str
) -> None:
    fake.instead[path] = fake.script = script
    run = await doctor(tmp_path, ollama_host=fake.url, first_token_timeout=2)
    assert (run.returncode, run.stderr) == (1, "")
    assert marks(run.stdout)[about] == "wrong"
    assert sentence in run.stdout


async def test_no_ollama(fake: FakeOllama, tmp_path: Path) -> None:
    await fake.stop()
    run = await doctor(tmp_path, ollama_host=fake.url)
    assert run.returncode == 1
    assert "start it with `ollama serve` or set OLLAMA_HOST." in run.stdout


async def test_a_model_that_is_missing_or_slow(fake: FakeOllama, tmp_path: Path) -> None:
    run = await doctor(tmp_path, ollama_host=fake.url, default_model="none:1b")
    assert run.returncode == 1
    assert "`ollama pull none:1b`" in run.stdout
    run = await doctor(tmp_path, ollama_host=fake.url, default_model="all-minilm:22m")
    assert run.returncode == 1
    assert "all-minilm:22m cannot chat; choose one of: echo:270m" in run.stdout
    fake.script = Script(answer("Hi", eval_count=16, eval_duration=32_000_000_000))
    run = await doctor(tmp_path, ollama_host=fake.url)
    assert (run.returncode, marks(run.stdout)["answer"]) == (0, "note")
    assert "a smaller model is faster" in run.stdout


async def test_visitors_are_told_apart_by_an_address(fake: FakeOllama, tmp_path: Path) -> None:
    run = await doctor(tmp_path, ollama_host=fake.url, visitors="true")
    assert marks(run.stdout)["visitors"] == "note"
    assert "TRUSTED_ADDRESS_HEADER" in run.stdout
    known = {"trusted_address_header": "X-Real-IP", "jwt_secret": "wE5vYqZr8xK2mT9bN4cL7hJ1gF6dS3aP0uQ-oI_"}
    run = await doctor(tmp_path, ollama_host=fake.url, visitors="true", **known)
    assert (marks(run.stdout)["visitors"], marks(run.stdout)["users"]) == ("ok", "ok")
    (tmp_path / "secret").write_text("short")
    run = await doctor(tmp_path, ollama_host=fake.url, jwt_secret_file="secret")
    assert (run.returncode, marks(run.stdout)["configuration"]) == (1, "wrong")


async def test_a_database_that_another_process_has_open(fake: FakeOllama, tmp_path: Path) -> None:
    async with Process.running(tmp_path, ollama_host=fake.url):
        run = await doctor(tmp_path, ollama_host=fake.url, port=0)
    assert (run.returncode, marks(run.stdout)["database"]) == (0, "note")
    assert "is in use by a chatproxy at another port" in run.stdout


async def test_a_folder_that_cannot_hold_a_database(fake: FakeOllama, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = {"ollama_host": fake.url, "database_url": "sqlite:///file/chatproxy.db"}
    run = await doctor(tmp_path, **settings)
    assert (run.returncode, marks(run.stdout)["database"]) == (1, "wrong")
    assert "The folder of the database" in run.stdout
    start = await asyncio.to_thread(ran, tmp_path, environment(**settings))
    assert (start.returncode, "The folder of the database" in start.stderr) == (2, True)


async def test_a_port_that_another_program_has(fake: FakeOllama, tmp_path: Path) -> None:
    port = fake.url.rpartition(":")[2]
    run = await doctor(tmp_path, ollama_host=fake.url, port=port)
    assert (run.returncode, marks(run.stdout)["port"]) == (1, "wrong")
    assert f"`lsof -i :{port}` shows what listens there" in run.stdout


async def test_quotes_in_the_environment(fake: FakeOllama, tmp_path: Path) -> None:
    run = await doctor(tmp_path, ollama_host=f"'{fake.url}'", default_model='"gemma3:270m"')
    assert (run.returncode, marks(run.stdout)["quotes"]) == (0, "note")
    assert "those around OLLAMA_HOST, DEFAULT_MODEL do not count" in run.stdout


async def test_an_authority_that_cannot_be_read(tmp_path: Path) -> None:
    """It is a note: OpenSSL has others, and whether they are enough, the connection shows."""
    (tmp_path / "empty.pem").touch()
    with matrix() as cases:
        for given, said in (
            ("missing.pem", "names missing.pem, which cannot be read (No such file or directory)"),
            ('"missing.pem"', "names missing.pem, which cannot be read"),
            ("'empty.pem'", "names empty.pem, which holds no certificate in PEM"),
            (".", "names ., which cannot be read (Is a directory)"),
            ("a\tb", "names 'a\\tb', which cannot be read"),
        ):
            for scheme, marked in (("https", "note"), ("http", None)):
                run = await doctor(tmp_path, ollama_host=f"{scheme}://127.0.0.1:1", ssl_cert_file=given)
                cases.expect(marked, marks(run.stdout).get("certificates"), given, scheme)
                cases.expect(scheme == "https", f"SSL_CERT_FILE {said}" in run.stdout, given, scheme)
                cases.expect(scheme == "https", "Correct it, and restart." in run.stdout, given, scheme)
                quoted = "those around SSL_CERT_FILE do not count" in run.stdout
                cases.expect(given != given.strip("\"'"), quoted, given, scheme)


async def test_what_a_start_says_of_an_authority_that_cannot_be_read(tmp_path: Path) -> None:
    settings = {"ollama_host": "https://127.0.0.1:1", "ssl_cert_file": "missing.pem"}
    async with Process.running(tmp_path, **settings) as process:
        await until(lambda: "correct it, and restart" in process.said)
        assert "missing.pem" in process.said


async def test_a_check_within_a_process_leaves_its_environment_alone(
    fake: FakeOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "of-the-runner.pem")
    settings = {"OLLAMA_HOST": fake.url, "DATABASE_URL": f"sqlite:///{tmp_path / 'a.db'}"}
    before = dict(os.environ)
    await examine({}, {**settings, "SSL_CERT_DIR": "certs"}, tmp_path / ".env")
    assert dict(os.environ) == before
    assert "Ollama" in capsys.readouterr().out


async def test_a_wrong_password_for_a_proxy_in_front_of_ollama(fake: FakeOllama, tmp_path: Path) -> None:
    with matrix() as cases:
        for settings, named in (
            ({"ollama_host": fake.url.replace("//", "//me:sesame@")}, "OLLAMA_HOST"),
            ({"ollama_api_key": "sesame"}, "OLLAMA_API_KEY"),
            ({"ollama_headers": '{"X-Key": "sesame"}'}, "OLLAMA_HEADERS"),
        ):
            for script, said in (
                (html(401), f"does not accept the login in {named} (401); correct it, or add what is"),
                (refused(403, "bad key sesame"), "bad key ****"),
                (Script([b"no place for sesame"], status=503), "(503: no place for ****)"),
            ):
                fake.instead["/api/version"] = script
                run = await doctor(tmp_path, **{"ollama_host": fake.url, **settings})
                cases.check(said in run.stdout, run.stdout, settings)
                cases.check("sesame" not in run.stdout, run.stdout)


async def test_a_setting_of_uvicorns(fake: FakeOllama, tmp_path: Path) -> None:
    run = await doctor(tmp_path, ollama_host=fake.url, forwarded_allow_ips="10.0.0.1")
    assert (run.returncode, marks(run.stdout)["addresses"]) == (0, "note")
    assert "in TRUSTED_ADDRESS_HEADER instead" in run.stdout
    (tmp_path / ".env").write_text("FORWARDED_ALLOW_IPS=10.0.0.1\n")
    assert "addresses" in marks((await doctor(tmp_path, ollama_host=fake.url)).stdout)
    settings = {"forwarded_allow_ips": "*", "trusted_address_header": "X-Real-IP"}
    assert "addresses" not in marks((await doctor(tmp_path, ollama_host=fake.url, **settings)).stdout)


async def test_names_behind_a_proxy(fake: FakeOllama, tmp_path: Path) -> None:
    settings = {"ollama_host": fake.url, "trusted_address_header": "X-Real-IP"}
    run = await doctor(tmp_path, **settings)
    assert (run.returncode, marks(run.stdout)["hosts"]) == (0, "note")
    assert "ALLOWED_HOSTS=chat.example" in run.stdout
    run = await doctor(tmp_path, allowed_hosts="chat.example", **settings)
    assert marks(run.stdout)["hosts"] == "ok"


async def test_models_that_run_elsewhere_or_are_not_described(fake: FakeOllama, tmp_path: Path) -> None:
    fake.instead["/api/show"] = refused(404, "page not found")
    run = await doctor(tmp_path, ollama_host=fake.url, default_model="gemma3:270m")
    assert (run.returncode, marks(run.stdout)["models"]) == (0, "note")
    assert "does not say what models can do" in run.stdout
    fake.instead["/api/tags"] = Script([REMOTE])
    run = await doctor(tmp_path, ollama_host=fake.url)
    assert (run.returncode, marks(run.stdout)["models"]) == (0, "note")
    assert "It runs elsewhere" in run.stdout


async def test_each_of_several_hosts_is_asked(fake: FakeOllama, tmp_path: Path) -> None:
    run = await doctor(tmp_path, ollama_host=f"{fake.url},127.0.0.1:1", default_model="gemma3:270m")
    assert f"at {fake.url}" in run.stdout
    assert "Ollama cannot be reached at http://127.0.0.1:1" in run.stdout
    assert run.returncode == 1
