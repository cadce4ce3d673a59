"""Word vectors: a table of rows, and a rule that turns words and texts into bags of its rows.

============  ====================================================================
lookups       the rule's form, `Lookup`, and the rule of formats with a row a word
floret        the rule of floret: hashed n-grams of characters
pieces        the rules of static sentence embeddings: pieces of words
normalizing   the text that the tokenizer of BERT cuts into words
word_vectors  `WordVectors`, which pools the bags
pooling       the vectors of tokens become those of texts
table_rows    rows of any table as float32, and their lengths
neighbours    the words whose vectors are most similar to some vector
loading       `load_vectors`, which tells the formats apart
============  ====================================================================

The formats themselves are read and written in ``ebagx.io.vectors``.
"""

__all__: list[str] = []
