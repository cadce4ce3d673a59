"""Sessions of the development checks: `nox -l` lists them, `.ci/run` does all that CI does."""

import subprocess
from pathlib import Path

import nox

nox.options.sessions = ["tests", "lint"]


@nox.session
def tests(session: nox.Session) -> None:
    """Install the package and pass the tests."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types."""
    session.install(*nox.project.dependency_groups(nox.project.load_toml(), "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("cython-lint", "src")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation with its examples, in docs/_build/html; warnings are errors."""
    groups = nox.project.dependency_groups(nox.project.load_toml(), "docs")
    session.install(".[cli,plot]", *groups)
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session
def packaging(session: nox.Session) -> None:
    """Check the metadata, the matrix of wheels, the workflows and the files of the sdist."""
    session.install("validate-pyproject[all]", "cibuildwheel>=4.1", "zizmor", "check-sdist")
    session.install("check-jsonschema>=0.33")
    session.run("validate-pyproject", "pyproject.toml")
    architectures = {"linux": "x86_64,aarch64", "macos": "x86_64,arm64", "windows": "AMD64,ARM64"}
    found = ""
    for platform, archs in architectures.items():
        options = ["--print-build-identifiers", "--platform", platform, "--archs", archs]
        found += str(session.run("cibuildwheel", *options, silent=True, stderr=None))
    if found.split() != Path("tools/wheels.txt").read_text().split():
        session.error(f"the matrix of wheels is not that of tools/wheels.txt:\n{found}")
    session.run("zizmor", "--offline", ".github")
    workflows = sorted(str(path) for path in Path(".github/workflows").glob("*.yml"))
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows)
    session.run("check-sdist")


@nox.session
def disassembly(session: nox.Session) -> None:
    """Check the instructions of the compiled modules; needs binutils."""
    session.install(".")
    session.run("python", "tools/check_disassembly.py", "build")


@nox.session
def instructions(session: nox.Session) -> None:
    """Count the instructions of the hot kernels (`-- --update` sets the limits); needs valgrind."""
    session.install(".")
    session.run("python", "bench/instructions.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Compare the speed with that of other libraries, shortly."""
    session.install(".[bench]")
    session.run("python", "bench/compare.py", "--quick", *session.posargs)


@nox.session
def serial(session: nox.Session) -> None:
    """Test the kernels built without OpenMP and with bounds checks."""
    session.install(".[test]", env={"EBAGX_OPENMP": "off", "EBAGX_DEBUG": "1"})
    session.run("pytest", "tests/kernels", "tests/test_ngrams.py", *session.posargs)


FUZZ_ENV = {"PYTHONPATH": "tests", "OMP_WAIT_POLICY": "passive"}


@nox.session
def fuzz(session: nox.Session) -> None:
    """Try a million hostile cases (`-- --cases 1000` for fewer), and those that atheris breeds."""
    session.install(".[test]", "atheris>=3")
    cases = session.posargs or ["--cases", "1000000"]
    session.run("python", "-m", "fuzz.run", *cases, env=FUZZ_ENV)
    corpus = Path(session.create_tmp(), "corpus")
    corpus.mkdir(exist_ok=True)
    limits = ["-max_total_time=120", "-max_len=160", "-len_control=0"]
    for _ in range(5):  # atheris keeps memory for each run, and slows down
        session.run("python", "-m", "fuzz.guided", str(corpus), *limits, env=FUZZ_ENV)
    session.run("pytest", "tests/test_state_machine.py", env={"EBAGX_LIVES": "1000"})


# What is worth its time under a tool that makes it 5 to 50 times slower.
SANITIZED = [
    "tests/kernels", "tests/optim", "tests/test_functional.py", "tests/test_functional_backward.py",
    "tests/test_embedding_bag.py", "tests/test_passes.py", "tests/test_dense.py",
    "tests/test_arrays.py", "tests/test_errors.py", "tests/test_errors_arguments.py",
    "tests/test_errors_sparse.py", "tests/test_sparse.py", "tests/test_gradients.py",
    "tests/test_half.py", "tests/test_max_norm.py", "tests/test_determinism.py",
    "tests/test_state_machine.py", "tests/test_ngrams.py", "tests/test_mapped.py",
]  # fmt: skip

MEMCHECKED = "(2-int32 or changed or beyond) and not renorm"


@nox.session
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
    session.run("pytest", *SANITIZED, env=env)
    for level in ("", "baseline"):  # "" is the best that the processor has
        level_env = {**env, "EBAGX_LEVEL": level}
        session.run("python", "-m", "fuzz.run", "--cases", "20000", env=level_env)


def under_memcheck(session: nox.Session) -> None:
    """Look for reads of memory that was never written, which ASan does not see."""
    session.install(".[test]")
    log = Path(session.create_tmp(), "memcheck.txt")
    memcheck = ["valgrind", "-q", "--leak-check=no", f"--log-file={log}"]
    pytest = ["python", "-m", "pytest", "-p", "no:cacheprovider", "tests/kernels", "-k", MEMCHECKED]
    env = {"PYTHONMALLOC": "malloc", "OMP_WAIT_POLICY": "passive"}
    session.run(*memcheck, *pytest, env=env, external=True)
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
    session.run("pytest", "tests/kernels", "tests/test_determinism.py", "-k", "not 1-", env=env)


def library_of(compiler: str, name: str) -> str:
    """Return the path of a compiler's run-time library."""
    command = [compiler, f"-print-file-name={name}"]
    return subprocess.check_output(command, text=True).strip()


ENDURING = ["tests/test_memory.py", "tests/test_processes.py", "tests/test_storage.py"]


@nox.session
def soak(session: nox.Session) -> None:
    """Call a million times with an eye on memory, live long, and kill and fork again and again."""
    session.install(".[test]", "dask")
    session.run("pytest", "tests/test_leaks.py", env={"EBAGX_LEAK_CALLS": "1000000"})
    session.run("pytest", "tests/test_state_machine.py", env={"EBAGX_LIVES": "1000"})
    for _ in range(int(session.posargs[0]) if session.posargs else 20):
        session.run("pytest", *ENDURING)
