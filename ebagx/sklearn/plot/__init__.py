"""Displays in scikit-learn's style: how training went, and where the bags lie. Needs matplotlib."""

from ebagx.sklearn.plot.embedding_map import EmbeddingMapDisplay
from ebagx.sklearn.plot.training_curve import TrainingCurveDisplay

__all__ = ["EmbeddingMapDisplay", "TrainingCurveDisplay"]
