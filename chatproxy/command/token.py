"""The secrets that the command generates if none is set, kept in files that only their owner can read.

They are the access token, and what visitors' tokens are signed with.
"""

import os
import secrets
from pathlib import Path
from typing import Final

from chatproxy.errors import StartError
from chatproxy.system.files import NO_LINKS, PRIVATE, is_of_another, lock, make_private
from chatproxy.values import credential

TOKEN_BYTES: Final = 24  # of randomness
SECRET_BYTES: Final = 48


def token_path(database: Path) -> Path:
    """Return the file that the token is kept in, beside the database."""
    return Path(f"{os.path.realpath(database)}.token")


def secret_path(database: Path) -> Path:
    """Return the file that the secret of visitors' tokens is kept in, beside the database."""
    return Path(f"{os.path.realpath(database)}.jwt")


def load_or_create_token(path: Path, size: int = TOKEN_BYTES, setting: str = "API_TOKEN") -> str:
    """Return the token in the file; generate it on the first call, of `size` random bytes.

    `setting` is what may be set instead. Raises StartError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "r+", encoding="utf-8", opener=_open_private) as file:
            lock(file)
            if is_of_another(os.fstat(file.fileno())):  # who wrote the token and knows it
                raise ValueError
            make_private(file)
            if not (token := file.read()):
                token = secrets.token_urlsafe(size)
                file.write(token + "\n")
                file.flush()
                os.fsync(file.fileno())
            return credential(token)
    except OSError as error:
        raise StartError(
            f"The token cannot be kept in {path} ({error.strerror}); make that possible, or set {setting}."
        ) from error
    except ValueError as error:
        raise StartError(f"{path} holds no token; remove it, or set {setting}.") from error


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | NO_LINKS, PRIVATE)
