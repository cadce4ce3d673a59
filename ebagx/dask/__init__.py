"""Training and prediction on more than one machine, with Dask.

============  ===================================================================
_classifier   `DaskEmbeddingBagClassifier`
_regressor    `DaskEmbeddingBagRegressor`
_estimators   both, imported when they are first used
_text         texts become matrices
_vocabulary   the words of a collection, counted in each partition and merged
_estimate     the cost of a pass, by a model
_base         the base of estimators: fitting, and the attributes of the fitted model
_driver       rounds as transactions, and the choice of the model that is kept
_checkpoint   the folder from which an interrupted fit is resumed
_cluster      a client of Dask: tasks, lost results, a lost scheduler
_lazy         predictions and scores of collections
_data         collections become chunks, and chunks become shards
_features     features in collections become arrays
_survey       a first pass over y: classes, counts, moments
_rounds       the tasks of a round
_calendar     the rounds of each pass
_round        the functions that those tasks run: arrays in, new arrays out
_combine      the rows of several shards become those of a block
_shards       the parts of a shard on which rounds train
_storage      blocks of the model in files
============  ===================================================================

`_round`, `_shards` and `_rounds` know neither Dask nor scikit-learn: another engine that runs
functions on several machines can train with them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ebagx.dask._estimate import Estimate, estimate

if TYPE_CHECKING:
    from ebagx.dask._estimators import DaskEmbeddingBagClassifier, DaskEmbeddingBagRegressor
    from ebagx.dask._text import DaskTextVectorizer, vectorize

__all__ = [
    "DaskEmbeddingBagClassifier",
    "DaskEmbeddingBagRegressor",
    "DaskTextVectorizer",
    "Estimate",
    "estimate",
    "vectorize",
]

_MODULES = {
    "DaskEmbeddingBagClassifier": "_estimators",
    "DaskEmbeddingBagRegressor": "_estimators",
    "DaskTextVectorizer": "_text",
    "vectorize": "_text",
}


def __getattr__(name: str) -> Any:
    """Import a module when its names are first used, as it needs Dask and scikit-learn."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"{__name__}.{_MODULES[name]}")
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in ("dask", "distributed", "sklearn"):
            raise
        raise ModuleNotFoundError(
            f"{name} needs Dask and scikit-learn: pip install 'ebagx[dask]'", name=error.name
        ) from error
    return getattr(module, name)
