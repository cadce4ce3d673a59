"""Fuzzing runs cases: strings of bytes, from which arguments and an expected result are made.

==========  ======================================================================
source      bytes -> choices; a byte of 0, or none left, is the simplest choice
layouts     arrays of given values in every layout that NumPy has
calls       valid calls of the functional form, and their bags
spoilers    what is wrong with a call, and the error that must come of it
steps       gradients and optimizers, valid and not
modules     sequences of calls of an EmbeddingBag, valid and not
estimators  estimators and the vectorizer on matrices, labels and texts, valid and not
quantized   quantised tables and their files: values by the definition, bits of the sums
readers     damaged files of vectors: one line of refusal, or sound vectors
models      damaged files of text classifiers: one line of refusal, or sound answers
classifiers      lives of a TextClassifier: its answers by the definition, files, errors
factorizations   factorization machines and groups of columns: scores by the definition
recommenders     recommenders, and rankings against their definition
rankings         measures of rankings
rounds           rounds of training without Dask, and damaged checkpoints
bridges          PyTorch's bags on the kernels, against PyTorch
giants      sparse memory maps beyond 2^31, arrays that another thread changes
oracle      runs a case: right result, or right error and nothing changed
model       the state of a module and its optimizer, by their definitions in NumPy
machine     hypothesis state machine of a module, against the model
run         many cases in child processes; a crash is found, made small and printed
guided      the same cases, led by coverage (atheris)
==========  ======================================================================

Each driver makes the bytes: at random (`python -m fuzz.run`), by coverage with atheris
(`python -m fuzz.guided`), or by hypothesis (tests/promises). A failing case is its bytes in
hex: ``python -m fuzz.run --case HEX``. All need ``PYTHONPATH=tests`` for definition.py.
"""
