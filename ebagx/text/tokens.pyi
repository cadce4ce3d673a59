import numpy as np
import numpy.typing as npt

_Int32 = npt.NDArray[np.int32]
_Intp = npt.NDArray[np.intp]
_Uint32 = npt.NDArray[np.uint32]

__test__: dict[str, str]

def count_words(text: bytes, /) -> int: ...
def number_words(
    words_k: _Int32,
    offsets_b: _Intp,
    spans_w2: _Intp,
    hashes_w: _Uint32,
    slots: _Int32,
    text: bytes,
    /,
) -> int: ...
def copy_words(out: npt.NDArray[np.uint8], spans_w2: _Intp, text: bytes, /) -> None: ...
def count_char_ngrams(
    counts_w: _Intp, spans_w2: _Intp, text: bytes, min_length: int, max_length: int, /
) -> None: ...
def hash_char_ngrams(
    features_k: _Int32,
    starts_w: _Intp,
    spans_w2: _Intp,
    text: bytes,
    min_length: int,
    max_length: int,
    first: int,
    n_buckets: int,
    /,
) -> None: ...
def place_words(
    features_k: _Int32,
    ends_b: _Intp,
    words_k: _Int32,
    offsets_b: _Intp,
    own_k: _Int32,
    own_offsets_w: _Intp,
    /,
) -> None: ...
def place_word_ngrams(
    features_k: _Int32,
    ends_b: _Intp,
    words_k: _Int32,
    offsets_b: _Intp,
    hashes_w: _Uint32,
    max_length: int,
    first: int,
    n_buckets: int,
    /,
) -> None: ...
def mark_buckets(bits: _Uint32, features_k: _Int32, first: int, /) -> None: ...
def rank_buckets(ranks: _Int32, bits: _Uint32, /) -> int: ...
def list_buckets(buckets_c: _Int32, bits: _Uint32, /) -> None: ...
def merge_features(
    features_k: _Int32,
    counts_k: npt.NDArray[np.float32],
    offsets_b: _Intp,
    last_c: _Intp,
    bits: _Uint32,
    ranks: _Int32,
    first: int,
    /,
) -> None: ...
