"""Modules that some systems lack, and packages that some installations do."""

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

DOCUMENTS: Final = ("numpy", "pypdfium2", "xlrd")  # what the extra of that name installs


def optional(name: str) -> Any:
    """Return the module, or None where there is none."""
    try:
        return import_module(name)
    except ImportError:
        return None


def install_documents() -> str:
    """Return how whoever runs this gets these packages, as a clause.

    chatproxy itself is not asked for by its name, which in an index may be another's. Environments that `uv`
    makes have no pip.
    """
    again = "install chatproxy again with its `documents` extra, as README.md says in *Ask a document*"
    if find_spec("pip") is None:
        return again
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    return f"{again}, or type `{python} -m pip install {' '.join(DOCUMENTS)}`"
