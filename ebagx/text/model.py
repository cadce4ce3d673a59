"""Text classifiers: from lines to labels, and the settings of their training."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ebagx._core.table import Table
from ebagx._core.threads import thread_count
from ebagx.functional import embedding_bag
from ebagx.quantized import QuantizedTable
from ebagx.text import tokens
from ebagx.text.accumulators import Accumulators
from ebagx.text.answers import Answerer
from ebagx.text.corpus import PREFIX, is_label
from ebagx.text.features import Features, LineBags, matrix_of
from ebagx.text.inspection import WordIndex
from ebagx.text.lines import Lines
from ebagx.text.ngrams import Ngrams
from ebagx.text.ranking import best_labels, is_one_block, likeliest, line_blocks, ranked_blocks
from ebagx.text.tokenizers import Tokenizer

if TYPE_CHECKING:
    from scipy import sparse

    from ebagx.text.learner import Learner, Options

LOSSES = ("softmax", "ova")
LABEL_TYPES = ("str", "int")  # that a saved model may have
_FEW_EPOCHS = 3
_FORMER_LR = 0.1  # of models that have not kept it

_Floats = npt.NDArray[np.float32]


class Recipe(NamedTuple):
    """Options of the training that made a model, for one that goes on with it."""

    lr: float
    epochs: int
    batch_size: int
    min_count: int
    seed: int | None
    class_weight: str | None = None
    early_stopping: bool = False
    patience: int = 3
    negatives: int | None = None
    table_eps: float | None = None


@dataclass(frozen=True)
class TextModel:
    """Features, their embeddings, and a linear layer from the mean embedding to labels.

    With the loss "softmax" the probabilities of a line's labels add up to 1; with "ova", one
    versus all, each is that of a question of its own. The embeddings of a quantised model are
    codes of few bits, which are read as they are.
    """

    features: Features
    labels: list[str]
    loss: str
    embedding: _Floats | QuantizedTable
    coef: _Floats
    intercept: _Floats
    num_threads: int | None = None
    label_type: str = "str"
    label_prefix: str = PREFIX  # of labels among the words of the lines that it has learned from
    accumulators: Accumulators | None = None
    recipe: Recipe | None = None

    @property
    def dim(self) -> int:
        """The dimension of the vectors."""
        return int(self.embedding.shape[1])

    @property
    def bits(self) -> int | None:
        """The bits of a code of a quantised model, else None."""
        return self.embedding.bits if isinstance(self.embedding, QuantizedTable) else None

    def trainable_weights(self) -> tuple[_Floats, _Floats, _Floats]:
        """Return embeddings, weights and biases; raise ValueError if the model is quantised."""
        if isinstance(self.embedding, QuantizedTable):
            raise ValueError(
                f"the model is quantised to {self.embedding.bits} bits, and is only read: take the "
                "model that it was made of, and quantize the result"
            )
        return self.embedding, self.coef, self.intercept

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
        found = None if self._answerer is None else self._answerer.vectors(texts)
        return self._vectors(texts) if found is None else found

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

    def places(self, texts: Sequence[str]) -> npt.NDArray[np.intp]:
        """Return the position of the largest score of each text, the first of equals."""
        found = None if self._answerer is None else self._answerer.places(texts)
        if found is not None:
            return found
        blocks = [scores.argmax(axis=1) for scores in self.score_blocks(texts)]
        return np.concatenate([np.empty(0, np.intp), *blocks])

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

    def probability_blocks(self, texts: Sequence[str]) -> Iterator[_Floats]:
        """Yield the probability of each label for one block of texts after the other."""
        for pooled in line_blocks(self.vectors(texts), len(self.labels)):
            yield self._probabilities_of(pooled)

    def probability_blocks_of(self, lines: Lines) -> Iterator[_Floats]:
        """Yield the same for lines."""
        for bags in LineBags(self.features, lines, self.num_threads).blocks():
            pooled = self._pooled(matrix_of(bags, self.features.n_columns))
            for part in line_blocks(pooled, len(self.labels)):
                yield self._probabilities_of(part)

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Return the likeliest label of each text."""
        return [self.labels[i] for (i,) in self.best(texts, 1)[0]]

    def precision_at_1(self, lines: Lines) -> float:
        """Return the fraction of labelled lines whose likeliest label is one of theirs."""
        guesses = [block.argmax(axis=1) for block in self.probability_blocks_of(lines)]
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
        is_block = is_one_block(len(texts), len(self.labels))
        return self._answerer.scores(texts) if is_block and self._answerer is not None else None

    def _scores(self, pooled: _Floats) -> _Floats:
        coef = self._coef_of_dims
        scores = np.empty((len(pooled), coef.shape[1]), np.float32)
        threads = thread_count(self.num_threads, scores.size * len(coef))
        tokens.score_rows(scores, pooled, coef, self.intercept, threads)
        return scores

    def _probabilities(self, scores: _Floats) -> _Floats:
        if self.loss == "softmax":
            # SciPy's softmax has the same bits, and takes 40 microseconds for a line.
            largest = np.maximum.reduce(scores, axis=1, keepdims=True, initial=-np.inf)
            exponentials: _Floats = scores - largest
            np.exp(exponentials, out=exponentials)
            exponentials /= np.add.reduce(exponentials, axis=1, keepdims=True)
            return exponentials
        # The import takes tens of milliseconds, which commands that predict nothing save.
        from scipy.special import expit

        probabilities: _Floats = expit(scores)
        return probabilities

    def _probabilities_of(self, pooled: _Floats) -> _Floats:
        return self._probabilities(self._scores(pooled))

    @cached_property
    def word_index(self) -> WordIndex:
        """The vectors of all words, which are kept."""
        return WordIndex.of(self)

    @cached_property
    def _table(self) -> Table:
        return Table.of(self.embedding, "embedding")

    @cached_property
    def _answerer(self) -> Answerer | None:
        return Answerer.of(self.features, self._table, self._coef_of_dims, self.intercept)

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
    lr: float = 0.2
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
    class_weight: str | None = None
    early_stopping: bool = False
    patience: int = 3  # epochs
    negatives: int | None = None
    table_eps: float | None = None  # of the table's optimizer; None: `Learner.expect` chooses it

    @property
    def cutter(self) -> Tokenizer:
        """The rule that cuts lines into words; fastText's keeps the case."""
        return Tokenizer(self.tokenizer, lowercase=self.tokenizer == "words")

    @property
    def ngrams(self) -> Ngrams:
        """The n-grams that are features."""
        min_chars = max(self.minn, 1) if self.maxn else 0
        return Ngrams(self.word_ngrams, min_chars, self.maxn, self.buckets)

    @property
    def schedule(self) -> str | None:
        """The schedule of the learning rate, which falls to 0 where that is more accurate.

        With one label a line, the mean accuracy of 14 corpora is 0.816 with it and 0.814 without.
        Up to three passes end too early for it (three: 0.808 and 0.812), and so do ten with several
        labels, some of them rare (F1 0.717 and 0.737).
        """
        return "linear" if self.loss == "softmax" and self.epochs > _FEW_EPOCHS else None

    def lr_at(self, part: float) -> float:
        """Return the learning rate after a part, from 0 to 1, of the training."""
        return self.lr * (1 - min(part, 1)) if self.schedule == "linear" else self.lr

    @property
    def recipe(self) -> Recipe:
        """The options that a model keeps for later trainings."""
        return Recipe(*(getattr(self, name) for name in Recipe._fields))

    @classmethod
    def of(cls, model: TextModel) -> Self:
        """Return the settings of a model; those that it has not kept are the former defaults."""
        ngrams, recipe = model.features.ngrams, model.recipe or cls(lr=_FORMER_LR).recipe
        return cls(
            **{**recipe._asdict(), "seed": cls().seed if recipe.seed is None else recipe.seed},
            dim=model.dim,
            word_ngrams=ngrams.word_ngrams,
            minn=ngrams.min_chars,
            maxn=ngrams.max_chars,
            buckets=ngrams.n_buckets,
            loss=model.loss,
            threads=model.num_threads,
            tokenizer=model.features.tokenizer.name,
        )

    @property
    def learner_options(self) -> "Options":
        """The options of what is trained so."""
        from ebagx.text.learner import Options  # which imports what only trainings need

        return Options(
            embedding_dim=self.dim,
            multilabel_=self.loss == "ova",
            learning_rate=self.lr,
            schedule=self.schedule,
            batch_size=self.batch_size,
            max_iter=self.epochs,
            negatives=self.negatives,
            class_weight=self.class_weight,
            early_stopping=self.early_stopping,
            n_iter_no_change=self.patience,
            random_state=self.seed,
            num_threads=self.threads,
        )

    def make_learner(self) -> "Learner":
        """Return what is trained so."""
        from ebagx.text.learner import Learner

        return Learner(self.learner_options)
