"""The token that is made when nobody set one: kept in a file beside the database, for its owner alone."""

import fcntl
import os
import secrets
from pathlib import Path
from typing import Final

from chatproxy.errors import StartError
from chatproxy.values import credential

BYTES: Final = 24


def kept_token(database: Path) -> str:
    """That of `<database>.token`, which is made if need be. Raises StartError."""
    path = Path(f"{os.path.realpath(database)}.token")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _read_or_make(path)
    except OSError as error:
        raise StartError(
            f"The token cannot be kept in {path} ({error.strerror}); make that possible, or set API_TOKEN."
        ) from error
    except ValueError as error:
        raise StartError(f"{path} holds no token; remove it, or set API_TOKEN.") from error


def _read_or_make(path: Path) -> str:
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_uid != os.geteuid():  # who else wrote it knows it
            raise ValueError
        os.fchmod(file.fileno(), 0o600)
        if not (token := file.read()):
            token = secrets.token_urlsafe(BYTES)
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
        return credential(token)
