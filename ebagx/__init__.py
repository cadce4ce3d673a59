"""ebagx: EmbeddingBag for NumPy, SciPy and scikit-learn.

Where things are, from the outside in:

==================  ============================================================
cli, __main__       ``python -m ebagx train | predict``
sklearn             estimators (import ``ebagx.sklearn``; needs scikit-learn)
embedding_bag       class EmbeddingBag, as ``torch.nn.EmbeddingBag``
functional          embedding_bag and embedding_bag_backward
gradients, optim    RowGradient, and optimizers that touch only its rows
datasets            two small real data sets
_bags, _validate    every accepted input -> Bags; every check and message
_passes             forward and backward: allocate, choose the kernel, run it
_dispatch           instruction-set level -> compiled kernels
_kernels            the compiled kernels; _reference is their NumPy twin
==================  ============================================================
"""

from ebagx import optim
from ebagx._config import __version__, show_config
from ebagx.embedding_bag import EmbeddingBag
from ebagx.functional import embedding_bag, embedding_bag_backward
from ebagx.gradients import EmbeddingBagGradients, RowGradient

__all__ = [
    "EmbeddingBag",
    "EmbeddingBagGradients",
    "RowGradient",
    "__version__",
    "embedding_bag",
    "embedding_bag_backward",
    "optim",
    "show_config",
]
