"""Run the command line as ``python -m ebagx``."""

import sys

from ebagx.cli import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m ebagx"))
