"""What tests may ask of the system that they run on, so that they also run on Windows.

There, files have no modes, and few users may make symbolic links: tests of these would say nothing.
`tests/process/test_systems.py` says what else the tests that CI runs there do not do.
"""

import os
import stat
from pathlib import Path
from typing import Final

import pytest

IS_POSIX: Final = os.name == "posix"
# A folder's name with all that a URL or a shell reads as something else, as far as the system has such names.
ODD_NAME: Final = "a b%20?#" if IS_POSIX else "a b%20#"
modes: Final = pytest.mark.skipif(not IS_POSIX, reason="files have no modes here")
links: Final = pytest.mark.skipif(not IS_POSIX, reason="not everyone may make symbolic links here")


def is_private(path: Path) -> bool:
    """Return whether the file's mode lets only its owner read and write it; true where files have none."""
    return not IS_POSIX or stat.S_IMODE(path.stat().st_mode) == 0o600
