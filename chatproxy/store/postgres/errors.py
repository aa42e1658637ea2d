"""PostgreSQL's errors: as clients see them, as a start tells them, and which of them pass."""

import logging
import ssl
from typing import Final

import asyncpg

from chatproxy.errors import ChatError, StartError

logger: Final = logging.getLogger(__name__)

# What a driver, a socket and a server say when a connection is gone, or cannot be had.
_GONE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.IdleSessionTimeoutError,
    OSError,  # TimeoutError is one
)
FAILURES: Final = (asyncpg.PostgresError, *_GONE)
_NAMES_OTHER: Final = "see to that, or name another database in DATABASE_URL"


def is_gone(error: BaseException) -> bool:
    """Return whether the connection is of no use any more: broken, or to a server that became read-only."""
    return isinstance(error, (*_GONE, asyncpg.ReadOnlySQLTransactionError))


def is_conflict(error: BaseException) -> bool:
    """Return whether the same transaction succeeds if it is repeated."""
    return isinstance(error, asyncpg.SerializationError | asyncpg.DeadlockDetectedError)


def chat_error(error: Exception) -> ChatError:
    """Return PostgreSQL's error as clients see it."""
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return ChatError("storage_full", "The database has become read-only; make it writable and try again.")
    if isinstance(error, asyncpg.TooManyConnectionsError):
        return ChatError(
            "overloaded",
            "PostgreSQL has no connection left; try again in a moment, or raise its max_connections.",
            retry_after=1,
        )
    if is_gone(error):
        return ChatError(
            "storage_full", "The database cannot be reached; see to it that PostgreSQL runs, and try again."
        )
    if isinstance(error, asyncpg.DiskFullError):
        return ChatError(
            "storage_full", "The disk that holds the database is full; free some space and try again."
        )
    if isinstance(error, asyncpg.PostgresIOError):
        return ChatError(
            "storage_full", "The disk that holds the database fails or is full; check it and try again."
        )
    if isinstance(error, asyncpg.QueryCanceledError):
        return too_long()
    if is_conflict(error) or isinstance(error, asyncpg.InsufficientResourcesError):
        return ChatError("overloaded", "The database is busy; try again in a moment.", retry_after=1)
    logger.error("the database failed", exc_info=error)
    return ChatError("internal", "The database failed; chatproxy's log says how.")


def too_long() -> ChatError:
    """Return the error of a read that did not end in time."""
    return ChatError(
        "overloaded",
        "The database took too long; try again in a moment, or search for longer or rarer words.",
        retry_after=1,
    )


def start_error(database: str, error: Exception) -> StartError:
    """Return the error of a start; `database` is its URL without a password."""
    if isinstance(error, asyncpg.InvalidPasswordError | asyncpg.InvalidAuthorizationSpecificationError):
        return StartError(
            f"PostgreSQL refuses the login of {database} ({error}); correct the user and the password in "
            "DATABASE_URL, or let them in."
        )
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return StartError(
            f"There is no database {database}; create it (CREATE DATABASE), or name another in DATABASE_URL."
        )
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return StartError(
            f"The user of {database} may not create or use the schema chatproxy ({error}); let it (GRANT "
            "CREATE ON DATABASE), or name another user in DATABASE_URL."
        )
    if isinstance(error, asyncpg.TooManyConnectionsError):
        return StartError(
            f"PostgreSQL has no connection left for {database}; raise its max_connections, as chatproxy "
            "needs twelve."
        )
    if isinstance(error, ssl.SSLError):
        return StartError(
            f"The connection to {database} cannot be encrypted ({error}); correct sslmode and its files in "
            "DATABASE_URL."
        )
    if isinstance(error, ValueError) and not isinstance(error, asyncpg.InterfaceError):
        # What cannot be read of a port may be of a password.
        return StartError(
            f"The URL {database} cannot be used; correct DATABASE_URL, and write %2F for a slash in the "
            "password, %40 for an @, %3A for a colon, %23 for a # and %3F for a question mark."
        )
    if isinstance(error, asyncpg.ClientConfigurationError):
        return StartError(f"The URL {database} cannot be used ({error}); correct DATABASE_URL.")
    if is_gone(error) or isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        reason = str(error) or "it does not answer"
        return StartError(
            f"The database {database} cannot be reached ({reason}); start PostgreSQL, or correct "
            "DATABASE_URL."
        )
    return StartError(f"The database {database} cannot be used ({error}); {_NAMES_OTHER}.")
