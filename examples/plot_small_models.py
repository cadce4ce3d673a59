"""
A text classifier in 100 kilobytes
==================================

Most of a text classifier is its table of embeddings. The method
`quantize <ebagx.text.TextClassifier.quantize>` stores them in 8, 4 or 2 bits a number and, with
`cutoff`, only those of the most important words and n-grams. This page shows what that costs in
accuracy.
"""

# %%
# A classifier of WordNet's definitions with words and pairs of words.

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt

from ebagx.datasets import load_wordnet10
from ebagx.text import TextClassifier

texts, labels = load_wordnet10()
model = TextClassifier(random_state=0).fit(texts[:8000], labels[:8000])


def measure(classifier):
    """Return the kilobytes of the saved model, and its accuracy on unseen texts."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "model")
        classifier.save(path)
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return size / 1000, classifier.score(texts[8000:], labels[8000:])


size, accuracy = measure(model)
print(f"as it was trained: {size:,.0f} kB, accuracy {accuracy:.3f}")

# %%
# Smaller models, by the number of features that are kept. The texts of the training help to choose
# those; nothing is trained again.

CUTOFFS = (None, 30_000, 10_000, 3_000, 1_000)
curves = {}
for bits in (8, 4, 2):
    kept = [
        model.quantize(bits=bits, cutoff=count, texts=count and texts[:8000]) for count in CUTOFFS
    ]
    curves[bits] = [measure(classifier) for classifier in kept]
    for count, (small, score) in zip(CUTOFFS, curves[bits], strict=True):
        print(f"{bits} bits, {count or 'all':>6} features: {small:6,.0f} kB, accuracy {score:.3f}")

# %%
# Fewer bits cost next to nothing; fewer features are cheap down to some ten thousand.

axes = plt.figure(figsize=(6.4, 4), layout="constrained").add_subplot()
axes.plot(size, accuracy, "k*", markersize=12, label="as it was trained")
styles = {8: ("o-", "#0072b2"), 4: ("s-", "#d55e00"), 2: ("^-", "#009e73")}
for bits, (style, color) in styles.items():
    sizes, accuracies = zip(*curves[bits], strict=True)
    axes.plot(sizes, accuracies, style, color=color, label=f"{bits} bits a number")
axes.set(xscale="log", xlabel="Kilobytes of the saved model", ylabel="Accuracy on unseen texts")
axes.set_xticks(
    [30, 100, 300, 1000, 3000, 10_000], ["30", "100", "300", "1,000", "3,000", "10,000"]
)
axes.minorticks_off()
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False, loc="lower right")
plt.show()
