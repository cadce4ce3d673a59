"""Test that tools/check_wheel.py finds errors in a wheel."""

import re
import zipfile

import pytest

from support.repository import load_script

tool = load_script("tools/check_wheel.py")

NAME = "ebagx-1.0-cp311-abi3-manylinux_2_28_x86_64.whl"
PYPROJECT = '[build-system]\nrequires = ["setuptools>=77.0.3", "Cython>=3.1.2,<4"]'
METADATA = "\n".join(
    f"Requires-Dist: {name}" for name in ("numpy>=1.26", "scipy>=1.11", "tqdm; extra == 'cli'")
)
KERNELS = ("_kernels/_baseline", "_kernels/_avx2", "_kernels/_avx512")
OTHERS = ("_core/arrow", "_core/cpu", "_core/integers", "io/vectors/parse", "text/tokens")
MODULES = (*OTHERS, *KERNELS)
MODULE = "machine code\0libc.so.6\0"
FILES = {
    "ebagx/py.typed": "",
    "ebagx-1.0.dist-info/METADATA": METADATA,
    **{f"ebagx/{module}.abi3.so": MODULE for module in MODULES},
    **{f"ebagx/{module}.pyi": "def f() -> None: ..." for module in MODULES},
}


def make_wheel(folder, files, name=NAME):
    """Write a wheel of these files; None leaves one out."""
    with zipfile.ZipFile(folder / name, "w") as wheel:
        for path, text in files.items():
            if text is not None:
                wheel.writestr(zipfile.ZipInfo(path), text)
    return folder / name


def test_a_good_wheel(tmp_path):
    assert not list(tool.check_wheel(make_wheel(tmp_path, FILES), PYPROJECT))


@pytest.mark.parametrize(
    ("path", "text", "failure"),
    [
        ("ebagx/_kernels/_avx2.abi3.so", None, "compiled modules are"),
        ("ebagx/_more.abi3.so", MODULE, "compiled modules are"),
        ("ebagx/_core/cpu.abi3.so", "machine code", "ebagx/_core/cpu.abi3.so names no C library"),
        ("ebagx/text/tokens.pyi", None, "no type stubs of ['tokens']"),
        ("ebagx/py.typed", None, "py.typed is missing"),
        ("ebagx/_kernels/pool.pxi", "", "ebagx/_kernels/pool.pxi is a source"),
        ("ebagx-1.0.dist-info/METADATA", METADATA + "\nRequires-Dist: torch", "requirements are"),
        ("ebagx.libs/libx-1.so.1.0", "..rust_eh_personality..", "ebagx.libs/libx-1.so.1.0 has"),
    ],
)
def test_a_bad_wheel(tmp_path, path, text, failure):
    wheel = make_wheel(tmp_path, {**FILES, path: text})
    (found,) = tool.check_wheel(wheel, PYPROJECT)
    assert found.startswith(failure)


@pytest.mark.parametrize(
    ("platform", "left_out"),
    [
        ("manylinux_2_28_aarch64", "_avx"),
        ("musllinux_1_2_x86_64", "none"),
        ("macosx_10_13_x86_64", "_avx512"),
        ("macosx_12_0_arm64", "_avx"),
        ("win_amd64", "none"),
        ("win_arm64", "_avx"),
    ],
)
def test_levels_of_the_platform(tmp_path, platform, left_out):
    files = {name: text for name, text in FILES.items() if left_out not in name}
    name = f"ebagx-1.0-cp311-abi3-{platform}.whl"
    assert not list(tool.check_wheel(make_wheel(tmp_path, files, name), PYPROJECT))


def test_size(tmp_path):
    wheel = make_wheel(tmp_path, FILES)
    (found,) = tool.check_wheel(wheel, PYPROJECT, limit=1_000)
    assert found == f"{wheel.stat().st_size:,} bytes, at most 1,000 are allowed"


@pytest.mark.parametrize(("library", "found"), [("ebagx/libgomp.so.1", 0), ("ebagx/a.txt", 1)])
def test_size_before_repair(tmp_path, library, found):
    name = "ebagx-1.0-cp311-abi3-linux_x86_64.whl"
    wheel = make_wheel(tmp_path, {**FILES, library: MODULE}, name)
    failures = list(tool.check_wheel(wheel, PYPROJECT, limit=tool.OPENMP_LIBRARY))
    assert len(failures) == found
    assert all("bytes and 85,000 for the OpenMP library, at most" in line for line in failures)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("ebagx/_kernels/_avx2.abi3.so", "kernels avx2"),
        ("ebagx/_kernels/_baseline.cp314t-win_amd64.pyd", "kernels baseline"),
        ("ebagx/text/tokens.abi3.so", "tokenizer"),
        ("ebagx/_core/cpu.abi3.so", "other binaries"),
        ("ebagx.libs/libgomp-a34b3233.so.1.0.0", "OpenMP library"),
        ("ebagx/.dylibs/libomp.dylib", "OpenMP library"),
        ("ebagx.libs/vcomp140-1234.dll", "OpenMP library"),
        ("ebagx/datasets/wordnet10.tsv.bz2", "data sets"),
        ("ebagx/datasets/__init__.py", "Python and stubs"),
        ("ebagx/py.typed", "Python and stubs"),
        ("ebagx-1.0.dist-info/licenses/ebagx/datasets/licenses/x.txt", "metadata"),
        ("ebagx/notes.txt", "other files"),
    ],
)
def test_parts(name, part):
    assert tool.part_of(name) == part


def test_the_table_adds_up(tmp_path):
    wheel = make_wheel(tmp_path, FILES)
    sizes = dict(
        re.fullmatch(r"  (.+?) +([\d,]+)", line).groups() for line in tool.size_table(wheel)
    )
    assert sizes["kernels avx2"] == str(len(MODULE))
    assert sum(int(size.replace(",", "")) for size in sizes.values()) == wheel.stat().st_size


def test_the_worst_wheel_decides(tmp_path, capsys):
    for folder in ("good", "bad"):
        (tmp_path / folder).mkdir()
    good = make_wheel(tmp_path / "good", FILES)
    bad = make_wheel(tmp_path / "bad", {**FILES, "ebagx/py.typed": None})
    assert tool.main([str(good)]) == 0
    assert tool.main([str(bad), str(good)]) == 1
    printed = capsys.readouterr()
    assert printed.out.count("kernels avx2") == 3
    assert printed.err == f"{NAME}: py.typed is missing\n"


def test_a_build_with_rust():
    (found,) = tool.check_rust({}, '[build-system]\nrequires = ["setuptools-rust>=1"]')
    assert found == "the build requires setuptools-rust>=1"


def test_differences(tmp_path):
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    one, same = (make_wheel(folder, FILES) for folder in folders[:2])
    other = make_wheel(folders[2], {**FILES, "ebagx/py.typed": "partial"})
    assert not list(tool.differences(one, same))
    assert list(tool.differences(one, other)) == ["built again, it differs in ebagx/py.typed"]
