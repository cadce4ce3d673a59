"""The NumPy twins of the kernels that draw classes at random: `draw_classes` and `make_alias`.

A draw is a function of a seed and a number. Axis letters: r row of draws, m draw of a row, k class.
"""

from collections.abc import Sequence

import numpy as np

_u = np.uint64
_HALF = _u(32)
_LOW = _u(0xFFFFFFFF)


def random_bits(seed: int, numbers: np.ndarray) -> np.ndarray:
    """Return the numbers of SplitMix64 with a seed: 64 random bits each."""
    z = _u(seed) + (numbers.astype(_u) + _u(1)) * _u(0x9E3779B97F4A7C15)
    z = (z ^ (z >> _u(30))) * _u(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> _u(27))) * _u(0x94D049BB133111EB)
    bits: np.ndarray = z ^ (z >> _u(31))
    return bits


def _classes_of_bits(alias: Sequence[np.ndarray], num_classes: int, bits: np.ndarray) -> np.ndarray:
    thresholds, others = alias
    places = (((bits >> _HALF) * _u(num_classes)) >> _HALF).astype(np.int64)
    if not len(thresholds):
        return places
    return np.where((bits & _LOW) < thresholds[places], places, others[places])


def _are_positives(
    positives: Sequence[np.ndarray], drawn_rm: np.ndarray, is_open: np.ndarray
) -> np.ndarray:
    """Return which draws still open are positives of their row."""
    owners, offsets, classes = positives
    found = np.zeros(drawn_rm.shape, bool)
    if len(owners):
        for r in np.flatnonzero(is_open.any(axis=1)):
            of_row = classes[offsets[owners[r]] : offsets[owners[r] + 1]]
            found[r] = np.isin(drawn_rm[r], of_row)
    return found


def draw_classes(
    outputs: Sequence[np.ndarray],
    alias: Sequence[np.ndarray],
    positives: Sequence[np.ndarray],
    num_classes: int,
    seed: int,
    first_row: int,
    most_draws: int,
    num_threads: int,
) -> None:
    """Draw classes at random for the rows from `first_row` on."""
    out_rm, attempts_rm = outputs
    numbers = first_row * out_rm.shape[1] + np.arange(out_rm.size).reshape(out_rm.shape)
    out_rm[...] = -1
    is_open = np.ones(out_rm.shape, bool)
    for attempt in range(most_draws):
        bits = random_bits(seed, numbers * most_draws + attempt)
        drawn_rm = _classes_of_bits(alias, num_classes, bits)
        if attempts_rm.size:
            attempts_rm[is_open] = attempt + 1
        is_done = is_open & ~_are_positives(positives, drawn_rm, is_open)
        out_rm[is_done] = drawn_rm[is_done]
        is_open &= ~is_done


def make_alias(
    thresholds_k: np.ndarray, others_k: np.ndarray, stack_k: np.ndarray, shares_k: np.ndarray
) -> None:
    """Make the table from which `draw_classes` draws classes by their weights."""
    num_classes = len(shares_k)
    shares_k[...] = shares_k * num_classes / np.add.accumulate(shares_k)[-1]
    thresholds_k[...], others_k[...] = 0xFFFFFFFF, np.arange(num_classes)
    smalls = np.flatnonzero(shares_k < 1).tolist()
    larges = np.flatnonzero(shares_k >= 1).tolist()  # the last one is the next
    while smalls and larges:
        small, large = smalls.pop(), larges[-1]
        thresholds_k[small], others_k[small] = int(shares_k[small] * 2.0**32), large
        shares_k[large] = (shares_k[large] + shares_k[small]) - 1
        if shares_k[large] < 1:
            smalls.append(larges.pop())
