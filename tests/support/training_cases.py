"""Calls of the kernel `train_batches`, and what it makes of their arrays."""

import copy
import math
from itertools import pairwise

import numpy as np

from ebagx._kernels import lookups_reference, training_reference
from ebagx.optim.rules import RULES
from support import kernel_cases as cases

N, B = 40, 37
NUMBERS = {"squared": 2, "huber": 3, "poisson": 4}
LOSSES = {"softmax": 0, "sigmoid": 1, **NUMBERS}
NO_LIMITS = (math.inf, math.inf, math.inf)
F = np.float32


def trained(rng, shape, rule, limits, decay, num_steps):
    """Weights with the state of an optimizer and a plan of steps, as the kernel takes them."""
    rule = RULES[rule]
    weights = (rng.standard_normal(shape) / 4).astype(F)
    states = [rng.random(rule.state_shape(shape)).astype(F) for _ in rule.states]
    first, second, *_ = *states, np.empty((0, 0), F), np.empty((0, 0), F)
    plan = np.zeros((num_steps, 8))
    plan[:, :5] = (0.1, 0.0, 0.1, 0.01, 1e-8)
    plan[:, 0] -= np.arange(num_steps) / 100
    plan[:, 7] = 1
    seen = np.empty(0)
    if decay:
        seen = np.zeros(shape[0])
        totals = np.cumsum([-0.2, *np.full(num_steps, math.log(0.9))])
        plan[:, 5], plan[:, 6] = totals[:-1], totals[1:]
        plan[:, 1 if decay == "l2" else 7] = 0.05 if decay == "l2" else 0.9
    kept = 500 if limits[2] != math.inf else 0
    options = np.array([rule.code, *limits])
    return (
        *(weights, first, second, seen, plan, options),
        *(np.empty((kept, shape[1]), F), np.empty(kept)),
    )


def make_targets(rng, loss, num_outputs, index_dtype):
    none = np.empty(0, index_dtype)
    if loss in NUMBERS:
        numbers = (
            rng.poisson(2, (B, num_outputs))
            if loss == "poisson"
            else rng.normal(size=(B, num_outputs))
        )
        return none, none, numbers.astype(F)
    lengths = np.ones(B, int) if loss == "softmax" else rng.integers(0, num_outputs, B)
    classes = [rng.choice(num_outputs, length, replace=False) for length in lengths]
    offsets = np.cumsum([0, *lengths]).astype(index_dtype)
    return offsets, np.concatenate(classes).astype(index_dtype), np.empty((0, 0), F)


def make_negatives(rng, targets, dims, batch_size, num_steps, drawn, num_threads):
    """Classes drawn for each step, their weights, and room for the chosen classes of a block."""
    num_classes = dims[-1]
    labels = batch_size * max(1, int(np.diff(targets[0]).max(initial=1)))
    most = min(num_classes, labels + drawn)
    negatives = (
        rng.integers(0, num_classes, (num_steps if drawn else 0, drawn)).astype(np.int32),
        (1 + 3 * rng.random(num_classes)).astype(F),
        np.zeros((num_threads, num_classes), np.int32),
        np.ones(num_threads, np.int64),
    )
    chosen = (
        *(np.empty((9, most), np.int32), np.empty(9, np.int64)),
        *(np.empty((9, labels), np.int32), np.empty((9, batch_size + 1), np.int64)),
        *(np.empty((most, dims[-2] + 1), F), np.empty((num_threads, 16 * most), F)),
    )
    return negatives, chosen


def make_call(
    loss="softmax",
    rule="adagrad",
    limits=NO_LIMITS,
    decay=None,
    dims=(32, 10),
    batch_size=7,
    index_dtype=np.int32,
    weighted=False,
    norm=lookups_reference.NO_NORM,
    num_threads=1,
    room=300,
    drawn=0,
    groups=1,
    factors=0,
    seed=0,
):
    """Return the arguments of a call. `dims` are those of inputs, hidden layers, and outputs.

    With `drawn`, a batch uses its true classes and so many at random. With `groups`, an example has
    so many bags, which share the inputs. With `factors`, the inputs are the biases of outputs.
    """
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 12 // groups, B * groups)
    lengths[3] = 0
    offsets = np.cumsum([0, *lengths]).astype(index_dtype)
    indices = (N * rng.random(offsets[-1]) ** 2).astype(index_dtype)
    order = np.concatenate([rng.permutation(B), rng.permutation(B)])[: B + 20]
    bags = indices, offsets, rng.standard_normal(len(indices)).astype(F), order
    weights = rng.random(B).astype(F) if weighted else np.empty(0, F)
    targets = *make_targets(rng, loss, dims[-1], index_dtype), weights
    num_steps = -(-len(order) // batch_size)
    room = max(room, 12 * batch_size)
    block = (
        *(np.empty(room, np.int64), np.empty(room, F), np.empty(room, np.int32)),
        *(np.empty(room, np.int64), np.empty(room + 9, np.int64)),
        *(np.empty(room, np.int32), np.empty(room, F)),
    )
    plan = (
        np.zeros((num_threads, N), np.int32),
        np.ones(num_threads, np.int64),
        np.empty(9 * batch_size * groups, np.int64),
        np.empty(9 * batch_size * groups + 1, np.int64),
        np.empty(9, np.int64),
    )
    negatives, chosen = make_negatives(
        rng, targets, dims, batch_size, num_steps, drawn, num_threads
    )
    strips = -(-batch_size // 16)
    layers = []
    for inputs, outputs in pairwise(dims):
        buffers = (
            np.empty((batch_size, inputs), F),
            np.empty((strips * inputs, 16), F),
            np.empty((strips * outputs, 16), F),
        )
        shape = outputs, inputs + 1
        layers.append((trained(rng, shape, rule, limits, decay, num_steps), buffers))
    columns = dims[-1] * (factors + 1) if factors else dims[0] // groups
    table = trained(rng, (N, columns), rule, limits, decay, num_steps)
    work = np.empty((num_threads, max(columns, 4 * (max(dims) + 1))), F)
    buffers = np.full(len(order), np.nan), np.empty((batch_size, columns * groups), F), work
    return [
        *(buffers, bags, targets, block, plan, negatives, chosen, tuple(layers), table),
        *(batch_size, norm, LOSSES[loss], 1.35, groups, factors, num_threads),
    ]


def results(kernel, call):
    """Return the arrays that training changes, from a copy of a call."""
    call = copy.deepcopy(call)
    kernel(*call)
    buffers, *_, layers, table = call[:9]
    return [buffers[0], *table[:4], *(array for arrays, _ in layers for array in arrays[:4])]


def assert_equals_twin(level, call):
    expected = results(training_reference.train_batches, call)
    assert np.isfinite(expected[0]).all()
    if len(call[7][-1][0][0]) > 1:  # of one class, the softmax has nothing to learn
        assert not np.array_equal(expected[1], call[8][0])
    for array, wanted in zip(results(level.train_batches, call), expected, strict=True):
        cases.assert_same_bits(array, wanted)
