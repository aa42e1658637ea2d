"""`python proxy.py` is the chatproxy command, for a checkout that is not installed."""

import sys

from chatproxy.command.cli import main

if __name__ == "__main__":
    sys.exit(main())
