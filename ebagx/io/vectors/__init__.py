"""Read and write word vectors; nothing that is read is trusted.

==========  =======================================================================
stream      the content of a file, plain or compressed, with limits
rows        rows that arrive in blocks become one table
layouts     the first bytes of a file tell its format
text        text: ``.vec``, word2vec, GloVe
binary      word2vec's binary format
floret      floret's text format
static      folders of model2vec and of static embeddings
saved       vectors that ebagx has saved, which are mapped
written     the same, written; and ``.vec`` files
parse       the compiled part of text and binary
==========  =======================================================================

Each reader checks what a file claims against the bytes that are there before it allocates: rows
take memory when they have been read, and so a header of eleven bytes cannot ask for a terabyte.
"""

__all__: list[str] = []
