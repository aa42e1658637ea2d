"""Files on systems that have neither owners nor modes, where every file seems to be open to all."""

import os
from pathlib import Path

import pytest

from chatproxy.system import files


def test_without_owners_no_file_is_exposed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    path.touch()
    path.chmod(0o666)
    status = path.stat()
    monkeypatch.setattr(files, "_user", lambda: status.st_uid + 1)
    assert (files.is_of_another(status), files.is_exposed(status)) == (True, True)
    monkeypatch.setattr(files, "_user", None)
    assert (files.is_of_another(status), files.is_exposed(status)) == (False, False)
    with path.open(encoding="utf-8") as file:
        files.make_private(file)
    assert path.stat().st_mode == status.st_mode


def test_a_locked_file_keeps_its_position(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows locks the bytes at the position, and would let nobody read the token's."""
    locked: list[int] = []

    class msvcrt:
        LK_LOCK = 1

        @staticmethod
        def locking(descriptor: int, mode: int, size: int) -> None:
            locked.append(os.lseek(descriptor, 0, os.SEEK_CUR))

    monkeypatch.setattr(files, "_fcntl", None)
    monkeypatch.setattr(files, "_msvcrt", msvcrt)
    (tmp_path / "token").write_text("abc", encoding="utf-8")
    with (tmp_path / "token").open("r+", encoding="utf-8") as file:
        files.lock(file)
        assert file.read() == "abc"
    assert locked == [files.UNWRITTEN]
