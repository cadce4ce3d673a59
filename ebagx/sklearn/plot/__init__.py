"""Displays of a training and of pooled bags, in scikit-learn's style; they need matplotlib."""

from ebagx.sklearn.plot.embedding_map import EmbeddingMapDisplay
from ebagx.sklearn.plot.training_curve import TrainingCurveDisplay

__all__ = ["EmbeddingMapDisplay", "TrainingCurveDisplay"]
