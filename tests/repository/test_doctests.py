"""Test the examples in the docstrings."""

import doctest
import importlib
from pathlib import Path

import pytest

import ebagx

PACKAGE = Path(ebagx.__file__).parent
# Only sources are read: this processor may not run a compiled level.
MODULES = [
    ".".join(("ebagx", *path.relative_to(PACKAGE).with_suffix("").parts))
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.stem not in ("__init__", "__main__")
] + ["ebagx", "ebagx.datasets"]
WITH_EXAMPLES = {
    "ebagx._core.config",
    "ebagx.dask._estimate",
    "ebagx.dask._text",
    "ebagx.datasets",
    "ebagx.module",
    "ebagx.functional",
    "ebagx.gradients",
    "ebagx.optim.adagrad",
    "ebagx.optim.adam",
    "ebagx.optim.optimizer",
    "ebagx.optim.schedules",
    "ebagx.optim.sgd",
    "ebagx.sklearn.classifier",
    "ebagx.sklearn.regressor",
    "ebagx.sklearn.transformer",
    "ebagx.sklearn.vectorizer",
    "ebagx.sklearn.plot.embedding_map",
    "ebagx.sklearn.plot.training_curve",
    "ebagx.torch.acceleration",
    "ebagx.torch.functional",
    "ebagx.torch.module",
}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        pytest.skip(f"{name} needs {error.name}")
    failed, attempted = doctest.testmod(module)
    assert failed == 0
    assert attempted or name not in WITH_EXAMPLES
