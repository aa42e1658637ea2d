from pathlib import Path

import pytest
from systems import is_private, links

from chatproxy.command.token import load_or_create_token, token_path
from chatproxy.errors import StartError


def test_a_token_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = token_path(tmp_path / "new" / "chat.db")
    assert path == tmp_path / "new" / "chat.db.token"
    token = load_or_create_token(path)
    assert path.read_text(encoding="utf-8") == f"{token}\n"
    assert is_private(path)
    assert len(token) >= 32
    path.chmod(0o644)
    assert load_or_create_token(path) == token
    assert is_private(path)
    assert load_or_create_token(tmp_path / "other.token") != token


@pytest.mark.parametrize("content", ["two words\n", "ö\n", " \n"])
def test_a_file_with_something_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "chat.db.token").write_text(content, encoding="utf-8")
    with pytest.raises(StartError, match=r"holds no token; remove it, or set API_TOKEN\.$"):
        load_or_create_token(tmp_path / "chat.db.token")


@links
def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    """It could lead to where others can read the token."""
    (tmp_path / "chat.db.token").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartError, match="cannot be kept in"):
        load_or_create_token(tmp_path / "chat.db.token")
    assert not (tmp_path / "elsewhere").exists()
