"""Test what an import needs, and the warning about two OpenMP runtimes."""

import subprocess
import sys
import warnings

import pytest

import ebagx

# scikit-learn's wheel has a runtime of its own, which is not imported here.
PRINT_RUNTIMES = r"""
import re, pathlib
maps = pathlib.Path("/proc/self/maps")
for line in maps.read_text().splitlines() if maps.exists() else ():
    if re.search(r"lib(g|i)?omp[-.\d]", line):
        print(line.split()[-1])
"""


def run(code):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_ebagx_does_not_import_torch():
    done = run("import sys, ebagx; print('torch' in sys.modules)")
    assert done.stdout == "False\n"


def test_without_pytorch():
    done = run(
        "import sys, importlib.abc\n"
        "class Hidden(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'torch':\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
        "import ebagx.torch\n"
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: ebagx.torch needs PyTorch: pip install torch")
    assert "download.pytorch.org/whl/cpu" in last


@pytest.mark.parametrize("first", ["torch", "ebagx"])
def test_one_openmp_runtime_in_either_order(first):
    """A build from source, and a wheel, take the runtime that is loaded already."""
    pytest.importorskip("torch")
    if not ebagx._core.cpu.openmp_version():
        pytest.skip("built without OpenMP")
    second = "ebagx" if first == "torch" else "torch"
    done = run(f"import {first}, {second}, ebagx.torch\n{PRINT_RUNTIMES}")
    assert done.stderr == ""
    if sys.platform == "linux":
        (runtime,) = set(done.stdout.split())
        assert ".libs/" not in runtime  # where repairs of wheels put a second one


def test_two_runtimes(monkeypatch):
    pytest.importorskip("torch")
    from ebagx.torch import runtimes

    addresses = iter([1, 2])
    monkeypatch.setattr(runtimes, "_address_of_runtime", lambda module: next(addresses))
    with pytest.warns(RuntimeWarning, match="two OpenMP runtimes.*import torch before"):
        runtimes.warn_of_two_runtimes()


@pytest.mark.parametrize("addresses", [(1, 1), (None, 1), (1, None)], ids=str)
def test_one_runtime(monkeypatch, addresses):
    pytest.importorskip("torch")
    from ebagx.torch import runtimes

    values = iter(addresses)
    monkeypatch.setattr(runtimes, "_address_of_runtime", lambda module: next(values))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runtimes.warn_of_two_runtimes()


def test_addresses_of_runtimes():
    pytest.importorskip("torch")
    from ebagx.torch import runtimes

    assert runtimes._address_of_runtime("/no/such/module.so") is None
    own = runtimes._address_of_runtime(ebagx._core.cpu.__file__)
    assert (own is None) == (not ebagx._core.cpu.openmp_version())
