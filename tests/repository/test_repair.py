"""Test parts of tools/repair_wheel.py; nox's session `wheel` runs all of it."""

import hashlib
import zipfile
import zlib

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


def test_compressed_again_a_wheel_has_the_same_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "compressed", lambda content: zlib.compress(content, 9)[2:-4])
    old, new = tmp_path / "old.whl", tmp_path / "new.whl"
    contents = {"ebagx/b.so": b"code" * 999, "ebagx/empty.py": b"", "a/RECORD": b"text"}
    with zipfile.ZipFile(old, "w") as wheel:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, (2023, 11, 14, 22, 13, 20))
            entry.external_attr = 0o755 << 16
            wheel.writestr(entry, content)
    tool.compress(old, new)
    with zipfile.ZipFile(new) as wheel:
        assert wheel.testzip() is None
        assert {name: wheel.read(name) for name in wheel.namelist()} == contents
        assert list(contents) == wheel.namelist()
        for file in wheel.infolist():
            assert file.external_attr == 0o755 << 16
            assert file.date_time == (2023, 11, 14, 22, 13, 20)
            assert file.compress_type == zipfile.ZIP_DEFLATED
            header = new.read_bytes()[file.header_offset :]  # what streaming readers use
            assert header.startswith(file.FileHeader())
    assert new.stat().st_size < old.stat().st_size - 3_000
