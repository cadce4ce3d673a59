"""`PairSteps` trains towers on pairs of users and items: arrays and numbers for the kernel."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx._core.bags import Bags
from ebagx._core.levels import kernels
from ebagx._core.memory import aligned_empty, aligned_zeros
from ebagx._core.threads import thread_count
from ebagx._kernels.training_reference import log
from ebagx._training.pair_draws import DrawnItems
from ebagx._training.pair_parts import SharedRows, frequencies
from ebagx._training.pairs import PairBags, Positives, Towers
from ebagx._training.steps import CallLength, Turns, lookups_of_batch
from ebagx.optim.planning import PlannedSteps

LOSSES = {"warp": 0, "bpr": 1, "logistic": 2, "softmax": 3}
_NORMS = {None: 0, "l1": 1, "l2": 2}
_MOST_LOSS = 10.0  # largest factor of a pair in WARP
_BPR_DRAWS = 8
# A call that lasts longer takes no further step, so that Ctrl-C takes effect. It gets the steps of
# half of that time, but other processes may need the processors.
_MOST_NANOSECONDS = 200_000_000
_STRIP = 16  # drawn items whose vectors lie side by side
# A pair takes more time than its additions, and threads that go on from batch to batch share
# smaller batches than those that begin with each call.
_CHEAPER = 4
_PER_PAIR = 6  # rows of additions beside those of lookups: draws, derivatives and gradients
_MOST_ROOM = 1 << 25  # lookups for which threads together have arrays, of 44 bytes each

_FLOAT32 = np.dtype(np.float32)


class Sampling(NamedTuple):
    """The items with which a pair's own item is compared."""

    loss: str
    max_sampled: int
    seed: int
    candidates: npt.NDArray[np.int32]  # items that WARP and softmax draw; empty: all
    negatives: int = 0  # items that softmax draws for a batch

    def ranks(self, num_items: int) -> npt.NDArray[np.float32]:
        """Return the factor of a pair's loss for each number of draws, counted from 1."""
        if self.loss != "warp":
            return np.ones(_BPR_DRAWS, np.float32)
        draws = np.arange(1, self.max_sampled + 1)
        ranks = np.maximum((num_items - 1) // draws, 1).astype(np.float32)
        factors: npt.NDArray[np.float32] = np.minimum(log(ranks), np.float32(_MOST_LOSS))
        return factors


class PairSteps:
    """The steps of a training, many of which one call of the kernel ``train_pairs`` takes.

    Parameters
    ----------
    towers : Towers
        Their tables are trained in place.
    positives : Positives
        Positives.
    bags : PairBags
        Bags of users and items.
    sampling : Sampling
        Loss and draws.
    batch_size : int
        Number of pairs per step.
    """

    def __init__(
        self,
        towers: Towers,
        positives: Positives,
        bags: PairBags,
        sampling: Sampling,
        batch_size: int,
    ) -> None:
        batch_size = min(batch_size, positives.num_entries)
        self._positives, self._bags, self._sampling = positives, bags, sampling
        self._batch_size, self._done = batch_size, 0
        user_table, item_table = towers.tables
        dim, num_items = user_table.shape[1], self._num_items(towers)
        num_drawn = sampling.negatives if sampling.loss == "softmax" else 0
        user_room, item_room = _rooms(bags, batch_size, num_drawn)
        self._tables = [
            PlannedSteps(optimizer, table, room)
            for optimizer, table, room in zip(
                towers.optimizers, towers.tables, (user_room, item_room), strict=True
            )
        ]
        num_rows = len(user_table), len(item_table)
        of_rows = frequencies(bags, positives, num_rows, (batch_size, num_drawn or batch_size))
        additions = batch_size * (_PER_PAIR + 3 * num_drawn) + sum(map(np.sum, of_rows))
        # The calls that take many steps take turns of their own.
        threads = thread_count(
            towers.num_threads, int(_CHEAPER * dim * additions), takes_turns=False
        )
        threads = min(threads, max(_MOST_ROOM // (user_room + item_room), 1))
        self._buffers = _buffers(batch_size, dim, threads, num_drawn)
        self._items = _items(bags.items, num_items, batch_size, dim, num_drawn)
        counts = np.bincount(positives.items, minlength=num_items)
        self._drawn = DrawnItems(num_drawn, counts, sampling.candidates, sampling.seed)
        self._rows = [
            SharedRows(table, room, counts, threads, optimizer.clip_norm is not None)
            for optimizer, table, room, counts in zip(
                towers.optimizers, towers.tables, (user_room, item_room), of_rows, strict=True
            )
        ]
        most_parts = max(rows.num_parts for rows in self._rows)
        self._splits = np.empty((batch_size, most_parts + 1), np.int64)
        self._ranks = sampling.ranks(len(sampling.candidates) or num_items)
        self._refresh = max(1, num_items // batch_size)
        self._turns, self._length = Turns(threads), CallLength()

    def _num_items(self, towers: Towers) -> int:
        items = self._bags.items
        return len(towers.tables[1]) if items is None else items.num_bags

    def make_pass(
        self, order: npt.NDArray[np.integer[Any]], advance: Callable[[int], object] | None
    ) -> float:
        """Take a step for each batch of the entries in this order.

        Return the sum of the losses, each taken before the step of its batch.
        """
        losses = np.empty(len(order))
        done = 0
        while done < len(order):
            count = self._length.steps(len(order) - done, self._batch_size)
            stop = min(done + count * self._batch_size, len(order))
            started = time.perf_counter()
            taken, is_busy = self._take(losses[done:stop], order[done:stop], count, done)
            seconds = max(time.perf_counter() - started, 1e-6)
            self._turns.note(is_busy, seconds)
            self._length.note(taken, seconds)
            stop = min(done + taken * self._batch_size, len(order))
            if advance is not None:
                advance(stop - done)
            done = stop
        return float(losses.sum())

    def _take(
        self, losses: npt.NDArray[Any], order: npt.NDArray[np.integer[Any]], count: int, done: int
    ) -> tuple[int, bool]:
        """Take up to `count` steps; if one of them cannot be taken, raise after those before it.

        Return how many have been taken, less than all if they lasted long, and whether threads
        have lost time.
        """
        plans, errors = zip(*(steps.plan(count) for steps in self._tables), strict=True)
        count = min(map(len, plans))
        plans = [plan[:count] for plan in plans]
        taken, is_busy = np.zeros(1, np.int64), False
        if count:
            order = sorted_in_batches(order[: count * self._batch_size], self._batch_size)
            try:
                first = done // self._batch_size
                is_busy = self._call(losses[: len(order)], taken, order, plans, first)
            finally:  # Ctrl-C during the call takes effect after it
                self._note(int(taken[0]), plans, len(order))
        if taken[0] == count:
            for error in errors:
                if error is not None:
                    raise error
        return int(taken[0]), is_busy

    def _note(self, taken: int, plans: list[npt.NDArray[Any]], num_pairs: int) -> None:
        """Note that so many of some steps have been taken."""
        for steps, plan in zip(self._tables, plans, strict=True):
            steps.take(plan[:taken])
        self._drawn.use(taken)
        self._done += min(taken * self._batch_size, num_pairs)

    def _call(
        self,
        losses: npt.NDArray[Any],
        taken: npt.NDArray[np.int64],
        order: npt.NDArray[np.integer[Any]],
        plans: Any,
        first_batch: int,
    ) -> bool:
        users, items = self._bags.users, self._bags.items
        threads = self._turns.threads
        no_bags = users.indices[:0], users.offsets[:0], users.weights[:0]
        is_busy: bool = kernels.train_pairs(
            (losses, *self._buffers),
            taken,
            (order.astype(np.intp, copy=False), *self._positives),
            (*users, self._bags.totals, self._splits),
            no_bags if items is None else tuple(items),
            self._items,
            (self._ranks, self._sampling.candidates, *self._drawn.arrays(len(plans[0]))),
            *self._rows[0].arrays(threads),
            *self._rows[1].arrays(threads),
            self._tables[0].arrays(plans[0]),
            self._tables[1].arrays(plans[1]),
            self._batch_size,
            _NORMS[self._bags.norm],
            LOSSES[self._sampling.loss],
            self._sampling.seed,
            self._done,
            first_batch,
            self._refresh,
            _MOST_NANOSECONDS,
            threads,
        )
        return is_busy


def sorted_in_batches(
    order: npt.NDArray[np.integer[Any]], batch_size: int
) -> npt.NDArray[np.integer[Any]]:
    """Return the order with the entries of each batch sorted: so those of a user are neighbours."""
    whole = len(order) // batch_size * batch_size
    batches = np.sort(order[:whole].reshape(-1, batch_size), axis=1)
    return np.concatenate([batches.ravel(), np.sort(order[whole:])])


def _rooms(bags: PairBags, batch_size: int, num_drawn: int) -> tuple[int, int]:
    """Return how many lookups of users, and of items, a batch may have."""
    users = lookups_of_batch(np.diff(bags.users.offsets), batch_size) + batch_size
    per_item = 1 if bags.items is None else int(np.diff(bags.items.offsets).max())
    others = num_drawn or batch_size
    return users, max((batch_size + others) * per_item, 1)


def _buffers(
    batch_size: int, dim: int, threads: int, num_drawn: int
) -> tuple[npt.NDArray[Any], ...]:
    columns = -(-dim // 32) * 32 + 64  # rows of threads have cache lines of their own
    return (
        aligned_empty((batch_size, dim), _FLOAT32),
        aligned_empty((batch_size + num_drawn, dim + 1), _FLOAT32),
        aligned_empty((2 * batch_size, dim), _FLOAT32),
        aligned_empty((batch_size, 1 + (num_drawn or 1)), _FLOAT32),
        np.empty((batch_size, 1), np.int32),
        np.empty(batch_size, np.float32),
        np.empty(batch_size + 1, np.int64),
        aligned_empty((threads, columns), _FLOAT32)[:, : dim + 1],
    )


def _items(
    items: Bags | None, num_items: int, batch_size: int, dim: int, num_drawn: int
) -> tuple[npt.NDArray[Any], ...]:
    """Return arrays for vectors of items; the first is of those among which pairs search."""
    searched = num_drawn or (0 if items is None else num_items)
    own_and_others = 0 if items is None else 2 * batch_size
    return (
        aligned_empty((searched, dim + 1), _FLOAT32),
        aligned_empty((own_and_others, dim + 1), _FLOAT32),
        aligned_zeros((batch_size + 1, num_drawn + 1 if num_drawn else 0), _FLOAT32),
        aligned_empty((-(-num_drawn // _STRIP) * (dim + 1), _STRIP), _FLOAT32),
        aligned_zeros((num_items if num_drawn else 0,), np.dtype(np.int32)),
        np.zeros(1 + num_drawn, np.int32),
    )
