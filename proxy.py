"""The chatproxy command for a checkout that is not installed: `python proxy.py`.

Older Pythons can read this file, too, so that they can say what is missing.
"""

import sys

OLDEST = (3, 11)
OTHER_PYTHON = (
    "Python %d.%d or newer is needed, and this is %d.%d; type `make run PYTHON=python3.12`, or name another"
)
PACKAGE = "the package %s is not installed for this Python; type `make run`, which installs all and starts"


def refuse(sentence: str) -> None:
    """Exit as the command does if it cannot start."""
    sys.stderr.write("chatproxy: " + sentence + ".\n")
    sys.exit(2)


if __name__ == "__main__":
    if sys.version_info < OLDEST:
        refuse(OTHER_PYTHON % (OLDEST + sys.version_info[:2]))
    try:
        from chatproxy.command.cli import main
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("chatproxy"):
            raise
        refuse(PACKAGE % error.name)
    sys.exit(main())
