"""Text classifiers: from lines to labels, and how they are trained."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx.functional import embedding_bag
from ebagx.text.features import Features
from ebagx.text.ngrams import Ngrams

if TYPE_CHECKING:
    from scipy import sparse

    from ebagx.sklearn import EmbeddingBagClassifier
    from ebagx.text.corpus import Corpus

LOSSES = ("softmax", "ova")

_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TextModel:
    """Features, their embeddings, and a linear layer from the mean embedding to labels.

    With the loss "softmax" the probabilities of a line's labels add up to 1; with "ova", one
    versus all, each is that of a question of its own.
    """

    features: Features
    labels: list[str]
    loss: str
    embedding: _Floats
    coef: _Floats
    intercept: _Floats
    num_threads: int | None = None

    def vectors(self, texts: Sequence[str]) -> _Floats:
        """Return the mean embedding of each text, zeros where nothing in it is known."""
        pooled: _Floats = embedding_bag(
            self.features.count(texts), self.embedding, mode="mean", num_threads=self.num_threads
        )
        return pooled

    def probabilities(self, texts: Sequence[str]) -> _Floats:
        """Return the probability of each label for each text."""
        # The import takes tens of milliseconds, which commands that predict nothing save.
        from scipy.special import expit, softmax

        scores = self.vectors(texts) @ self.coef.T
        scores += self.intercept
        probabilities: _Floats = (
            softmax(scores, axis=1) if self.loss == "softmax" else expit(scores)
        )
        return probabilities

    def best(self, texts: Sequence[str], k: int) -> tuple[npt.NDArray[np.intp], _Floats]:
        """Return the positions of each text's `k` likeliest labels, best first, and how likely."""
        probabilities = self.probabilities(texts)
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
        return order, np.take_along_axis(probabilities, order, axis=1)

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Return the likeliest label of each text."""
        return [self.labels[i] for (i,) in self.best(texts, 1)[0]]


class Settings(NamedTuple):
    """Options of the training of a model."""

    dim: int = 32
    lr: float = 0.3
    epochs: int = 10
    batch_size: int = 128
    word_ngrams: int = 2
    min_count: int = 1
    minn: int = 0
    maxn: int = 0
    buckets: int = 2_000_000
    loss: str = "softmax"
    seed: int = 0
    threads: int | None = None

    @property
    def ngrams(self) -> Ngrams:
        """The n-grams that are features."""
        min_chars = max(self.minn, 1) if self.maxn else 0
        return Ngrams(self.word_ngrams, min_chars, self.maxn, self.buckets)

    def make_classifier(self, verbose: bool = False) -> "EmbeddingBagClassifier":
        """Return an estimator that is trained so."""
        from ebagx.sklearn import EmbeddingBagClassifier

        return EmbeddingBagClassifier(
            self.dim,
            learning_rate=self.lr,
            batch_size=self.batch_size,
            max_iter=self.epochs,
            random_state=self.seed,
            verbose=verbose,
            num_threads=self.threads,
        )


class Fitted(NamedTuple):
    """A trained model, and how many epochs its training took: fewer than asked for after Ctrl-C."""

    model: TextModel
    epochs: int


def train_model(corpus: "Corpus", settings: Settings, verbose: bool = False) -> Fitted:
    """Learn features, embeddings and linear layer from labelled texts.

    Raises
    ------
    ValueError
        If the texts have no features, if there are fewer than two labels, if a text has several
        but the loss is softmax, or if the loss diverges.
    """
    features, counts = Features.learn(corpus.texts, settings.ngrams, settings.min_count)
    return fit_model(features, counts, corpus, settings, verbose)


def fit_model(
    features: Features,
    counts: "sparse.csr_array",
    corpus: "Corpus",
    settings: Settings,
    verbose: bool = False,
) -> Fitted:
    """Learn embeddings and linear layer from counted features; see `train_model`."""
    labels = corpus.distinct_labels()
    classifier = settings.make_classifier(verbose)
    with warnings.catch_warnings():
        # `Fitted.epochs` tells as much.
        warnings.filterwarnings("ignore", "training was interrupted", UserWarning)
        classifier.fit(counts, _targets(corpus, labels, settings.loss))
    weights = classifier.embedding_, classifier.coef_, classifier.intercept_
    model = TextModel(features, labels, settings.loss, *weights, settings.threads)
    return Fitted(model, classifier.n_iter_)


def _targets(corpus: "Corpus", labels: Sequence[str], loss: str) -> Any:
    """Return what the classifier learns: positions of labels or, for "ova", a row of ones each."""
    from scipy import sparse

    position = {label: i for i, label in enumerate(labels)}
    columns = [position[label] for labels in corpus.labels for label in labels]
    if loss == "softmax":
        if len(columns) > len(corpus.labels):
            raise ValueError("softmax takes one label a line, for several there is the loss ova")
        return np.array(columns)
    ends = np.cumsum([0, *map(len, corpus.labels)])
    ones = np.ones(len(columns), np.int8)
    return sparse.csr_array((ones, columns, ends), (len(corpus.labels), len(labels)))
