"""Fuzzing: a case is a string of bytes, from which arguments are made and a verdict is known.

==========  ======================================================================
source      bytes -> choices; a byte of 0, or none left, is the simplest choice
layouts     arrays of given values in every layout that NumPy has
calls       valid calls of the functional form, and what they mean
spoilers    what is wrong with a call, and the error that must come of it
steps       gradients and optimizers, valid and not
modules     construction and life of EmbeddingBag, valid and not
estimators  estimators and the vectorizer on matrices, labels and texts, valid and not
giants      sparse memory maps beyond 2^31, arrays that another thread changes
oracle      runs a case: right result, or right error and nothing changed
model       what a module and its optimizer hold, by their definitions in NumPy
machine     hypothesis state machine over a module's life, against the model
run         many cases in child processes; a crash is found, made small and printed
guided      the same cases, led by coverage (atheris)
==========  ======================================================================

Bytes serve every driver: random ones (`python -m fuzz.run`), those that atheris breeds
(`python -m fuzz.guided`), and hypothesis's in tests/test_fuzz.py. A failing case is its bytes in
hex: ``python -m fuzz.run --case HEX``. All need ``PYTHONPATH=tests`` for definition.py.
"""
