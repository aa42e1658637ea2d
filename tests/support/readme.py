"""The code that README.md and the pages of docs/ print.

    script = example("sh", "curl -N")        # the one block in that language that has that word

Tests run it as it stands. `tests/unit/test_pages.py` fails for a block that none of them names.
"""

import re
from pathlib import Path
from typing import Final

from msgspec import Struct

ROOT: Final = Path(__file__).parents[2]
README: Final = (ROOT / "README.md").read_text()
# The pages that readers are sent to, by their paths.
PAGES: Final = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}


class Block(Struct, frozen=True):
    page: str
    language: str
    text: str


BLOCKS: Final = [
    Block(page, language, block)
    for page, text in PAGES.items()
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
]


def example(language: str, word: str) -> str:
    """Return the one block in that language that has that word."""
    (found,) = [block.text for block in BLOCKS if block.language == language and word in block.text]
    return found
