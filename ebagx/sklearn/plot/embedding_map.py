"""The display of pooled bags as points on a map."""

import math
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.utils import check_consistent_length, resample

from ebagx._core.arguments import check_integer_or_none
from ebagx.sklearn.plot.axes import axes_or_new, last_step

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

__all__ = ["EmbeddingMapDisplay"]

# Colours that people with any colour vision tell apart: Petroff, Accessible Color Sequences for
# Data Visualization, arXiv:2107.02270.
_COLORS = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
# Class i has colour i % 10 and marker i % 3, or i % 7 with more than 30 classes. As 10 shares no
# factor with 3 or 7, no two classes look the same, and neighbours differ in both.
_MARKERS = ("o", "^", "s", "D", "v", "P", "X")
_MAX_CLASSES = len(_COLORS) * len(_MARKERS)
_LEGEND_ROWS = 16


class EmbeddingMapDisplay:
    """A map of bags: their embeddings on the first two principal components, coloured by class.

    Use `from_estimator` or `from_embeddings` to make one. All its data are attributes, and `plot`
    draws them again.

    Parameters
    ----------
    coordinates : ndarray of shape (n_samples, 2)
        Points on the map, drawn in this order.
    explained_variance_ratio : array-like of shape (2,)
        The parts of the embeddings' variance that the two axes show.
    classes : array-like of shape (n_samples,), default=None
        Class of each bag.
    estimator_name : str, default=None
        Title of the plot.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes drawn in.
    figure_ : matplotlib Figure
        The figure they are in.
    scatter_ : matplotlib PathCollection
        The points.
    legend_ : matplotlib Legend or None
        The legend of the classes.

    Examples
    --------
    >>> from ebagx.datasets import load_wordnet10
    >>> from ebagx.sklearn import EmbeddingBagTransformer
    >>> from ebagx.sklearn.plot import EmbeddingMapDisplay
    >>> from sklearn.feature_extraction.text import CountVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> texts, labels = load_wordnet10()
    >>> pool = make_pipeline(CountVectorizer(), EmbeddingBagTransformer(random_state=0)).fit(texts)
    >>> display = EmbeddingMapDisplay.from_estimator(pool, texts, labels, subsample=500)
    >>> display.coordinates.shape
    (500, 2)
    """

    ax_: "Axes"
    figure_: "Figure"
    scatter_: "PathCollection"
    legend_: "Legend | None"

    def __init__(
        self,
        *,
        coordinates: npt.NDArray[Any],
        explained_variance_ratio: npt.ArrayLike,
        classes: npt.ArrayLike | None = None,
        estimator_name: str | None = None,
    ) -> None:
        self.coordinates = coordinates
        self.explained_variance_ratio = explained_variance_ratio
        self.classes = classes
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        subsample: int | None = 5000,
        random_state: int | np.random.RandomState | None = 0,
        name: str | None = None,
        ax: "Axes | None" = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the map of the result of ``estimator.transform(X)``.

        Parameters
        ----------
        estimator : estimator or Pipeline
            Fitted, with a method ``transform``.
        X : {array-like, sparse matrix, list} of length n_samples
            Input of its ``transform``.
        y : array-like of shape (n_samples,), default=None
            Class of each row of `X`.
        subsample : int or None, default=5000
            Largest number of rows that are drawn, chosen at random before they are transformed;
            None draws all.
        random_state : int, RandomState instance or None, default=0
            Seed of the choice and of the order in which points are drawn, so that no class lies on
            top of the others.
        name : str, default=None
            Title; by default the name of the estimator's class.
        ax : matplotlib Axes, default=None
            Axes to draw in; by default those of a new figure.
        **kwargs : dict
            Further arguments of `plot`.

        Returns
        -------
        EmbeddingMapDisplay

        Raises
        ------
        ValueError
            If the embeddings have fewer than 2 rows or columns, if `y` is not 1-D, has another
            length or more than 70 classes, or if `subsample` is below 2.
        ModuleNotFoundError
            If matplotlib is not installed.
        """
        X, y = _shuffled_part(X, y, subsample, random_state)
        last = last_step(estimator)
        display = cls._from_part(estimator.transform(X), y, type(last).__name__)
        return display.plot(ax, name=name, **kwargs)

    @classmethod
    def from_embeddings(
        cls,
        embeddings: npt.ArrayLike,
        y: Any = None,
        *,
        subsample: int | None = 5000,
        random_state: int | np.random.RandomState | None = 0,
        name: str | None = None,
        ax: "Axes | None" = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the map of embeddings.

        Parameters
        ----------
        embeddings : array-like of shape (n_samples, n_components)
            One vector a row.
        y, subsample, random_state, name, ax, **kwargs
            As in `from_estimator`.

        Returns
        -------
        EmbeddingMapDisplay

        Raises
        ------
        ValueError, ModuleNotFoundError
            As `from_estimator`.
        """
        embeddings, y = _shuffled_part(embeddings, y, subsample, random_state)
        return cls._from_part(embeddings, y, None).plot(ax, name=name, **kwargs)

    @classmethod
    def _from_part(cls, embeddings: Any, y: Any, estimator_name: str | None) -> Self:
        embeddings = np.asarray(embeddings)
        if embeddings.ndim != 2 or min(embeddings.shape) < 2:
            raise ValueError(
                f"embeddings must have at least 2 rows and 2 columns, got shape {embeddings.shape}"
            )
        pca = PCA(2, random_state=0).fit(embeddings)
        return cls(
            coordinates=pca.transform(embeddings),
            explained_variance_ratio=pca.explained_variance_ratio_,
            classes=y,
            estimator_name=estimator_name,
        )

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        name: str | None = None,
        legend: bool = True,
        **kwargs: Any,
    ) -> Self:
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in; by default those of a new figure.
        name : str, default=None
            Title; by default `estimator_name`.
        legend : bool, default=True
            List the classes, on the right of the map.
        **kwargs : dict
            Arguments of matplotlib's ``scatter``, such as ``s`` and ``alpha``.

        Returns
        -------
        self : EmbeddingMapDisplay
        """
        names, numbers = _numbered(self.classes, len(self.coordinates))
        columns = math.ceil(len(names) / _LEGEND_ROWS) if legend else 0
        self.ax_ = ax = axes_or_new(ax, (4.6 + 1.3 * columns, 4.2))
        self.figure_ = ax.figure
        self.scatter_ = _draw_points(ax, self.coordinates, numbers, len(names), kwargs)
        self.legend_ = _draw_legend(ax, names, columns) if columns else None
        for axis, part, number in zip(
            (ax.xaxis, ax.yaxis), np.asarray(self.explained_variance_ratio), (1, 2), strict=True
        ):
            axis.set_label_text(f"Principal component {number} ({part:.0%} of the variance)")
            axis.get_major_locator().set_params(nbins=6)
        ax.set_aspect("equal", adjustable="datalim")
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_title(name or self.estimator_name or "")
        return self


def _shuffled_part(
    X: Any, y: Any, subsample: int | None, random_state: int | np.random.RandomState | None
) -> tuple[Any, Any]:
    """Return at most `subsample` rows of `X` and `y` in random order."""
    check_consistent_length(X, y)
    size = X.shape[0] if hasattr(X, "shape") else len(X)
    size = min(size, check_integer_or_none(subsample, "subsample", 2) or size)
    arrays = [X] if y is None else [X, y]
    part = resample(*arrays, replace=False, n_samples=size, random_state=random_state)
    return (part, None) if y is None else tuple(part)


def _numbered(classes: npt.ArrayLike | None, size: int) -> tuple[list[str], npt.NDArray[np.intp]]:
    """Return the names of the classes and the number of each point's; no names without classes."""
    if classes is None:
        return [], np.zeros(size, np.intp)
    array = np.asarray(classes)
    if array.ndim != 1:
        raise ValueError(f"y must be 1-D, got {array.ndim}-D")
    names, numbers = np.unique(array, return_inverse=True)
    if len(names) > _MAX_CLASSES:
        raise ValueError(f"y must have at most {_MAX_CLASSES} classes, got {len(names)}")
    return list(map(str, names)), numbers


def _looks(num_classes: int) -> list[tuple[str, str]]:
    """Return a colour and a marker for each class, no two the same."""
    markers = _MARKERS if num_classes > 3 * len(_COLORS) else _MARKERS[:3]
    return [
        (_COLORS[i % len(_COLORS)], markers[i % len(markers)]) for i in range(max(num_classes, 1))
    ]


def _draw_points(
    ax: "Axes",
    coordinates: npt.NDArray[Any],
    numbers: npt.NDArray[np.intp],
    num_classes: int,
    kwargs: dict[str, Any],
) -> "PathCollection":
    """Draw all points as one collection, so that those of different classes lie in mixed order."""
    from matplotlib.markers import MarkerStyle

    looks = _looks(num_classes)
    style = {
        "c": [looks[number][0] for number in numbers],
        "s": float(np.clip(30_000 / len(coordinates), 10, 30)),
        "alpha": 0.75,
        "linewidths": 0,
    }
    scatter: PathCollection = ax.scatter(*coordinates.T, **style | kwargs)
    if "marker" not in kwargs:
        shapes = [MarkerStyle(marker) for _, marker in looks]
        paths = [shape.get_path().transformed(shape.get_transform()) for shape in shapes]
        scatter.set_paths([paths[number] for number in numbers])
    return scatter


def _draw_legend(ax: "Axes", names: list[str], columns: int) -> "Legend":
    """List the classes on the right of the map."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=color, marker=marker, linestyle="", markersize=6)
        for color, marker in _looks(len(names))
    ]
    legend: Legend = ax.legend(
        handles,
        names,
        ncols=columns,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        handletextpad=0.2,
        columnspacing=0.8,
    )
    return legend
