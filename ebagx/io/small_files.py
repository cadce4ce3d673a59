"""Files of quantised models for words and buckets, compressed by zlib.

Words are as in ``words.txt``, in the order of their bytes. Buckets ascend, so that the differences
of one from the next are small. A bucket is written as the number of buckets left out before it: a
byte, after as many bytes of 255 as are needed. 60,882 buckets of 100,000 take 14 kB, in which 30,441 take 11;
a bit for each bucket takes 12.5.
"""

import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

_MORE = 255  # the number goes on in the next byte
_LEVEL = 9

_Bytes = npt.NDArray[np.uint8]
_Int32 = npt.NDArray[np.int32]


def pack(content: bytes) -> bytes:
    """Compress the content of a file."""
    return zlib.compress(content, _LEVEL)


def unpack(content: bytes, most: int, path: Path) -> bytes:
    """Return the content of a compressed file; raise ValueError if it has more than `most` bytes.

    Not more than that is allocated.
    """
    decoder = zlib.decompressobj()
    try:
        found = decoder.decompress(content, most + 1)
    except zlib.error as error:
        raise ValueError(f"{path}: damaged: {error}") from error
    if len(found) > most or not decoder.eof or decoder.unused_data:
        raise ValueError(f"{path}: damaged: this is not one compressed file of up to {most:,} bytes")
    return found


def pack_buckets(buckets: _Int32) -> bytes:
    """Return the bytes of ascending numbers, compressed."""
    gaps = np.diff(buckets.astype(np.int64), prepend=-1) - 1
    more = gaps // _MORE
    ends = np.cumsum(more + 1) - 1
    content = np.full(int(ends[-1]) + 1 if len(ends) else 0, _MORE, np.uint8)
    content[ends] = gaps % _MORE
    return pack(content.tobytes())


def unpack_buckets(content: bytes, count: int, limit: int, path: Path) -> _Int32:
    """Return `count` ascending numbers from 0 to less than `limit`; raise ValueError otherwise."""
    given = np.frombuffer(unpack(content, count + limit // _MORE, path), np.uint8)
    (ends,) = np.nonzero(given < _MORE)
    if len(ends) != count or (count and ends[-1] != len(given) - 1) or (len(given) and not count):
        raise ValueError(f"{path}: these are not {count:,} numbers of buckets")
    buckets = np.cumsum(given, dtype=np.int64)[ends] + np.arange(count)
    if count and buckets[-1] >= limit:
        raise ValueError(f"{path}: a bucket is {buckets[-1]}, not below {limit}")
    return buckets.astype(np.int32)
