"""The display of the losses and scores of a training."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from ebagx.sklearn.plot.axes import axes_or_new, last_step

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["TrainingCurveDisplay"]

_LOSS_STYLE = {"color": "#0072b2", "marker": "o"}
_SCORE_STYLE = {"color": "#bf5500", "marker": "s"}


class TrainingCurveDisplay:
    """The loss of each pass over the data and, with early stopping, the validation score.

    Use `from_estimator` to make one. All its data are attributes, and `plot` draws them again.

    Parameters
    ----------
    loss_curve : array-like of shape (n_iter,)
        Mean loss of each pass.
    validation_scores : array-like of shape (n_iter,), default=None
        Score on the held-out part after each pass.
    estimator_name : str, default=None
        Title of the plot.

    Attributes
    ----------
    ax_, score_ax_ : matplotlib Axes
        The axes of the loss, and those of the scores or None.
    figure_ : matplotlib Figure
        The figure they are in.
    line_, score_line_ : matplotlib Line2D
        The curve of the loss, and that of the scores or None.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Scores by the number of samples.

    Examples
    --------
    >>> from ebagx.datasets import load_wordnet10
    >>> from ebagx.sklearn import EmbeddingBagClassifier
    >>> from ebagx.sklearn.plot import TrainingCurveDisplay
    >>> from sklearn.feature_extraction.text import CountVectorizer
    >>> texts, labels = load_wordnet10()
    >>> X = CountVectorizer().fit_transform(texts)
    >>> classifier = EmbeddingBagClassifier(max_iter=3, random_state=0).fit(X, labels)
    >>> display = TrainingCurveDisplay.from_estimator(classifier)
    >>> display.ax_.get_ylabel()
    'Training loss'
    """

    ax_: "Axes"
    score_ax_: "Axes | None"
    figure_: "Figure"
    line_: "Line2D"
    score_line_: "Line2D | None"

    def __init__(
        self,
        *,
        loss_curve: npt.ArrayLike,
        validation_scores: npt.ArrayLike | None = None,
        estimator_name: str | None = None,
    ) -> None:
        self.loss_curve = loss_curve
        self.validation_scores = validation_scores
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, name: str | None = None, ax: "Axes | None" = None, **kwargs: Any
    ) -> Self:
        """Draw the training of a fitted estimator.

        Parameters
        ----------
        estimator : estimator or Pipeline
            With an attribute ``loss_curve_``; of a pipeline the last step is meant.
        name : str, default=None
            Title; by default the name of the estimator's class.
        ax : matplotlib Axes, default=None
            Axes to draw in; by default those of a new figure.
        **kwargs : dict
            Further arguments of `plot`.

        Returns
        -------
        TrainingCurveDisplay

        Raises
        ------
        NotFittedError
            If `estimator` is not fitted.
        TypeError
            If it has no ``loss_curve_``.
        ModuleNotFoundError
            If matplotlib is not installed.
        """
        check_is_fitted(estimator)
        last = last_step(estimator)
        if not hasattr(last, "loss_curve_"):
            raise TypeError(f"estimator must have a loss_curve_, {type(last).__name__} has none")
        display = cls(
            loss_curve=last.loss_curve_,
            validation_scores=getattr(last, "validation_scores_", None),
            estimator_name=type(last).__name__,
        )
        return display.plot(ax, name=name, **kwargs)

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        name: str | None = None,
        loss_kw: dict[str, Any] | None = None,
        score_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in; by default those of a new figure.
        name : str, default=None
            Title; by default `estimator_name`.
        loss_kw, score_kw : dict, default=None
            Arguments of matplotlib's ``plot`` for the curves of the loss and of the scores.

        Returns
        -------
        self : TrainingCurveDisplay
        """
        self.ax_ = ax = axes_or_new(ax, (5.6, 3.6))
        self.figure_ = ax.figure
        self.line_ = _draw_curve(ax, self.loss_curve, "Training loss", _LOSS_STYLE, loss_kw)
        ax.set_xlabel("Pass over the training data")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_title(name or self.estimator_name or "")
        ax.spines[["top", "right"]].set_visible(False)
        self.score_ax_ = self.score_line_ = None
        if self.validation_scores is not None:
            self.score_ax_ = ax.twinx()
            self.score_ax_.spines["top"].set_visible(False)
            self.score_line_ = _draw_curve(
                self.score_ax_, self.validation_scores, "Validation score", _SCORE_STYLE, score_kw
            )
        return self


def _draw_curve(
    ax: "Axes", y: npt.ArrayLike, label: str, style: dict[str, Any], kwargs: dict[str, Any] | None
) -> "Line2D":
    """Draw values by pass, with the label and ticks of the y axis in the colour of the line."""
    passes = np.arange(1, len(np.asarray(y)) + 1)
    (line,) = ax.plot(passes, y, **{"markersize": 4, "label": label} | style | (kwargs or {}))
    ax.set_ylabel(label, color=line.get_color())
    ax.tick_params(axis="y", colors=line.get_color())
    return line
