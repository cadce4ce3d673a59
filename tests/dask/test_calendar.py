"""Test the numbers of rounds in each pass, and that they make up for the first ones."""

import pytest

pytest.importorskip("sklearn")

from ebagx.dask._calendar import Calendar, Place


@pytest.mark.parametrize(
    ("num_shards", "per_pass", "expected"),
    [
        (0, 1, [1, 1, 1, 1, 1]),
        (1, 1, [1, 1, 1, 1, 1]),
        (2, 1, [8, 4, 2, 1, 1]),
        (300, 1, [8, 4, 2, 1, 1]),
        (16, 3, [8, 4, 3, 3, 3]),
        (4, 9, [9, 9, 9, 9, 9]),
    ],
)
def test_rounds_of_passes(num_shards, per_pass, expected):
    calendar = Calendar.of(num_shards, per_pass)
    assert [calendar.rounds_of(epoch) for epoch in range(5)] == expected
    assert [calendar.start_of(epoch) for epoch in range(6)] == [sum(expected[:i]) for i in range(6)]
    places = [Place(epoch, i, count) for epoch, count in enumerate(expected) for i in range(count)]
    assert [calendar.place(number) for number in range(len(places))] == places


def test_many_passes_cost_no_time():
    assert Calendar.of(16, 1).place(10**9) == Place(10**9 - 11, 0, 1)


def test_steps_are_those_of_the_largest_shard():
    """Parts of 40 and 25 examples: in two rounds, then in one."""
    assert Calendar(1, 2).steps([40, 25], 10, 3) == [2, 2, 4, 4]
    assert Calendar(3).steps([7, 0], 2, 1) == [2, 1, 1]
