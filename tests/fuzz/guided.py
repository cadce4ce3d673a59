"""Run the same cases, guided by coverage of the Python layer; `nox -s fuzz` runs it.

Needs ``pip install atheris``. Arguments are those of libFuzzer, such as ``-runs=100000``,
``-max_total_time=60`` and a folder that keeps what was found. A failure ends the run and leaves
its bytes in a file ``crash-...``; ``python -P -m fuzz.run --case`` runs them again, in hex.
"""

import sys

import atheris

with atheris.instrument_imports(include=["ebagx"]):
    import ebagx  # noqa: F401

from fuzz.oracle import run_case


def main() -> None:
    """Run the cases of atheris."""
    atheris.Setup(sys.argv, run_case_of)
    atheris.Fuzz()


def run_case_of(data: bytes) -> None:
    """Run one case; atheris takes no result."""
    run_case(data)


if __name__ == "__main__":
    main()
