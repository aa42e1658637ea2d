"""What `chatproxy doctor` and `chatproxy check` say of a database: whether and how it can be reached."""

from msgspec import Struct

from chatproxy.store.postgres.database import check
from chatproxy.store.postgres.errors import FAILURES, start_error
from chatproxy.store.postgres.pool import SCHEMA, connect
from chatproxy.store.postgres.replicas import IS_LATE
from chatproxy.store.postgres.schema import version_of
from chatproxy.values import without_password

_LIVING = f"SELECT count(*) FROM {SCHEMA}.replica WHERE NOT ({IS_LATE})"
_HAS_REPLICAS = f"SELECT to_regclass('{SCHEMA}.replica') IS NOT NULL"
_SIZE = f"""
    SELECT CAST(coalesce(sum(pg_total_relation_size(oid)), 0) AS bigint) FROM pg_class
    WHERE relnamespace = to_regnamespace('{SCHEMA}') AND relkind = 'r'
"""


class Health(Struct, frozen=True, kw_only=True):
    """The state of a database. `version` is how many migrations it has been through.

    It is 0 before the first start. `size` is that of the tables, in bytes. So many `replicas` have it open.
    """

    name: str  # its URL without a password
    server: str
    version: int
    size: int
    replicas: int

    @property
    def is_in_use(self) -> bool:
        """Whether it is open in a chatproxy."""
        return self.replicas > 0


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
                replicas=await connection.fetchval(_LIVING)
                if await connection.fetchval(_HAS_REPLICAS)
                else 0,
            )
        finally:
            connection.terminate()
    except (*FAILURES, ValueError) as error:
        raise start_error(name, error) from error
    return found
