"""Estimators for scikit-learn, which take counts or weights, such as its vectorizers make of texts.

`ebagx.sklearn.plot` has displays of their training and of their embeddings; it needs matplotlib.
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "ebagx.sklearn needs scikit-learn: pip install 'ebagx[sklearn]'", name=error.name
    ) from error

from ebagx.sklearn.classifier import EmbeddingBagClassifier
from ebagx.sklearn.embedder import TextEmbedder
from ebagx.sklearn.factorization_classifier import FactorizationMachineClassifier
from ebagx.sklearn.factorization_regressor import FactorizationMachineRegressor
from ebagx.sklearn.recommender import EmbeddingBagRecommender
from ebagx.sklearn.regressor import EmbeddingBagRegressor
from ebagx.sklearn.saving import load_estimator
from ebagx.sklearn.transformer import EmbeddingBagTransformer
from ebagx.sklearn.vectorizer import TextVectorizer

__all__ = [
    "EmbeddingBagClassifier",
    "EmbeddingBagRecommender",
    "EmbeddingBagRegressor",
    "EmbeddingBagTransformer",
    "FactorizationMachineClassifier",
    "FactorizationMachineRegressor",
    "TextEmbedder",
    "TextVectorizer",
    "load_estimator",
]
