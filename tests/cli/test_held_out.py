"""Compare the lines that are held out with their definition in plain Python."""

import random
from collections import defaultdict

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

pytest.importorskip("sklearn")

from ebagx.cli.commands import _hold_out


def held_out(labels, fraction, seed):
    """Define the lines: those of a label that `random.sample` takes, labels by first occurrence."""
    lines_of_label = defaultdict(list)
    for i, label in enumerate(labels):
        lines_of_label[label].append(i)
    chooser, chosen = random.Random(seed), set()
    for lines in lines_of_label.values():
        chosen.update(chooser.sample(lines, int(fraction * len(lines))))
    return chosen


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=300),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 2**32 - 1),
)
def test_held_out_lines_are_as_defined(labels, fraction, seed):
    is_held_out = _hold_out(np.array(labels, np.int32), fraction, seed)
    assert set(np.flatnonzero(is_held_out).tolist()) == held_out(labels, fraction, seed)
