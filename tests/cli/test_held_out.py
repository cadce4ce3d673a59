"""Compare the lines that are held out with their definition in plain Python."""

import random
from collections import defaultdict
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

pytest.importorskip("sklearn")

from ebagx.cli.split import hold_out


def arrays_of(lines):
    labels = [label for line in lines for label in line]
    return np.array(labels, np.int32), np.cumsum([0, *map(len, lines)])


def held_out(lines, fraction, seed):
    """Define the lines.

    Of each label, `random.sample` takes lines that have it first: as many as bring the sum so far
    to the fraction so far, plus a random number, rounded down. Then labels that have no line left
    take their first one back.
    """
    lines_of_label = defaultdict(list)
    for i, (label, *_) in enumerate(lines):
        lines_of_label[label].append(i)
    chooser, chosen, n_lines = random.Random(seed), set(), 0
    offset = chooser.random()
    for own in lines_of_label.values():
        n_lines += len(own)
        n_wanted = min(int(fraction * n_lines + offset) - len(chosen), len(own))
        chosen.update(chooser.sample(own, n_wanted))
    taken_back = set()
    for label in {label for line in lines for label in line}:
        own = [i for i, line in enumerate(lines) if label in line]
        if chosen.issuperset(own):
            taken_back.add(own[0])
    return chosen - taken_back


def chosen_of(lines, fraction=0.1, seed=0):
    return np.flatnonzero(hold_out(*arrays_of(lines), fraction, seed)).tolist()


@given(
    st.lists(
        st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True), min_size=1, max_size=99
    ),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 2**32 - 1),
)
def test_held_out_lines_are_as_defined(lines, fraction, seed):
    assert set(chosen_of(lines, fraction, seed)) == held_out(lines, fraction, seed)


@given(
    st.lists(st.integers(2, 30), min_size=1, max_size=40),
    st.integers(0, 9),
    st.integers(0, 2**32 - 1),
)
def test_total_and_labels_are_near_the_fraction(counts, tenths, seed):
    """By less than a line, but for what labels with only one line left take back."""
    lines = [[label] for label, n in enumerate(counts) for _ in range(n)]
    chosen, fraction = chosen_of(lines, tenths / 10, seed), Fraction(tenths, 10)
    found = np.bincount([lines[i][0] for i in chosen], minlength=len(counts))
    kept = 0
    for n, n_chosen in zip(counts, found.tolist(), strict=True):
        assert n_chosen < n
        if abs(n_chosen - fraction * n) >= 1:
            assert n_chosen == n - 1
        kept += n_chosen == n - 1
    assert -1 - kept < len(chosen) - fraction * len(lines) < 1


def test_rare_labels_are_among_the_lines():
    """Rounded down for each label, the fraction held nothing out."""
    lines = [[i % 1500] for i in range(4500)]
    assert len(chosen_of(lines)) in {449, 450}
    assert chosen_of([[i] for i in range(4500)]) == []  # each label has one line


def test_lines_of_one_seed_are_the_same_on_every_platform():
    lines = [[i % 7] for i in range(60)]
    assert chosen_of(lines, 0.1, 0) == [1, 30, 42, 47, 53, 59]


def test_a_label_after_the_first_has_a_line_to_learn_from():
    lines = [[0, 1 + i] for i in range(50)]
    assert chosen_of(lines, 0.9) == []
    lines += [[0]] * 50
    chosen = chosen_of(lines, 0.9)
    assert len(chosen) > 30
    assert min(chosen) >= 50
