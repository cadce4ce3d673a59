"""The command line trains a text classifier, classifies lines with it, and tests it.

========  =====================================================================
run       `main`: run one command, report errors in one line and a status
parser    the arguments of the commands
options   those that several commands have, and values of options
train_options  those of train
arguments errors of arguments, in one line
fasttext  what fastText's own commands and options are answered
commands  what each command does
layout    options that say where texts and labels stand in a file
columns   texts and labels of CSV, TSV and JSON lines
inputs    files and standard input, with or without labels
split     the lines that are held out
continuing go on with a model, start from vectors, save checkpoints
search    autotune: the trials and what is shown of them
similar   what each command does: similar
quantizing the same: quantize
fasttext_models  models of fastText, as they are or converted
saving    other places for a model that cannot be saved
report    how results are printed and drawn
========  =====================================================================

The console script ``ebagx`` and ``python -m ebagx`` call `main`.
"""

from ebagx.cli.run import main

__all__ = ["main"]
