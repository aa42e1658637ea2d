"""Give the next release its version: `python .ci/set_version.py 0.2.0`.

`chatproxy/__init__.py` says it, and what is built or served reads it there. `PLACES` has the files that
repeat it, because they are used as they are. CHANGES.md gets the heading.
"""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = "chatproxy/__init__.py"
PLACES: Final = {
    SOURCE: r'(?<=^__version__ = ")[^"]+',
    "chatproxy/static/package.json": r'(?<=^  "version": ")[^"]+',
    "deploy/kubernetes.yaml": r"(?<=\bchatproxy:)[\d.]+",
    "deploy/kubernetes-cluster.yaml": r"(?<=\bchatproxy:)[\d.]+",
    "README.md": r"(?<=ollama_chatproxy-)[\d.]+(?=-py3)",
}
VERSION: Final = r"\d+\.\d+\.\d+"
UNRELEASED: Final = "## Unreleased\n"


def main(version: str, root: Path = ROOT) -> None:
    """Write the version everywhere, or exit with a sentence before anything is written."""
    if not re.fullmatch(VERSION, version):
        sys.exit(f"{version!r} is no version; use one as 0.2.0.")
    changes = (root / "CHANGES.md").read_text(encoding="utf-8")
    if UNRELEASED not in changes:
        sys.exit("CHANGES.md has nothing under `## Unreleased`; write what is new there.")
    heading = f"{UNRELEASED}\n## {version} - {datetime.now(UTC):%Y-%m-%d}\n"
    texts = {"CHANGES.md": changes.replace(UNRELEASED, heading, 1).replace(" Nothing is released yet.", "")}
    for name, place in PLACES.items():
        text = (root / name).read_text(encoding="utf-8")
        texts[name], count = re.subn(place, version, text, flags=re.MULTILINE)
        if not count:
            sys.exit(f"{name} does not say the version any more; take it out of PLACES.")
    for name, text in texts.items():
        (root / name).write_text(text, encoding="utf-8")


def versions(root: Path = ROOT) -> dict[str, set[str]]:
    """Return what each of the places says."""
    return {
        name: set(re.findall(place, (root / name).read_text(encoding="utf-8"), re.MULTILINE))
        for name, place in PLACES.items()
    }


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
