import importlib.metadata

import ebagx
from ebagx._core import cpu, levels, threads


def test_version_is_that_of_the_installed_package():
    assert ebagx.__version__ == importlib.metadata.version("ebagx")


def test_show_config(capsys):
    ebagx.show_config()
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["ebagx"] == ebagx.__version__
    assert lines["level"].startswith(f"{levels.LEVEL} (available: baseline")
    assert (lines["OpenMP"] == "no (one thread)") is (cpu.openmp_version() == 0)
    assert lines["threads"] == str(threads.default_threads())


def test_public_names():
    for name in ebagx.__all__:
        assert hasattr(ebagx, name)
