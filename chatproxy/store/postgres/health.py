"""What `chatproxy doctor` and `chatproxy check` say of a database: whether and how it can be reached."""

from msgspec import Struct

from chatproxy.store.postgres.claim import LOCK
from chatproxy.store.postgres.database import check
from chatproxy.store.postgres.errors import FAILURES, start_error
from chatproxy.store.postgres.pool import SCHEMA, connect
from chatproxy.store.postgres.schema import version_of
from chatproxy.values import without_password

# An advisory lock has the halves of its number.
_IN_USE = f"""
    SELECT EXISTS (
        SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND classid = {LOCK >> 32} AND objid = {LOCK & 0xFFFFFFFF} AND objsubid = 1
    )
"""
_SIZE = f"""
    SELECT CAST(coalesce(sum(pg_total_relation_size(oid)), 0) AS bigint) FROM pg_class
    WHERE relnamespace = to_regnamespace('{SCHEMA}') AND relkind = 'r'
"""


class Health(Struct, frozen=True, kw_only=True):
    """The state of a database. `version` is how many migrations it has been through.

    It is 0 before the first start. `size` is that of the tables, in bytes. One that `is_in_use` is open in a
    chatproxy.
    """

    name: str  # its URL without a password
    server: str
    version: int
    size: int
    is_in_use: bool


async def health(url: str) -> Health:
    """Examine the database without changing it. Raises StartError where a start would."""
    name = without_password(url)
    try:
        await check(url, name)
        connection = await connect(url)
        try:
            found = Health(
                name=name,
                server=await connection.fetchval("SHOW server_version"),
                version=await version_of(connection, name),
                size=await connection.fetchval(_SIZE),
                is_in_use=await connection.fetchval(_IN_USE),
            )
        finally:
            connection.terminate()
    except (*FAILURES, ValueError) as error:
        raise start_error(name, error) from error
    return found
