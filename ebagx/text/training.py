"""Train text classifiers on labelled lines: new ones, or one that goes on."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ebagx.text.accumulators import Accumulators
from ebagx.text.corpus import is_text_of_integer
from ebagx.text.features import Features, LineBags
from ebagx.text.going_on import accumulators_to_go_on
from ebagx.text.growth import grow_features
from ebagx.text.lines import Lines
from ebagx.text.model import Settings, TextModel
from ebagx.text.pretrained import GivenVectors

if TYPE_CHECKING:
    from scipy import sparse

    from ebagx._training.network import Network
    from ebagx.text.learner import Learner

Watch = Callable[[int, Sequence[float]], object]
_Floats = npt.NDArray[np.float32]


class Passes(NamedTuple):
    """The complete epochs of a training, the one whose model is kept, and an end by Ctrl-C."""

    made: int
    kept: int
    interrupted: bool


class Fitted(NamedTuple):
    """A trained model, and the epochs of its training."""

    model: TextModel
    passes: Passes


class Checkpoint(Protocol):
    """Saves the model during a training. Its methods get the number of complete epochs."""

    def is_due(self, epochs: int, is_complete: bool) -> bool:
        """Return whether to save now: after an epoch if that `is_complete`, else in the next."""

    def save(self, model: TextModel, epochs: int, is_complete: bool) -> bool:
        """Save the model; return whether it has been saved."""


class Following(NamedTuple):
    """Functions and objects that follow a training.

    `watch` is called with a number of lines that have been learned, and the losses of the epochs so
    far. The end of the last epoch is no checkpoint.
    """

    watch: Watch | None = None
    checkpoint: Checkpoint | None = None


_ALONE = Following()


def train_model(
    lines: Lines,
    settings: Settings,
    following: Following = _ALONE,
    pretrained: GivenVectors | None = None,
) -> Fitted:
    """Learn features, embeddings and linear layer from labelled lines.

    Words of `pretrained` that the lines have begin with its vectors.

    Raises
    ------
    ValueError
        If the lines have no features, if there are fewer than two labels, if a line has several
        but the loss is softmax, or if the loss diverges.
    """
    features = Features.learn(lines, settings.ngrams, settings.min_count)
    return fit_model(features, lines, settings, following, pretrained)


def fit_model(
    features: Features,
    lines: Lines,
    settings: Settings,
    following: Following = _ALONE,
    pretrained: GivenVectors | None = None,
) -> Fitted:
    """Learn embeddings and linear layer from lines whose features are known; see `train_model`."""
    learner, labels = settings.make_learner(), lines.label_names()
    if len(labels) < 2:
        found = "".join(f": {label}" for label in labels)
        raise ValueError(f"the lines must have at least 2 labels, got {len(labels)}{found}")
    if pretrained is not None:
        learner.begin_anew(features.n_columns, len(labels))
        learner.place(pretrained.rows(features.words, settings.dim))
    empty = np.empty((0, settings.dim), np.float32)
    start = TextModel(
        features,
        labels,
        settings.loss,
        *(empty, empty, empty[:, 0]),
        settings.threads,
        recipe=settings.recipe,
    )
    return _trained(learner, start, lines, settings, following)


def continue_model(
    model: TextModel,
    lines: Lines,
    settings: Settings,
    following: Following = _ALONE,
    pretrained: GivenVectors | None = None,
) -> Fitted:
    """Go on with the training of a model, which stays as it is.

    New words, n-grams and labels of the lines get rows; see `grow_features`. Words that are new
    begin with the vectors of `pretrained`, if it has them.

    Raises
    ------
    ValueError
        As for `train_model`, or if a label is no integer, although those of the model are.
    """
    features, columns = grow_features(model.features, lines, settings.min_count)
    labels = _with_new_labels(model, lines.label_names())
    place = {label: i for i, label in enumerate(labels)}
    places = np.array([place[label] for label in model.labels])
    learner = settings.make_learner().begin(
        model.trainable_weights(),
        accumulators_to_go_on(model, lines, settings.batch_size),
        settings.table_eps,
    )
    learner = learner.enlarged(columns, features.n_columns, places, len(labels))
    if pretrained is not None:
        known = model.features.words.count
        learner.place(pretrained.rows(features.words, settings.dim, known))
    start = replace(
        model,
        features=features,
        labels=labels,
        num_threads=settings.threads,
        recipe=settings.recipe,
    )
    return _trained(learner, start, lines, settings, following)


def _with_new_labels(model: TextModel, names: Sequence[str]) -> list[str]:
    """Return the labels of a model and others, in order."""
    labels = {*model.labels, *names}
    if model.label_type != "int":
        return sorted(labels)
    other = next((name for name in names if not is_text_of_integer(name)), None)
    if other is not None:
        raise ValueError(f"the label {other!r:.40} is no integer, as those of the model are")
    return sorted(labels, key=int)


def _trained(
    learner: "Learner", start: TextModel, lines: Lines, settings: Settings, following: Following
) -> Fitted:
    """Return the model of a training that begins with features and labels."""
    from ebagx._training.loop import watched
    from ebagx._training.passes import DivergenceError

    saved, checkpoint = "", following.checkpoint

    def save(network: "Network", losses: Sequence[float], is_complete: bool) -> None:
        nonlocal saved
        made = len(losses)
        if checkpoint is None or made == settings.epochs:
            return
        if not checkpoint.is_due(made, is_complete) or not network.is_finite():
            return
        (head,) = network.layers
        accumulators = Accumulators.of(network.optimizers)
        recipe = settings._replace(table_eps=learner._table_eps).recipe
        model = _with_weights(replace(start, recipe=recipe), (network.table, *head), accumulators)
        if checkpoint.save(model, made, is_complete):
            saved = f"epoch {made}" if is_complete else f"the middle of epoch {made + 1}"

    with (
        warnings.catch_warnings(),
        watched(following.watch, keeps_copy=False, between=save) as histories,
    ):
        # `Passes` tells as much.
        warnings.filterwarnings("ignore", "training was interrupted", UserWarning)
        bags = LineBags(start.features, lines, settings.threads)
        try:
            learner.fit(bags, _labels_of(lines, start.labels, settings.loss))
        except DivergenceError as error:
            # The classifier's message is about its own weights, which nobody gets.
            outcome = "no model is saved, and none is replaced"
            if saved:
                outcome = f"the model of {saved} stays"
            raise ValueError(
                f"the loss diverged in pass {error.number} of {settings.epochs}, as the learning "
                f"rate {settings.lr:g} is too large; {outcome}"
            ) from error
    weights = learner.embedding_, learner.coef_, learner.intercept_
    start = replace(start, recipe=settings._replace(table_eps=learner._table_eps).recipe)
    model = _with_weights(start, weights, learner.accumulators())
    (history,) = histories
    return Fitted(model, Passes(learner.n_iter_, learner.best_iter_, history.interrupted))


def _with_weights(
    start: TextModel, weights: tuple[_Floats, _Floats, _Floats], accumulators: Accumulators | None
) -> TextModel:
    embedding, coef, intercept = weights
    return replace(
        start, embedding=embedding, coef=coef, intercept=intercept, accumulators=accumulators
    )


def _labels_of(lines: Lines, labels: Sequence[str], loss: str) -> "sparse.csr_array":
    """Return a row of ones for each line, at the positions of its labels."""
    from scipy import sparse

    from ebagx._training.labels import sound_indicator

    numbers, offsets = lines.labels()
    if loss == "softmax" and len(numbers) > lines.num_lines:
        raise ValueError("softmax takes one label a line, for several there is the loss ova")
    columns = lines.label_places(labels).astype(np.int32)[numbers]
    arrays = np.ones(len(columns), np.int8), columns, offsets
    shape = lines.num_lines, len(labels)
    return sparse.csr_array(arrays, shape) if loss == "softmax" else sound_indicator(arrays, shape)
