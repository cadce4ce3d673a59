"""The estimators that train on the workers of a cluster."""

from ebagx.dask._classifier import DaskEmbeddingBagClassifier
from ebagx.dask._regressor import DaskEmbeddingBagRegressor

__all__ = ["DaskEmbeddingBagClassifier", "DaskEmbeddingBagRegressor"]
