"""The code blocks of the README.

    script = example("sh", "curl -N")        # the one block in that language that has that word

Tests run them as they stand.
"""

import re
from pathlib import Path
from typing import Final

README: Final = (Path(__file__).parents[2] / "README.md").read_text()


def example(language: str, word: str) -> str:
    """Return the one block in that language that has that word."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if word in block]
    return str(found)
