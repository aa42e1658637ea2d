"""What a process says of others, in the words of its system."""

import os

import pytest

from chatproxy.system.process import shows_listener


@pytest.mark.parametrize(
    ("name", "line"), [("posix", "lsof -i :11435"), ("nt", "netstat -ano | findstr :11435")]
)
def test_who_listens_is_shown_by_a_command_of_the_system(
    monkeypatch: pytest.MonkeyPatch, name: str, line: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", name)
        said = shows_listener(11435)
    assert said == line
