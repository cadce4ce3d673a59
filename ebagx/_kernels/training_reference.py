"""The NumPy twin of the kernel `train_batches`: passes over mini-batches of bags.

`differentiate` is the one place that knows layers and losses: it turns pooled vectors into their
gradient, and into those of the layers. All sums run in the order of the compiled kernel.

Axis letters: b bag, k class or output of a layer, d input, r table row, u touched row, p one of 16
bags whose numbers the kernel keeps side by side.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ebagx._kernels import reference
from ebagx._kernels.lookups_reference import take_bags, touched_rows

SOFTMAX, SIGMOID, SQUARED_ERROR, HUBER, POISSON = range(5)
STRIP = 16
_EPS = 1e-6

_f = np.float32
_TINY = np.finfo(_f).tiny
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1)
_EXP_LAST = 5.0000001201e-1
_LOG = (
    *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
    *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
)
_LOG1P = (6.6666667e-2, 7.6923077e-2, 9.0909091e-2, 1.1111111e-1, 1.4285714e-1, 0.2, 3.3333333e-1)
_EXP_F64 = (
    *(1.6059043836821613e-10, 2.08767569878681e-09, 2.505210838544172e-08, 2.755731922398589e-07),
    *(2.7557319223985893e-06, 2.48015873015873e-05, 1.984126984126984e-04, 1.388888888888889e-03),
    *(8.333333333333333e-03, 4.1666666666666664e-02, 1.6666666666666666e-01, 0.5),
)


def _polynomial(x: np.ndarray, coefficients: Sequence[float]) -> np.ndarray:
    """Return the polynomial whose coefficients are given, that of the highest power first."""
    y = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        y = y * x + x.dtype.type(coefficient)
    return y


def exp(x: np.ndarray) -> np.ndarray:
    """Return exp of float32 numbers: 2^n exp(r) with |r| <= log(2) / 2."""
    below, above = x < -87, x > 88
    within = np.where(above, _f(88), np.where(below, _f(-87), x))
    shifted = within * _f(1.44269504) + _f(12582912)
    n = shifted - _f(12582912)
    r = (within - n * _f(0.693359375)) + n * _f(2.12194440e-4)
    y = (_polynomial(r, (*_EXP, _EXP_LAST)) * (r * r) + r) + _f(1)
    power = ((shifted.view(np.uint32) - np.uint32(0x4B400000) + np.uint32(127)) << 23).view(_f)
    result: np.ndarray = np.where(above, _f(np.inf), np.where(below, _f(0), y * power))
    return result


def log(x: np.ndarray) -> np.ndarray:
    """Return log of normal float32 numbers over 0: log(m) + n log(2)."""
    bits = x.view(np.uint32)
    n = ((bits >> 23).astype(np.int32) - 126).astype(_f)
    m = ((bits & np.uint32(0x7FFFFF)) | np.uint32(0x3F000000)).view(_f)
    small = m < _f(0.70710678)
    n = np.where(small, n - _f(1), n)
    m = np.where(small, m + m, m) - _f(1)
    z = m * m
    y = (_polynomial(m, _LOG) * m) * z - n * _f(2.12194440e-4)
    y = (m + (y - _f(0.5) * z)) + n * _f(0.693359375)
    result: np.ndarray = np.where(np.isnan(x), x, y)
    return result


def log1p(u: np.ndarray) -> np.ndarray:
    """Return log(1 + u) of float32 numbers in [0, 1]: 2 artanh(u / (2 + u))."""
    s = u / (_f(2) + u)
    result: np.ndarray = (s + s) * _polynomial(s * s, (*_LOG1P, 1.0))
    return result


def exp_f64(x: np.ndarray) -> np.ndarray:
    """Return exp of float64 numbers up to 0."""
    within = np.where(x < -700, -700.0, x)
    shifted = within * 1.4426950408889634 + 6755399441055744.0
    n = shifted - 6755399441055744.0
    r = (within - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10
    y = (_polynomial(r, _EXP_F64) * (r * r) + r) + 1.0
    bits = shifted.view(np.uint64) - np.uint64(0x4338000000000000) + np.uint64(1023)
    power: np.ndarray = (bits << np.uint64(52)).view(np.float64)
    result: np.ndarray = y * power
    return result


class _Targets(NamedTuple):
    """The targets of a batch: places (k, b) of true classes, or numbers (K, B)."""

    classes: np.ndarray
    bags: np.ndarray
    numbers: np.ndarray


def _softmax(scores_kb: np.ndarray, targets: _Targets, factors_kb: np.ndarray | None) -> np.ndarray:
    greatest_b = scores_kb[0]
    for score_b in scores_kb[1:]:
        greatest_b = np.where(score_b > greatest_b, score_b, greatest_b)
    true_b = scores_kb[targets.classes, targets.bags] - greatest_b
    scores_kb[:] = exp(scores_kb - greatest_b)
    if factors_kb is not None:
        scores_kb *= factors_kb
    total_b = np.add.accumulate(scores_kb, axis=0)[-1]
    scores_kb /= total_b
    scores_kb[targets.classes, targets.bags] -= _f(1)
    losses: np.ndarray = log(total_b) - true_b
    return losses


def _sum_over_outputs(losses_kb: np.ndarray) -> np.ndarray:
    """Return the sums (B,) over outputs, in order."""
    losses_b: np.ndarray = np.add.accumulate(losses_kb, axis=0)[-1]
    return losses_b


def _sigmoid(scores_kb: np.ndarray, targets: _Targets, factors_kb: np.ndarray | None) -> np.ndarray:
    true = targets.classes, targets.bags
    scores_kb[true] *= _f(-1)
    negative = scores_kb < 0
    u = exp(np.where(negative, scores_kb, -scores_kb))
    losses_kb = np.where(negative, _f(0), scores_kb) + log1p(u)
    scores_kb[:] = np.where(negative, u, _f(1)) / (_f(1) + u)
    if factors_kb is not None:
        losses_kb *= factors_kb
        scores_kb *= factors_kb
    scores_kb[true] *= _f(-1)
    return _sum_over_outputs(losses_kb)


def _number_loss(
    scores_kb: np.ndarray, targets: _Targets, kind: int, epsilon: np.float32
) -> np.ndarray:
    numbers_kb = targets.numbers
    if kind == POISSON:
        logs = log(np.where(numbers_kb < _TINY, _TINY, numbers_kb))
        expected = exp(scores_kb)
        losses = (numbers_kb * logs - numbers_kb * (scores_kb + _f(1))) + expected
        scores_kb[:] = expected - numbers_kb
        return _sum_over_outputs(losses)
    errors = scores_kb - numbers_kb
    scores_kb[:] = errors
    if kind == SQUARED_ERROR:
        return _sum_over_outputs(_f(0.5) * (errors * errors))
    np.clip(errors, -epsilon, epsilon, out=scores_kb)
    return _sum_over_outputs(scores_kb * (errors - _f(0.5) * scores_kb))


def _loss(
    scores_kb: np.ndarray,
    targets: _Targets,
    factors_kb: np.ndarray | None,
    kind: int,
    epsilon: np.float32,
) -> np.ndarray:
    """Turn scores into the gradient of each bag's loss; return the losses (B,).

    Factors are the weights of classes for bags; without them, all weights are 1.
    """
    if kind == SOFTMAX:
        return _softmax(scores_kb, targets, factors_kb)
    if kind == SIGMOID:
        return _sigmoid(scores_kb, targets, factors_kb)
    return _number_loss(scores_kb, targets, kind, epsilon)


def _forward(weights: np.ndarray, inputs_bd: np.ndarray) -> np.ndarray:
    """Return the outputs (K, B) of a layer, whose last column is the bias."""
    outputs_kb = np.zeros((len(weights), len(inputs_bd)), _f)
    for weights_k, inputs_b in zip(weights.T[:-1], inputs_bd.T, strict=True):
        outputs_kb += weights_k[:, np.newaxis] * inputs_b
    outputs_kb += weights[:, -1:]
    return outputs_kb


def _below(weights: np.ndarray, errors_kb: np.ndarray) -> np.ndarray:
    """Return the gradient (B, D) of the inputs of a layer from that of its outputs."""
    below_bd = np.zeros((errors_kb.shape[1], weights.shape[1] - 1), _f)
    for weights_d, errors_b in zip(weights, errors_kb, strict=True):
        below_bd += errors_b[:, np.newaxis] * weights_d[:-1]
    return below_bd


def _layer_gradient(errors_kb: np.ndarray, inputs_bd: np.ndarray) -> np.ndarray:
    """Return the gradient (K, D + 1) of the weights of a layer."""
    num_outputs, num_bags = errors_kb.shape
    gradient = np.zeros((num_outputs, inputs_bd.shape[1] + 1), _f)
    for errors_k, inputs_d in zip(errors_kb.T, inputs_bd, strict=True):
        gradient[:, :-1] += errors_k[:, np.newaxis] * inputs_d
    strips = np.zeros((num_outputs, -(-num_bags // STRIP) * STRIP), _f)
    strips[:, :num_bags] = errors_kb
    gradient[:, -1] = [reference.add_lanes(row) for row in strips]
    return gradient


def differentiate(
    pooled_bd: np.ndarray,
    layers: Sequence[np.ndarray],
    targets: _Targets,
    factors_kb: np.ndarray | None,
    scales_b: np.ndarray,
    kind: int,
    epsilon: np.float32,
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Return the losses of bags, the gradients of layers, and that of pooled vectors (B, D)."""
    inputs = [pooled_bd]
    for weights in layers[:-1]:
        outputs_kb = _forward(weights, inputs[-1])
        inputs.append(np.where(outputs_kb < 0, _f(0), outputs_kb).T)
    errors_kb = _forward(layers[-1], inputs[-1])
    losses = _loss(errors_kb, targets, factors_kb, kind, epsilon)
    errors_kb *= scales_b
    gradients = []
    for depth in reversed(range(len(layers))):
        gradients.append(_layer_gradient(errors_kb, inputs[depth]))
        below_bd = _below(layers[depth], errors_kb)
        if depth:
            errors_kb = np.where(inputs[depth] > 0, below_bd, _f(0)).T
    return losses, gradients[::-1], below_bd


def differentiate_factors(
    pooled_bd: np.ndarray,
    scores_kb: np.ndarray,
    targets: _Targets,
    scales_b: np.ndarray,
    kind: int,
    epsilon: np.float32,
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Return the losses, the gradient of the biases, and that of pooled factors and weights (B, D).

    The scores become the gradient of the scores.
    """
    num_outputs, num_bags = scores_kb.shape
    losses = _loss(scores_kb, targets, None, kind, epsilon)
    scores_kb *= scales_b
    of_biases = _layer_gradient(scores_kb, np.empty((num_bags, 0), _f))
    errors_bk = scores_kb.T
    factors = pooled_bd.shape[1] // num_outputs - 1
    below_bd = np.hstack(
        [pooled_bd[:, :-num_outputs] * np.repeat(errors_bk, factors, axis=1), errors_bk]
    )
    return losses, [of_biases], below_bd


def _clipped(gradient: np.ndarray, value: float, row_norm: float, norm: float) -> np.ndarray:
    """Return a gradient within limits, of which infinity is none."""
    if value != math.inf:
        gradient = gradient.clip(-_f(value), _f(value))
    if row_norm != math.inf:
        squares = np.zeros(len(gradient))
        reference.row_squares(squares, gradient)
        factors = row_norm / (np.sqrt(squares) + _EPS)
        gradient = gradient * np.where(factors > 1, 1.0, factors).astype(_f)[:, np.newaxis]
    if norm != math.inf:
        squares = np.zeros(len(gradient))
        reference.row_squares(squares, gradient)
        factor = norm / (math.sqrt(reference.add_lanes(squares)) + _EPS)
        if not factor >= 1:
            gradient = gradient * _f(factor)
    return gradient


def _take_step(
    trained: Sequence[np.ndarray], rows: np.ndarray, gradient: np.ndarray, step: int
) -> None:
    weights, first, second, seen, plan, options, *_ = trained
    *constants, before, after, kept = plan[step]
    gradient = _clipped(gradient, *options[1:])
    scales = np.empty(0, _f)
    if len(seen):
        scales = (exp_f64(before - seen[rows]) * kept).astype(_f)
        seen[rows] = after
    numbers, rule = np.array(constants), int(options[0])
    reference.step_rows(weights, first, second, scales, rows, gradient, numbers, rule, 1)


def _batch_targets(targets: Sequence[np.ndarray], examples: np.ndarray) -> _Targets:
    offsets, classes, numbers, _ = targets
    if not len(offsets):
        return _Targets(np.empty(0, int), np.empty(0, int), numbers[examples].T)
    lengths = offsets[examples + 1] - offsets[examples]
    parts = [classes[offsets[b] : offsets[b + 1]] for b in examples]
    bags = np.repeat(np.arange(len(examples)), lengths)
    return _Targets(np.concatenate(parts), bags, numbers)


class _Chosen(NamedTuple):
    """The classes that a batch uses, and the targets by their places among these."""

    classes: np.ndarray
    targets: _Targets
    factors: np.ndarray | None  # (K, B): weights of the classes

    @property
    def rows(self) -> np.ndarray | slice:
        """The rows of the head."""
        return slice(None) if self.factors is None else self.classes


def _choose(
    negatives: Sequence[np.ndarray], targets: _Targets, num_classes: int, num_bags: int, step: int
) -> _Chosen:
    """Return all classes, or the true ones of the batch and those drawn for it, each once."""
    drawn, weights, *_ = negatives
    if not len(drawn):
        return _Chosen(np.arange(num_classes), targets, None)
    rows, numbers = touched_rows(np.concatenate([targets.classes, drawn[step]]))
    places = numbers[: len(targets.classes)]
    factors = np.repeat(weights[rows, np.newaxis], num_bags, axis=1)
    factors[places, targets.bags] = 1
    return _Chosen(rows, targets._replace(classes=places), factors)


def train_batches(
    buffers: Sequence[np.ndarray],
    bags: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    block: Sequence[np.ndarray],
    plan: Sequence[np.ndarray],
    negatives: Sequence[np.ndarray],
    chosen: Sequence[np.ndarray],
    layers: Sequence[tuple[Any, Any]],
    table: Sequence[np.ndarray],
    batch_size: int,
    norm: int,
    loss: int,
    epsilon: float,
    groups: int,
    factors: int,
    num_threads: int,
) -> bool:
    """Take a step for each batch of bags, and write the loss of each bag before its step.

    Return whether other processes needed the processors, so that one thread is faster: never.
    """
    losses, order = buffers[0], bags[-1]
    trained = [arrays for arrays, _ in layers]
    for step, first in enumerate(range(0, len(order), batch_size)):
        examples = order[first : first + batch_size]
        lookups = take_bags(bags, examples, groups).divided_by(norm)
        pooled_bd = lookups.pooled(table[0]).reshape(len(examples), -1)
        scales_b = np.full(len(examples), _f(1) / _f(len(examples)))
        if len(targets[-1]):
            scales_b = targets[-1][examples] * scales_b
        head = trained[-1][0]
        used = _choose(negatives, _batch_targets(targets, examples), len(head), len(examples), step)
        weights = [*(arrays[0] for arrays in trained[:-1]), head[used.rows]]
        with np.errstate(all="ignore"):
            if factors:
                scores_kb = lookups.products(table[0], pooled_bd, factors).T + weights[0]
                losses_b, gradients, below_bd = differentiate_factors(
                    *(pooled_bd, scores_kb, used.targets, scales_b, loss, _f(epsilon))
                )
            else:
                losses_b, gradients, below_bd = differentiate(
                    pooled_bd, weights, used.targets, used.factors, scales_b, loss, _f(epsilon)
                )
            losses[first : first + len(examples)] = losses_b
            rows, numbers = touched_rows(lookups.indices)
            below_bd = below_bd.reshape(len(lookups.offsets) - 1, -1)
            gradient = lookups.row_gradient(below_bd, numbers, len(rows))
            if factors:
                of_rows = table[0][rows]
                lookups.subtract_own_terms(gradient, of_rows, below_bd, numbers, factors)
            for arrays, of_layer in zip(trained[:-1], gradients[:-1], strict=True):
                _take_step(arrays, np.arange(len(arrays[0])), of_layer, step)
            _take_step(trained[-1], used.classes, gradients[-1], step)
            if len(rows):
                _take_step(table, rows, gradient, step)
    return False
