"""Read models of fastText and floret, ``.bin`` and ``.ftz``; nothing in a file is trusted.

==========  ====================================================================
content     `Content`: numbers and arrays of a file, each within its bytes
header      the options of the training, and the sizes
entries     words and labels, and the buckets that pruning has left
matrices    the tables
model       `read_file`, and the model of its content
vectors     the content as word vectors
==========  ====================================================================

Each size is compared with the bytes that are left before memory is allocated. Tables stay in the
file, mapped, where it allows: rows of codes always, float32 where its place is divisible by four.
"""
