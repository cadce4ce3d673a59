import os
import subprocess
import sys

import numpy as np
import pytest

from ebagx._core import cpu, dtypes, levels


def level_in_new_process(wish: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", "from ebagx._core import levels; print(levels.LEVEL)"],
        env={**os.environ, "EBAGX_LEVEL": wish},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", [*levels.available_levels(), "reference"])
def test_a_level_can_be_forced(name):
    assert level_in_new_process(name).stdout == f"{name}\n"


def test_the_fastest_level_is_the_default():
    assert level_in_new_process("").stdout == f"{levels.available_levels()[-1]}\n"


@pytest.mark.parametrize("name", ["avx1024", "Baseline", "avx2,baseline"])
def test_unknown_level(name):
    result = level_in_new_process(name)
    names = ", ".join([*levels.available_levels(), "reference"])
    message = f"EBAGX_LEVEL = '{name}' is not available here, the levels are: {names}"
    assert result.returncode == 1
    assert result.stderr.endswith(f"ImportError: {message}\n")


def test_a_level_the_processor_lacks_is_not_available(monkeypatch):
    for name in ("avx2", "avx512"):
        monkeypatch.setitem(levels._SUPPORTED, name, lambda: False)
    assert levels.available_levels() == ("baseline",)


def test_levels_are_those_of_the_processor():
    assert ("avx2" in levels.available_levels()) is cpu.has_avx2()
    assert ("avx512" in levels.available_levels()) is cpu.has_avx512()
    assert cpu.has_avx2() or not cpu.has_avx512()


def test_every_level_finds_every_kernel():
    """Kernels that a level lacks are those of the level below."""
    for name in levels.available_levels():
        level = levels.load_level(name)
        for kernel in levels.KERNEL_NAMES:
            assert callable(getattr(level, kernel))


def test_a_built_level_that_does_not_load_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "ebagx._kernels._baseline", None)
    with pytest.raises(ImportError):
        levels.load_level("baseline")


@pytest.mark.parametrize(
    ("name", "supported"),
    [("f2", True), ("f4", True), ("f8", True), (">f4", False), ("i4", False), ("c8", False)],
)
def test_table_dtypes(name, supported):
    assert (dtypes.cell_type(np.dtype(name)) is not None) is supported
