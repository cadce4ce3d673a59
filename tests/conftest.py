"""Settings of the whole suite."""

import os

import pytest
from hypothesis import settings

from ebagx._storage import save_model
from storage_cases import make_model

os.environ["MPLBACKEND"] = "agg"  # plots open no window

settings.register_profile("ebagx", deadline=None, derandomize=True, database=None)
settings.load_profile("ebagx")


@pytest.fixture
def saved(tmp_path):
    """Return the folder of a model."""
    path = tmp_path / "model"
    save_model(make_model(), path)
    return path
