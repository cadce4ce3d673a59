"""
Sentence embeddings without a transformer
=========================================

A static sentence embedding is a table with one row for each word or piece of a word: the vector of
a text is the mean of its rows. Distilled from a transformer, as model2vec does, such a table keeps
most of its quality and is hundreds of times faster, on any processor. This page makes a small table
from co-occurrences of words, saves it as model2vec saves its models, and uses it: a downloaded
model is a folder of the same files.
"""

# %%
# Definitions of ten kinds of things, from WordNet. The pieces of the tokenizer are their words, and
# all letters, of which it makes the words that it does not know.

import json
import re
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from ebagx.datasets import load_wordnet10
from ebagx.io.safetensors import write_safetensors
from ebagx.sklearn import TextEmbedder
from ebagx.text import TextClassifier, load_vectors

texts, labels = load_wordnet10()
sentences = [re.findall(r"[a-z]+", text.lower()) for text in texts]
counts = Counter(word for sentence in sentences for word in sentence)
words = [word for word, count in counts.most_common() if count > 1 and len(word) > 1]
letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
pieces = ["[UNK]", *letters, *(f"##{letter}" for letter in letters), *words]

# %%
# The vector of a word is a row of the truncated singular value decomposition of the words that
# occur together in a definition. Frequent words tell little: they get a small weight.

number = {piece: row for row, piece in enumerate(pieces)}
places = [(line, number[w]) for line, s in enumerate(sentences) for w in s if w in number]
lines, columns = np.array(places).T
shape = len(sentences), len(pieces)
bags = sparse.csr_array((np.ones(len(lines)), (lines, columns)), shape)
together = (bags.T @ bags).log1p()
table = TruncatedSVD(64, random_state=0).fit_transform(together).astype(np.float32)
table[: -len(words)] = 0
share = np.array([counts[piece] for piece in pieces]) / counts.total()
weights = (1e-3 / (1e-3 + share)).astype(np.float32)

# %%
# A folder as model2vec writes it: the table, the tokenizer, and whether vectors have length 1.

folder = TemporaryDirectory()
model = Path(folder.name, "model")
model.mkdir()
tokenizer = {
    "normalizer": {"type": "BertNormalizer", "lowercase": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": number},
}
(model / "tokenizer.json").write_text(json.dumps(tokenizer))
(model / "config.json").write_text(json.dumps({"normalize": True}))
write_safetensors(model / "model.safetensors", {"embeddings": table, "weights": weights}, {})

# %%
# One line reads it, and the table stays on the disk until it is needed.

vectors = load_vectors(model)
print(vectors)
print(", ".join(f"{word} {cosine:.2f}" for word, cosine in vectors.nearest("bread", 5)))

# %%
# Texts become vectors, 350,000 a second on one core of 2024. Their products are similarities.

questions = ["a dish of baked fruit", "somebody who plays the violin", "a bird of the sea"]
similarities = vectors.embed(questions) @ vectors.embed(texts).T
for question, row in zip(questions, similarities, strict=True):
    best = int(row.argmax())
    print(f"{question}:\n    {texts[best]:.80} ({labels[best]})")

# %%
# In a pipeline, `TextEmbedder <ebagx.sklearn.TextEmbedder>` takes the place of a vectorizer, and
# few examples are enough for a classifier. One that learns its vectors from these examples alone
# needs more of them, and then passes the other: its vectors are made for the labels.

COUNTS = (50, 200, 800, 3200, 8000)
ways = {
    "vectors learned before, without labels": make_pipeline(
        TextEmbedder(vectors), LogisticRegression(C=10, max_iter=1000)
    ),
    "vectors learned from these examples": TextClassifier(random_state=0),
}
axes = plt.figure(figsize=(6.4, 4), layout="constrained").add_subplot()
for (name, way), color in zip(ways.items(), ("#0072b2", "#d55e00"), strict=True):
    scores = [
        way.fit(texts[:count], labels[:count]).score(texts[8000:], labels[8000:])
        for count in COUNTS
    ]
    axes.plot(COUNTS, scores, "o-", color=color, label=name)
axes.set(xscale="log", xlabel="Examples with a label", ylabel="Accuracy on unseen texts")
axes.set_xticks(COUNTS, map(str, COUNTS))
axes.minorticks_off()
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False)
folder.cleanup()
plt.show()
