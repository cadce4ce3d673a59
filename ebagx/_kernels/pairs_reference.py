"""The NumPy twin of the kernel `train_pairs`: passes over pairs of a user and an item.

All sums run in the order of the compiled kernel. Axis letters: b pair of a batch, r user of a batch
(a run of pairs), m item that is compared with the pair's own, d column, k lookup, u touched row.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ebagx._kernels import reference
from ebagx._kernels.draw_reference import random_bits
from ebagx._kernels.lookups_reference import NO_NORM, NORM_L1, touched_rows
from ebagx._kernels.pair_losses_reference import (
    logits_of_drawn,
    scores,
    softmax,
    softplus,
)
from ebagx._kernels.training_reference import _take_step

WARP, BPR, LOGISTIC, SAMPLED_SOFTMAX = range(4)
LEAST_REST = 1e-12  # part of a norm that is nothing but rounding errors

# Rows of a table, places of vectors, and the scales of these in the rows' gradients.
_Lookups = tuple[np.ndarray, np.ndarray, np.ndarray]

_f = np.float32


class _Data(NamedTuple):
    """The stored entries of the positives: users, items, and their weights."""

    order: np.ndarray
    users: np.ndarray
    offsets: np.ndarray
    items: np.ndarray
    values: np.ndarray
    strengths: np.ndarray

    def are_positives(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return which pairs of a user and an item are stored."""
        width = int(max(self.items.max(), items.max())) + 1
        known = self.users.astype(np.int64) * width + self.items
        asked = users.astype(np.int64) * width + items
        places = np.minimum(np.searchsorted(known, asked), len(known) - 1)
        found: np.ndarray = (known[places] == asked) & (items >= 0)
        return found


class _Bags(NamedTuple):
    indices: np.ndarray
    offsets: np.ndarray
    weights: np.ndarray

    def take(self, bags: np.ndarray) -> "_Bags":
        """Return some of the bags."""
        parts = [np.arange(self.offsets[b], self.offsets[b + 1]) for b in bags]
        lookups = np.concatenate([np.empty(0, np.int64), *parts])
        ends = np.cumsum([0, *map(len, parts)])
        return _Bags(self.indices[lookups].astype(np.int64), ends, self.weights[lookups])

    def pooled(self, table: np.ndarray) -> np.ndarray:
        """Return the weighted sums of all bags."""
        out = np.empty((len(self.offsets) - 1, table.shape[1]), _f)
        reference.pool(out, table, self.indices, self.offsets, self.weights, reference.SUM, 1)
        return out


def _divisors(totals: np.ndarray, weights: np.ndarray, counts: np.ndarray, norm: int) -> np.ndarray:
    """Return the norms of bags without one of their lookups; 0 where nothing is left."""
    if norm == NO_NORM:
        return (counts > 1).astype(_f)
    own = weights.astype(np.float64)
    rest = totals - (own if norm == NORM_L1 else own * own)
    rest = np.where((counts > 1) & (rest > totals * LEAST_REST), rest, 0.0)
    return (rest if norm == NORM_L1 else np.sqrt(rest)).astype(_f)


class _Forward(NamedTuple):
    """Results of the pairs of a batch: vectors of users and items, and the loss's derivatives."""

    vectors: np.ndarray  # (B, D + 1), or (B + K, D + 1) with the gradients of drawn items
    divisors: np.ndarray  # (B,)
    items: np.ndarray  # (B, 1 + M): the own one, then those compared with it; -1 is none
    rows: np.ndarray  # (B, 1 + M, D + 1): their vectors
    coefficients: np.ndarray  # (B, 1 + M)


class _Call(NamedTuple):
    """The arguments of `train_pairs` that all batches share."""

    data: _Data
    user_bags: _Bags
    totals: np.ndarray
    item_bags: _Bags
    catalogue: np.ndarray
    ranks: np.ndarray
    candidates: np.ndarray
    drawn: np.ndarray
    shifts: np.ndarray
    user_table: Sequence[np.ndarray]
    item_table: Sequence[np.ndarray]
    norm: int
    loss: int
    seed: int
    first_number: int
    batch_size: int

    def item_vectors(self, items: np.ndarray) -> np.ndarray:
        """Return the vectors (n, D + 1) of some items, from the tables as they are."""
        if not len(self.item_bags.offsets):
            rows: np.ndarray = self.item_table[0][items]
            return rows
        return self.item_bags.take(items).pooled(self.item_table[0])

    def searched(self) -> np.ndarray:
        """Return the vectors (I, D + 1) in which draws are rated."""
        return self.catalogue if len(self.catalogue) else self.item_table[0]


def _drawn(call: _Call, first: int, count: int) -> np.ndarray:
    """Return the items (count, attempts) that pairs draw one after the other."""
    most = len(call.ranks)
    numbers = call.first_number + first + np.arange(count)
    numbers = numbers[:, np.newaxis] * most + np.arange(most)
    source = call.data.items
    if call.loss == WARP:
        source = call.candidates
    count = len(source) or len(call.searched())
    places = ((random_bits(call.seed, numbers) >> np.uint64(32)) * np.uint64(count)) >> np.uint64(
        32
    )
    places = places.astype(np.int64)
    return source[places].astype(np.int64) if len(source) else places


def _first_found(is_right: np.ndarray) -> np.ndarray:
    """Return the first true column of each row, or -1."""
    return np.where(is_right.any(axis=1), is_right.argmax(axis=1), -1)


def _negatives(
    call: _Call, users: np.ndarray, vectors: np.ndarray, own_scores: np.ndarray, first: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each pair an item to compare with, or -1, and the number of draws before it."""
    drawn = _drawn(call, first, len(users))
    is_right = ~call.data.are_positives(np.repeat(users[:, np.newaxis], drawn.shape[1], 1), drawn)
    if call.loss == WARP:
        rated = scores(vectors[:, np.newaxis], call.searched()[drawn])
        is_right &= rated > (own_scores - _f(1))[:, np.newaxis]
    attempts = _first_found(is_right)
    return np.where(attempts < 0, -1, drawn[np.arange(len(users)), attempts]), attempts


def _differentiate(
    call: _Call, own: np.ndarray, other: np.ndarray, attempts: np.ndarray, strengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return losses (B,) and coefficients (B, 2) from scores of own and other items."""
    found = attempts >= 0
    if call.loss == LOGISTIC:
        own_losses, own_slopes = softplus(-own)
        other_losses, other_slopes = softplus(other)
        losses = np.where(found, own_losses + other_losses, own_losses)
        slopes = np.stack([-own_slopes, np.where(found, other_slopes, _f(0))], axis=1)
        return strengths * losses, strengths[:, np.newaxis] * slopes
    if call.loss == WARP:
        factors = strengths * call.ranks[attempts]
        margins = (_f(1) - own) + other
        found &= margins > 0
        losses = factors * margins
    else:
        losses, slopes = softplus(other - own)
        losses, factors = strengths * losses, strengths * slopes
    factors = np.where(found, factors, _f(0))
    return np.where(found, losses, _f(0)), np.stack([-factors, factors], axis=1)


def _compare_with_drawn(
    call: _Call, vectors: np.ndarray, entries: np.ndarray, own: np.ndarray, first: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return losses (B,) and coefficients (B, 1 + K) with the items drawn for a batch."""
    drawn = call.drawn[first // call.batch_size].astype(np.int64)
    own_items = call.data.items[entries]
    logits = np.empty((len(entries), 1 + len(drawn)), _f)
    logits[:, 0] = own - call.shifts[own_items]
    users = np.repeat(call.data.users[entries][:, np.newaxis], len(drawn), 1)
    is_had = call.data.are_positives(users, np.broadcast_to(drawn, users.shape))
    shifts = np.where(is_had, _f(np.inf), call.shifts[drawn])
    logits[:, 1:] = logits_of_drawn(vectors, call.catalogue, shifts)
    return softmax(logits, call.data.strengths[entries])


def _with_sums(vectors: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Return vectors, and behind them their sums with the coefficients of each drawn item."""
    sums = np.zeros((coefficients.shape[1] - 1, vectors.shape[1]), _f)
    for vector, of_pair in zip(vectors, coefficients[:, 1:, np.newaxis], strict=True):
        sums += of_pair * vector
    return np.concatenate([vectors, sums])


def _user_vectors(
    call: _Call, entries: np.ndarray, users: np.ndarray, run_of_pair: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors (B, D + 1) of the pairs' users, and the norms that divide them."""
    table = call.user_table[0]
    bags = call.user_bags.take(users)
    pooled = bags.pooled(table)[run_of_pair]
    vectors = np.ones((len(entries), pooled.shape[1] + 1), _f)
    if not len(call.totals):
        vectors[:, :-1] = pooled
        return vectors, np.ones(len(entries), _f)
    weights, counts = call.data.values[entries], np.diff(bags.offsets)[run_of_pair]
    divisors = _divisors(call.totals[users[run_of_pair]], weights, counts, call.norm)
    rest = pooled - weights[:, np.newaxis] * table[call.data.items[entries]]
    is_left = divisors[:, np.newaxis] > 0
    vectors[:, :-1] = np.where(is_left, rest / np.where(is_left, divisors[:, np.newaxis], 1), 0)
    return vectors, divisors


def _forward(
    call: _Call, entries: np.ndarray, users: np.ndarray, run_of_pair: np.ndarray, first: int
) -> tuple[_Forward, np.ndarray]:
    vectors, divisors = _user_vectors(call, entries, users, run_of_pair)
    own_items = call.data.items[entries].astype(np.int64)
    own_rows = call.item_vectors(own_items)
    own = scores(vectors, own_rows)
    if call.loss == SAMPLED_SOFTMAX:
        losses, coefficients = _compare_with_drawn(call, vectors, entries, own, first)
        shape = len(entries), *call.catalogue.shape
        rows = np.concatenate(
            [own_rows[:, np.newaxis], np.broadcast_to(call.catalogue, shape)], axis=1
        )
        return _Forward(
            _with_sums(vectors, coefficients),
            divisors,
            own_items[:, np.newaxis],
            rows,
            coefficients,
        ), losses
    others, attempts = _negatives(call, users[run_of_pair], vectors, own, first)
    other_rows = call.item_vectors(np.maximum(others, 0))
    losses, coefficients = _differentiate(
        call, own, scores(vectors, other_rows), attempts, call.data.strengths[entries]
    )
    items, rows = np.stack([own_items, others], 1), np.stack([own_rows, other_rows], 1)
    return _Forward(vectors, divisors, items, rows, coefficients), losses


def _item_lookups(call: _Call, batch: _Forward, step: int) -> _Lookups:
    """Return the lookups of items whose coefficient is not 0; places are rows of `vectors`."""
    pairs, columns = np.nonzero(batch.coefficients[:, : batch.items.shape[1]])
    coefficients = batch.coefficients[pairs, columns]
    items = batch.items[pairs, columns]
    if call.loss == SAMPLED_SOFTMAX:
        drawn = call.drawn[step].astype(np.int64)
        items = np.concatenate([items, drawn])
        pairs = np.concatenate([pairs, len(batch.items) + np.arange(len(drawn))])
        coefficients = np.concatenate([coefficients, np.ones(len(drawn), _f)])
    if not len(call.item_bags.offsets):
        return items, pairs, coefficients
    bags = call.item_bags.take(items)
    lengths = np.diff(bags.offsets)
    return bags.indices, np.repeat(pairs, lengths), bags.weights * np.repeat(coefficients, lengths)


def _user_gradients(call: _Call, batch: _Forward) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients (B, D) of pooled users, and which pairs have one."""
    gradients = batch.coefficients[:, :1] * batch.rows[:, 0, :-1]
    for m in range(1, batch.rows.shape[1]):
        other = batch.coefficients[:, m : m + 1]
        is_added = (other != 0) | (call.loss == SAMPLED_SOFTMAX)
        gradients = np.where(is_added, gradients + other * batch.rows[:, m, :-1], gradients)
    is_active = (batch.coefficients != 0).any(axis=1) & (batch.divisors > 0)
    return gradients / np.where(batch.divisors > 0, batch.divisors, _f(1))[:, np.newaxis], is_active


def _user_lookups(
    call: _Call, batch: _Forward, entries: np.ndarray, users: np.ndarray, run_of_pair: np.ndarray
) -> tuple[_Lookups, np.ndarray]:
    """Return the lookups of users, and the gradients at their places."""
    gradients, is_active = _user_gradients(call, batch)
    count = len(entries)
    sums = np.zeros((len(users), gradients.shape[1]), _f)
    rows: list[Any] = []
    for r, user in enumerate(users):
        pairs = np.flatnonzero((run_of_pair == r) & is_active)
        if not len(pairs):
            continue
        sums[r] = np.add.accumulate(gradients[pairs], axis=0)[-1]
        bag = call.user_bags.take(np.array([user]))
        rows.append((bag.indices, np.full(len(bag.indices), count + r), bag.weights))
        if len(call.totals):
            rows.append((call.data.items[entries[pairs]], pairs, -call.data.values[entries[pairs]]))
    nothing = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, _f)
    indices, places, scales = map(np.concatenate, zip(nothing, *rows, strict=True))
    return (indices, places, scales), np.concatenate([gradients, sums])


def _step(
    table: Sequence[np.ndarray],
    lookups: _Lookups,
    vectors: np.ndarray,
    step: int,
) -> None:
    """Take the step of a table, whose gradient is the sum of scaled vectors of each row."""
    indices, places, scales = lookups
    if not len(indices):
        return
    rows, numbers = touched_rows(indices)
    gradient = np.zeros((len(rows), vectors.shape[1]), _f)
    np.add.at(gradient, numbers, scales[:, np.newaxis] * vectors[places])
    _take_step(table, rows, gradient, step)


def train_pairs(
    buffers: Sequence[np.ndarray],
    taken: np.ndarray,
    positives: Sequence[np.ndarray],
    user_bags: Sequence[np.ndarray],
    item_bags: Sequence[np.ndarray],
    items: Sequence[np.ndarray],
    sampling: Sequence[np.ndarray],
    user_lookups: Sequence[np.ndarray],
    user_parts: Sequence[np.ndarray],
    item_lookups: Sequence[np.ndarray],
    item_parts: Sequence[np.ndarray],
    user_table: Sequence[np.ndarray],
    item_table: Sequence[np.ndarray],
    batch_size: int,
    norm: int,
    loss: int,
    seed: int,
    first_number: int,
    first_batch: int,
    batches_per_refresh: int,
    most_nanoseconds: int,
    num_threads: int,
) -> bool:
    """Take a step for each batch of pairs, and write the loss of each pair before its step.

    It takes all steps, however long they last. Return whether other processes needed the
    processors, so that one thread is faster: never.
    """
    losses, data = buffers[0], _Data(*positives)
    call = _Call(
        data=data,
        user_bags=_Bags(*user_bags[:3]),
        totals=user_bags[3],
        item_bags=_Bags(*item_bags),
        catalogue=items[0],
        ranks=sampling[0],
        candidates=sampling[1],
        drawn=sampling[2],
        shifts=sampling[3],
        user_table=user_table,
        item_table=item_table,
        norm=norm,
        loss=loss,
        seed=seed,
        first_number=first_number,
        batch_size=batch_size,
    )
    with np.errstate(all="ignore"):
        for step, first in enumerate(range(0, len(data.order), batch_size)):
            if loss == SAMPLED_SOFTMAX:
                call.catalogue[...] = call.item_vectors(call.drawn[step].astype(np.int64))
            elif len(call.catalogue) and (first_batch + step) % batches_per_refresh == 0:
                call.catalogue[...] = call.item_bags.pooled(item_table[0])
            entries = data.order[first : first + batch_size]
            users, run_of_pair = np.unique(data.users[entries], return_inverse=True)
            batch, of_pairs = _forward(call, entries, users, run_of_pair.ravel(), first)
            losses[first : first + len(entries)] = of_pairs
            of_users, gradients = _user_lookups(call, batch, entries, users, run_of_pair.ravel())
            of_items = _item_lookups(call, batch, step)
            _step(user_table, of_users, gradients, step)
            _step(item_table, of_items, batch.vectors, step)
            taken[0] = step + 1
    return False
