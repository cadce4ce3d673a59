"""Helpers of all displays: the axes to draw in, and the estimator whose name is the title."""

from typing import TYPE_CHECKING, Any

from sklearn.pipeline import Pipeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def axes_or_new(ax: "Axes | None", size: tuple[float, float]) -> "Axes":
    """Return the axes to draw in, by default those of a new figure."""
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "ebagx.sklearn.plot needs matplotlib: pip install 'ebagx[plot]'", name=error.name
        ) from error
    return pyplot.subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def last_step(estimator: Any) -> Any:
    """Return the last step of a pipeline, or the estimator itself."""
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator
