"""`TextClassifier` learns labels of texts, and `load_model` returns one that was saved."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from ebagx._core.checks import shown
from ebagx.io import model_folder
from ebagx.io.fasttext.model import read_model
from ebagx.sklearn.base import DivergenceError
from ebagx.sklearn.classifier import EmbeddingBagClassifier
from ebagx.sklearn.parameters import NUM_THREADS, Constraints, Flag, NoneOr, OneOf, check_parameters
from ebagx.sklearn.training.loop import watched
from ebagx.sklearn.vectorizer import TextVectorizer
from ebagx.sklearn.weights import class_weights
from ebagx.text.fasttext.model import FastTextModel
from ebagx.text.features import Features, LineBags
from ebagx.text.inputs import checked_texts
from ebagx.text.lines import Lines
from ebagx.text.model import LOSSES, Settings, TextModel, bags_to_learn, label_type_of
from ebagx.text.predictions import Predictions
from ebagx.text.targets import INDICATOR, LISTS, ONE, Targets, encode, form_of, known_classes
from ebagx.text.tokenizers import Tokenizer

__all__ = ["FastTextModel", "TextClassifier", "load_model"]

_OF_BAGS = EmbeddingBagClassifier._constraints
_OF_WORDS = TextVectorizer._constraints
# Parameters that belong to a fitted model.
_FIXED = ("dim", "word_ngrams", "char_ngrams", "n_buckets", "tokenizer", "lowercase", "loss")
_OF_TRAINING = (
    *("loss_curve_", "n_iter_", "validation_scores_", "best_validation_score_", "best_iter_"),
)


class TextClassifier(Predictions, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Learn labels of texts: fastText's classifier, from strings to labels.

    Words, runs of words and n-grams of characters have embeddings. A linear layer makes scores of
    the labels from their mean. All are learned together, on shuffled mini-batches. The defaults
    are those of ``ebagx train``, which makes the same model of the same lines.

    Parameters
    ----------
    dim : int, default=32
        Length of the embeddings.
    word_ngrams : int, default=2
        Longest run of words that is a feature, up to 8; 1 is single words.
    char_ngrams : tuple of two int, optional
        Lengths of the shortest and the longest n-gram of characters, up to 32. None: none.
    tokenizer : {"words", "whitespace", "fasttext"}, default="words"
        The rule that cuts texts into words; see `ebagx.sklearn.TextVectorizer`.
    lowercase : bool or None, default=None
        Convert texts to lower case first. None: for the tokenizer "words" only.
    min_count : int, default=1
        Smallest number of times that a word with an embedding occurs in all texts together.
    n_buckets : int, default=2_000_000
        Number of different hashes of n-grams. Only those that occur in `fit` take memory.
    loss : {"softmax", "ova"}, default="softmax"
        "softmax" takes one label a text, and its probabilities add up to 1. "ova", one versus all,
        takes several: `y` is then a list of labels for each text, or an indicator matrix.
    learning_rate : float, default=0.1
        Step size of Adagrad.
    epochs : int, default=10
        Number of passes over the texts.
    batch_size : int, default=128
        Number of texts per step.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, not for the loss "ova".
    early_stopping : bool, default=False
        Hold out a part of the texts, and stop when the score of these no longer rises: see
        `ebagx.sklearn.EmbeddingBagClassifier`, as for the next three.
    validation_fraction : float, default=0.1
        Fraction of the texts that is held out.
    n_iter_no_change : int, default=3
        Number of passes without a rise by `tol` after which training stops early.
    tol : float, default=1e-4
        Smallest rise that counts.
    random_state : int, RandomState instance or None, default=None
        Seed; ``ebagx train`` takes 0. With an int, the fitted numbers are the same in every run, on
        every machine, whatever `num_threads` is.
    verbose : bool, default=False
        Show a progress bar (needs tqdm).
    num_threads : int or None, default=None
        Number of threads; with None, ebagx chooses it.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels in order; of an indicator the numbers of its columns.
    multilabel_ : bool
        True if a text may have several labels: with the loss "ova".
    n_features_ : int
        Number of features that have an embedding.
    embedding_ : ndarray of shape (n_features_, dim), float32
        The embeddings; a loaded model has them in a read-only memory map.
    coef_ : ndarray of shape (n_classes, dim), float32
        Weights of the linear layer.
    intercept_ : ndarray of shape (n_classes,), float32
        Biases of the linear layer.
    loss_curve_ : list of float
        Mean loss of each pass; a loaded model has none before `partial_fit`.
    n_iter_ : int
        Number of passes made; likewise.

    See Also
    --------
    load_model : Load a classifier that `save` or ``ebagx train`` has written.
    ebagx.sklearn.EmbeddingBagClassifier : The same for counts and ids, with more options.

    Notes
    -----
    Methods take texts as a list, an array, a Series or an Arrow column of `str`. They may be called
    by many threads at the same time, except `fit` and `partial_fit`. The answer for a text has the
    same bits whichever texts are beside it. A word that is not known is left out; a text without
    any known feature has the vector 0.

    Examples
    --------
    >>> from ebagx.datasets import load_wordnet10
    >>> from ebagx.text import TextClassifier
    >>> texts, labels = load_wordnet10()
    >>> model = TextClassifier(random_state=0).fit(texts[:8000], labels[:8000])
    >>> model.score(texts[8000:], labels[8000:]) > 0.8
    True
    >>> model.predict(["a small striped cat", "a pudding of apples and bread"])
    array(['animal', 'food'], dtype='<U13')
    """

    _constraints: ClassVar[Constraints] = {
        "dim": _OF_BAGS["embedding_dim"],
        **{name: _OF_WORDS[name] for name in ("word_ngrams", "char_ngrams", "tokenizer")},
        "lowercase": NoneOr(Flag()),
        **{name: _OF_WORDS[name] for name in ("min_count", "n_buckets")},
        "loss": OneOf(LOSSES),
        "epochs": _OF_BAGS["max_iter"],
        **{
            name: _OF_BAGS[name]
            for name in (
                *("learning_rate", "batch_size", "class_weight", "early_stopping", "tol"),
                *("validation_fraction", "n_iter_no_change", "random_state", "verbose"),
                "num_threads",
            )
        },
    }

    loss_curve_: list[float]
    n_iter_: int
    _made_with: dict[str, Any]
    _estimator: EmbeddingBagClassifier | None = None

    def __init__(
        self,
        dim: int = 32,
        *,
        word_ngrams: int = 2,
        char_ngrams: tuple[int, int] | None = None,
        tokenizer: str = "words",
        lowercase: bool | None = None,
        min_count: int = 1,
        n_buckets: int = 2_000_000,
        loss: str = "softmax",
        learning_rate: float = 0.1,
        epochs: int = 10,
        batch_size: int = 128,
        class_weight: Any = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 3,
        tol: float = 1e-4,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
        num_threads: int | None = None,
    ) -> None:
        self.dim = dim
        self.word_ngrams = word_ngrams
        self.char_ngrams = char_ngrams
        self.tokenizer = tokenizer
        self.lowercase = lowercase
        self.min_count = min_count
        self.n_buckets = n_buckets
        self.loss = loss
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose
        self.num_threads = num_threads

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn features, embeddings and linear layer.

        Parameters
        ----------
        X : iterable of str
            Texts.
        y : array-like of shape (n_texts,), list of lists, or matrix of shape (n_texts, n_labels)
            A label for each text, or with the loss "ova" a list of labels for each, or an
            indicator matrix.
        sample_weight : array-like of shape (n_texts,), optional
            Weight of each text in the loss, at least 0.

        Returns
        -------
        self : TextClassifier

        Raises
        ------
        TypeError, ValueError
            If texts, labels or a parameter are wrong, if there are fewer than two classes or no
            features, or if the loss diverges. The classifier stays as it was.
        """
        check_parameters(self)
        lines, targets = self._read(X, y, None)
        features = Features.learn(lines, self._settings.ngrams, self.min_count)
        bags = bags_to_learn(LineBags(features, lines, self.num_threads))
        estimator = self._make_estimator(targets)
        with self._clear_divergence(), watched(None, keeps_copy=False):
            estimator.fit(bags, targets.encoded, sample_weight)
        return self._adopt(features, targets, estimator)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Make one pass over some texts, going on with the model if there is one.

        The first call decides on the features: words and n-grams that only later texts have are
        left out. After `fit` and `load_model` the first call starts with a new state of the
        optimizer; later ones go on with it. A loaded model is copied into memory.

        Parameters
        ----------
        X : iterable of str
            Texts.
        y : array-like or list of lists
            Labels as in `fit`.
        classes : array-like of shape (n_classes,), optional
            All labels that `y` may ever hold; needed in the first call, unless `y` is an
            indicator.
        sample_weight : array-like of shape (n_texts,), optional
            Weight of each text in the loss, at least 0.

        Returns
        -------
        self : TextClassifier

        Raises
        ------
        TypeError, ValueError
            As in `fit`. Also if `classes` is missing in the first call or differs in later ones,
            if ``class_weight="balanced"``, which needs all of `y`, or if a parameter of the model
            has changed.
        """
        check_parameters(self)
        self._check_classes(y, classes)
        model = self._model
        if model is None:
            lines, targets = self._read(X, y, None if classes is None else known_classes(classes))
            features = Features.learn(lines, self._settings.ngrams, self.min_count)
            estimator = self._make_estimator(targets)
        else:
            self._check_unchanged()
            lines, targets = self._read(X, y, self.classes_)
            features = model.features
            estimator = self._estimator_to_go_on(model, targets)
        bags = bags_to_learn(LineBags(features, lines, self.num_threads))
        places = None if self.loss == "ova" else np.arange(len(targets.classes))
        with self._clear_divergence():
            estimator.partial_fit(bags, targets.encoded, places, sample_weight)
        return self._adopt(features, targets, estimator)

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether there is a model."""
        return self._model is not None

    def __sklearn_tags__(self) -> Any:
        """Return the tags: the input is text, and labels may be several."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        tags.classifier_tags.multi_label = self.loss == "ova"
        return tags

    @classmethod
    def _of(cls, model: TextModel) -> Self:
        """Return a classifier with the model of a file."""
        ngrams, tokenizer = model.features.ngrams, model.features.tokenizer
        is_usual = tokenizer.lowercase == Settings(tokenizer=tokenizer.name).cutter.lowercase
        classifier = cls(
            model.embedding.shape[1],
            word_ngrams=ngrams.word_ngrams,
            char_ngrams=(max(ngrams.min_chars, 1), ngrams.max_chars) if ngrams.max_chars else None,
            tokenizer=tokenizer.name,
            lowercase=None if is_usual else tokenizer.lowercase,
            n_buckets=ngrams.n_buckets,
            loss=model.loss,
            num_threads=model.num_threads,
        )
        classifier._model, classifier.classes_ = model, model.classes
        classifier.multilabel_ = model.loss == "ova"
        classifier._form = LISTS if classifier.multilabel_ else ONE
        classifier._made_with = classifier._fixed_parameters()
        return classifier

    @property
    def _settings(self) -> Settings:
        min_chars, max_chars = self.char_ngrams or (0, 0)
        return Settings(
            dim=self.dim,
            lr=self.learning_rate,
            epochs=self.epochs,
            batch_size=self.batch_size,
            word_ngrams=self.word_ngrams,
            min_count=self.min_count,
            minn=min_chars,
            maxn=max_chars,
            buckets=self.n_buckets,
            loss=self.loss,
            seed=self.random_state,  # type: ignore[arg-type]
            threads=self.num_threads,
            tokenizer=self.tokenizer,
        )

    @property
    def _cutter(self) -> Tokenizer:
        cutter = self._settings.cutter
        return cutter if self.lowercase is None else replace(cutter, lowercase=bool(self.lowercase))

    def _read(self, X: Any, y: Any, known: npt.NDArray[Any] | None) -> tuple[Lines, Targets]:
        """Return checked texts as lines, and their labels."""
        texts = checked_texts(X, "X")
        if not len(texts):
            raise ValueError("X must hold at least 1 text, got 0 texts")
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        targets = encode(y, known, self.loss)
        if targets.num_texts != len(texts):
            raise ValueError(
                f"X and y must have one length, got {len(texts)} texts and {targets.num_texts} "
                "labels"
            )
        return Lines.of(texts, tokenizer=self._cutter), targets

    @contextmanager
    def _clear_divergence(self) -> Iterator[None]:
        """Replace the message of an estimator that the caller does not know."""
        try:
            yield
        except DivergenceError as error:
            raise ValueError(
                f"the loss diverged in pass {error.number}, as learning_rate = "
                f"{self.learning_rate:g} is too large; the classifier stays as it was"
            ) from error

    def _check_classes(self, y: Any, classes: Any) -> None:
        """Raise ValueError unless `classes` and `class_weight` suit this call of partial_fit."""
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight must be None or a dict for partial_fit, got "
                f"{shown(self.class_weight)}; compute_class_weight of scikit-learn finds balanced "
                "weights of all labels"
            )
        if self._model is not None:
            same = classes is None or np.array_equal(known_classes(classes), self.classes_)
            if not same:
                raise ValueError(
                    f"classes must be those of the first call, got {shown(classes)}; fit and "
                    "clone start anew"
                )
        elif classes is None and form_of(y) != INDICATOR:
            raise ValueError(
                "classes must be given in the first call of partial_fit: all labels that there "
                "may ever be"
            )

    def _fixed_parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _FIXED}

    def _check_unchanged(self) -> None:
        for name, before in self._made_with.items():
            now = getattr(self, name)
            if now != before:
                raise ValueError(
                    f"{name} = {shown(now)} differs from {shown(before)}, with which the model was "
                    "fitted: set it back, or call fit"
                )

    def _make_estimator(self, targets: Targets) -> EmbeddingBagClassifier:
        """Return the estimator that learns positions of classes from bags of features."""
        weights = self.class_weight
        if weights is not None and targets.form == ONE:
            y = targets.classes[targets.encoded]
            weights = dict(enumerate(class_weights(weights, targets.classes, y).tolist()))
        estimator = self._settings.make_classifier()
        estimator.set_params(
            class_weight=weights,
            early_stopping=self.early_stopping,
            validation_fraction=self.validation_fraction,
            n_iter_no_change=self.n_iter_no_change,
            tol=self.tol,
            verbose=self.verbose,
        )
        return estimator

    def _estimator_to_go_on(self, model: TextModel, targets: Targets) -> EmbeddingBagClassifier:
        """Return the estimator of the model, with the parameters of now."""
        now = self._make_estimator(targets)
        if self._estimator is not None:
            self._estimator.set_params(**now.get_params(deep=False))
            return self._estimator
        now.n_features_in_ = model.features.n_columns
        now.classes_, now.multilabel_ = np.arange(len(self.classes_)), self.multilabel_
        # Those of a loaded model are read-only.
        now.embedding_, now.coef_ = np.array(model.embedding), np.array(model.coef)
        now.intercept_ = np.array(model.intercept)
        return now

    def _adopt(
        self, features: Features, targets: Targets, estimator: EmbeddingBagClassifier
    ) -> Self:
        """Take over what an estimator has learned."""
        classes = targets.classes
        self._model = TextModel(
            features,
            [str(label) for label in classes.tolist()],
            self.loss,
            estimator.embedding_,
            estimator.coef_,
            estimator.intercept_,
            self.num_threads,
            label_type_of(classes),
        )
        self._estimator, self._form, self.classes_ = estimator, targets.form, classes
        self._made_with = self._fixed_parameters()
        self.multilabel_ = self.loss == "ova"
        for name in _OF_TRAINING:
            setattr(self, name, getattr(estimator, name))
        return self


def load_model(path: str | Path, num_threads: int | None = None) -> TextClassifier | FastTextModel:
    """Return a classifier that ``ebagx train``, `TextClassifier.save` or fastText has written.

    Parameters
    ----------
    path : str or Path
        The folder of the model, or a ``.bin`` or ``.ftz`` file of fastText.
    num_threads : int, optional
        Largest number of threads.

    Returns
    -------
    TextClassifier or FastTextModel
        It predicts at once; the table of a folder is mapped, not copied. `partial_fit` of a
        TextClassifier goes on with a copy of the table and a new state of the optimizer. A file
        of fastText becomes a FastTextModel, which cannot be trained.

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError
        If there is no model, if a file is damaged or of another version, or if a model of fastText
        has no labels.

    Notes
    -----
    A model that is loaded does not change when another process saves one in its place; load it
    again to have the new one. All files are checked by their checksums: a gigabyte takes about a
    second.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from ebagx.text import TextClassifier, load_model
    >>> model = TextClassifier(random_state=0).fit(["a cat", "a dog"], ["cat", "dog"])
    >>> with TemporaryDirectory() as folder:
    ...     model.save(Path(folder) / "pets")
    ...     load_model(Path(folder) / "pets").predict(["the cat"]).tolist()
    ['cat']
    """
    NUM_THREADS.check(num_threads, "num_threads")
    path = Path(path)
    if path.is_file():
        return read_model(path, num_threads)
    return TextClassifier._of(model_folder.load_model(path, num_threads))
