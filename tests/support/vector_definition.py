"""Vectors of words and texts in plain Python: what the compiled code and its callers compute."""

import math
import struct

import numpy as np

MASK = 2**64 - 1


def number(field):
    """Return the value that NumPy gives to a number of text."""
    with np.errstate(over="ignore"):
        return np.float32(float(field))


def row(line, dim):
    """Return the word and the numbers of a line, all of it without its end."""
    *word, numbers = line.rsplit(" ", dim)[:1], line.split(" ")[-dim:]
    return word[0][0], [number(field) for field in numbers]


def rotated(bits, count):
    return (bits << count | bits >> (64 - count)) & MASK


def mixed(bits):
    bits = (bits ^ bits >> 33) * 0xFF51AFD7ED558CCD & MASK
    bits = (bits ^ bits >> 33) * 0xC4CEB9FE1A85EC53 & MASK
    return bits ^ bits >> 33


def murmur(data, seed):
    """Return MurmurHash3_x64_128 as four numbers of 32 bits, as floret uses them."""
    c1, c2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
    h1 = h2 = seed
    whole = len(data) // 16 * 16
    for i in range(0, whole, 16):
        k1, k2 = struct.unpack_from("<QQ", data, i)
        h1 ^= rotated(k1 * c1 & MASK, 31) * c2 & MASK
        h1 = (rotated(h1, 27) + h2) * 5 + 0x52DCE729 & MASK
        h2 ^= rotated(k2 * c2 & MASK, 33) * c1 & MASK
        h2 = (rotated(h2, 31) + h1) * 5 + 0x38495AB5 & MASK
    k1, k2 = struct.unpack("<QQ", data[whole:].ljust(16, b"\0"))
    h1 ^= (rotated(k1 * c1 & MASK, 31) * c2 & MASK) ^ len(data)
    h2 ^= (rotated(k2 * c2 & MASK, 33) * c1 & MASK) ^ len(data)
    h1 = h1 + h2 & MASK
    h2 = h1 + h2 & MASK
    h1, h2 = mixed(h1), mixed(h2)
    h1 = h1 + h2 & MASK
    h2 = h1 + h2 & MASK
    return [part for half in (h1, h2) for part in (half & 0xFFFFFFFF, half >> 32)]


def floret_rows(word, buckets, minn, maxn, count, seed, begin, end):
    """Return the rows of a word by floret's rule."""
    marked = begin + word + end
    strings = [marked]
    for i in range(len(marked)):
        for j in range(i + 1, min(i + maxn, len(marked)) + 1):
            is_mark = j == i + 1 and (i == 0 or j == len(marked))
            if j - i >= minn and not is_mark:
                strings.append(marked[i:j])
    hashes = [murmur(string.encode(), seed)[:count] for string in strings]
    return [part % buckets for parts in hashes for part in parts]


def pieces(words, vocabulary, prefix="##", max_chars=100):
    """Return the pieces of words, None for a word without them."""
    found = []
    for word in words:
        parts, start = [], 0
        while start < len(word) <= max_chars:
            for end in range(len(word), start, -1):
                part = (prefix if start else "") + word[start:end]
                if part in vocabulary:
                    parts.append(part)
                    start = end
                    break
            else:
                break
        found += parts if start == len(word) else [None]
    return found


def unit_mean(vectors):
    """Return the mean of the vectors divided by their lengths, without those of length 0."""
    lengths = [math.sqrt(math.fsum(float(x) ** 2 for x in vector)) for vector in vectors]
    units = [np.asarray(v, float) / n for v, n in zip(vectors, lengths, strict=True) if n]
    return np.mean(units, axis=0)
