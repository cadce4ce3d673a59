"""Build of the compiled modules: one source, built once per instruction-set level."""

import os
import sys
import sysconfig
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

PACKAGE = Path("ebagx")
DEBUG = os.environ.get("EBAGX_DEBUG", "0") == "1"
OPENMP = os.environ.get("EBAGX_OPENMP", "auto")  # auto | require | off
SANITIZE = os.environ.get("EBAGX_SANITIZE", "")  # value of -fsanitize=: address,undefined
CHOSEN = os.environ.get("EBAGX_LEVELS", "")  # names of levels, with commas between; empty: all
LIMITED_API = not DEBUG and not sysconfig.get_config_var("Py_GIL_DISABLED")

# name -> flags per compiler type; a module of a level is imported only where CPUID reports it.
LEVELS = {
    "baseline": {"unix": [], "msvc": []},
    # A processor with AVX2 that lacks prefetches for writing skips them.
    "avx2": {"unix": ["-mavx2", "-mfma", "-mf16c", "-mprfchw"], "msvc": ["/arch:AVX2"]},
    "avx512": {
        "unix": [
            *("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", "-mf16c"),
            "-mprefer-vector-width=512",  # else compilers use half of a register
        ],
        "msvc": ["/arch:AVX512"],
    },
}
COMMON_FLAGS = {
    "unix": [
        "-O2",  # what -O3 adds is in places faster and everywhere larger: see GCC_FLAGS
        "-ftree-vectorize",
        "-g0",
        "-ffp-contract=off",  # a fused multiply-add at one level would change the bits of a result
        "-fno-math-errno",  # lets sqrt vectorise
        "-fopenmp-simd",
        # Each block width is a call with a literal: inlined, it has constant trip counts.
        "-DCYTHON_INLINE=inline __attribute__((__always_inline__))",
        "-Wno-unused-function",
        "-Wno-sign-compare",
    ],
    "msvc": ["/O2", "/fp:precise"],
}
# Only GCC has these flags, and only GCC needs them.
GCC_FLAGS = [
    # Loops that clear accumulators would become `rep stos`, of 30 cycles and more each.
    "-fno-tree-loop-distribute-patterns",
    # GCC would jam loops over lookups without a prefetch, so that accumulators leave their
    # registers: 6 times slower.
    "-fno-loop-unroll-and-jam",
    # CPython's own -fwrapv slows max down by a fifth; no arithmetic here overflows.
    "-fno-wrapv",
    # As with -O3, loops of an unknown number of turns become vectors, and blocks of literal width
    # become code without a loop, or their accumulators leave the registers. The longer ends of
    # other loops stay loops: a compressed module is a fifth smaller than with -O3.
    "-fvect-cost-model=dynamic",
    "-fpeel-loops",
    "--param=max-completely-peeled-insns=64",
    "-Wno-maybe-uninitialized",  # of accumulators without columns
    # C has no exceptions that unwind the stack; the tables would be 3 % of the modules.
    *("-fno-asynchronous-unwind-tables", "-fno-unwind-tables"),
]
# These modules are as fast when they are small.
SMALL = ("ebagx._core.arrow", "ebagx._core.cpu", "ebagx._core.integers")
SMALL_FLAGS = {"unix": ["-Os"], "msvc": ["/O1"]}
# These read text byte by byte: vectors, peeled and aligned loops made them a fifth larger, and no
# faster. -Os would save as much again, and take a tenth more instructions for the bags of lines.
OF_TEXT = ("ebagx.io.vectors.parse", "ebagx.text.tokens")
OF_TEXT_GCC_FLAGS = [
    *("-fno-tree-vectorize", "-fno-peel-loops", "-freorder-blocks-algorithm=simple"),
    *("-fno-align-functions", "-fno-align-jumps", "-fno-align-loops"),
]
# These come after -O2 -g0 on the command line, and so replace them; the first report ends the
# process.
SANITIZER_FLAGS = [
    *("-O1", "-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"),
    "-fasynchronous-unwind-tables",  # reports show the calls on the stack
]
OPENMP_FLAGS = {
    "unix": (["-fopenmp"], ["-fopenmp"]),
    "darwin": (["-Xpreprocessor", "-fopenmp"], ["-lomp"]),
    "msvc": (["/openmp"], []),
}
# Linkers of some systems leave out libraries of which a module calls nothing, the C library too,
# from which auditwheel recognises glibc or musl. `pow` is in libm.
LINUX_LIBRARIES = "-Wl,--push-state,--no-as-needed,-lc,--as-needed,-lm,--pop-state"
PYTHON_PROBE = "#include <Python.h>\nint main(void) { return 0; }\n"
OPENMP_PROBE = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"


def targets_x86_64():
    """Return whether the target is x86-64; it may differ from this machine."""
    platform = sysconfig.get_platform()
    if platform.startswith("macosx"):
        arch_flags = os.environ.get("ARCHFLAGS", "")
        if arch_flags:
            return "x86_64" in arch_flags and "arm64" not in arch_flags
    return platform.endswith(("x86_64", "amd64"))


def level_names():
    if not targets_x86_64():
        return ["baseline"]
    # macOS turns AVX-512 on when a thread first uses it, so XGETBV denies it before; and versions
    # 10.15.6 to 12.1 lose mask registers in signal handlers (golang/go#43089, golang/go#49233).
    macos = sysconfig.get_platform().startswith("macosx")
    return [level for level in LEVELS if not (macos and level == "avx512")]


def chosen_levels():
    """Return the levels to compile; the modules of others stay as they were built before."""
    levels, chosen = level_names(), [name.strip() for name in CHOSEN.split(",")]
    if not CHOSEN:
        return levels
    if unknown := [name for name in chosen if name not in levels]:
        raise SystemExit(
            f"EBAGX_LEVELS must name levels of this target, {', '.join(levels)}, got {unknown[0]!r}"
        )
    return [level for level in levels if level in chosen]


def has_stale_c(modules):
    """Return whether Cython's output may be older than this file, which has its options."""
    options = Path("setup.py").stat().st_mtime
    outputs = [Path(source).with_suffix(".c") for module in modules for source in module.sources]
    return any(path.exists() and path.stat().st_mtime < options for path in outputs)


def extensions():
    macros = [("CYTHON_WITHOUT_ASSERTIONS", "1")] if not DEBUG else []
    options = {"define_macros": macros, "py_limited_api": LIMITED_API}
    if LIMITED_API:
        macros.append(("Py_LIMITED_API", "0x030B0000"))
    folder = PACKAGE / "_kernels"
    included = [str(path) for path in (PACKAGE / "text").glob("*.pxi")]
    kernels = [str(path) for path in folder.rglob("*") if path.suffix in (".pxi", ".h")]
    modules = [
        Extension("ebagx._core.arrow", [str(PACKAGE / "_core/arrow.pyx")], **options),
        Extension(
            "ebagx._core.cpu",
            [str(PACKAGE / "_core/cpu.pyx")],
            depends=[str(path) for path in (PACKAGE / "_core").glob("*.pxi")],
            **options,
        ),
        Extension("ebagx._core.integers", [str(PACKAGE / "_core/integers.pyx")], **options),
        Extension(
            "ebagx.text.tokens",
            [str(PACKAGE / "text/tokens.pyx")],
            depends=[*included, str(folder / "common/arrays.pxi")],
            **options,
        ),
        Extension(
            "ebagx.io.vectors.parse",
            [str(PACKAGE / "io/vectors/parse.pyx")],
            depends=[str(folder / "common/arrays.pxi")],
            **options,
        ),
    ]
    return modules + [
        Extension(
            f"ebagx._kernels._{level}",
            [str(PACKAGE / f"_kernels/_{level}.pyx")],
            depends=kernels,
            include_dirs=[str(PACKAGE / "_kernels")],
            **options,
        )
        for level in chosen_levels()
    ]


class BuildWithLevels(build_ext):
    """Adds the flags of level, compiler and OpenMP, once the compiler is known."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self):
        # The build would use objects and modules of a build with other options again.
        options = f"openmp={OPENMP} debug={DEBUG} sanitize={SANITIZE}"
        stamp = Path(self.build_temp, "options.txt")
        if not stamp.exists() or stamp.read_text() != options:
            self.force = True
            for pattern in ("*.so", "*.pyd"):
                for module in Path(self.build_lib).rglob(pattern):
                    module.unlink()
        self.check_baseline()
        super().run()
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(options)

    def check_baseline(self):
        folder = Path("." if self.inplace else self.build_lib, PACKAGE, "_kernels")
        if "baseline" not in chosen_levels() and not list(folder.glob("_baseline.*[do]")):
            raise SystemExit(
                f"EBAGX_LEVELS={CHOSEN}, but the level baseline, which the others fall back on, "
                f"has not been built in {folder}; name it too"
            )

    def build_extensions(self):
        kind = "msvc" if self.compiler.compiler_type == "msvc" else "unix"
        self.check_compiler()
        compile_openmp, link_openmp = self.openmp_flags(kind)
        known = self.known_flags(GCC_FLAGS) if kind == "unix" else []
        of_text = self.known_flags(OF_TEXT_GCC_FLAGS) if kind == "unix" else []
        for extension in self.extensions:
            level = extension.name.rpartition("._")[2]
            extension.extra_compile_args += COMMON_FLAGS[kind] + known + compile_openmp
            extension.extra_compile_args += LEVELS.get(level, LEVELS["baseline"])[kind]
            if extension.name in OF_TEXT:
                extension.extra_compile_args += of_text
            if extension.name in SMALL:
                extension.extra_compile_args += SMALL_FLAGS[kind]
            extension.extra_link_args += link_openmp
            if sys.platform == "linux":
                extension.extra_link_args.append(LINUX_LIBRARIES)
            if SANITIZE:
                extension.extra_compile_args += [*SANITIZER_FLAGS, f"-fsanitize={SANITIZE}"]
                extension.extra_link_args.append(f"-fsanitize={SANITIZE}")
            elif kind == "unix" and DEBUG:
                extension.extra_compile_args += ["-O1", "-g"]
            elif kind == "unix" and sys.platform != "darwin":
                extension.extra_link_args.append("-Wl,--strip-all")
        super().build_extensions()

    def check_compiler(self):
        if not self.compiles_with("int main(void) { return 0; }\n"):
            raise SystemExit(
                "ebagx needs a C compiler, and none works here; on Debian and Ubuntu: "
                "apt install gcc python3-dev"
            )
        if not self.compiles_with(PYTHON_PROBE):
            raise SystemExit(
                f"ebagx needs the headers of Python {sysconfig.get_python_version()}, and Python.h "
                "was not found; on Debian and Ubuntu: apt install python3-dev"
            )

    def openmp_flags(self, kind):
        flags = OPENMP_FLAGS["darwin" if sys.platform == "darwin" else kind]
        if OPENMP == "off":
            return [], []
        if self.compiles_with(OPENMP_PROBE, *flags):
            return flags
        if OPENMP == "require":
            tried = " ".join(dict.fromkeys(flags[0] + flags[1]))
            raise SystemExit(
                "EBAGX_OPENMP=require, but the C compiler cannot build a program with OpenMP "
                f"({tried}); install it or set EBAGX_OPENMP=auto"
            )
        print("ebagx: no OpenMP found, building without threads", file=sys.stderr)
        return [], []

    def known_flags(self, flags):
        if self.knows(flags):
            return flags
        return [flag for flag in flags if self.knows([flag])]

    def knows(self, flags):
        return self.compiles_with("int main(void) { return 0; }\n", ["-Werror", *flags])

    def compiles_with(self, program, compile_args=(), link_args=()):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(program)
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=list(compile_args)
                )
                self.compiler.link_executable(
                    objects, "probe", output_dir=folder, extra_postargs=list(link_args)
                )
            except (CompileError, LinkError):
                return False
        return True


if OPENMP not in ("auto", "require", "off"):
    raise SystemExit(f"EBAGX_OPENMP must be auto, require or off, got {OPENMP!r}")

MODULES = extensions()
setup(
    ext_modules=cythonize(
        MODULES,
        force=has_stale_c(MODULES),
        include_path=[str(PACKAGE / "_kernels")],
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "freethreading_compatible": True,
            "embedsignature": True,
            "embedsignature.format": "clinic",  # what inspect.signature reads
            "binding": False,  # a class of functions in each module is 7 KB
        },
    ),
    cmdclass={"build_ext": BuildWithLevels},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if LIMITED_API else {},
)
