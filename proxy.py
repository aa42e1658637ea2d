"""The chatproxy command for a checkout that is not installed: `python proxy.py`."""

import sys

from chatproxy.command.cli import main

if __name__ == "__main__":
    sys.exit(main())
