"""Test reading plain and compressed files in blocks of lines."""

import bz2
import gzip
import io
import lzma
import os
import re
import tempfile
import threading
import zipfile

import pytest

from ebagx.text import sources
from ebagx.text.sources import read_blocks

CONTENT = b"".join(b"line %d\n" % i for i in range(999))


def zipped(files, compression=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def encrypted():
    content = bytearray(zipped({"lines": CONTENT}))
    content[6] |= 1  # the flag of the file, and below that of its entry in the directory
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


COMPRESSED = {
    "plain": CONTENT,
    "gzip": gzip.compress(CONTENT),
    "bzip2": bz2.compress(CONTENT),
    "xz": lzma.compress(CONTENT),
    "zip": zipped({"lines": CONTENT}),
    "zip-stored": zipped({"lines": CONTENT}, zipfile.ZIP_STORED),
    "zip-of-macos": zipped({"data/": b"", "data/lines": CONTENT, "__MACOSX/._lines": b"notes"}),
}


def read(content):
    return b"".join(read_blocks(io.BufferedReader(io.BytesIO(content)), "name"))


@pytest.mark.parametrize("form", COMPRESSED)
def test_formats(form, monkeypatch):
    assert read(COMPRESSED[form]) == CONTENT
    monkeypatch.setattr(sources, "_BLOCK_SIZE", 10)
    assert read(COMPRESSED[form]) == CONTENT


@pytest.mark.parametrize("form", COMPRESSED)
def test_pipes(form, monkeypatch, tmp_path):
    """A zip archive is read from its end, which a pipe cannot."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ends = os.pipe()

    def write():
        with open(ends[1], "wb") as pipe:
            pipe.write(COMPRESSED[form])

    writer = threading.Thread(target=write)
    writer.start()
    with open(ends[0], "rb") as pipe:
        assert b"".join(read_blocks(pipe, "name")) == CONTENT
    writer.join()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", [b"BZh", b"BZh9 is a text\n", b"PK\n", b"\xfd7z\n", b"\x1f", b""])
def test_texts_that_begin_like_a_format(text):
    assert read(text) == text.removesuffix(b"\n") + (b"\n" if text else b"")


def test_empty_content():
    for content in (gzip.compress(b""), bz2.compress(b""), lzma.compress(b""), zipped({"a": b""})):
        assert read(content) == b""


@pytest.mark.parametrize("form", ["gzip", "bzip2", "xz", "zip"])
def test_damage_is_an_error_of_one_line(form):
    content = COMPRESSED[form]
    for size in (11, len(content) // 2, len(content) - 9):
        with pytest.raises(ValueError, match=f"^name: damaged {form} data: .") as raised:
            read(content[:size])
        assert "\n" not in str(raised.value)
    middle = len(content) // 3
    flipped = bytes(byte ^ 255 for byte in content[middle : middle + 40])
    with pytest.raises(ValueError, match=f"^name: damaged {form} data: ."):
        read(content[:middle] + flipped + content[middle + 40 :])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (zipped({"a": b"x\n", "b": b"y\n"}), "the zip archive has 2 files; it must have one"),
        (zipped({}), "the zip archive has 0 files; it must have one"),
        (encrypted(), "damaged zip data: File 'lines' is encrypted, password required"),
    ],
    ids=["two", "none", "encrypted"],
)
def test_zip_archives_that_cannot_be_read(content, problem):
    with pytest.raises(ValueError, match="^" + re.escape(f"name: {problem}")):
        read(content)


class Failing(io.RawIOBase):
    def __init__(self):
        self.parts = [COMPRESSED["gzip"][:99]]

    def readable(self):
        return True

    def readinto(self, buffer):
        if not self.parts:
            raise OSError(5, "Input/output error")
        part = self.parts.pop()
        buffer[: len(part)] = part
        return len(part)


def test_errors_of_the_system_stay_what_they_are():
    with pytest.raises(OSError, match="Input/output error") as raised:
        b"".join(read_blocks(io.BufferedReader(Failing()), "name"))
    assert raised.value.errno == 5
