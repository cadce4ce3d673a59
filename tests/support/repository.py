"""Import scripts of the repository that are not part of the package."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def load_script(path):
    """Import a script of the repository; skip the tests of a file if it is missing."""
    script = ROOT / path
    if not script.exists():
        pytest.skip("the script is in the repository only", allow_module_level=True)
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look types up
    spec.loader.exec_module(module)
    return module
