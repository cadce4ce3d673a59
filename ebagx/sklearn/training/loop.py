"""Passes over shuffled mini-batches, and the choice of the model that is kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController

from ebagx.sklearn.training.examples import Examples
from ebagx.sklearn.training.losses import Loss
from ebagx.sklearn.training.network import Network
from ebagx.sklearn.training.steps import Steps


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
        steps = Steps(network, loss, examples, plan.batch_size)
        kept = network.snapshot()
        try:
            while len(history.losses) < plan.max_iter and not _is_stuck(history, plan):
                total = steps.make_pass(rng.permutation(num_bags), advance)
                network.settle()
                if not (np.isfinite(total) and network.is_finite()):
                    history.diverged = True
                    break
                history.losses.append(total / num_bags)
                # After the last pass there is nothing that a snapshot could restore.
                if _is_best(history, plan, network) and len(history.losses) < plan.max_iter:
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
