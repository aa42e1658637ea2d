"""A copy of chatproxy as a release has it: with the bundles that npm makes.

    bundles = make(tmp_path_factory.mktemp("bundles"))             # needs npm
    async with bundles.running(tmp_path, ollama_host=fake.url) as process: ...

It is mounted under a prefix in another application.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node import missing
from processes import ROOT, Process

HASHED: Final = re.compile(r"[\w-]+-[0-9A-Z]{8}\.(css|js)")
PREFIX: Final = "/some/where"
PARTS: Final = ("build_backend.py", "bundle", "chatproxy")
MAKE: Final = "import build_backend; build_backend.bundle_or_exit(dist=True)"
# Serves the application under the prefix, and says so as the command does.
SERVE: Final = f"""
import asyncio, os
from aiohttp import web
from chatproxy import Config, create_app

async def main():
    origins = tuple(filter(None, os.environ.get("CORS_ORIGINS", "").split(",")))
    host = web.Application()
    host.add_subapp({PREFIX!r}, create_app(Config(
        ollama_host=os.environ["OLLAMA_HOST"],
        database_url=os.environ["DATABASE_URL"],
        default_model=os.environ["DEFAULT_MODEL"],
        cors_origins=origins,
    )))
    runner = web.AppRunner(host)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"Open http://127.0.0.1:{{runner.addresses[0][1]}}{PREFIX} in a browser", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@dataclass
class Bundles:
    folder: Path

    @property
    def static(self) -> Path:
        return self.folder / "chatproxy" / "static"

    def hashed(self) -> dict[str, Path]:
        """Return the scripts and styles with hashes in their names, by name."""
        files = (self.static / "dist").iterdir()
        return {file.name: file for file in files if HASHED.fullmatch(file.name)}

    @asynccontextmanager
    async def running(self, folder: Path, **settings: object) -> AsyncIterator[Process]:
        settings = {"database_url": f"sqlite:///{folder}/chat.db", **settings}
        command = (sys.executable, str(self.folder / "serve.py"))
        async with Process.running(folder, command=command, **settings) as process:
            yield process


def make(folder: Path) -> Bundles:
    """Bundle a copy of the checkout in the folder; skip the test, in CI fail it, without npm."""
    if shutil.which("npm") is None:
        missing("npm", "install Node 20 or newer")
    for name in PARTS:
        source = ROOT / name
        skipped = shutil.ignore_patterns("__pycache__", "node_modules")
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=skipped)
        else:
            shutil.copy(source, folder)
    (folder / "serve.py").write_text(SERVE)
    subprocess.run([sys.executable, "-c", MAKE], cwd=folder, check=True, timeout=300)
    return Bundles(folder)
