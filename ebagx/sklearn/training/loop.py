"""Passes over shuffled mini-batches, and the choice of the model that is kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from ebagx._core.bags import Bags
from ebagx.sklearn.bags import take
from ebagx.sklearn.training.batches import batches
from ebagx.sklearn.training.losses import Loss, target_batches
from ebagx.sklearn.training.network import Floats, Network


class Examples(NamedTuple):
    """Bags with their targets, to learn from or to measure on."""

    bags: Bags  # n of them, scaled for the mode
    targets: Any  # (n, K): CSR of ones, or numbers
    weights: Floats | None  # (n,)

    def __repr__(self) -> str:
        weighted = ", weighted" if self.weights is not None else ""
        return f"Examples({self.num_bags} bags, {self.targets.shape[1]} outputs{weighted})"

    @property
    def num_bags(self) -> int:
        """Number of bags n."""
        return self.bags.num_bags

    def take(self, rows: npt.NDArray[np.intp]) -> "Examples":
        """Return some of the examples."""
        weights = None if self.weights is None else self.weights[rows]
        return Examples(take(self.bags, rows), self.targets[rows], weights)


@dataclass(frozen=True)
class Plan:
    """The length of a training: passes, their batches, and when to stop early."""

    batch_size: int
    max_iter: int
    score: Callable[[Network], float] | None = None  # rates held-out bags, for early stopping
    n_iter_no_change: int = 1
    tol: float = 0.0
    verbose: bool = False

    def num_steps(self, examples: Examples) -> int:
        """Return the number of steps in all passes."""
        return -(-examples.num_bags // self.batch_size) * self.max_iter


@dataclass
class History:
    """The losses and scores of a training, and its end."""

    losses: list[float] = field(default_factory=list)  # one for each complete pass, all finite
    scores: list[float] = field(default_factory=list)
    best_iter: int = 0  # the pass whose model is kept; 0: the model before the first
    diverged: bool = False
    interrupted: bool = False


def train(
    network: Network,
    loss: Loss,
    examples: Examples,
    plan: Plan,
    rng: np.random.Generator,
) -> History:
    """Make passes over the examples until there are enough, one diverges, or Ctrl-C.

    The network then has the weights that it had after the last pass of finite loss or, with early
    stopping, after the pass of the best score. After Ctrl-C without early stopping, the steps of
    the unfinished pass stay. If a step raises an error, as a schedule may, the weights are those
    of the last snapshot.
    """
    history = History()
    num_bags = examples.num_bags
    with _progress_bar(num_bags * plan.max_iter, plan.verbose) as advance, _arithmetic():
        kept = network.snapshot()
        try:
            while len(history.losses) < plan.max_iter and not _is_stuck(history, plan):
                total = _make_pass(network, loss, examples, plan.batch_size, rng, advance)
                network.settle()
                if not (np.isfinite(total) and network.is_finite()):
                    history.diverged = True
                    break
                history.losses.append(total / num_bags)
                if _is_best(history, plan, network):
                    kept = network.snapshot(kept)
        except KeyboardInterrupt:
            history.interrupted = True
            network.settle()
            if plan.score is None and network.is_finite():
                return history
        except BaseException:
            network.settle()
            network.restore(kept)  # the estimator has this table, and the layers of that time
            raise
        if history.best_iter != len(history.losses) or history.diverged:
            network.restore(kept)
    return history


def _is_best(history: History, plan: Plan, network: Network) -> bool:
    """Note the last pass in the history; return whether its model is the one to keep."""
    if plan.score is None:
        history.best_iter = len(history.losses)
        return True
    score = plan.score(network)
    is_best = not history.scores or score > max(history.scores)
    history.scores.append(score)
    if is_best:
        history.best_iter = len(history.losses)
    return is_best


def _is_stuck(history: History, plan: Plan) -> bool:
    """Return whether the last passes have not raised the score by `tol`."""
    scores, wait = history.scores, plan.n_iter_no_change
    return len(scores) > wait and max(scores[-wait:]) < max(scores[:-wait]) + plan.tol


def _make_pass(
    network: Network,
    loss: Loss,
    examples: Examples,
    batch_size: int,
    rng: np.random.Generator,
    advance: Callable[[int], object] | None,
) -> float:
    """Take a step for each batch; return the sum of the losses, each taken before its step."""
    num_bags, num_rows = examples.num_bags, len(network.table)
    order = rng.permutation(num_bags)
    targets = target_batches(examples.targets, order, batch_size)
    weights = None if examples.weights is None else examples.weights[order]
    losses = np.empty(num_bags)
    start = 0
    made = batches(examples.bags, num_rows, order, batch_size)
    for batch, target in zip(made, targets, strict=True):
        errors = network.forward(batch)
        stop = start + batch.num_bags
        losses[start:stop] = loss.gradient(errors, target)
        if weights is not None:
            errors *= weights[start:stop]
        errors *= np.float32(1 / batch.num_bags)
        network.backward(batch, errors)
        if advance is not None:
            advance(batch.num_bags)
        start = stop
    return float(losses.sum() if weights is None else losses @ weights)


@cache
def _blas() -> ThreadpoolController:
    # The search for the libraries takes milliseconds; NumPy's has been loaded by now.
    return ThreadpoolController().select(user_api="blas")


@contextmanager
def _arithmetic() -> Iterator[None]:
    """Keep BLAS to one thread and NumPy from warning of overflow, which `train` finds itself.

    More threads make products this small no faster, and their number may change bits.
    """
    with _blas().limit(limits=1), np.errstate(over="ignore", invalid="ignore"):
        yield


@contextmanager
def _progress_bar(num_bags: int, verbose: bool) -> Iterator[Callable[[int], object] | None]:
    """Yield a function that takes a number of bags done, or None if no bar is wanted."""
    if not verbose:
        yield None
        return
    try:
        from tqdm import tqdm
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "verbose=True needs tqdm: pip install 'ebagx[cli]'", name=error.name
        ) from error
    with tqdm(total=num_bags, unit="bag", unit_scale=True, leave=False) as bar:
        yield bar.update
