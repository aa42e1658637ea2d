"""Fixtures of the tests with existing clients: Node, with the npm packages of this folder."""

from pathlib import Path

import node as nodes
import pytest


@pytest.fixture
def node() -> str:
    """The path of Node, with the packages of this folder installed."""
    return nodes.node(Path(__file__).parent)
