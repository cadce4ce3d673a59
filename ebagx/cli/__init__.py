"""The command line: train a text classifier, classify lines with it, test it, look at it.

========  =====================================================================
run       `main`: run one command, turn errors into one line and a status
parser    the arguments of the commands
commands  what each command does
report    how results are printed and drawn
========  =====================================================================

The console script ``ebagx`` and ``python -m ebagx`` call `main`.
"""

from ebagx.cli.run import main

__all__ = ["main"]
