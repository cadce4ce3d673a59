"""Test how a region of threads adds up its times, with a clock that the test sets."""

import shutil
import subprocess
import sys

import pytest

from support.repository import ROOT

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("gcc") is None, reason="stands on gcc for Linux"
)

# Arguments: the units of the region, the time that it takes, what threads have won before; then for
# each thread its units, its time and its flags. Times are in nanoseconds.
PROGRAM = """
#define ebagx_nanoseconds system_nanoseconds
#include "common/atomics.h"
#undef ebagx_nanoseconds
static int64_t now = 1000;
static int64_t ebagx_nanoseconds(void) { return now; }
#include "common/region.h"
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **texts)
{
    ebagx_region region;
    ebagx_region_times times = {atoll(texts[3]), 0};
    ebagx_begin_region(&region, atoll(texts[1]));
    for (int i = 4; i < count; i += 3)
        ebagx_leave_region(&region, atoll(texts[i]), atoll(texts[i + 1]), atoll(texts[i + 2]));
    now += atoll(texts[2]);
    long long found = ebagx_end_region(&region, &times);
    printf("%lld %lld %lld", (long long)times.won, (long long)times.alone, found);
    return 0;
}
"""
SHORT, LONG = 400_000, 4_000_000  # nanoseconds


@pytest.fixture(scope="module")
def end_region(tmp_path_factory):
    """Return a function that returns what threads have won, the time of one, and the flags."""
    folder = tmp_path_factory.mktemp("region")
    (folder / "region.c").write_text(PROGRAM)
    program = folder / "region"
    include = f"-I{ROOT / 'ebagx/_kernels'}"
    subprocess.run(["gcc", include, folder / "region.c", "-o", program], check=True)

    def end_region(units, taken, *threads, won=0):
        numbers = (units, taken, won, *(number for thread in threads for number in thread))
        out = subprocess.run([program, *map(str, numbers)], capture_output=True, check=True).stdout
        return tuple(map(int, out.split()))

    return end_region


def test_one_thread_would_take_the_sum_of_times(end_region):
    taken = SHORT
    times = end_region(8, taken, (4, 300_000, 0), (4, 350_000, 0))
    assert times == (650_000 - taken, 650_000, 0)


def test_a_thread_that_found_no_unit_does_not_count(end_region):
    assert end_region(8, SHORT, (8, SHORT, 0), (0, 5, 4)) == (0, SHORT, 0)


@pytest.mark.parametrize("swap", [False, True])
def test_in_a_long_region_all_units_take_the_time_of_the_fastest_thread(end_region, swap):
    """The other thread was away for most of its 3.9 ms."""
    threads = (2, 3_900_000, 0), (6, 600_000, 0)
    times = end_region(8, LONG, *reversed(threads) if swap else threads)
    assert times == (800_000 - LONG, 800_000, 0)


def test_in_a_short_region_no_thread_was_away(end_region):
    assert end_region(8, SHORT, (2, 390_000, 0), (6, 60_000, 0)) == (50_000, 450_000, 0)


def test_units_that_found_something_may_differ(end_region):
    times = end_region(8, LONG, (2, 3_900_000, 2), (6, 600_000, 1))
    assert times == (4_500_000 - LONG, 4_500_000, 3)


@pytest.mark.parametrize(
    ("before", "after"), [(0, 300_000), (19_900_000, 20_000_000), (-(10**9), 300_000 - 10**9)]
)
def test_what_was_won_adds_up_to_a_limit(end_region, before, after):
    assert end_region(8, SHORT, (8, 700_000, 0), won=before)[0] == after
