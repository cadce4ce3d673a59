"""Sessions of the development checks: `nox -l` lists them, `.ci/run` does all that CI does."""

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
