"""The training of a text classifier: from its parameters, texts and labels to a model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ebagx._core.arguments import refuse_dask
from ebagx._training.loop import watched
from ebagx._training.passes import DivergenceError
from ebagx.sklearn.labels import positions_of
from ebagx.sklearn.parameters import Constraints, check_parameters, check_same_values
from ebagx.sklearn.weights import checked_weights, class_weights
from ebagx.text.features import Features, LineBags
from ebagx.text.going_on import accumulators_to_go_on
from ebagx.text.growth import grow_features
from ebagx.text.inputs import as_list, checked_texts
from ebagx.text.learner import Learner, Options
from ebagx.text.lines import Lines
from ebagx.text.model import Settings, TextModel, label_type_of
from ebagx.text.predictions import Predictions
from ebagx.text.pretrained import GivenVectors, as_vectors
from ebagx.text.targets import ONE, Targets, encode, known_classes, with_new_classes
from ebagx.text.tokenizers import CALLABLE, Tokenizer

# Parameters that belong to a fitted model.
_FIXED = ("dim", "word_ngrams", "char_ngrams", "n_buckets", "tokenizer", "lowercase", "loss")
_OF_TRAINING = (
    *("loss_curve_", "n_iter_", "validation_scores_", "best_validation_score_", "best_iter_"),
)


class Learning(Predictions):
    """Training and growth of a model, for an estimator with the parameters of `TextClassifier`."""

    _constraints: ClassVar[Constraints]
    dim: int
    word_ngrams: int
    char_ngrams: tuple[int, int] | None
    tokenizer: str | Callable[[str], Any]
    lowercase: bool | None
    min_count: int
    n_buckets: int
    loss: str
    learning_rate: float
    epochs: int
    batch_size: int
    negatives: int | None
    class_weight: Any
    pretrained: Any
    freeze_pretrained: bool
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    tol: float
    random_state: Any
    verbose: bool | int

    _made_with: dict[str, Any]
    _learner: Learner | None = None

    def _learn(
        self,
        data: tuple[Any, Any, Any],
        classes: Any,
        model: TextModel | None,
        one_pass: bool,
    ) -> Self:
        """Train a new model, or go on with one, and take over the result.

        Parameters
        ----------
        data : tuple
            Texts, labels and sample weights.
        classes : array-like, optional
            Labels that may occur, beside those of the model; None: any.
        model : TextModel, optional
            The model to go on with.
        one_pass : bool
            Make one pass that goes on with the whole state of the optimizer; else those of `fit`.
        """
        X, y, sample_weight = data
        self._check_learning(model)
        lines, targets = self._read(X, y, classes, model)
        weights = checked_weights(sample_weight, targets.encoded)
        if model is None:
            features = Features.learn(lines, self._settings.ngrams, self.min_count)
            learner = self._new_learner(features, targets)
        else:
            features, columns = grow_features(model.features, lines, self.min_count)
            learner = self._grown_learner(model, lines, features, columns, targets, one_pass)
        bags, labels = LineBags(features, lines, self.num_threads), targets.ones()
        # A copy is thrown away if it cannot be trained.
        with self._clear_divergence(), watched(None, keeps_copy=learner is self._learner):
            if one_pass:
                learner.fit_one_pass(bags, labels, weights)
            else:
                learner.fit(bags, labels, weights).settle()
        self._adopt(features, targets, learner, self._class_weight_of(model if one_pass else None))
        return self

    def __copy__(self) -> Self:
        """Return a classifier that can be trained without a change of this one."""
        other = self.__class__.__new__(self.__class__)
        other.__dict__ = self.__dict__.copy()
        if self._model is not None:
            other._model, other._learner = self._to_save(self._model), None
        return other

    @property
    def _settings(self) -> Settings:
        min_chars, max_chars = self.char_ngrams or (0, 0)
        return Settings(
            # Numbers of NumPy cannot be saved.
            dim=int(self.dim),
            lr=float(self.learning_rate),
            epochs=int(self.epochs),
            batch_size=int(self.batch_size),
            word_ngrams=int(self.word_ngrams),
            min_count=int(self.min_count),
            minn=int(min_chars),
            maxn=int(max_chars),
            buckets=int(self.n_buckets),
            loss=self.loss,
            seed=self.random_state,
            early_stopping=bool(self.early_stopping),
            patience=int(self.n_iter_no_change),
            threads=self.num_threads,
            negatives=None if self.negatives is None else int(self.negatives),
            tokenizer=CALLABLE if callable(self.tokenizer) else self.tokenizer,
        )

    @property
    def _cutter(self) -> Tokenizer:
        if callable(self.tokenizer):
            return Tokenizer.calling(self.tokenizer, bool(self.lowercase))
        cutter = self._settings.cutter
        return cutter if self.lowercase is None else replace(cutter, lowercase=bool(self.lowercase))

    def _check_learning(self, model: TextModel | None) -> None:
        """Raise TypeError or ValueError unless the parameters suit a training."""
        if model is None:
            check_parameters(self)
            return
        model.trainable_weights()  # raises here for a quantised model
        check_same_values(self, self._made_with, "call fit of a clone")
        # A loaded model may have values that new ones cannot have.
        check_parameters(self, *(name for name in self._constraints if name not in _FIXED))

    def _read(self, X: Any, y: Any, classes: Any, model: TextModel | None) -> tuple[Lines, Targets]:
        """Return checked texts as lines, and their labels."""
        texts = checked_texts(X, "X")
        refuse_dask(y, "y")
        if not len(texts):
            raise ValueError("X must hold at least 1 text, got 0 texts")
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        if model is None:
            known = None if classes is None else known_classes(classes)
        else:
            known = self.classes_
            if classes is not None:
                known = with_new_classes(known, as_list(classes, "classes"))
        targets = encode(y, known, self.loss, is_open=classes is None)
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

    def _fixed_parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _FIXED}

    def _options(self, targets: Targets) -> Options:
        """Return the options of what learns positions of classes from bags of features."""
        weights = self.class_weight
        if weights is not None and targets.form == ONE:
            y = targets.classes[targets.encoded]
            weights = class_weights(weights, targets.classes, y)
        elif isinstance(weights, dict):
            weights = class_weights(weights, targets.classes, targets.classes)
        return self._settings.learner_options._replace(
            class_weight=weights,
            validation_fraction=self.validation_fraction,
            tol=self.tol,
            verbose=self.verbose,
        )

    def _new_learner(self, features: Features, targets: Targets) -> Learner:
        learner = Learner(self._options(targets))
        if self.pretrained is not None:
            learner.begin_anew(features.n_columns, len(targets.classes))
            self._place_pretrained(learner, features, 0)
        return learner

    def _grown_learner(
        self,
        model: TextModel,
        lines: Lines,
        features: Features,
        columns: npt.NDArray[np.intp],
        targets: Targets,
        may_be_same: bool,
    ) -> Learner:
        """Return what goes on with the model: a copy, or the same learner if nothing is new."""
        options = self._options(targets)
        if self._learner is None:
            eps = None if model.recipe is None else model.recipe.table_eps
            kept = accumulators_to_go_on(model, lines, int(self.batch_size))
            learner = Learner(options).begin(model.trainable_weights(), kept, eps)
        else:
            learner = self._learner
            learner.follow(options)
            is_same = features is model.features and len(targets.classes) == len(self.classes_)
            if may_be_same and is_same:
                return learner
        labels = positions_of(self.classes_, targets.classes)
        grown = learner.enlarged(columns, features.n_columns, labels, len(targets.classes))
        if self.pretrained is not None and features.words.count > model.features.words.count:
            self._place_pretrained(grown, features, model.features.words.count)
        return grown

    def _place_pretrained(self, learner: Learner, features: Features, first: int) -> None:
        given = GivenVectors(as_vectors(self.pretrained), bool(self.freeze_pretrained))
        learner.place(given.rows(features.words, self.dim, first))

    def _class_weight_of(self, former: TextModel | None) -> str | None:
        """Return the class weight that a saved model keeps; a pass leaves that of the model."""
        if self.class_weight is None and former is not None and former.recipe is not None:
            return former.recipe.class_weight
        return self.class_weight if isinstance(self.class_weight, str) else None

    def _adopt(
        self, features: Features, targets: Targets, learner: Learner, class_weight: str | None
    ) -> None:
        """Take over what a learner has learned."""
        classes, seed = targets.classes, self.random_state
        recipe = self._settings.recipe._replace(
            seed=int(seed) if isinstance(seed, Integral) else None,
            class_weight=class_weight,
            table_eps=learner._table_eps,
        )
        self._model = TextModel(
            features,
            [str(label) for label in classes.tolist()],
            self.loss,
            learner.embedding_,
            learner.coef_,
            learner.intercept_,
            self.num_threads,
            label_type_of(classes),
            recipe=recipe,
        )
        self._learner, self._form, self.classes_ = learner, targets.form, classes
        self._made_with = self._fixed_parameters()
        self.multilabel_ = self.loss == "ova"
        for name in _OF_TRAINING:
            setattr(self, name, getattr(learner, name))

    def _to_save(self, model: TextModel) -> TextModel:
        if self._learner is None:
            return model
        return replace(model, accumulators=self._learner.accumulators())
