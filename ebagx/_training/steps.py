"""`Steps` trains a network on batches of examples: arrays and numbers for the kernel."""

import sys
import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ebagx._core.bags import Bags
from ebagx._core.levels import kernels
from ebagx._core.memory import aligned_empty, aligned_zeros
from ebagx._core.threads import REST, thread_count
from ebagx._training.examples import Examples
from ebagx._training.losses import Loss
from ebagx._training.negatives import ALL_CLASSES, Drawing, Negatives, Shape, most_used
from ebagx._training.network import Network
from ebagx.optim.planning import PlannedSteps

_NORMS = {None: 0, "l1": 1, "l2": 2}
_STRIP = 16  # bags whose numbers lie side by side
# The arrays of a block of so many lookups still fit a second-level cache.
_BLOCK_LOOKUPS = 1 << 15
_BLOCK_BATCHES = 64
# Ctrl-C takes effect and a progress bar moves between calls of about so many seconds.
_CALL_SECONDS = 0.1
_EXAMPLES_OF_PART = 1 << 17  # whose losses are added at once: 1 MB
_LENGTHS_AT_ONCE = 1 << 16
_FIRST_STEPS = 16  # of the first call, whose time is not known
_FIRST_EXAMPLES = 1 << 14  # of the first call, if batches are large
# Threads that go on from batch to batch share smaller ones than those that begin with each call.
# But rows move between the caches of processors: batches of 45,000 additions gain nothing.
CHEAPER = 2

_FLOAT32 = np.dtype(np.float32)
_NO_NUMBERS = np.empty((0, 0), _FLOAT32)
_NO_CLASSES = np.empty(0, np.int32)
_ALL_ONE = np.empty(0, _FLOAT32)

Arrays = tuple[np.ndarray, ...]


class Steps:
    """The steps of a training, many of which one call of the kernel ``train_batches`` takes.

    Parameters
    ----------
    network : Network
        Its weights are trained in place.
    loss : Loss
        Loss that training lowers.
    examples : Examples
        Bags, targets and weights.
    batch_size : int
        Number of bags per step.
    drawing : Drawing, optional
        Classes to draw in each step; without, steps use all classes.
    """

    def __init__(
        self,
        network: Network,
        loss: Loss,
        examples: Examples,
        batch_size: int,
        drawing: Drawing | None = None,
    ) -> None:
        batch_size = min(batch_size, examples.num_bags)
        self._loss, self._examples, self._batch_size = loss, examples, batch_size
        lookups, most = _lookups(examples, batch_size)
        most_labels = _most_labels(examples.targets, batch_size)
        self._factors = network.factors
        outputs = [len(weight) for weight in network.weights]
        outputs[-1] = most_used(outputs[-1], drawing, most_labels)
        sizes = [most, *outputs]
        weights = [network.table, *network.weights]
        self._table, *self._layers = (
            PlannedSteps(optimizer, weight, size)
            for optimizer, weight, size in zip(network.optimizers, weights, sizes, strict=True)
        )
        self._buffers = [
            _layer_buffers(weight.shape[1] - 1, count, batch_size)
            for weight, count in zip(network.weights, outputs, strict=True)
        ]
        self._in_memory = _arrays(examples) if isinstance(examples.bags, Bags) else None
        self._most_steps = sys.maxsize  # of one call
        if self._in_memory is None:
            self._most_steps = max(1, examples.bags_at_once() // batch_size)
        self._threads = _threads(network, outputs, lookups // max(examples.num_bags, 1), batch_size)
        num_batches = min(_BLOCK_BATCHES, -(-examples.num_bags // batch_size))
        room = max(most, min(_BLOCK_LOOKUPS, lookups))
        self._block = _block(room, num_batches)
        self._plan = (
            aligned_zeros((self._threads, len(network.table)), np.dtype(np.int32)),
            np.ones(self._threads, np.int64),
            np.empty(num_batches * batch_size * examples.groups, np.int64),
            np.empty(num_batches * batch_size * examples.groups + 1, np.int64),
            np.empty(num_batches, np.int64),
        )
        self._negatives = None
        if drawing is not None:
            head = network.weights[-1]
            shape = Shape(
                *(examples.num_bags, batch_size, most_labels, head.shape[1]),
                *(num_batches, self._threads),
            )
            counts = np.bincount(examples.targets.indices, minlength=len(head))
            self._negatives = Negatives(drawing, counts, shape)
        dim = network.table.shape[1]
        widest = max(4 * max(layer.shape[1] for layer in network.weights), dim)
        self._work = _for_threads(self._threads, widest)
        self._grad = aligned_empty((batch_size, dim * examples.groups), _FLOAT32)
        self._length = CallLength()
        self._turns = Turns(self._threads)

    def make_pass(
        self, order: npt.NDArray[np.integer[Any]], advance: Callable[[int], object] | None
    ) -> float:
        """Take a step for each batch of the bags in this order.

        Return the sum of the losses, each taken before the step of its batch: that of the sums of
        parts of a pass, which do not depend on the time of calls.
        """
        size = -(-_EXAMPLES_OF_PART // self._batch_size) * self._batch_size
        firsts = range(0, len(order), size)
        return sum(self._make_part(order[first : first + size], advance) for first in firsts)

    def _make_part(
        self, order: npt.NDArray[np.integer[Any]], advance: Callable[[int], object] | None
    ) -> float:
        losses, weights = np.empty(len(order)), self._examples.weights
        done = 0
        while done < len(order):
            count = self._length.steps(len(order) - done, self._batch_size)
            count = min(count, self._most_steps)
            stop = min(done + count * self._batch_size, len(order))
            started = time.perf_counter()
            is_busy = self._take(losses[done:stop], order[done:stop], count)
            seconds = max(time.perf_counter() - started, 1e-6)
            self._turns.note(is_busy, seconds)
            self._length.note(count, seconds)
            if advance is not None:
                advance(stop - done)
            done = stop
        return float(losses.sum() if weights is None else (losses * weights[order]).sum())

    def _take(self, losses: np.ndarray, order: npt.NDArray[np.integer[Any]], count: int) -> bool:
        """Take `count` steps; if one of them cannot be taken, raise after those before it.

        Return whether threads have lost time.
        """
        every = [self._table, *self._layers]
        plans, errors = zip(*(steps.plan(count) for steps in every), strict=True)
        count = min(map(len, plans))
        plans = [plan[:count] for plan in plans]
        for steps, plan in zip(every, plans, strict=True):
            steps.take(plan)  # first, as Ctrl-C during the call takes effect after it
        is_busy = False
        if count:
            is_busy = self._call(losses, order[: count * self._batch_size], plans)
        for error in errors:
            if error is not None:
                raise error
        return is_busy

    def _call(self, losses: np.ndarray, order: npt.NDArray[np.integer[Any]], plans: Any) -> bool:
        of_table, *of_layers = plans
        layers = tuple(
            (steps.arrays(plan), buffers)
            for steps, plan, buffers in zip(self._layers, of_layers, self._buffers, strict=True)
        )
        if self._in_memory is not None:
            bags, targets = self._in_memory
        else:
            bags, targets = _arrays(self._examples.made(order))
            order = np.arange(len(order))
        negatives = ALL_CLASSES
        if self._negatives is not None:
            negatives = self._negatives.arrays(len(of_table))
        is_busy: bool = kernels.train_batches(
            (losses, self._grad, self._work),
            (*bags, order.astype(np.intp, copy=False)),
            targets,
            self._block,
            self._plan,
            *negatives,
            layers,
            self._table.arrays(of_table),
            self._batch_size,
            _NORMS[self._examples.mode.norm],
            self._loss.code,
            self._loss.epsilon,
            self._examples.groups,
            self._factors,
            self._turns.threads,
        )
        return is_busy


class CallLength:
    """The number of steps of the next call, which shall take a certain time."""

    def __init__(self) -> None:
        self._steps: int | None = None

    def steps(self, left: int, batch_size: int) -> int:
        """Return the number of steps of the next call, if so many examples are left."""
        first = max(1, min(_FIRST_STEPS, _FIRST_EXAMPLES // batch_size))
        return min(self._steps or first, -(-left // batch_size))

    def note(self, count: int, seconds: float) -> None:
        """Note that a call of `count` steps has taken a time."""
        self._steps = max(1, min(2 * count, int(count * _CALL_SECONDS / seconds)))


class Turns:
    """The number of threads of the next call: one for a while where processors are busy.

    There a thread that has taken a part of the work may not run for milliseconds, and the others
    wait for it. After a call where that happened, one thread makes the next calls, for many times
    the time that may have been lost.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._seconds_alone = 1e-9  # of calls that one thread still makes: of the first one

    @property
    def threads(self) -> int:
        """Number of threads of the next call."""
        return 1 if self._seconds_alone > 0 else self._threads

    def note(self, is_busy: bool, seconds: float) -> None:
        """Note the time of a call, and whether its threads have lost some of it."""
        self._seconds_alone = REST * seconds if is_busy else self._seconds_alone - seconds


def lookups_of_batch(lengths: npt.NDArray[Any], batch_size: int) -> int:
    """Return the largest number of lookups that a batch of bags of these lengths may have."""
    longest = lengths[:batch_size]
    at_once = max(_LENGTHS_AT_ONCE, batch_size)
    for first in range(batch_size, len(lengths), at_once):  # a copy of all would be at the peak
        others = np.concatenate([longest, lengths[first : first + at_once]])
        longest = np.partition(others, -batch_size)[-batch_size:]
    return max(int(longest.sum(dtype=np.int64)), 1)


def _lookups(examples: Examples, batch_size: int) -> tuple[int, int]:
    """Return numbers of lookups that all bags, and those of a batch, do not exceed."""
    lengths = examples.most_lookups()
    return int(lengths.sum(dtype=np.int64)), lookups_of_batch(lengths, batch_size)


def _most_labels(targets: Any, batch_size: int) -> int:
    """Return the largest number of labels that a batch may have; 0 for numbers."""
    return (
        lookups_of_batch(np.diff(targets.indptr), batch_size) if hasattr(targets, "indptr") else 0
    )


def _layer_buffers(inputs: int, outputs: int, batch_size: int) -> Arrays:
    """Return arrays for the inputs of a layer, the same in strips, and its outputs in strips."""
    strips = -(-batch_size // _STRIP)
    return (
        aligned_empty((batch_size, inputs), _FLOAT32),
        aligned_empty((strips * inputs, _STRIP), _FLOAT32),
        aligned_empty((strips * outputs, _STRIP), _FLOAT32),
    )


def _block(room: int, num_batches: int) -> Arrays:
    """Return arrays for the lookups of a block of batches."""
    types = np.int64, np.float32, np.int32, np.int64, np.int64, np.int32, np.float32
    sizes = [room] * len(types)
    sizes[4] += num_batches
    return tuple(
        aligned_empty((size,), np.dtype(dtype)) for size, dtype in zip(sizes, types, strict=True)
    )


def _for_threads(threads: int, count: int) -> np.ndarray:
    """Return rows of `count` numbers, one for each thread, on cache lines of their own."""
    columns = -(-count // 32) * 32 + 32
    return aligned_empty((threads, columns), _FLOAT32)[:, :count]


def _arrays(examples: Examples) -> tuple[Bags, Arrays]:
    """Return bags in memory, and the targets and weights as the kernel takes them."""
    bags, targets = cast(Bags, examples.bags), examples.targets
    weights = _ALL_ONE if examples.weights is None else examples.weights
    if hasattr(targets, "indptr"):
        classes = targets.indices.astype(targets.indptr.dtype, copy=False)
        return bags, (targets.indptr, classes, _NO_NUMBERS, weights)
    return bags, (_NO_CLASSES, _NO_CLASSES, targets, weights)


def _threads(network: Network, outputs: list[int], lookups: int, batch_size: int) -> int:
    """Return the number of threads that share a batch of bags of so many lookups each."""
    work = lookups * batch_size * network.table.shape[1]
    layers = zip(network.weights, outputs, strict=True)
    work += batch_size * sum(count * layer.shape[1] for layer, count in layers)
    # The calls that take many steps take turns of their own.
    return thread_count(network.num_threads, CHEAPER * work, takes_turns=False)
