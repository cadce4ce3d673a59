"""PyTorch's `EmbeddingBag` on the kernels of ebagx, under PyTorch's autograd.

=============  =================================================================================
module         `EmbeddingBag`: a subclass of ``torch.nn.EmbeddingBag``
acceleration   `accelerate` turns the modules of a model into it, in place
functional     `embedding_bag`: decides between the kernels and PyTorch
arguments      the arguments of a call, and whether they are valid
fallback       calls that PyTorch takes, and errors in its words
pooling        one call on the kernels as a ``torch.autograd.Function``, and its gradients
updates        an optimizer that takes its step in backward
tensors        tensors and arrays in the same memory
runtimes       a warning about two OpenMP runtimes in one process
=============  =================================================================================

Tensors on the CPU run on the kernels. All others, and calls that PyTorch refuses, go to PyTorch.
"""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ModuleNotFoundError(
        "ebagx.torch needs PyTorch: pip install torch --index-url "
        "https://download.pytorch.org/whl/cpu is its build for the CPU; "
        "pip install 'ebagx[torch]' takes the default build, which is larger",
        name=error.name,
    ) from error

from ebagx.torch.acceleration import accelerate
from ebagx.torch.functional import embedding_bag
from ebagx.torch.module import EmbeddingBag
from ebagx.torch.runtimes import warn_of_two_runtimes

__all__ = ["EmbeddingBag", "accelerate", "embedding_bag"]

warn_of_two_runtimes()
