"""Passes over shuffled mini-batches, and the choice of the model that is kept."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ebagx._core.cpu import give_back_freed
from ebagx._core.memory import ascending
from ebagx._training.examples import Examples
from ebagx._training.losses import Loss
from ebagx._training.negatives import Drawing
from ebagx._training.network import Network
from ebagx._training.steps import Steps

try:
    from threadpoolctl import ThreadpoolController
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "training needs threadpoolctl: pip install 'ebagx[cli]'", name=error.name
    ) from error

# Before the optimizer's state of a larger table grows in a longer training, memory that has been
# freed goes back: of the 30 MB that glibc keeps of reading 200 MB of text, nothing is left at the
# peak. It takes 10 ms, a call of `partial_fit` for some hundred rows not much more.
_LARGE_TABLE = 1 << 26  # bytes
_MANY_STEPS = 1000

# It is called with a number of bags that have been trained on, and the losses of the passes so far.
Watch = Callable[[int, Sequence[float]], object]
# It is called between steps several times a second, and after each complete pass: with the network,
# the losses of the passes so far, and whether the pass is complete.
BetweenSteps = Callable[[Any, Sequence[float], bool], object]
_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)
_between: ContextVar[BetweenSteps | None] = ContextVar("between", default=None)
_keeps_copy: ContextVar[bool] = ContextVar("keeps_copy", default=True)
_histories: ContextVar[list["History"] | None] = ContextVar("histories", default=None)


class Trainee(Protocol):
    """Weights in training, which can be copied and set back, with the state of their optimizers."""

    def snapshot(self, into: Any = None, with_state: bool = False) -> Any:
        """Return copies of the weights, in the memory of an earlier snapshot if there is one."""

    def restore(self, snapshot: Any) -> None:
        """Set the weights to those of a snapshot."""

    def is_finite(self) -> bool:
        """Return whether no weight is NaN or infinite."""

    def settle(self) -> None:
        """Apply the weight decay that untouched rows still owe."""


class Passes(Protocol):
    """Steps that train something on examples."""

    def make_pass(
        self, order: npt.NDArray[np.integer[Any]], advance: Callable[[int], object] | None
    ) -> float:
        """Take a step for each batch in this order, and return the sum of the losses."""


@contextmanager
def watched(
    watch: Watch | None, keeps_copy: bool, between: BetweenSteps | None = None
) -> Iterator[list["History"]]:
    """Let functions follow the trainings of the block, the first in place of a bar.

    The block gets the histories of the trainings.

    With `keeps_copy` false there is no copy of the weights of the last pass, which are as large as
    the table: then a training without early stopping that diverges leaves no model.
    """
    histories: list[History] = []
    tokens = _watch.set(watch), _keeps_copy.set(keeps_copy), _histories.set(histories)
    of_steps = _between.set(between)
    try:
        yield histories
    finally:
        _watch.reset(tokens[0])
        _keeps_copy.reset(tokens[1])
        _histories.reset(tokens[2])
        _between.reset(of_steps)


@dataclass(frozen=True)
class Plan:
    """The length of a training: passes, their batches, and when to stop early."""

    batch_size: int
    max_iter: int
    score: Callable[[Any], float] | None = None  # rates held-out bags, for early stopping
    n_iter_no_change: int = 1
    tol: float = 0.0
    verbose: bool = False
    negatives: int | None = None  # classes that each step draws; None: it uses all
    start_counts: bool = False  # whether the model before the first pass may be the best
    keeps_state: bool = False  # whether another training will go on with the optimizers' state

    def num_steps(self, examples: Examples) -> int:
        """Return the number of steps in all passes."""
        return -(-examples.num_bags // self.batch_size) * self.max_iter

    def drawing(self, examples: Examples, rng: np.random.Generator) -> Drawing | None:
        """Return what steps draw; None where they would draw as many classes as there are."""
        if self.negatives is None or self.negatives >= examples.targets.shape[1]:
            return None
        return Drawing(self.negatives, int(rng.integers(2**63)))


@dataclass
class History:
    """The losses and scores of a training, and its end."""

    losses: list[float] = field(default_factory=list)  # one for each complete pass, all finite
    scores: list[float] = field(default_factory=list)
    start: list[float] = field(default_factory=list)  # of the model before, if it counts
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
    of the last snapshot. With `plan.keeps_state`, the state of the optimizers and of the random
    numbers is that of the same moment as the weights.
    """

    def make_steps() -> Steps:
        steps = Steps(network, loss, examples, plan.batch_size, plan.drawing(examples, rng))
        if network.table.nbytes > _LARGE_TABLE and plan.num_steps(examples) > _MANY_STEPS:
            give_back_freed()
        return steps

    return make_passes(network, make_steps, examples.num_bags, plan, rng)


class _Kept:
    """The model that is kept of a training, with what goes on from it."""

    def __init__(self, network: Trainee, rng: np.random.Generator, with_state: bool) -> None:
        self._network, self._rng, self._with_state = network, rng, with_state
        self._snapshot: Any = None
        self.take(0)

    def take(self, number: int) -> None:
        """Keep the present model, which is that of a pass."""
        self._number = -1  # in case that Ctrl-C leaves half of a copy
        self._snapshot = self._network.snapshot(self._snapshot, self._with_state)
        self._numbers = self._rng.bit_generator.state
        self._number = number

    def restore(self, number: int) -> None:
        """Go back to the model of a pass; if it is not kept, the network still has it."""
        if self._number == number:
            self._network.restore(self._snapshot)
            self._rng.bit_generator.state = self._numbers


def make_passes(
    network: Trainee,
    make_steps: Callable[[], Passes],
    num_bags: int,
    plan: Plan,
    rng: np.random.Generator,
) -> History:
    """Do what `train` does, with steps that train the network; to make them may draw numbers."""
    history, histories, between = History(), _histories.get(), _between.get()
    if histories is not None:
        histories.append(history)
    with _progress(history, num_bags * plan.max_iter, plan.verbose) as show, _arithmetic():

        def advance(count: int) -> None:
            if show is not None:
                show(count)
            if between is not None:
                between(network, history.losses, False)

        keeps = _keeps_copy.get() or plan.score is not None
        kept = _Kept(network, rng, plan.keeps_state) if keeps else None
        if plan.score is not None and plan.start_counts:
            history.start.append(plan.score(network))
        try:
            steps = make_steps()
            while len(history.losses) < plan.max_iter and not is_stuck(history, plan):
                total = steps.make_pass(_shuffled(num_bags, rng), advance)
                network.settle()
                if not (np.isfinite(total) and network.is_finite()):
                    history.diverged = True
                    break
                history.losses.append(total / num_bags)
                is_best = _is_best(history, plan, network)
                # After the last pass there is nothing that a snapshot could restore.
                if is_best and kept is not None and len(history.losses) < plan.max_iter:
                    kept.take(len(history.losses))
                if between is not None:
                    between(network, history.losses, True)
        except KeyboardInterrupt:
            history.interrupted = True
            network.settle()
            if not (history.start or history.scores) and network.is_finite():
                return history  # nothing is known to be better
            history.diverged = history.diverged or kept is None
        except BaseException:
            network.settle()
            if kept is not None:
                # The estimator has this table, and the layers of that time.
                kept.restore(history.best_iter)
            raise
        if kept is not None:
            kept.restore(history.best_iter)
    return history


def _shuffled(count: int, rng: np.random.Generator) -> npt.NDArray[np.integer[Any]]:
    """Return the numbers below `count` in random order: those of `permutation` in less memory."""
    order = ascending(count)
    rng.shuffle(order)
    return order


def make_one_pass(
    network: Network,
    loss: Loss,
    examples: Examples,
    order: npt.NDArray[np.intp],
    batch_size: int,
    drawing: Drawing | None = None,
) -> float:
    """Make one pass over the examples in a given order; return the sum of their losses.

    The weights may have infinities or NaN after it, which the caller has to find.
    """
    with _arithmetic():
        total = Steps(network, loss, examples, batch_size, drawing).make_pass(order, None)
        network.settle()
    return total


def _is_best(history: History, plan: Plan, network: Trainee) -> bool:
    """Note the last pass in the history; return whether its model is the one to keep."""
    if plan.score is None:
        history.best_iter = len(history.losses)
        return True
    score = plan.score(network)
    earlier = [*history.start, *history.scores]
    is_best = not earlier or score > max(earlier)
    history.scores.append(score)
    if is_best:
        history.best_iter = len(history.losses)
    return is_best


def is_stuck(history: History, plan: Plan) -> bool:
    """Return whether the last passes have not raised the score by `tol`."""
    scores, wait = [*history.start, *history.scores], plan.n_iter_no_change
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
def _progress(
    history: History, num_bags: int, verbose: bool
) -> Iterator[Callable[[int], object] | None]:
    """Yield a function that takes a number of bags done, or None if nobody follows the training."""
    watch = _watch.get()
    if watch is not None:
        yield lambda count: watch(count, history.losses)
        return
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
