"""Try the installed command on any system: `python .ci/smoke.py`.

It starts with the stand-in for Ollama, reads a document, answers a message, refuses a second process, and
ends when it is asked to. Settings are those of the environment, the folder is a new one.
"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.request import Request, urlopen

COMMAND: Final = (sys.executable, "-c", "import chatproxy.command.cli as cli; exit(cli.main())", "--demo")
WINDOWS: Final = sys.platform == "win32"
TIMEOUT: Final = 60  # seconds
FORM: Final = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="cat.txt"\r\n\r\nTom.\r\n--b--\r\n'
)


def main() -> None:
    """Start, use and end it in a new folder."""
    settings = os.environ | {"PORT": "0", "PYTHONUNBUFFERED": "1"}
    with TemporaryDirectory(ignore_cleanup_errors=WINDOWS) as folder:
        process = subprocess.Popen(
            COMMAND,
            cwd=folder,
            env=settings,
            stdout=subprocess.PIPE,
            text=True,
            # Without a group of its own, the signal at the end would reach this process, too.
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        try:
            use(address(process), Path(folder))
            second = subprocess.run(
                COMMAND, cwd=folder, env=settings, capture_output=True, text=True, timeout=TIMEOUT
            )
            refused = second.returncode == 2 and "in use by another" in second.stderr
            check("a second process is refused", refused)
            process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))
            check("it ends when it is asked to", process.wait(TIMEOUT) == 0)
        finally:
            process.kill()
            process.wait()


def address(process: subprocess.Popen[str]) -> str:
    """Return where it listens, as its first lines say."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://[^\s/]+", line):
            print(line.partition("#")[0].strip())
            return found[0].replace("0.0.0.0", "127.0.0.1")
    sys.exit("it ended before it said where it listens")


def use(url: str, folder: Path) -> None:
    """Add a document, and send a message."""
    kept = next(folder.glob("*.token"), None)  # beyond loopback
    login = {"X-Api-Key": kept.read_text().strip()} if kept else {}

    def post(path: str, body: bytes, kind: str) -> Any:
        request = Request(url + path, body, {"Content-Type": kind, **login})
        return urlopen(request, timeout=TIMEOUT)

    with post("/api/documents", FORM, "multipart/form-data; boundary=b") as answer:
        check("a document is read", json.load(answer)["chunks"] == 1)
    with post("/api/chat/sessions", b"{}", "application/json") as answer:
        session = json.load(answer)["id"]
    message = json.dumps({"message": "Hello"}).encode()
    with post(f"/api/chat/sessions/{session}/messages/stream", message, "application/json") as answer:
        check("a message is answered", any(b'"chunk"' in line for line in answer))


def check(what: str, holds: bool) -> None:
    """Print what was tried, and exit if it failed."""
    print(f"{'ok' if holds else 'FAILED'}: {what}", flush=True)
    if not holds:
        sys.exit(1)


if __name__ == "__main__":
    main()
