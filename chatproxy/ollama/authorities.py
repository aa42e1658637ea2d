"""Whose certificates are trusted: the system's authorities, or those that the environment names.

OpenSSL reads the two variables itself, and says nothing of what it cannot use.
"""

import os
import re
import ssl
import stat
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from chatproxy.config import FOR_OPENSSL

FILE, FOLDER = FOR_OPENSSL
_BY_HASH: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+", re.ASCII)  # how OpenSSL finds certificates in a folder


def set_variables(values: Mapping[str, str]) -> None:
    """Have OpenSSL read these values; a variable that is not among them counts as unset."""
    for name in FOR_OPENSSL:
        if name in values:
            os.environ[name] = values[name]
        else:
            os.environ.pop(name, None)


@cache
def tls() -> ssl.SSLContext:
    """Return the one TLS context. Loading the authorities takes tens of milliseconds."""
    return ssl.create_default_context()


def fault() -> str | None:
    """Return what is wrong with the variables, as a clause that says what to do; None if nothing is.

    This reads the files.
    """
    found = {name: os.environ[name] for name in FOR_OPENSSL if name in os.environ}
    faults = {FILE: _fault_of_file, FOLDER: _fault_of_folders}
    said = [f"{name} names {value}, {what}" for name, value in found.items() if (what := faults[name](value))]
    return f"{', and '.join(said)}, and restart" if said else None


def named() -> str | None:
    """Return the file of one's own that authorities are read from, if one is named."""
    return os.environ.get(FILE)


def _fault_of_file(path: str) -> str | None:
    try:
        if not (stat.S_ISREG(mode := os.stat(path).st_mode) or stat.S_ISDIR(mode)):
            return None  # such as a pipe, which can be read once
        with open(path, "rb"):
            pass
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:  # which is an OSError
        return _holds_none()
    except (OSError, ValueError) as error:
        return _cannot_be_read(error)
    return None if context.cert_store_stats()["x509"] else _holds_none()


def _fault_of_folders(paths: str) -> str | None:
    """Return what is wrong with a list of folders, of which one with a certificate is enough."""
    failed: Exception | None = None
    for path in filter(None, paths.split(os.pathsep)):
        try:
            if any(_BY_HASH.fullmatch(entry.name) for entry in Path(path).iterdir()):
                return None
        except (OSError, ValueError) as error:
            failed = error
    if failed is not None:
        return _cannot_be_read(failed)
    return "which holds no certificate under its hash; run `openssl rehash` on it"


def _cannot_be_read(error: Exception) -> str:
    return f"which cannot be read ({getattr(error, 'strerror', None) or error}); correct it"


def _holds_none() -> str:
    return "which holds no certificate in PEM; correct it"
