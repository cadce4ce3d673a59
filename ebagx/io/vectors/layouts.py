"""Tell the format of a file of vectors by its first bytes: suffixes say little."""

import codecs
import re
from enum import Enum
from typing import NamedTuple

from ebagx.io.vectors.stream import Stream
from ebagx.io.vectors.text import MAX_DIM, Header, fields_of

_HEADER = re.compile(rb"[ \t]*(\d{1,18})[ \t]+(\d{1,9})[ \t]*\r?\Z")
_NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\Z")
_FLORET = re.compile(rb"\d{1,18}( \d{1,18}){5} \S+ \S+ ?\r?\Z")
_FASTTEXT = b"\xba\x16\x4f\x2f"
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_SAFETENSORS = re.compile(rb".{8}[ \t\n\r]*\{", re.DOTALL)
_MARKS = codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
_LFS = b"version https://git-lfs.github.com/spec/"
_PAGE = re.compile(rb"\s*<(!doctype|html)", re.IGNORECASE)


class Layout(Enum):
    """The formats of files, apart from folders."""

    FASTTEXT = "fastText .bin"
    SAFETENSORS = "safetensors"
    FLORET = "floret"
    TEXT = "text with a header"
    BINARY = "word2vec binary"
    GLOVE = "text without a header"


class Found(NamedTuple):
    """A format, and the header of word2vec's formats."""

    layout: Layout
    header: Header | None = None


def layout_of(stream: Stream) -> Found:
    """Return the format of a file.

    Raises
    ------
    ValueError
        If the file is empty, of another kind, or has an absurd header.
    """
    head = stream.head
    if head.startswith(_FASTTEXT):
        return Found(Layout.FASTTEXT)
    _refuse_others(stream)
    if _SAFETENSORS.match(head) and int.from_bytes(head[:8], "little") < 1 << 32:
        return Found(Layout.SAFETENSORS)
    first, end, rest = head.partition(b"\n")
    if end and _FLORET.match(first):
        return Found(Layout.FLORET)
    found = _HEADER.match(first) if end else None
    if found is None:
        return Found(Layout.GLOVE)
    count, dim = int(found[1]), int(found[2])
    is_text = _is_text(rest.partition(b"\n")[0], dim)
    return Found(Layout.TEXT if is_text else Layout.BINARY, _checked(stream, count, dim))


def _is_text(line: bytes, dim: int) -> bool:
    """Return whether the line below a header is text, though perhaps with faults.

    Some field is a number then, and there are about as many as the header says, of characters that
    can be shown: numbers of four bytes hardly ever look like that.
    """
    fields = fields_of(line)
    numbers = fields[max(len(fields) - dim, 0) :]
    try:
        shown = b" ".join(numbers).decode().isprintable()
    except UnicodeDecodeError:
        shown = False
    return shown and len(fields) >= dim and any(map(_NUMBER.match, numbers))


def _checked(stream: Stream, count: int, dim: int) -> Header:
    if not (1 <= dim <= MAX_DIM and 1 <= count < 1 << 31):
        raise stream.error(f"the header says {count:,} words of dimension {dim:,}")
    return Header(count, dim)


def _refuse_others(stream: Stream) -> None:
    head = stream.head
    if not head:
        raise stream.error("the file is empty")
    if head.startswith(_MARKS):
        raise stream.error(
            "there is a byte order mark before the first line; save the file as UTF-8 without one"
        )
    if head[257:262] == b"ustar":
        raise stream.error("this is a tar archive; extract the file of vectors")
    if _PICKLE.match(head):
        raise stream.error(
            "this is a pickle, which could run any code; in gensim, save with "
            "vectors.save_word2vec_format('vectors.bin', binary=True) and load that"
        )
    if head.startswith(_LFS):
        raise stream.error("this is a pointer of Git LFS, not the file: git lfs pull fetches it")
    if _PAGE.match(head):
        raise stream.error("this is a page of the web, not the file: the download failed")
