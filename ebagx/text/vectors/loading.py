"""`load_vectors` reads word vectors of any format: the first bytes of a file tell which."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ebagx._core.arguments import OR_NONE, check_integer_or_none, check_one_of, shown
from ebagx._core.quantized.formats import check_bits
from ebagx.io.fasttext.vectors import read_vectors
from ebagx.io.vectors import binary, floret, saved, static, text
from ebagx.io.vectors.layouts import Layout, layout_of
from ebagx.io.vectors.rows import checked_dtype
from ebagx.io.vectors.stream import Progress, Stream, open_stream
from ebagx.text.vectors.lookups import WholeWords
from ebagx.text.vectors.word_vectors import WordVectors

__all__ = ["load_vectors"]

_STRICT, _SURROGATES = "strict", "surrogateescape"


def load_vectors(
    path: str | Path,
    *,
    limit: int | None = None,
    dtype: npt.DTypeLike = "float32",
    bits: int | None = None,
    unicode_errors: str = _STRICT,
    progress: Progress | None = None,
) -> WordVectors:
    r"""Read vectors of words or of pieces of words from a file or folder of any known format.

    =================================  ============================================================
    ``.vec``, word2vec as text, GloVe  may be compressed: gzip, bzip2, xz, zip
    word2vec's binary format           may be compressed
    floret's ``.floret``               may be compressed
    ``.bin``, ``.ftz`` of fastText     with its subwords; floret's ``.bin``, too
    folders of model2vec and of        the table is mapped; the tokenizer of BERT is built in,
    static sentence embeddings         others need ``pip install 'ebagx[tokenizers]'``
    what `WordVectors.save` wrote      the table is mapped, in milliseconds
    =================================  ============================================================

    Parameters
    ----------
    path : str or Path
        A file or folder. Its first bytes tell the format, suffixes do not count.
    limit : int, optional
        Read so many words, which in most files are the most frequent ones. Not for floret.
    dtype : dtype, default=float32
        Dtype of the table of formats that are read: float32, float16, or bfloat16 of the package
        ml_dtypes. With models of fastText, folders and what ebagx saved, this, `limit` and `bits`
        are errors: their tables are taken as they are.
    bits : {8, 4, 2}, optional
        Quantise the rows of formats that are read, in place of `dtype`, as `ebagx.quantize` does.
    unicode_errors : {"strict", "surrogateescape"}, default="strict"
        With "surrogateescape", words may have bytes that are not UTF-8, which become surrogates:
        `str.encode` with the same word gives them back.
    progress : callable, optional
        It is called with the number of bytes that have been read, and that of all, every 4 MB.

    Returns
    -------
    WordVectors

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged, incomplete, or of no known format. The text names the file.

    Notes
    -----
    Of equal words, the first counts; a warning says how many vectors were left out. A file needs
    the memory of its table and its words, and up to 80 MB more while it is read. Nothing is
    trusted: sizes in headers are compared with the bytes that are there before memory is allocated.
    gensim's own files are pickles, which can run any code, and are refused.

    A number of text has the value that NumPy gives it: rounded to float64, then to float32.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from ebagx.text import load_vectors
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "small.vec")
    ...     _ = path.write_text("2 3\nbread 0.1 0.2 0.3\ncat -1 0 2.5\n")
    ...     vectors = load_vectors(path)
    >>> vectors
    <WordVectors: 2 words, dim=3, float32>
    >>> vectors["cat"]
    array([-1. ,  0. ,  2.5], dtype=float32)
    """
    path = Path(path)
    check_one_of(unicode_errors, "unicode_errors", (_STRICT, _SURROGATES))
    limit = check_integer_or_none(limit, "limit", 1)
    bits = None if bits is None else check_bits(bits, OR_NONE)
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be a callable or None, got {shown(progress)}")
    options = text.Options(checked_dtype(dtype), bits, limit, unicode_errors == _STRICT)
    if path.is_dir():
        _check_alone(options, path)
        return _from_folder(path)
    with open_stream(path, progress) as stream:
        return _from_stream(stream, options)


def _check_alone(options: text.Options, path: Path) -> None:
    """Raise ValueError unless options that such a file cannot have are left out."""
    if options.limit is not None or options.bits is not None or options.dtype != np.float32:
        raise ValueError(
            f"{path}: limit, dtype and bits are for formats that are read row by row; this "
            "table is taken as it is, and quantize() of the vectors makes another one"
        )


def _from_folder(path: Path) -> WordVectors:
    if saved.is_saved_folder(path):
        return WordVectors(*saved.read_folder(path))
    return WordVectors(*static.read_static(path))


def _from_stream(stream: Stream, options: text.Options) -> WordVectors:
    layout, header = layout_of(stream)
    if layout in (Layout.FASTTEXT, Layout.SAFETENSORS):
        if stream.form:
            raise stream.error(f"{layout.value} is not read compressed: decompress the file first")
        _check_alone(options, stream.path)
    if layout is Layout.FASTTEXT:
        return WordVectors(*read_vectors(stream.path))
    if layout is Layout.SAFETENSORS:
        return WordVectors(*saved.read_saved(stream.path))
    if layout is Layout.FLORET:
        return WordVectors(*floret.read_floret(stream, options))
    if layout is Layout.BINARY:
        assert header is not None
        words, rows = binary.read_binary(stream, header, options)
    else:
        words, rows = text.read_text(stream, header, options)
    return WordVectors(WholeWords(words), rows.table())
