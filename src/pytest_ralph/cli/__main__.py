"""``python -m pytest_ralph.cli``: the command, where its script is not on the path."""

import sys

from pytest_ralph.cli import main

if __name__ == "__main__":
    sys.exit(main())
