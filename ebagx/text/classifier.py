"""`TextClassifier` learns labels of texts, and `load_model` returns one that was saved."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from ebagx._core.arguments import shown
from ebagx.io import model_folder
from ebagx.io.fasttext.model import read_model
from ebagx.sklearn.classifier import EmbeddingBagClassifier
from ebagx.sklearn.parameters import (
    COUNT,
    NUM_THREADS,
    Constraints,
    Flag,
    NoneOr,
    OneOf,
    check_parameters,
)
from ebagx.sklearn.vectorizer import TextVectorizer
from ebagx.text.fasttext.model import FastTextModel
from ebagx.text.learning import Learning
from ebagx.text.model import LOSSES, Settings, TextModel
from ebagx.text.pretrained import Pretrained
from ebagx.text.targets import LISTS, ONE
from ebagx.text.tokenizers import NAMES

__all__ = ["FastTextModel", "TextClassifier", "load_model"]

_OF_BAGS = EmbeddingBagClassifier._constraints
_OF_WORDS = TextVectorizer._constraints


class TextClassifier(Learning, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
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
    tokenizer : {"words", "whitespace", "fasttext"} or callable, default="words"
        The rule that cuts texts into words; see `ebagx.sklearn.TextVectorizer`. Or a function that
        returns a list of words for a text, at the speed of Python.
    lowercase : bool or None, default=None
        Convert texts to lower case first. None: for the tokenizer "words" only.
    min_count : int, default=1
        Smallest number of times that a word with an embedding occurs in all texts together.
    n_buckets : int, default=2_000_000
        Number of different hashes of n-grams. Only those that occur take memory.
    loss : {"softmax", "ova"}, default="softmax"
        "softmax" takes one label a text, and its probabilities add up to 1. "ova", one versus all,
        takes several: `y` is then a list of labels for each text, or an indicator matrix.
    learning_rate : float, default=0.2
        Step size of Adagrad. With the loss "softmax" and more than 3 epochs it is that of the first
        step of `fit`, and falls evenly to 0, as in fastText. `partial_fit` keeps it.
    epochs : int, default=10
        Number of passes over the texts.
    batch_size : int, default=128
        Number of texts per step.
    negatives : int or None, default=None
        With many labels, let each step use those of its texts and so many others, drawn at random,
        in place of all: see the notes of `ebagx.sklearn.EmbeddingBagClassifier`. 256 make a pass
        over 2,500 labels six times as fast; probabilities mean the same.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes; "balanced" gives each class the same weight in all. With the loss
        "ova" the weight of a text is the mean of those of its labels, or 1 if it has none.
    pretrained : str, Path or object, optional
        Vectors of words: `ebagx.text.load_vectors` returns them, or reads the file of a path. Any
        object does that has `words` and a `table` with `dim` columns. Words of the texts that
        are among them, spelt as the tokenizer makes them, begin with their vectors. A path is read
        in each call that finds new words, and is cheap to clone.
    freeze_pretrained : bool, default=False
        Leave these embeddings as they are.
    early_stopping : bool, default=False
        Hold out a part of the texts, and stop when the score of these no longer rises: see
        `ebagx.sklearn.EmbeddingBagClassifier`, as for the next three.
    validation_fraction : float, default=0.1
        Fraction of the texts that is held out.
    n_iter_no_change : int, default=3
        Number of passes without a rise by `tol` after which training stops early.
    tol : float, default=1e-4
        Smallest rise that counts.
    warm_start : bool, default=False
        Let `fit` go on with the fitted model, as `partial_fit` does, for all `epochs`.
    random_state : int, RandomState instance or None, default=None
        Seed; ``ebagx train`` takes 0. With an int, the fitted numbers are the same in every run, on
        every machine, whatever `num_threads` is.
    verbose : bool or int, default=False
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
        Mean loss of each pass; a loaded model has none before its training goes on.
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

    The `eps` of the embeddings' Adagrad is the order of the gradient of one feature: 1 / (texts of
    a batch x features of a text, on average). Features that few texts have, such as most runs of
    words, move less. `EmbeddingBagClassifier` has the usual `eps` and a rate that stays.

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
        **{name: _OF_WORDS[name] for name in ("word_ngrams", "char_ngrams")},
        "tokenizer": OneOf(NAMES, callable, " or a callable"),
        "lowercase": NoneOr(Flag()),
        "n_buckets": _OF_WORDS["n_buckets"],
        "loss": OneOf(LOSSES),
        "pretrained": NoneOr(Pretrained()),
        "freeze_pretrained": Flag(),
        **dict.fromkeys(("epochs", "batch_size", "min_count", "n_iter_no_change"), COUNT),
        "negatives": NoneOr(COUNT),
        **{
            name: _OF_BAGS[name]
            for name in (
                *("learning_rate", "class_weight", "early_stopping", "tol"),
                *("validation_fraction", "random_state", "verbose", "warm_start", "num_threads"),
            )
        },
    }

    loss_curve_: list[float]
    n_iter_: int

    def __init__(
        self,
        dim: int = 32,
        *,
        word_ngrams: int = 2,
        char_ngrams: tuple[int, int] | None = None,
        tokenizer: str | Callable[[str], list[str]] = "words",
        lowercase: bool | None = None,
        min_count: int = 1,
        n_buckets: int = 2_000_000,
        loss: str = "softmax",
        learning_rate: float = 0.2,
        epochs: int = 10,
        batch_size: int = 128,
        negatives: int | None = None,
        class_weight: Any = None,
        pretrained: Any = None,
        freeze_pretrained: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 3,
        tol: float = 1e-4,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
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
        self.negatives = negatives
        self.class_weight = class_weight
        self.pretrained = pretrained
        self.freeze_pretrained = freeze_pretrained
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
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
        check_parameters(self, "warm_start")
        model = self._model if self.warm_start else None
        return self._learn((X, y, sample_weight), None, model, one_pass=False)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Make one pass over some texts, going on with the model if there is one.

        Words that the model does not know get an embedding if they occur `min_count` times in the
        texts of this call (those of earlier calls are not counted), n-grams in any case. Labels
        that it does not know are added to `classes_`. All that was learned stays; new embeddings
        begin at random, new labels with weights of 0.

        It goes on as one training: after `fit` and `load_model`, too, steps are as small as they
        have become, so that a few texts do not spoil what many have taught.

        Parameters
        ----------
        X : iterable of str
            Texts.
        y : array-like or list of lists
            Labels as in `fit`.
        classes : array-like of shape (n_classes,), optional
            Labels that `y` may have beside the known ones; then all of them are added, and others
            are an error. None: any.
        sample_weight : array-like of shape (n_texts,), optional
            Weight of each text in the loss, at least 0.

        Returns
        -------
        self : TextClassifier

        Raises
        ------
        TypeError, ValueError
            As in `fit`. Also if ``class_weight="balanced"``, which needs all of `y`, or if a
            parameter of the model has changed. The classifier stays as it was.

        Notes
        -----
        Cost: that of a pass over the texts. A call that finds new words, n-grams or labels copies
        the table and the state of the optimizer, too: 0.6 s for 1.4 million embeddings of length
        32, where 1,000 known texts take 15 ms. Of a stream, collect some thousand texts for a call.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight must be None or a dict for partial_fit, got "
                f"{shown(self.class_weight)}; compute_class_weight of scikit-learn finds balanced "
                "weights of all labels"
            )
        return self._learn((X, y, sample_weight), classes, self._model, one_pass=True)

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
        settings = Settings.of(model)
        classifier = cls(
            dim=settings.dim,
            word_ngrams=ngrams.word_ngrams,
            char_ngrams=(max(ngrams.min_chars, 1), ngrams.max_chars) if ngrams.max_chars else None,
            tokenizer=tokenizer.function or tokenizer.name,
            lowercase=None if is_usual else tokenizer.lowercase,
            min_count=settings.min_count,
            n_buckets=ngrams.n_buckets,
            loss=model.loss,
            learning_rate=settings.lr,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            negatives=settings.negatives,
            early_stopping=settings.early_stopping,
            n_iter_no_change=settings.patience,
            random_state=None if model.recipe is None else model.recipe.seed,
            num_threads=model.num_threads,
        )
        classifier._model, classifier.classes_ = model, model.classes
        classifier.multilabel_ = model.loss == "ova"
        classifier._form = LISTS if classifier.multilabel_ else ONE
        classifier._made_with = classifier._fixed_parameters()
        return classifier


def load_model(
    path: str | Path,
    num_threads: int | None = None,
    tokenizer: Callable[[str], list[str]] | None = None,
) -> TextClassifier | FastTextModel:
    """Return a classifier that ``ebagx train``, `TextClassifier.save` or fastText has written.

    Parameters
    ----------
    path : str or Path
        The folder of the model, or a ``.bin`` or ``.ftz`` file of fastText.
    num_threads : int, optional
        Largest number of threads.
    tokenizer : callable, optional
        The function that cut texts into words in the training, if there was one: files hold no
        code.

    Returns
    -------
    TextClassifier or FastTextModel
        It predicts at once; the table of a folder is mapped, not copied. `partial_fit` of a
        TextClassifier goes on with a copy of the table; the parameters are those of the training,
        as far as `TextClassifier.save` keeps them. A file of fastText, or a folder that
        `FastTextModel.save` has made of it, becomes a FastTextModel, which cannot be trained.

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError
        If there is no model, if a file is damaged or of another version, if a model of fastText
        has no labels, or if the model needs a `tokenizer`.

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
    if tokenizer is not None and not callable(tokenizer):
        raise TypeError(f"tokenizer must be a callable or None, got {shown(tokenizer)}")
    path = Path(path)
    if path.is_file():
        return read_model(path, num_threads)
    model = model_folder.load_any_model(path, num_threads, tokenizer)
    return model if isinstance(model, FastTextModel) else TextClassifier._of(model)
