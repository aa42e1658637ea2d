"""PostgreSQL: a database across a network, whose transactions run side by side."""

from typing import TYPE_CHECKING

from chatproxy.errors import StartError
from chatproxy.system.optional import install_cluster, optional

if TYPE_CHECKING:
    from chatproxy.store.postgres.database import PostgresDatabase


def postgres_database() -> "type[PostgresDatabase]":
    """Import what nothing else needs. Raises StartError if its driver is not installed."""
    if optional("asyncpg") is None:
        raise StartError(f"PostgreSQL needs asyncpg, which is not installed; {install_cluster()}.")
    from chatproxy.store.postgres.database import PostgresDatabase

    return PostgresDatabase
