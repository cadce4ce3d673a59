"""Training and prediction on more than one machine, with Dask.

============  ===================================================================
_classifier   `DaskEmbeddingBagClassifier`
_regressor    `DaskEmbeddingBagRegressor`
_estimators   both, imported when they are first used
_base         their base: fitting, and the attributes of the fitted model
_driver       rounds as transactions, and the choice of the model that is kept
_checkpoint   the folder from which an interrupted fit is resumed
_cluster      a client of Dask: tasks, lost results, a lost scheduler
_lazy         predictions and scores of collections
_data         collections become chunks, and chunks become shards
_survey       a first pass over y: classes, counts, moments
_rounds       the tasks of a round
_round        the functions that those tasks run: arrays in, new arrays out
_shards       the parts of a shard on which rounds train
_storage      blocks of the model in files
============  ===================================================================

`_round`, `_shards` and `_rounds` know neither Dask nor scikit-learn: another engine that runs
functions on several machines can train with them.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ebagx.dask._estimators import DaskEmbeddingBagClassifier, DaskEmbeddingBagRegressor

__all__ = ["DaskEmbeddingBagClassifier", "DaskEmbeddingBagRegressor"]


def __getattr__(name: str) -> Any:
    """Import the estimators when they are first used, as they need Dask and scikit-learn."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from ebagx.dask import _estimators
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in ("dask", "distributed", "sklearn"):
            raise
        raise ModuleNotFoundError(
            f"{name} needs Dask and scikit-learn: pip install 'ebagx[dask]'", name=error.name
        ) from error
    return getattr(_estimators, name)
