"""Modules that some systems lack."""

from importlib import import_module
from typing import Any


def optional(name: str) -> Any:
    """Return the module, or None where there is none."""
    try:
        return import_module(name)
    except ImportError:
        return None
