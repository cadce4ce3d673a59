import doctest

import pytest

from support.repository import ROOT

README = ROOT / "README.md"


def test_examples():
    pytest.importorskip("sklearn")
    failed, tried = doctest.testfile(str(README), module_relative=False)
    assert tried > 20
    assert failed == 0
