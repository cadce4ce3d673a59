"""ebagx: EmbeddingBag for NumPy, SciPy and scikit-learn.

The packages, from the outside in; each imports only from those below it:

=====================  =========================================================
cli, __main__          the command line: ``ebagx train | predict | test ...``
text, io, datasets     text models, file formats, two small real data sets
sklearn                estimators (import ``ebagx.sklearn``; needs scikit-learn)
torch                  PyTorch's EmbeddingBag (import ``ebagx.torch``; needs PyTorch)
collection, keyed      many tables for the features of a batch, in one call
metrics                how well recommended items agree with those taken later
quantized              `quantize`, `QuantizedTable`: tables in 8, 4 or 2 bits a value
functional, module     `embedding_bag` and its gradient; class `EmbeddingBag`
accumulation           the sum of a module's gradients, in every form
optim                  optimizers that touch only the rows used
gradients              `RowGradient`: the touched rows of a table and their values
_core                  arguments become kernel calls: checks, `Bags`, `Table`, passes
_kernels               the compiled kernels, and their twin in NumPy
=====================  =========================================================
"""

try:
    import ebagx._core.cpu  # noqa: F401 - what an unbuilt clone lacks first
except ModuleNotFoundError as error:
    if error.name != "ebagx._core.cpu":
        raise
    raise ImportError(
        f"ebagx is not built in {__path__[0]}: this is its source, which hides an installed ebagx "
        "here. Run the installed one, with the command ebagx or python -P, or from another folder; "
        "or build this one in place: pip install -e ."
    ) from None

from ebagx import metrics, optim
from ebagx._core.config import __version__, show_config
from ebagx.collection import EmbeddingBagCollection
from ebagx.functional import csr_from_bags, embedding_bag, embedding_bag_backward
from ebagx.gradients import EmbeddingBagGradients, RowGradient
from ebagx.keyed import KeyedBags
from ebagx.module import EmbeddingBag
from ebagx.quantized import QuantizedTable, quantize

__all__ = [
    "EmbeddingBag",
    "EmbeddingBagCollection",
    "EmbeddingBagGradients",
    "KeyedBags",
    "QuantizedTable",
    "RowGradient",
    "__version__",
    "csr_from_bags",
    "embedding_bag",
    "embedding_bag_backward",
    "metrics",
    "optim",
    "quantize",
    "show_config",
]
