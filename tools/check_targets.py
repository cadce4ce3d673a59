"""Compile every module, with OpenMP, for other platforms: to objects, which are not run.

The compiler is the clang of the package ziglang, which has the C libraries of each platform.
Python's headers are those of this machine, with what differs on Windows set right. MSVC, which
reads other parts of the C files, is not tried.

    pip install cython setuptools ziglang && python tools/check_targets.py
"""

import os
import runpy
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TARGETS = (
    "x86_64-linux-musl",
    "aarch64-linux-gnu",
    "x86_64-macos",
    "aarch64-macos",
    "x86_64-windows-gnu",
    "aarch64-windows-gnu",
)
WINDOWS = """
#include <pyconfig.h>
#undef HAVE_SYS_SELECT_H
#undef SIZEOF_LONG
#define SIZEOF_LONG 4
#undef SIZEOF_WCHAR_T
#define SIZEOF_WCHAR_T 2
#define MS_WINDOWS 1
#define MS_WIN64 1
#define HAVE_DECLSPEC_DLL 1
#define Py_ENABLE_SHARED 1
"""
# All of OpenMP's library that the modules call by name.
OPENMP = "int omp_get_max_threads(void);\n"


def write_headers(folder: Path) -> None:
    """Write what takes the place of headers that the platforms would have."""
    (folder / "omp.h").write_text(OPENMP)
    (folder / "pyconfig_windows.h").write_text(WINDOWS)


def command(target: str, module: Any, setup: dict[str, Any], headers: Path) -> list[str]:
    """Return the command that compiles a module, without its source and output."""
    level = module.name.rpartition("._")[2]
    flags = [*setup["COMMON_FLAGS"]["unix"], *setup["LEVELS"].get(level, {"unix": []})["unix"]]
    flags += [f"-D{name}={value}" for name, value in module.define_macros]
    folders = [headers, sysconfig.get_path("include"), *module.include_dirs]
    flags += [f"-I{folder}" for folder in folders]
    if "windows" in target:
        flags += ["-include", str(headers / "pyconfig_windows.h")]
    # Optimizing takes most of the time and is not checked here, so that its level is low.
    return [sys.executable, "-m", "ziglang", "cc", "-target", target, *flags, "-O1", "-fopenmp"]


def failures(setup: dict[str, Any], headers: Path) -> Iterator[str]:
    """Yield what the compiler says of each module that it cannot compile for a platform."""
    for target in TARGETS:
        for module in setup["extensions"]():
            if "._avx" in module.name and not target.startswith("x86_64"):
                continue
            source = str(Path(module.sources[0]).with_suffix(".c"))
            arguments = ["-w", "-c", source, "-o", str(headers / "module.o")]
            compiler = [*command(target, module, setup, headers), *arguments]
            done = subprocess.run(compiler, capture_output=True, text=True, check=False)
            print(f"{target}: {module.name}: {'failed' if done.returncode else 'compiles'}")
            if done.returncode:
                yield done.stderr


def main() -> int:
    """Write the C files, compile them for each platform, and return whether one failed."""
    os.chdir(Path(__file__).parents[1])
    sys.argv[1:] = ["--name"]  # of setup.py, which makes the C files first whatever it is asked
    setup = runpy.run_path("setup.py")
    with tempfile.TemporaryDirectory() as folder:
        write_headers(Path(folder))
        found = list(failures(setup, Path(folder)))
    print(*found, sep="\n", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
