"""Test parts of tools/repair_wheel.py; nox's session `wheel` runs all of it."""

import hashlib

import pytest

from support.repository import load_script

tool = load_script("tools/repair_wheel.py")


@pytest.mark.parametrize(
    ("symbols", "newest"),
    [
        (b"\0GOMP_1.0\0GOMP_4.0.1\0", (4, 0)),
        (b"\0GOMP_4.5\0GOMP_2.0\0", (4, 5)),
        (b"\0GOMP_5.0.1\0", (5, 0)),
        (b"", (0, 0)),
    ],
    ids=str,
)
def test_newest_symbol(symbols, newest):
    assert tool.newest_symbol(symbols) == newest


@pytest.mark.parametrize(
    ("module", "path"),
    [
        ("ebagx/_kernels/_avx2.abi3.so", "$ORIGIN"),
        ("ebagx/_core/cpu.abi3.so", "$ORIGIN/../_kernels"),
        ("ebagx/text/tokens.abi3.so", "$ORIGIN/../_kernels"),
    ],
)
def test_path_to_library(tmp_path, module, path):
    assert tool.path_to_library(tmp_path / module, tmp_path) == path


def test_record(tmp_path):
    for name, text in (("ebagx/a.py", "a"), ("ebagx-1.dist-info/RECORD", "old")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    tool.write_record(tmp_path)
    first, last = (tmp_path / "ebagx-1.dist-info/RECORD").read_text().splitlines()
    code = tool.base64.urlsafe_b64encode(hashlib.sha256(b"a").digest()).rstrip(b"=").decode()
    assert first == f"ebagx/a.py,sha256={code},1"
    assert last == "ebagx-1.dist-info/RECORD,,"
