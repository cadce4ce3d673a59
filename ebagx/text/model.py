"""Text classifiers: from lines to labels, and how they are trained."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx._core.table import Table
from ebagx._core.threads import thread_count
from ebagx.functional import embedding_bag
from ebagx.text import tokens
from ebagx.text.answers import answer_few
from ebagx.text.corpus import is_label
from ebagx.text.features import Features, LineBags, matrix_of
from ebagx.text.lines import Lines
from ebagx.text.ngrams import Ngrams
from ebagx.text.ranking import best_labels, is_one_block, likeliest, line_blocks, ranked_blocks
from ebagx.text.tokenizers import Tokenizer

if TYPE_CHECKING:
    from scipy import sparse

    from ebagx.sklearn import EmbeddingBagClassifier

LOSSES = ("softmax", "ova")
LABEL_TYPES = ("str", "int")  # that a saved model may have
_MOST_LOOKUPS_IN_MEMORY = 1 << 22  # 32 MB of columns and counts

Watch = Callable[[int, Sequence[float]], object]
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
    label_type: str = "str"

    @property
    def dim(self) -> int:
        """The dimension of the vectors."""
        return int(self.embedding.shape[1])

    @property
    def classes(self) -> npt.NDArray[Any]:
        """The labels as an array, of integers if they were integers in the training."""
        return np.array(self.labels, np.int64 if self.label_type == "int" else None)

    def check_labels(self) -> None:
        """Raise ValueError unless the labels can be saved: strings for a line, or integers."""
        if self.label_type not in LABEL_TYPES:
            raise ValueError(
                "a saved model has labels of str or int: convert y with astype(str), or pickle the "
                "classifier"
            )
        for label in self.labels:
            if not is_label(label):
                raise ValueError(
                    f"the label {label!r:.50} cannot be saved: it is empty, begins or ends with "
                    "white space, or has control characters"
                )

    def vectors(self, texts: Sequence[str]) -> _Floats:
        """Return the mean embedding of each text, zeros where nothing in it is known."""
        no_labels = np.empty((self.embedding.shape[1], 0), np.float32)
        found = answer_few(texts, self.features, self._table, no_labels, self.intercept[:0])
        return self._vectors(texts) if found is None else found[0]

    def scores(self, texts: Sequence[str]) -> _Floats:
        """Return the score of each label for each text: before softmax or the sigmoid."""
        scores = self._scores_of_few(texts)
        return self._scores(self.vectors(texts)) if scores is None else scores

    def score_blocks(self, texts: Sequence[str]) -> Iterator[_Floats]:
        """Yield the same for one block of texts after the other: few rows of many labels."""
        scores = self._scores_of_few(texts)
        if scores is not None:
            yield scores
            return
        for pooled in line_blocks(self.vectors(texts), len(self.labels)):
            yield self._scores(pooled)

    def probabilities(self, texts: Sequence[str]) -> _Floats:
        """Return the probability of each label for each text."""
        return self._probabilities(self.scores(texts))

    def best(self, texts: Sequence[str], k: int) -> tuple[npt.NDArray[np.intp], _Floats]:
        """Return the positions of each text's `k` likeliest labels, best first, and how likely.

        Of equally likely labels the first comes first; -1 for `k` is all labels.
        """
        scores = self._scores_of_few(texts)
        if scores is not None:
            return likeliest(self._probabilities(scores), k)
        return best_labels(self.vectors(texts), self._probabilities_of, len(self.labels), k)

    def best_blocks(
        self, texts: Sequence[str], k: int
    ) -> Iterator[tuple[npt.NDArray[np.intp], _Floats]]:
        """Yield the same for one block of texts after the other, also where `k` is large."""
        return ranked_blocks(self.vectors(texts), self._probabilities_of, len(self.labels), k)

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Return the likeliest label of each text."""
        return [self.labels[i] for (i,) in self.best(texts, 1)[0]]

    def precision_at_1(self, lines: Lines) -> float:
        """Return the fraction of labelled lines whose likeliest label is one of theirs."""
        guesses = []
        for bags in LineBags(self.features, lines, self.num_threads).blocks():
            pooled = self._pooled(matrix_of(bags, self.features.n_columns))
            order, _ = best_labels(pooled, self._probabilities_of, len(self.labels), 1)
            guesses.append(order[:, 0])
        numbers, offsets = lines.labels()
        counts = np.diff(offsets)
        hits = lines.label_places(self.labels)[numbers] == np.repeat(np.hstack(guesses), counts)
        return int(hits.sum()) / len(counts)  # no label occurs twice in a line

    def _vectors(self, texts: Sequence[str]) -> _Floats:
        return self._pooled(self.features.count(texts, self.num_threads))

    def _pooled(self, counts: "sparse.csr_array") -> _Floats:
        pooled: _Floats = embedding_bag(
            counts, self.embedding, mode="mean", num_threads=self.num_threads
        )
        return pooled

    def _scores_of_few(self, texts: Sequence[str]) -> _Floats | None:
        if not is_one_block(len(texts), len(self.labels)):
            return None
        head = self._coef_of_dims, self.intercept
        found = answer_few(texts, self.features, self._table, *head)
        return None if found is None else found[1]

    def _scores(self, pooled: _Floats) -> _Floats:
        coef = self._coef_of_dims
        scores = np.empty((len(pooled), coef.shape[1]), np.float32)
        threads = thread_count(self.num_threads, scores.size * len(coef))
        tokens.score_rows(scores, pooled, coef, self.intercept, threads)
        return scores

    def _probabilities(self, scores: _Floats) -> _Floats:
        if self.loss == "softmax":
            # SciPy's softmax has the same bits, and takes 40 microseconds for a line.
            exponentials: _Floats = np.exp(
                scores - scores.max(axis=1, keepdims=True, initial=-np.inf)
            )
            exponentials /= exponentials.sum(axis=1, keepdims=True)
            return exponentials
        # The import takes tens of milliseconds, which commands that predict nothing save.
        from scipy.special import expit

        probabilities: _Floats = expit(scores)
        return probabilities

    def _probabilities_of(self, pooled: _Floats) -> _Floats:
        return self._probabilities(self._scores(pooled))

    @cached_property
    def _table(self) -> Table:
        return Table.of(self.embedding, "embedding")

    @cached_property
    def _coef_of_dims(self) -> _Floats:
        return np.ascontiguousarray(self.coef.T, np.float32)

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields, without what is computed from them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def label_type_of(classes: npt.NDArray[Any]) -> str:
    """Return the name in `LABEL_TYPES` of the type of labels, or "other"."""
    if classes.dtype.kind in "iu":
        return "int"
    return "str" if all(isinstance(label, str) for label in classes) else "other"


class Settings(NamedTuple):
    """Options of the training of a model."""

    dim: int = 32
    lr: float = 0.1
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
    tokenizer: str = "words"

    @property
    def cutter(self) -> Tokenizer:
        """The rule that cuts lines into words; fastText's keeps the case."""
        return Tokenizer(self.tokenizer, lowercase=self.tokenizer == "words")

    @property
    def ngrams(self) -> Ngrams:
        """The n-grams that are features."""
        min_chars = max(self.minn, 1) if self.maxn else 0
        return Ngrams(self.word_ngrams, min_chars, self.maxn, self.buckets)

    def make_classifier(self) -> "EmbeddingBagClassifier":
        """Return an estimator that is trained so."""
        from ebagx.sklearn import EmbeddingBagClassifier

        return EmbeddingBagClassifier(
            self.dim,
            learning_rate=self.lr,
            batch_size=self.batch_size,
            max_iter=self.epochs,
            random_state=self.seed,
            num_threads=self.threads,
        )


class Fitted(NamedTuple):
    """A trained model, and how many epochs its training took: fewer than asked for after Ctrl-C."""

    model: TextModel
    epochs: int


def train_model(lines: Lines, settings: Settings, watch: Watch | None = None) -> Fitted:
    """Learn features, embeddings and linear layer from labelled lines.

    `watch` is called during the training with a number of lines that have been learned, and the
    losses of the epochs so far.

    Raises
    ------
    ValueError
        If the lines have no features, if there are fewer than two labels, if a line has several
        but the loss is softmax, or if the loss diverges.
    """
    features = Features.learn(lines, settings.ngrams, settings.min_count)
    return fit_model(features, lines, settings, watch)


def fit_model(
    features: Features, lines: Lines, settings: Settings, watch: Watch | None = None
) -> Fitted:
    """Learn embeddings and linear layer from lines whose features are known; see `train_model`."""
    from ebagx.sklearn.base import DivergenceError
    from ebagx.sklearn.training.loop import watched

    labels = lines.label_names()
    classifier = settings.make_classifier()
    with warnings.catch_warnings(), watched(watch, keeps_copy=False):
        # `Fitted.epochs` tells as much.
        warnings.filterwarnings("ignore", "training was interrupted", UserWarning)
        bags = bags_to_learn(LineBags(features, lines, settings.threads))
        try:
            classifier.fit(bags, _targets(lines, labels, settings.loss))
        except DivergenceError as error:
            # The classifier's message is about its own weights, which nobody gets.
            raise ValueError(
                f"the loss diverged in pass {error.number} of {settings.epochs}, as the learning "
                f"rate {settings.lr:g} is too large; no model is saved, and none is replaced"
            ) from error
    weights = classifier.embedding_, classifier.coef_, classifier.intercept_
    model = TextModel(features, labels, settings.loss, *weights, settings.threads)
    return Fitted(model, classifier.n_iter_)


def bags_to_learn(bags: LineBags) -> Any:
    """Return bags, or the matrix of the same rows where it takes little memory.

    To make a lookup again in each epoch takes 20 ns, as long as to train on one of a small table.
    """
    is_small = int(bags.most_lookups().sum()) <= _MOST_LOOKUPS_IN_MEMORY
    return bags.matrix() if is_small else bags


def _targets(lines: Lines, labels: Sequence[str], loss: str) -> Any:
    """Return what the classifier learns: positions of labels or, for "ova", a row of ones each."""
    from scipy import sparse

    numbers, offsets = lines.labels()
    columns = lines.label_places(labels)[numbers]
    if loss == "softmax":
        if len(columns) > lines.num_lines:
            raise ValueError("softmax takes one label a line, for several there is the loss ova")
        return columns.astype(np.int32)  # half the memory
    ones = np.ones(len(columns), np.int8)
    return sparse.csr_array((ones, columns, offsets), (lines.num_lines, len(labels)))
