"""Test an example of the gallery; `nox -s docs` runs them all."""

import runpy

import pytest

from support.repository import ROOT

EXAMPLES = ROOT / "examples"
pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="tests without the examples")


def test_columns_of_a_data_frame(capsys):
    pytest.importorskip("pandas")
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    names = runpy.run_path(str(EXAMPLES / "plot_collection.py"))
    assert names["losses"][-1] < 0.8 * names["losses"][0]
    assert "correlation: 0.9" in capsys.readouterr().out
