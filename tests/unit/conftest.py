"""A store, for the tests of what is kept and of what reads it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chatproxy.store.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the `store`, where it is one."""
    return tmp_path / "chat.db"


@pytest.fixture
def where(database_url: str, path: Path) -> Path | str:
    """The database of the `store`: the file, or PostgreSQL's URL."""
    return path if database_url.startswith("sqlite") else database_url


@pytest.fixture
async def store(where: Path | str) -> AsyncIterator[Store]:
    store = await Store.open(where)
    yield store
    await store.close()
