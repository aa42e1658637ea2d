import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from systems import ODD_NAME, links

from chatproxy.errors import StartError
from chatproxy.store.sqlite.file import claimed
from chatproxy.store.sqlite.migrations import APPLICATION_ID, MIGRATIONS


def files(folder: Path) -> dict[str, bytes]:
    """What is in the folder, but for locks."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"}


def refusal(path: Path) -> str:
    """The sentence, without the folder's name."""
    with pytest.raises(StartError) as caught, claimed(path):
        pass
    return str(caught.value).replace(f"{path.parent}{os.sep}", "")


def database(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with claimed(tmp_path / ODD_NAME / "x.db") as path:
        assert path == tmp_path / ODD_NAME / "x.db"
        assert files(path.parent) == {"x.db": b""}


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "x.db").touch()
    with claimed(tmp_path / "x.db"):
        assert files(tmp_path) == {"x.db": b""}


@pytest.mark.parametrize("content", [b"x", b"notes\n" * 1000, b"SQLite format 3\0" + bytes(84)])
def test_a_file_that_is_not_a_database(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.db").write_bytes(content)
    assert refusal(tmp_path / "x.db") in {
        f"The file x.db is not a database that can be read ({why}); name another file in DATABASE_URL."
        for why in ("file is not a database", "database disk image is malformed")
    }
    assert files(tmp_path) == {"x.db": content}


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE a (x)", "PRAGMA application_id = 7", "PRAGMA user_version = 7"]
)
@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_a_database_of_another_program(tmp_path: Path, mode: str, statement: str) -> None:
    database(tmp_path / "x.db", f"PRAGMA journal_mode = {mode}", statement)
    before = files(tmp_path)
    assert (
        refusal(tmp_path / "x.db")
        == "The database x.db belongs to another program; name another file in DATABASE_URL."
    )
    assert files(tmp_path) == before


def test_a_database_of_another_program_after_its_crash(tmp_path: Path) -> None:
    """What it wrote last is in its log only."""
    with closing(sqlite3.connect(tmp_path / "y.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE a (x)")
        for end in ("", "-wal"):
            (tmp_path / f"x.db{end}").write_bytes((tmp_path / f"y.db{end}").read_bytes())
    before = files(tmp_path)
    assert "belongs to another program" in refusal(tmp_path / "x.db")
    assert files(tmp_path) == before


def test_a_database_that_another_program_has_open(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE a (x)")
        assert "belongs to another program" in refusal(tmp_path / "x.db")
        assert sorted(files(tmp_path)) == ["x.db", "x.db-shm", "x.db-wal"]


def test_a_database_of_a_newer_version(tmp_path: Path) -> None:
    database(
        tmp_path / "x.db",
        f"PRAGMA application_id = {APPLICATION_ID}",
        f"PRAGMA user_version = {len(MIGRATIONS) + 1}",
    )
    before = files(tmp_path)
    assert refusal(tmp_path / "x.db") == (
        "The database x.db was written by a newer chatproxy; "
        "start that version, or name another file in DATABASE_URL."
    )
    assert files(tmp_path) == before


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x.db").mkdir()
    assert refusal(tmp_path / "x.db") == "The database x.db is not a file; name another file in DATABASE_URL."


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refusal(tmp_path / "file" / "x.db")
    assert re.fullmatch(  # each system has a sentence of its own
        r"The folder of the database x\.db cannot be used \([^()]+\); "
        r"make it writable, or name another file in DATABASE_URL\.",
        said,
    )


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.db").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may do everything
    assert refusal(tmp_path / "x.db") == (
        "The database x.db cannot be read and written; "
        "change its permissions, or name another file in DATABASE_URL."
    )


@links
def test_a_second_claim(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "x.db")
    with claimed(tmp_path / "x.db"):
        assert refusal(tmp_path / "link.db") == (
            "The database x.db is in use by another chatproxy; "
            "stop that one, or name another file in DATABASE_URL."
        )
    with claimed(tmp_path / "link.db") as path:
        assert path == tmp_path / "x.db"


def test_a_second_process(tmp_path: Path) -> None:
    second = (
        "import sys; from pathlib import Path; from chatproxy.store.sqlite.file import claimed\n"
        "with claimed(Path(sys.argv[1])): pass"
    )
    run = [sys.executable, "-c", second, str(tmp_path / "x.db")]
    root = Path(__file__).parents[3]
    with claimed(tmp_path / "x.db"):
        refused = subprocess.run(run, cwd=root, capture_output=True, encoding="utf-8")
    assert refused.stderr.splitlines()[-1].startswith("chatproxy.store.sqlite.file.InUseError: The database")
    assert subprocess.run(run, cwd=root).returncode == 0
