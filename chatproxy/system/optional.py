"""Modules that some systems lack, and packages that some installations do."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

DOCUMENTS: Final = ("numpy", "pypdfium2", "xlrd")  # what the extra of that name installs
CLUSTER: Final = ("asyncpg",)  # and that one


def optional(name: str) -> Any:
    """Return the module, or None where there is none."""
    try:
        return import_module(name)
    except ImportError:
        return None


def install_documents() -> str:
    """Return how whoever runs this gets the packages for documents, as a clause."""
    return _install("documents", "README.md says in *Ask a document*", DOCUMENTS)


def install_cluster() -> str:
    """Return how whoever runs this gets the packages for PostgreSQL, as a clause."""
    return _install("cluster", "docs/operate.md says in *PostgreSQL*", CLUSTER)


def _install(extra: str, where: str, packages: Sequence[str]) -> str:
    """Return how to get the packages of an extra.

    chatproxy itself is not asked for by its name, which in an index may be another's. Environments that `uv`
    makes have no pip.
    """
    again = f"install chatproxy again with its `{extra}` extra, as {where}"
    if find_spec("pip") is None:
        return again
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    return f"{again}, or type `{python} -m pip install {' '.join(packages)}`"
