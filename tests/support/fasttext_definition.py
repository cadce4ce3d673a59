"""Read and use models of fastText in plain Python; `ebagx.text.fasttext` must do the same.

Nothing is checked, and all sums are in float64.
"""

import math
import re
import struct

END = b"</s>"
WORD, LABEL = 0, 1


def fnv1a(data):
    """Hash bytes as fastText does: those of 128 and more have a sign."""
    value = 2166136261
    for byte in data:
        value = (value ^ (byte | 0xFFFFFF00 if byte >= 128 else byte)) * 16777619 % 2**32
    return value


def signed(value):
    return value - 2**32 if value >= 2**31 else value


def chars_of(word):
    """Cut a word into characters; bytes that go on with none belong to the one before."""
    return re.findall(rb"[^\x80-\xbf][\x80-\xbf]*", word)


def ngrams_of(word, shortest, longest):
    chars = chars_of(b"<" + word + b">")
    for i in range(len(chars)):
        for n in range(max(shortest, 1), longest + 1):
            if i + n <= len(chars) and (n > 1 or 0 < i < len(chars) - 1):
                yield b"".join(chars[i : i + n])


class Reader:
    def __init__(self, data):
        self.data, self.place = data, 0

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.place)
        self.place += struct.calcsize("<" + form)
        return values

    def floats(self, count):
        return self.take(f"{count}f")


class Model:
    """The content of a file, with lists for tables."""

    def __init__(self, data):
        r = Reader(data)
        _, version = r.take("2i")
        options = r.take("12i")
        self.dim, *_, self.word_ngrams, self.loss, self.model = (*options[:1], *options[5:8])
        self.bucket, self.minn, self.maxn = options[8:11]
        if version == 11 and self.model == 3:
            self.maxn = 0
        r.take("d")
        size, self.n_words, self.n_labels = r.take("3i")
        _, n_pruned = r.take("2q")
        self.entries, self.counts = {}, []
        for number in range(size):
            end = data.index(b"\0", r.place)
            self.entries[data[r.place : end]] = number
            r.place = end + 1
            self.counts.append(r.take("qb")[0])
        pairs = [r.take("2i") for _ in range(n_pruned)]
        self.pruned = dict(pairs) if n_pruned >= 0 else None
        (is_quantised,) = r.take("b")
        self.table = self.matrix(r, is_quantised)
        (is_coded,) = r.take("b")
        self.output = self.matrix(r, is_quantised and is_coded)
        self.labels = [word.decode() for word in self.entries][self.n_words :]

    def matrix(self, r, is_quantised):
        if not is_quantised:
            n_rows, dim = r.take("2q")
            return [r.floats(dim) for _ in range(n_rows)]
        (has_norms,) = r.take("b")
        n_rows, dim = r.take("2q")
        (n_codes,) = r.take("i")
        codes = r.take(f"{n_codes}B")
        parts = self.quantiser(r)
        norms = [1.0] * n_rows
        if has_norms:
            norm_codes = r.take(f"{n_rows}B")
            (of_norms,) = self.quantiser(r)
            norms = [of_norms[code][0] for code in norm_codes]
        n = n_codes // n_rows
        return [
            [
                x * norms[i]
                for part, code in zip(parts, codes[i * n : (i + 1) * n], strict=True)
                for x in part[code]
            ]
            for i in range(n_rows)
        ]

    @staticmethod
    def quantiser(r):
        dim, n_parts, step, last = r.take("4i")
        widths = [step] * (n_parts - 1) + [last]
        assert sum(widths) == dim
        return [[r.floats(width) for _ in range(256)] for width in widths]

    def bucket_rows(self, value):
        bucket = value % self.bucket
        if self.pruned is not None:
            bucket = self.pruned.get(bucket)
        return [] if bucket is None else [self.n_words + bucket]

    def word_rows(self, word):
        number = self.entries.get(word, -1)
        rows = [number] if number >= 0 else []
        if self.maxn and word != END:
            for ngram in ngrams_of(word, self.minn, self.maxn):
                rows += self.bucket_rows(fnv1a(ngram))
        return rows

    def line_rows(self, text):
        tokens = [token for token in re.split(rb"[ \t\n\v\f\r\0]+", text) if token] + [END]
        rows, hashes = [], []
        for token in tokens[: tokens.index(END) + 1]:
            number = self.entries.get(token, -1)
            if number >= self.n_words or (number < 0 and token.startswith(b"__label__")):
                continue
            hashes.append(signed(fnv1a(token)))
            rows += self.word_rows(token)
        for i in range(len(hashes)):
            value = hashes[i]
            for other in hashes[i + 1 : i + self.word_ngrams]:
                value = (value * 116049371 + other) % 2**64
                rows += self.bucket_rows(value)
        return rows

    def mean(self, rows):
        count = max(len(rows), 1)
        return [sum(self.table[row][d] for row in rows) / count for d in range(self.dim)]

    def probabilities(self, text):
        """Return the probability of each label, 0 where it is left out."""
        rows = self.line_rows(text)
        if not rows:
            return [0.0] * self.n_labels
        hidden = self.mean(rows)
        scores = [sum(x * y for x, y in zip(row, hidden, strict=True)) for row in self.output]
        if self.loss == 1:
            return self.tree_probabilities(scores)
        if self.loss == 3:
            largest = max(scores)
            exponentials = [math.exp(score - largest) for score in scores]
            return [x / sum(exponentials) + 1e-5 for x in exponentials]
        return [sigmoid(score) + 1e-5 for score in scores]

    def tree_probabilities(self, scores):
        n = self.n_labels
        counts = self.counts[self.n_words :] + [10**15] * (n - 1)
        children, leaf, node = {}, n - 1, n
        for i in range(n, 2 * n - 1):
            taken = []
            for _ in range(2):
                if leaf >= 0 and counts[leaf] < counts[node]:
                    taken.append(leaf)
                    leaf -= 1
                else:
                    taken.append(node)
                    node += 1
            children[i] = taken
            counts[i] = counts[taken[0]] + counts[taken[1]]
        found, branches = [0.0] * n, [(2 * n - 2, 0.0)]
        for place, score in branches:
            if score < math.log(1e-5):
                continue
            if place < n:
                found[place] = math.exp(score)
                continue
            right = 1 / (1 + math.exp(-scores[place - n]))
            branches.append((children[place][0], score + math.log(1 - right + 1e-5)))
            branches.append((children[place][1], score + math.log(right + 1e-5)))
        return found


def sigmoid(score):
    if abs(score) > 8:
        return float(score > 0)
    x = math.floor((score + 8) * 512 / 16) * 16 / 512 - 8
    return 1 / (1 + math.exp(-x))
