"""Test that one seed gives one recommender at every level of instructions."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")

from ebagx.datasets import make_interactions
from ebagx.sklearn import EmbeddingBagRecommender

OPTIONS = (
    {"user": "id", "loss": "bpr"},
    {"user": "history", "alpha": 1e-3},
    {"user": "history", "loss": "logistic", "mode": "mean"},
    {"user": "history", "loss": "softmax", "negatives": 21},
)


def fingerprints():
    """Return a line with a hash of each of some fitted models."""
    data = make_interactions(40, 30, per_user=8, random_state=0)
    hashes = []
    for options in OPTIONS:
        model = EmbeddingBagRecommender(9, max_iter=1, random_state=0, batch_size=50, **options)
        model.fit(data.train, item_features=data.item_features)
        arrays = model.user_embedding_, model.item_embedding_, np.array(model.loss_curve_)
        content = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
        hashes.append(hashlib.sha256(content).hexdigest()[:16])
    return " ".join(hashes)


@pytest.mark.parametrize("level", ["baseline", "reference"])
def test_one_seed_gives_one_model_on_every_machine(level):
    code = "from recommender.test_machines import fingerprints; print(fingerprints())"
    tests = os.path.dirname(os.path.dirname(__file__))
    environment = {**os.environ, "EBAGX_LEVEL": level, "PYTHONPATH": tests}
    command = [sys.executable, "-P", "-c", code]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == fingerprints()
