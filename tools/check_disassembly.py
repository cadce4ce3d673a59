"""Check which instructions the compiler chose, from the disassembly of the compiled modules.

Tests of results cannot see these things. A module of the baseline level must run on every x86-64
processor; no level may use fused multiply-add, which changes the bits of results, except where
products are exact; and the hot kernels of the levels avx2 and avx512 must compute with whole
vectors.

    pip install . && python tools/check_disassembly.py build

Modules are stripped, so functions are looked up in the object files that building leaves in the
given folder. What is forbidden is looked for in those and in the modules that are installed.
"""

import argparse
import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# The order of the types in `cell_t` and `real_t`, which Cython numbers its specialisations by.
FLOAT, DOUBLE, HALF, BFLOAT16 = "0123"
# The places of calls among those of the level avx2, which number the specialisations of `run_unit`:
# the compiler inlines a kernel that has one caller.
INDICES_VALID, SCATTER, WEIGHTS_GRADIENT = "067"

BASELINE = ("arrow", "cpu", "integers", "tokens", "_baseline")
MODULES = (*BASELINE, "_avx2", "_avx512")


@dataclass(frozen=True)
class Kernel:
    """The instructions that the functions of one kernel must use.

    Parameters
    ----------
    name : str
        What failures call it.
    functions : tuple of str
        Patterns of symbols, the first of which that is found counts: a function before those that
        the compiler may have inlined it into. The kernel's functions are all that it finds.
    instructions : tuple of str
        Patterns of mnemonics, each of which every function must have with the level's registers.
    at_least : int
        How often: kernels with unrolled blocks have many, and one may be from a short loop.
    """

    name: str
    functions: tuple[str, ...]
    instructions: tuple[str, ...]
    at_least: int = 1


def fused(name: str, *types: str) -> str:
    """Return the pattern of a function specialised for these types, each a pattern."""
    return rf"^__pyx_fuse_{'_'.join(types)}__pyx_f_\w*_{name}\b"


def indices_valid(numbered: str) -> tuple[str, ...]:
    """Return the patterns of the validation of one type of index."""
    return fused("indices_valid_unit", numbered), fused("run_unit", INDICES_VALID)


# Each kernel and type has one line. Types are in the order in which a function's arguments have
# them; "." is any. Brought up to date with the kernels: a pattern that finds nothing is an error.
KERNELS = (
    Kernel("pool float32", (fused("pool_group", ".", FLOAT),), ("vaddps", "vmulps"), 16),
    Kernel("pool float64", (fused("pool_group", ".", DOUBLE),), ("vaddpd", "vmulpd"), 16),
    Kernel("pool float16", (fused("pool_group", ".", HALF),), ("vaddps", "vcvtph2ps"), 16),
    Kernel("pool bfloat16", (fused("pool_group", ".", BFLOAT16),), ("vaddps", "vmulps"), 16),
    Kernel("extreme float32", (fused("extreme_bag", FLOAT, "."),), ("vcmp.*ps",), 16),
    Kernel("extreme float64", (fused("extreme_bag", DOUBLE, "."),), ("vcmp.*pd",), 16),
    Kernel("extreme float16", (fused("extreme_bag", HALF, "."),), ("vcmp.*ps", "vcvtph2ps"), 16),
    Kernel("extreme bfloat16", (fused("extreme_bag", BFLOAT16, "."),), ("vcmp.*ps",), 16),
    Kernel(
        "scatter float32",
        (fused("scatter_unit", ".", FLOAT), fused("run_unit", SCATTER)),
        ("vaddps", "vmulps"),
    ),
    Kernel(
        "scatter float64",
        (fused("scatter_unit", ".", DOUBLE), fused("run_unit", SCATTER)),
        ("vaddpd", "vmulpd"),
    ),
    Kernel(
        "step float32",
        (fused("step_row", FLOAT, FLOAT), fused("step_unit", ".", FLOAT, FLOAT)),
        ("vaddps", "vmulps", "vsqrtps", "vdivps"),
    ),
    Kernel(
        "step float64",
        (fused("step_row", DOUBLE, DOUBLE), fused("step_unit", ".", DOUBLE, DOUBLE)),
        ("vaddpd", "vmulpd", "vsqrtpd", "vdivpd"),
    ),
    Kernel(
        "step float16",
        (fused("step_row", HALF, FLOAT), fused("step_unit", ".", HALF, FLOAT)),
        ("vaddps", "vsqrtps", "vcvtph2ps", "vcvtps2ph"),
    ),
    Kernel(
        "renorm float32",
        (fused("renorm_row", FLOAT, "."), fused("renorm_unit", ".", FLOAT, FLOAT)),
        ("vcvtps2pd", "vaddpd", "vmulpd", "vmulps"),
    ),
    Kernel(
        "renorm float64",
        (fused("renorm_row", DOUBLE, "."), fused("renorm_unit", ".", DOUBLE, DOUBLE)),
        ("vaddpd", "vmulpd"),
    ),
    Kernel(
        "weights_gradient float32",
        (
            fused("weights_gradient_unit", ".", FLOAT, FLOAT),
            fused("run_unit", WEIGHTS_GRADIENT),
        ),
        ("vaddps", "vmulps"),
    ),
    Kernel(
        "weights_gradient float64",
        (
            fused("weights_gradient_unit", ".", DOUBLE, DOUBLE),
            fused("run_unit", WEIGHTS_GRADIENT),
        ),
        ("vaddpd", "vmulpd"),
    ),
    Kernel("top_items", (r"_rank_group\b", r"_top_items_unit\b"), ("vfmadd.*pd",), 8),
    Kernel("indices_valid int32", indices_valid("0"), ("vpsubd",)),
    Kernel("indices_valid int64", indices_valid("1"), ("vpsubq",)),
)

# The level avx512 has only these kernels, with zmm registers; its float16 is converted from halves
# of them.
FORWARD = tuple(k for k in KERNELS if k.name.startswith(("pool", "top", "indices_valid")))
REGISTERS = {"_avx2": ("%ymm", KERNELS), "_avx512": ("%zmm", FORWARD)}

# A name for what is forbidden, and a pattern of instructions.
FUSED = ("fused multiply-add", r"^vfn?m(add|sub)")
# The functions that may have them: their products, of codes and scales or of floats in double, are
# exact, so that one rounding is the same as two.
EXACT = re.compile(r"_(walk_block|unpack_unit|rank_group|top_items_unit)\b").search
AVX512 = ("AVX-512", r"%zmm|%k[0-7]|%[xy]mm(1[6-9]|2\d|3[01])")
AVX = ("AVX", r"%[yz]mm|^v\w+ .*%xmm")

# A module that is not listed here, of the baseline, may have none of these instructions.
FORBIDDEN = {"_avx2": (FUSED, AVX512), "_avx512": (FUSED,)}

Functions = dict[str, list[str]]


def disassemble(path: Path) -> Functions:
    """Return the instructions of each function of an object file or module."""
    command = ["objdump", "--disassemble", "--no-show-raw-insn", "--wide", str(path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    functions: Functions = {}
    instructions: list[str] = []
    for line in output.splitlines():
        if start := re.match(r"[0-9a-f]+ <(.+)>:$", line):
            instructions = functions.setdefault(start[1], [])
        elif "\t" in line:
            instructions.append(" ".join(line.split("\t", 1)[1].split()))
    return functions


def find_forbidden(module: str, functions: Functions, allowed: int = 0) -> Iterator[str]:
    """Yield one line for each kind of instruction that a module has and may not have.

    `allowed` is the number of fused operations that a module without names of functions may have.
    """
    kinds = FORBIDDEN.get(module, (FUSED, AVX512, AVX))
    for kind, pattern in kinds:
        search = re.compile(pattern).search
        found = [(name, text) for name, body in functions.items() for text in body if search(text)]
        if (kind, pattern) == FUSED:
            found = [(name, text) for name, text in found if not EXACT(name)]
        if len(found) > (allowed if (kind, pattern) == FUSED else 0):
            name, text = found[0]
            yield f"{len(found)} instructions of {kind}, the first is `{text}` in {name}"


def count_exact(functions: Functions) -> int:
    """Return the number of fused operations in functions that may have them."""
    bodies = [body for name, body in functions.items() if EXACT(name)]
    return sum(re.search(FUSED[1], text) is not None for body in bodies for text in body)


def find_scalar(kernel: Kernel, functions: Functions, register: str) -> Iterator[str]:
    """Yield one line for each function and instruction on such registers that a kernel lacks."""
    for pattern in kernel.functions:
        if names := [name for name in functions if re.search(pattern, name)]:
            break
    else:
        yield (
            f"{kernel.name}: no function matches {' or '.join(kernel.functions)}; "
            "if it has a new name, change KERNELS"
        )
        return
    for name in names:
        counts = Counter(text.split()[0] for text in functions[name] if register in text)
        for wanted in kernel.instructions:
            count = sum(n for mnemonic, n in counts.items() if re.fullmatch(wanted, mnemonic))
            if count < kernel.at_least:
                yield (
                    f"{kernel.name}: {count} times `{wanted}` with {register[1:]}, "
                    f"wanted {kernel.at_least}, in {name}"
                )


def installed_modules() -> dict[str, Path]:
    """Return the compiled modules of the installed package, which is not imported."""
    spec = importlib.util.find_spec("ebagx")
    if spec is None or spec.origin is None:
        return {}
    package = Path(spec.origin).parent
    return {path.name.split(".")[0]: path for path in package.rglob("*.so")}


def newest_objects(folder: Path) -> dict[str, Path]:
    """Return the last object file built of each module."""
    paths = sorted(folder.rglob("*.o"), key=lambda path: path.stat().st_mtime)
    return {path.stem: path for path in paths}


def check(objects: dict[str, Path], modules: dict[str, Path]) -> Iterator[str]:
    """Yield one line for each failure."""
    for name in MODULES:
        functions = disassemble(objects[name])
        yield from (f"{name}.o: {failure}" for failure in find_forbidden(name, functions))
        register, kernels = REGISTERS.get(name, ("", ()))
        for kernel in kernels:
            failures = find_scalar(kernel, functions, register)
            yield from (f"{name}.o: {failure}" for failure in failures)
        module = modules[name]
        found = find_forbidden(name, disassemble(module), count_exact(functions))
        yield from (f"{module.name}: {failure}" for failure in found)


def obstacle(objects: dict[str, Path], modules: dict[str, Path]) -> str | None:
    """Return why nothing can be checked here, if so."""
    if shutil.which("objdump") is None:
        return "objdump is missing, it is in Debian's package binutils"
    if missing := [name for name in MODULES if name not in modules]:
        return f"not installed: {', '.join(missing)}; run `pip install .`"
    if missing := [name for name in MODULES if name not in objects]:
        return f"no object files of {', '.join(missing)}; `pip install .` leaves them in build/"
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Check and print; return 0 if all is well, 1 if not, 2 if it could not be checked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("objects", type=Path, help="folder with object files, as build/")
    folder: Path = parser.parse_args(arguments).objects
    if sys.platform != "linux" or platform.machine() != "x86_64":
        print("disassembly: skipped, it is checked on x86-64 Linux only")
        return 0
    objects, modules = newest_objects(folder), installed_modules()
    if reason := obstacle(objects, modules):
        print(f"disassembly: not checked: {reason}", file=sys.stderr)
        return 2
    failures = list(check(objects, modules))
    for failure in failures:
        print(f"disassembly: {failure}", file=sys.stderr)
    if not failures:
        print(f"disassembly: {len(MODULES)} modules, {len(KERNELS)} kernels as they should be")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
