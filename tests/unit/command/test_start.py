import subprocess
import sys
from typing import Final

# What is imported when it is first needed: it takes milliseconds of each start, and memory.
LATER: Final = {
    *("asyncpg", "difflib", "dotenv", "jwt", "numpy", "prometheus_client", "webbrowser", "xlrd"),
    *("chatproxy.command.demo", "chatproxy.command.doctor", "chatproxy.command.upkeep"),
    *("chatproxy.documents.chunks", "chatproxy.documents.encoding_names", "chatproxy.documents.extract"),
    *("chatproxy.prompt.search_terms", "chatproxy.store.postgres", "chatproxy.store.search.matrices"),
}


def test_a_start_imports_only_what_it_needs() -> None:
    script = (
        "import sys; from chatproxy import *; from chatproxy.command.cli import parsed;"
        "parsed([]); create_app(Config()); print(*sys.modules)"
    )
    modules = set(subprocess.check_output([sys.executable, "-c", script], encoding="utf-8").split())
    assert modules & LATER == set()
    assert "chatproxy.app" in modules
