"""Check what wheels hold, print what takes their bytes, and compare a wheel with a second build.

    python -m build && python tools/check_wheel.py dist/*.whl --same-as again/*.whl

Other tools check the rest: abi3audit the ABI, auditwheel libraries, twine metadata,
check-wheel-contents the layout.
"""

import argparse
import email
import re
import sys
import tomllib
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

# Bytes of a repaired wheel, with its OpenMP library. Of 1,690,000, 540,000 are Python in 270 files,
# 356,000 data sets, 500,000 the kernels of three levels, 126,000 the library.
LIMIT = 1_710_000
# The size of GCC 12's libgomp, less what zopfli saves in all files: a wheel that has neither is
# checked with it.
OPENMP_LIBRARY = 85_000

MODULES = {"arrow", "cpu", "integers", "parse", "tokens", "_baseline"}
# More modules, where the processor and the system have them.
LEVELS = {
    r"(linux\w*_x86_64|win_amd64)\.whl": {"_avx2", "_avx512"},
    r"macosx\w*_x86_64\.whl": {"_avx2"},
}
BINARIES = (".so", ".pyd", ".dylib", ".dll")
SOURCES = (".pyx", ".pxd", ".pxi", ".c", ".h")
NEEDED = {"numpy", "scipy"}
# Any program that Rust has linked refers to this symbol; the packages below would build one.
RUST_SYMBOL = b"rust_eh_personality"
RUST_BUILDS = r"rust|maturin|puccinialin"


def compiled_modules(names: Sequence[str]) -> set[str]:
    """Return the names of the compiled modules, without folders and suffixes."""
    paths = [PurePosixPath(name) for name in names if name.startswith("ebagx/")]
    return {path.name.partition(".")[0] for path in paths if path.suffix in (".so", ".pyd")}


def expected_modules(wheel: str) -> set[str]:
    """Return the modules that a wheel of this file name must have."""
    more = [modules for platform, modules in LEVELS.items() if re.search(platform, wheel)]
    return MODULES.union(*more)


def check_names(wheel: str, names: Sequence[str]) -> Iterator[str]:
    """Yield one line for each file that is missing or one too many."""
    expected, found = expected_modules(wheel), compiled_modules(names)
    if found != expected:
        yield f"compiled modules are {sorted(found)}, wanted {sorted(expected)}"
    stubs = {PurePosixPath(name).stem for name in names if name.endswith(".pyi")}
    if unstubbed := expected - stubs:
        yield f"no type stubs of {sorted(unstubbed)}"
    if "ebagx/py.typed" not in names:
        yield "py.typed is missing"
    yield from (f"{name} is a source" for name in names if name.endswith(SOURCES))


def check_requirements(metadata: str) -> Iterator[str]:
    """Yield a line unless NumPy and SciPy are all that the package needs."""
    requirements = email.message_from_string(metadata).get_all("Requires-Dist", [])
    always = [requirement for requirement in requirements if "extra ==" not in requirement]
    names = {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in always}
    if names != NEEDED:
        yield f"requirements are {sorted(names)}, wanted {sorted(NEEDED)}"


def check_rust(binaries: dict[str, bytes], pyproject: str) -> Iterator[str]:
    """Yield one line for each thing that is or needs Rust."""
    for name, content in binaries.items():
        if RUST_SYMBOL in content:
            yield f"{name} has Rust in it"
    for requirement in tomllib.loads(pyproject)["build-system"]["requires"]:
        if re.search(RUST_BUILDS, requirement):
            yield f"the build requires {requirement}"


def check_c_library(wheel: str, binaries: dict[str, bytes]) -> Iterator[str]:
    """Yield one line for each module for Linux that does not name glibc or musl: see setup.py."""
    for name, content in binaries.items():
        if "linux" in wheel and name.startswith("ebagx/") and b"\0libc." not in content:
            yield f"{name} names no C library"


def check_wheel(path: Path, pyproject: str, limit: int = LIMIT) -> Iterator[str]:
    """Yield one line for each failure."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        yield from check_size(path, names, limit)
        binaries = {name: wheel.read(name) for name in names if is_binary(name)}
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        yield from check_names(path.name, names)
        yield from check_requirements(wheel.read(metadata).decode())
        yield from check_c_library(path.name, binaries)
        yield from check_rust(binaries, pyproject)


def check_size(path: Path, names: Sequence[str], limit: int) -> Iterator[str]:
    """Yield a line if a wheel is too large, or will be when it has its OpenMP library."""
    size = path.stat().st_size
    unrepaired = "-linux_" in path.name and "OpenMP library" not in map(part_of, names)
    if size + OPENMP_LIBRARY * unrepaired > limit:
        library = f" and {OPENMP_LIBRARY:,} for the OpenMP library" * unrepaired
        yield f"{size:,} bytes{library}, at most {limit:,} are allowed"


def is_binary(name: str) -> bool:
    """Return whether a file is compiled; libraries may have a version after the suffix."""
    return PurePosixPath(name).suffix in BINARIES or ".so." in name


def part_of(name: str) -> str:
    """Return which part of a wheel a file belongs to, as the table of sizes names it."""
    path = PurePosixPath(name)
    module = path.name.partition(".")[0]
    if is_binary(name):
        if "omp" in module:
            return "OpenMP library"
        if path.parent.name == "_kernels":
            return f"kernels {module.removeprefix('_')}"
        return {"tokens": "tokenizer"}.get(module, "other binaries")
    if ".dist-info/" in name:
        return "metadata"
    if path.suffix in (".py", ".pyi") or path.name == "py.typed":
        return "Python and stubs"
    return "data sets" if name.startswith("ebagx/datasets/") else "other files"


def size_table(path: Path) -> list[str]:
    """Return one line for each part of a wheel with its compressed bytes, the largest first."""
    with zipfile.ZipFile(path) as wheel:
        parts: Counter[str] = Counter()
        for file in wheel.infolist():
            parts[part_of(file.filename)] += file.compress_size
    parts["zip's own"] = path.stat().st_size - parts.total()
    return [f"  {part:<20}{size:>10,}" for part, size in parts.most_common()]


def differences(one: Path, other: Path) -> Iterator[str]:
    """Yield a line unless two wheels are the same byte for byte."""
    if one.read_bytes() == other.read_bytes():
        return
    with zipfile.ZipFile(one) as a, zipfile.ZipFile(other) as b:
        names = sorted({*a.namelist(), *b.namelist()})
        common = set(a.namelist()) & set(b.namelist())
        changed = [name for name in names if name not in common or a.read(name) != b.read(name)]
    yield f"built again, it differs in {', '.join(changed) or 'the dates or order of its files'}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check and print; return 0 if all is well, 1 if not, 2 for arguments that do not fit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("wheels", type=Path, nargs="+")
    parser.add_argument("--same-as", type=Path, help="a second build of the wheel, if it is one")
    options = parser.parse_args(arguments)
    if options.same_as and len(options.wheels) > 1:
        parser.error("--same-as is for one wheel")
    return max(report(wheel, options.same_as) for wheel in options.wheels)


def report(wheel: Path, again: Path | None) -> int:
    """Check one wheel and print; return 0 if all is well, else 1."""
    pyproject = Path(__file__).parents[1] / "pyproject.toml"
    failures = list(check_wheel(wheel, pyproject.read_text("utf-8")))
    if again:
        failures += differences(wheel, again)
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes, at most {LIMIT:,} are allowed")
    print(*size_table(wheel), sep="\n", flush=True)
    for failure in failures:
        print(f"{wheel.name}: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
