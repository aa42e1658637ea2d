"""Whose certificates are trusted: the system's authorities, or those that the environment names.

OpenSSL reads the two variables itself, and says nothing of what it cannot use.
"""

import os
import re
import ssl
import stat
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from msgspec import Struct

from chatproxy.config import FOR_OPENSSL

FILE, FOLDER = FOR_OPENSSL
_BY_HASH: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+", re.ASCII)  # how OpenSSL finds certificates in a folder
_NO_FILE: Final = (
    f"set {FILE}, in the environment of chatproxy or in .env, to a file with the certificate of the authority"
    " that signed it, and restart"
)
_LACKS: Final = f"{FILE} lacks the certificate of the authority that signed it"


class Fault(Struct, frozen=True):
    """What is wrong with one of the variables: `what` follows its name, and `remedy` says what to do.

    `str()` is for everyone, and leaves out its `value`, a path of the server.
    """

    name: str
    value: str
    what: str
    remedy: str = "correct it"

    def __str__(self) -> str:
        return f"{self.name} {self.what}; {self.remedy}, and restart"


class Trust(Struct, frozen=True):
    """Whom connections trust. `remedy` is a clause that says how to have another authority trusted, too.

    OpenSSL needs one of the two variables, so a fault need not matter.
    """

    context: ssl.SSLContext
    faults: Sequence[Fault]
    remedy: str


def variables() -> dict[str, str]:
    """Return the variables that are set."""
    return {name: os.environ[name] for name in FOR_OPENSSL if name in os.environ}


def set_variables(values: Mapping[str, str]) -> None:
    """Have OpenSSL read these values; a variable that is not among them counts as unset."""
    for name in FOR_OPENSSL:
        if name in values:
            os.environ[name] = values[name]
        else:
            os.environ.pop(name, None)


@cache
def trust() -> Trust:
    """Return whom all connections trust, as the files are now. Reading them takes tens of milliseconds."""
    given = variables()
    find = {FILE: _fault_of_file, FOLDER: _fault_of_folders}
    found = {name: fault for name, value in given.items() if (fault := find[name](value))}
    return Trust(ssl.create_default_context(), list(found.values()), _remedy(FILE in given, found))


def _remedy(has_file: bool, faults: Mapping[str, Fault]) -> str:
    if FILE in faults:
        return str(faults[FILE])
    if has_file and FOLDER in faults:
        return f"{_LACKS}, and {FOLDER} {faults[FOLDER].what}; correct either, and restart"
    if has_file:
        return f"{_LACKS}; add that, or name a file that has it, and restart"
    return str(faults[FOLDER]) if FOLDER in faults else _NO_FILE


def _fault_of_file(path: str) -> Fault | None:
    try:
        if not (stat.S_ISREG(mode := os.stat(path).st_mode) or stat.S_ISDIR(mode)):
            return None  # such as a pipe, which can be read once
        with open(path, "rb"):
            pass
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cafile=path)
        holds_some = context.cert_store_stats()["x509"] > 0
    except ssl.SSLError:  # which is an OSError
        holds_some = False
    except (OSError, ValueError) as error:
        return Fault(FILE, path, _cannot_be_read(error))
    return None if holds_some else Fault(FILE, path, "holds no certificate in PEM")


def _fault_of_folders(paths: str) -> Fault | None:
    """Return what is wrong with a list of folders, of which one with a certificate is enough."""
    failed: Exception | None = None
    for path in filter(None, paths.split(os.pathsep)):
        try:
            if any(_BY_HASH.fullmatch(entry.name) for entry in Path(path).iterdir()):
                return None
        except (OSError, ValueError) as error:
            failed = error
    if failed is not None:
        return Fault(FOLDER, paths, _cannot_be_read(failed))
    return Fault(FOLDER, paths, "holds no certificate under its hash", "run `openssl rehash` on it")


def _cannot_be_read(error: Exception) -> str:
    return f"cannot be read ({getattr(error, 'strerror', None) or error})"
