"""A PostgreSQL server for the tests: Debian's, or another whose programs are found, on a socket only.

One server serves all processes of a test run, without syncing its files, which are in memory where that can
be. The last process that uses it stops it. Each process has a database, which is emptied before each test:
that takes a tenth of the time of a new one.
"""

import fcntl
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import asyncpg

from chatproxy.store.postgres.pool import SCHEMA

PROGRAMS: Final = sorted(
    Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True
)
SETTINGS: Final = {
    "listen_addresses": "''",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "jit": "off",
}


def programs() -> Path | None:
    """Return the folder of the server's programs, the newest; None if there is none."""
    for folder in PROGRAMS:
        if (folder / "initdb").exists():
            return folder
    if found := shutil.which("pg_config"):
        folder = Path(subprocess.check_output([found, "--bindir"], text=True).strip())
        return folder if (folder / "initdb").exists() else None
    return None


def user() -> str | None:
    """Return whom the server has to run as, since it refuses root; None: as whoever this is."""
    if os.geteuid() != 0:
        return None
    names = {each.pw_name for each in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class Server:
    """A server in a folder, with a socket there. `owner` is its superuser."""

    def __init__(self, folder: Path) -> None:
        found = programs()
        assert found is not None
        self._programs = found
        self._user = user()
        self.folder = folder
        self._data = folder / "data"
        self.owner = "tests"

    def run(self, program: str, *arguments: str, check: bool = True) -> str:
        """Run one of PostgreSQL's programs, and return what it prints."""
        command = [str(self._programs / program), *arguments]
        result = subprocess.run(
            command,
            check=False,
            user=self._user,
            group=pwd.getpwnam(self._user).pw_gid if self._user else None,
            extra_groups=[] if self._user else None,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if check and result.returncode:
            raise RuntimeError(f"{' '.join(command)}: {result.stdout}")
        return result.stdout

    def create(self) -> None:
        """Make the server's files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._user:
            shutil.chown(self.folder, self._user)
        self.folder.chmod(0o755)
        self.run(
            "initdb", "-D", str(self._data), "-U", self.owner, "-A", "trust", "-E", "UTF8", "--no-sync",
            "--locale=C.UTF-8",
        )  # fmt: skip
        lines = [f"{name} = {value}" for name, value in SETTINGS.items() if value]
        lines.append(f"unix_socket_directories = '{self.folder}'")
        with (self._data / "postgresql.conf").open("a") as file:
            file.write("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start it, and return when it can be used."""
        self.run("pg_ctl", "-D", str(self._data), "-l", str(self.folder / "log"), "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; `immediate` is as a crash is."""
        self.run("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop", check=False)

    def kill(self) -> None:
        """Kill it and all its processes, as a power failure does."""
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        children = subprocess.run(["pgrep", "-P", str(pid)], stdout=subprocess.PIPE, text=True, check=False)
        for each in [pid, *map(int, children.stdout.split())]:
            with suppress(ProcessLookupError):
                os.kill(each, 9)

    def psql(self, sql: str, database: str = "postgres") -> str:
        """Run some SQL as the superuser, and return what it prints, without decoration."""
        command = ("psql", "-h", str(self.folder), "-U", self.owner, "-d", database, "-XAtq")
        return self.run(*command, "-v", "ON_ERROR_STOP=1", "-c", sql).strip()

    def url(self, database: str, user: str | None = None) -> str:
        """Return the URL of a database."""
        return f"postgresql://{user or self.owner}@/{database}?host={self.folder}"


@contextmanager
def shared_server(name: str) -> Iterator[Server]:
    """Yield the server of a test run, which is started if no process has; the last one stops it."""
    memory = Path("/dev/shm")
    folder = (memory if memory.is_dir() else Path("/tmp")) / f"chatproxy-{name}"
    folder.mkdir(exist_ok=True)
    server = Server(folder)
    with (folder / "users").open("w") as users:
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)
            if not (folder / "data").exists():
                server.create()
                server.start()
        try:
            yield server
        finally:
            with suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                server.stop()
                shutil.rmtree(folder, ignore_errors=True)


_OWN: Final = f"SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('{SCHEMA}') AND relkind"
_EMPTY: Final = f"""
    SET session_replication_role = replica;  -- without triggers
    DO $$
    DECLARE name text;
    BEGIN
        FOR name IN {_OWN} = 'r' AND relname <> 'schema_version'
        LOOP EXECUTE format('DELETE FROM {SCHEMA}.%I', name); END LOOP;
        FOR name IN {_OWN} = 'S'
        LOOP EXECUTE format('ALTER SEQUENCE {SCHEMA}.%I RESTART', name); END LOOP;
    END $$
"""


async def empty(url: str) -> None:
    """Remove all rows, so that the database is as a new one with the tables."""
    connection = await asyncpg.connect(url)
    await connection.execute(_EMPTY)
    await connection.close()
