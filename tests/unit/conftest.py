"""A store, for the tests of what is kept and of what reads it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chatproxy.store.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the `store`."""
    return tmp_path / "chat.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    store = await Store.open(path)
    yield store
    await store.close()
