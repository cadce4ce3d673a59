import os
import subprocess
import sys
import textwrap

import pytest

from ebagx._core import cpu, threads

LARGE = 10**9

with_openmp = pytest.mark.skipif(not cpu.openmp_version(), reason="built without OpenMP")


@pytest.mark.parametrize("wish", [None, 2, 1000])
def test_small_work_gets_one_thread(wish):
    assert threads.thread_count(wish, 2 * threads.WORK_PER_THREAD - 1) == 1


@with_openmp
def test_threads_grow_with_the_work_up_to_the_processors(monkeypatch):
    monkeypatch.setattr(threads, "_PROCESSORS", 8)
    assert threads.thread_count(1000, 3 * threads.WORK_PER_THREAD) == 3
    assert threads.thread_count(1000, LARGE) == 8
    assert threads.thread_count(5, LARGE) == 5


def test_default_is_what_openmp_would_use():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    if not cpu.openmp_version():
        assert threads.default_threads() == 1
        return
    with threadpoolctl.threadpool_limits(1):
        assert threads.default_threads() == 1


@pytest.fixture
def cgroups(monkeypatch, tmp_path):
    """A tree of control groups; the process is in a/b."""
    (tmp_path / "a/b").mkdir(parents=True)
    own = tmp_path / "own"
    own.write_text("1:name=systemd:/elsewhere\n0::/a/b\n")
    monkeypatch.setattr(threads, "_CGROUPS", tmp_path)
    monkeypatch.setattr(threads, "_OWN_CGROUP", own)
    threads._quota.cache_clear()
    yield tmp_path
    threads._quota.cache_clear()


@pytest.mark.parametrize(
    ("content", "quota"),
    [("150000 100000\n", 1), ("400000 100000", 4), ("max 100000\n", 1 << 20), ("", 1 << 20)],
)
@pytest.mark.parametrize("folder", ["", "a", "a/b"])
def test_quota_of_a_container(cgroups, content, quota, folder):
    (cgroups / folder / "cpu.max").write_text(content)
    assert threads._quota() == quota


def test_the_smallest_of_nested_quotas_holds(cgroups):
    (cgroups / "cpu.max").write_text("800000 100000")
    (cgroups / "a/cpu.max").write_text("200000 100000")
    (cgroups / "a/b/cpu.max").write_text("max 100000")
    assert threads._quota() == 2


def test_without_control_groups_there_is_no_quota(cgroups):
    (cgroups / "own").unlink()
    assert threads._quota() == 1 << 20


@with_openmp
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_process_uses_one_thread_and_says_so_once():
    script = """
        import os, warnings
        import numpy as np
        import ebagx
        from ebagx._core import threads
        threads._PROCESSORS = 2
        table, ids = np.ones((1000, 64)), np.zeros((4000, 10), int)
        before = ebagx.embedding_bag(ids, table, num_threads=2)
        child = os.fork()
        if child == 0:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                for _ in range(2):
                    after = ebagx.embedding_bag(ids, table, num_threads=2)
            texts = [str(w.message) for w in caught]
            good = len(texts) == 1 and "one thread" in texts[0] and np.array_equal(before, after)
            os._exit(0 if good else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stdout == "0\n", result.stderr
