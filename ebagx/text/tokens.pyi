from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

_Bytes = bytes | npt.NDArray[np.uint8]
_Int32 = npt.NDArray[np.int32]
_Intp = npt.NDArray[np.intp]
_Uint32 = npt.NDArray[np.uint32]
_Floats = npt.NDArray[np.float32]
_Arrays = tuple[npt.NDArray[Any], ...]

__test__: dict[str, str]

def split_records(
    spans_b2: _Intp,
    label_ends_b: _Intp,
    odd_b: npt.NDArray[np.uint8],
    labels_l2: _Intp,
    found_3: _Intp,
    kept: bytearray,
    text: bytes,
    prefix: bytes,
    form: int,
    /,
) -> int: ...
def count_words(text: _Bytes, /) -> int: ...
def count_starts(text: _Bytes, /) -> int: ...
def number_words(
    words_k: _Int32,
    ends_b: _Intp,
    bytes: npt.NDArray[np.uint8],
    offsets_w: _Intp,
    hashes_w: _Uint32,
    slots: npt.NDArray[np.uint64],
    spans_b2: _Intp,
    text: _Bytes,
    word: npt.NDArray[np.uint8],
    count: int,
    rule: int,
    lowercase: bool,
    learns: bool,
    /,
) -> int: ...
def fill_slots(slots: npt.NDArray[np.uint64], hashes_w: _Uint32, /) -> None: ...
def copy_spans(out: npt.NDArray[np.uint8], spans_w2: _Intp, text: _Bytes, /) -> None: ...
def count_char_ngrams(
    counts_w: _Intp, spans_w2: _Intp, text: _Bytes, min_length: int, max_length: int, /
) -> None: ...
def hash_char_ngrams(
    features_k: _Int32,
    starts_w: _Intp,
    spans_w2: _Intp,
    text: _Bytes,
    min_length: int,
    max_length: int,
    first: int,
    n_buckets: int,
    /,
) -> None: ...
def mark_words(
    table_n2: _Uint32, own_k: _Int32, own_offsets_w: _Intp, counts_w: _Intp, /
) -> None: ...
def mark_runs(
    table_n2: _Uint32,
    rows_b: _Intp,
    words_k: _Int32,
    offsets: _Intp,
    hashes_w: _Uint32,
    max_length: int,
    n_buckets: int,
    /,
) -> None: ...
def rank_buckets(table_n2: _Uint32, /) -> int: ...
def list_buckets(buckets_c: _Int32, table_n2: _Uint32, /) -> None: ...
def number_buckets(own_k: _Int32, table_n2: _Uint32, first: int, /) -> None: ...
def count_rows(
    counts_w: _Intp,
    order_w: _Int32,
    rows_b: _Intp,
    words_k: _Int32,
    offsets: _Intp,
    n_words: int,
    /,
) -> int: ...
def measure_rows(
    lengths_b: npt.NDArray[np.int64], lines: _Arrays, max_length: int, num_threads: int, /
) -> None: ...
def expand_rows(
    bags: _Arrays,
    lines: _Arrays,
    features: _Arrays,
    max_length: int,
    first: int,
    n_buckets: int,
    num_threads: int,
    /,
) -> None: ...
def close_gaps(
    indices_k: _Int32, counts_k: _Floats, lengths_b: _Intp, starts: _Intp, /
) -> None: ...

@final
class TextReader:
    def __new__(
        cls,
        given: _Arrays,
        codes: tuple[int, int, int, bool],
        rule: int,
        lowercase: bool,
        ngrams: tuple[int, int, int, int],
        n_words: int,
        most_per_byte: int,
    ) -> Self: ...
    def answer(self, results: _Arrays, texts: list[bytes | str], longest: int, /) -> None: ...

def score_rows(
    scores_bl: _Floats,
    pooled_bd: _Floats,
    coef_dl: _Floats,
    intercept_l: _Floats,
    num_threads: int,
    /,
) -> None: ...
def rank_rows(
    places_bk: _Intp, values_bk: _Floats, scores_bl: npt.NDArray[np.float32], /
) -> None: ...
def number_pieces(
    pieces_k: _Int32,
    ends_b: _Intp,
    vocabulary: _Arrays,
    spans_b2: _Intp,
    text: bytes,
    prefix: bytes,
    scratch: npt.NDArray[np.uint8],
    limits: tuple[int, int, int],
    /,
) -> None: ...
def hash_murmur(
    rows_k: _Int32,
    ends_w: _Intp,
    spans_w2: _Intp,
    text: bytes,
    lengths: tuple[int, int],
    rows_per_hash: int,
    seed: int,
    n_buckets: int,
    /,
) -> None: ...
def scan_entries(
    spans_e2: _Intp,
    counts_e: npt.NDArray[np.int64],
    kinds_e: npt.NDArray[np.uint8],
    content: npt.NDArray[np.uint8],
    start: int,
    /,
) -> int: ...
def join_labels(children_n2: _Int32, counts_m: npt.NDArray[np.int64], /) -> None: ...
def list_fasttext_rows(
    results: _Arrays,
    given: tuple[bytes | npt.NDArray[Any], ...],
    rules: tuple[int, int, int, int, int, bool, bool],
    /,
) -> None: ...
def pool_fasttext_lines(
    results: _Arrays,
    given: tuple[bytes | npt.NDArray[Any], ...],
    matrix: tuple[npt.NDArray[Any] | int, ...],
    rules: tuple[int, int, int, int, int, bool, bool],
    num_threads: int,
    /,
) -> None: ...
def score_fasttext_rows(
    scores_bl: _Floats,
    pooled_bd: _Floats,
    matrix: tuple[npt.NDArray[Any] | int, ...],
    num_threads: int,
    /,
) -> None: ...
def walk_fasttext_tree(
    results: _Arrays,
    matrix: tuple[npt.NDArray[Any] | int, ...],
    k: int,
    num_threads: int,
    /,
) -> None: ...
