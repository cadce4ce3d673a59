"""`EmbeddingBag` holds a table and its gradients, as ``torch.nn.EmbeddingBag`` does."""

from typing import Any, Generic, NamedTuple, Self, TypeVar, overload

import numpy as np

from ebagx._core.backward import Backward, gradient_pieces, row_gradient, weights_gradient
from ebagx._core.bags import Bags, bags_for
from ebagx._core.checks import check_grad_output, check_size, check_sparse, check_table_dtype
from ebagx._core.dense import DenseGradient
from ebagx._core.identity import Binding
from ebagx._core.layout import copy_if_overlapping
from ebagx._core.memory import aligned_empty, check_mapped
from ebagx._core.options import Options, checked_options
from ebagx._core.table import Table
from ebagx.functional import pooled_bags
from ebagx.gradients import RowGradient, as_row_gradient
from ebagx.optim import Optimizer

__all__ = ["EmbeddingBag"]


class _Saved(NamedTuple):
    """The state of a forward call that backward needs."""

    bags: Bags
    table: Table
    winners: np.ndarray | None
    weights_shape: tuple[int, ...] | None
    options: Options


_T = TypeVar("_T")


class _Option(Generic[_T]):
    """An attribute of a module that is checked and normalised when it is set, and not later."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, bag: None, owner: type) -> Self: ...

    @overload
    def __get__(self, bag: "EmbeddingBag", owner: type) -> _T: ...

    def __get__(self, bag: "EmbeddingBag | None", owner: type) -> Any:
        if bag is None:
            return self
        value = getattr(bag._options, self._name)
        return value.name if self._name == "mode" else value

    def __set__(self, bag: "EmbeddingBag", value: _T) -> None:
        bag._options = bag._options.changed(bag.num_embeddings, **{self._name: value})


class EmbeddingBag:
    r"""A table of embeddings that pools bags of its rows.

    The arguments, their order and their meaning are those of ``torch.nn.EmbeddingBag``.

    Parameters
    ----------
    num_embeddings : int
        Number of table rows N.
    embedding_dim : int
        Length D of a row.
    max_norm : float, optional
        Rows in the input whose norm is greater are scaled down to it, in place, in each call.
    norm_type : float, default=2.0
        The p of the norm for `max_norm`.
    scale_grad_by_freq : bool, default=False
        Divide the gradient of each row by the number of its occurrences in the input.
    mode : {"sum", "mean", "sqrtn", "max", "min"}, default="mean"
        The formula that pools a bag; see `embedding_bag`.
    sparse : {False, True, "rows"}, default=False
        The form of `grad`: a dense array, a ``scipy.sparse.bsr_array``, or a `RowGradient`.
    _weight : ndarray of shape (N, D), optional
        The table to use, not copied. By default it is drawn from N(0, 1), and the row
        `padding_idx` is 0.
    include_last_offset : bool, default=False
        Offsets have B + 1 entries, the last one n, as the ``indptr`` of CSR.
    padding_idx : int, optional
        Lookups of this row are skipped, also in the divisor. Negative counts from the end.
    dtype : dtype, default=numpy.float32
        float16, bfloat16, float32 or float64.
    rng : int, Generator or other seed of ``numpy.random.default_rng``, optional
        Source of the initial table.
    num_threads : int, optional
        Largest number of threads of a call; see `embedding_bag`.

    Attributes
    ----------
    weight : ndarray of shape (N, D)
        The table; may be assigned.
    grad : ndarray, bsr_array, RowGradient or None
        Sum of the table's gradients since `zero_grad`.
    per_sample_weights_grad : ndarray or None
        Sum of the gradients of the per-sample weights since `zero_grad`.
    training : bool
        True if calls keep what `backward` needs. In eval mode, or with a frozen table, one object
        may be called from several threads at the same time.
    frozen : bool
        True if the table takes no gradient.

    See Also
    --------
    embedding_bag : The functional form.

    Examples
    --------
    >>> import numpy as np, ebagx
    >>> bag = ebagx.EmbeddingBag(10, 3, mode="sum", rng=0)
    >>> pooled = bag([1, 2, 4, 5, 4, 3, 2, 9], offsets=[0, 4])
    >>> pooled.shape
    (2, 3)
    >>> bag.backward(np.ones_like(pooled))
    >>> bag.grad[4]
    array([2., 2., 2.], dtype=float32)
    """

    max_norm = _Option[float | None]()
    norm_type = _Option[float]()
    scale_grad_by_freq = _Option[bool]()
    mode = _Option[str]()
    include_last_offset = _Option[bool]()
    padding_idx = _Option[int | None]()
    num_threads = _Option[int | None]()
    per_sample_weights_grad: np.ndarray | None

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool | str = False,
        _weight: Any = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        *,
        dtype: Any = np.float32,
        rng: Any = None,
        num_threads: int | None = None,
    ) -> None:
        shape = (
            check_size(num_embeddings, "num_embeddings"),
            check_size(embedding_dim, "embedding_dim"),
        )
        self._options = checked_options(
            shape[0],
            mode=mode,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            include_last_offset=include_last_offset,
            padding_idx=padding_idx,
            num_threads=num_threads,
        )
        self.sparse = sparse
        self.training = True
        self.frozen = False
        self._saved: _Saved | None = None
        self._grad: Any = None
        self._dense: DenseGradient | None = None
        self.per_sample_weights_grad = None
        if _weight is None:
            dtype = np.dtype(dtype)
            check_table_dtype(dtype, "dtype")
            self._table = Table(aligned_empty(shape, dtype))
            self.reset_parameters(rng)
        else:
            self._table = _table_of_shape(_weight, shape)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool | str = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> "EmbeddingBag":
        """Return an EmbeddingBag over a given table, without a copy.

        Parameters
        ----------
        embeddings : ndarray of shape (N, D)
            The table: an array or memory map, which may be read-only.
        freeze : bool, default=True
            The table takes no gradient.
        max_norm, norm_type, scale_grad_by_freq, mode, sparse, include_last_offset, padding_idx
            As in `EmbeddingBag`.

        Returns
        -------
        EmbeddingBag
            Its `weight` shares memory with `embeddings`.

        Examples
        --------
        >>> import numpy as np, ebagx
        >>> bag = ebagx.EmbeddingBag.from_pretrained(np.eye(3))
        >>> bag([[0, 2]])
        array([[0.5, 0. , 0.5]])
        """
        table = Table.of(embeddings, "embeddings")
        bag = cls(
            table.num_rows,
            table.dim,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            mode=mode,
            sparse=sparse,
            _weight=table.array,
            include_last_offset=include_last_offset,
            padding_idx=padding_idx,
        )
        bag.frozen = freeze
        return bag

    @property
    def weight(self) -> np.ndarray:
        """The table (N, D)."""
        return self._table.array

    @weight.setter
    def weight(self, weight: Any) -> None:
        table = _table_of_shape(weight, self._table.shape)
        Binding.move(self._table.array, table.array)  # the optimizer of this table goes on
        self._table = table

    @property
    def num_embeddings(self) -> int:
        """The number of table rows N."""
        return self._table.num_rows

    @property
    def embedding_dim(self) -> int:
        """The length D of a row."""
        return self._table.dim

    @property
    def sparse(self) -> bool | str:
        """The form of `grad`: False, True or ``"rows"``."""
        return self._sparse

    @sparse.setter
    def sparse(self, sparse: bool | str) -> None:
        self._sparse = check_sparse(sparse)

    @property
    def training(self) -> bool:
        """True if calls keep what `backward` needs."""
        return self._training

    @training.setter
    def training(self, training: bool) -> None:
        self._training = bool(training)
        if not self._training:
            self._saved = None

    @property
    def frozen(self) -> bool:
        """True if the table takes no gradient."""
        return self._frozen

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        self._frozen = bool(frozen)

    @property
    def grad(self) -> Any:
        """The sum of the table's gradients since `zero_grad`; None if there were none.

        It may be assigned, also as in ``bag.grad += decay * bag.weight``. The memory of a dense one
        is used again, and `zero_grad` clears only the rows that bags have touched: do not write to
        other rows by index (``bag.grad[5] = 1``).
        """
        return self._grad

    @grad.setter
    def grad(self, grad: Any) -> None:
        # `bag.grad += ...` too may set rows that _dense would not clear.
        self._dense = None
        self._grad = grad

    def reset_parameters(self, rng: Any = None) -> None:
        """Draw the table anew from N(0, 1), in place; the row `padding_idx` becomes 0.

        Parameters
        ----------
        rng : int, Generator or other seed of ``numpy.random.default_rng``, optional
            Source of the numbers.
        """
        table = self._table
        table.check_writeable("reset_parameters")
        generator, dtype, weight = np.random.default_rng(rng), table.sum_dtype, table.array
        if table.dtype == dtype and weight.flags.c_contiguous:
            generator.standard_normal(out=weight, dtype=dtype)
        else:
            weight[...] = generator.standard_normal(table.shape, dtype)
        if self.padding_idx is not None:
            weight[self.padding_idx] = 0

    def forward(
        self, input: Any, offsets: Any = None, per_sample_weights: Any = None
    ) -> np.ndarray:
        """Pool the bags of `input`.

        Parameters
        ----------
        input, offsets, per_sample_weights
            As in `embedding_bag`. In training mode they are kept for `backward`, not copied: do
            not change them before it.

        Returns
        -------
        ndarray of shape (B, D)
            In the dtype of `weight`.
        """
        table, options = self._table, self._options
        table.check_mapped()
        bags, source = bags_for(input, offsets, per_sample_weights, table, options)
        pooled, winners = pooled_bags(bags, source, table, options)
        if self._training and not self._frozen:
            shape = None
            if per_sample_weights is not None:
                shape = getattr(per_sample_weights, "shape", (len(bags.indices),))
            self._saved = _Saved(bags, table, winners, shape, options)
        return pooled

    def __call__(
        self, input: Any, offsets: Any = None, per_sample_weights: Any = None
    ) -> np.ndarray:
        """Pool the bags of `input`, as `forward`."""
        return self.forward(input, offsets, per_sample_weights)

    def backward(self, grad_output: Any) -> None:
        """Add the gradients of the last forward call to `grad` and `per_sample_weights_grad`.

        Parameters
        ----------
        grad_output : array_like of shape (B, D)
            Gradient with respect to what `forward` returned.

        Raises
        ------
        RuntimeError
            Without a forward call in training mode since the last backward, or on a frozen table.
        ValueError
            If `grad_output` has another shape.
        """
        backward, of_weights = self._gradients(grad_output)
        self._add_gradient(backward)
        self._forget_forward(of_weights)

    def backward_update(self, grad_output: Any, optimizer: Optimizer) -> None:
        """Go backward and let an optimizer update the table, without making `grad`.

        The result has the bits of ``backward`` on a module without gradients, followed by
        ``optimizer.update(bag.weight, bag.grad)``, in half the time: the gradient stays in the
        cache and takes no memory. Gradients of per-sample weights are added as in `backward`;
        `grad` stays as it is.

        Parameters
        ----------
        grad_output : array_like of shape (B, D)
            Gradient with respect to what `forward` returned.
        optimizer : ebagx.optim.Optimizer
            The optimizer of this table.

        Raises
        ------
        RuntimeError
            Without a forward call in training mode since the last backward, or on a frozen table.
        ValueError
            If `grad_output` has another shape, or `weight` cannot be updated in place.

        Examples
        --------
        >>> import numpy as np, ebagx
        >>> bag = ebagx.EmbeddingBag(10, 3, mode="sum", rng=0)
        >>> optimizer = ebagx.optim.Adagrad(learning_rate=0.5)
        >>> before = bag.weight.copy()
        >>> pooled = bag([[1, 2], [4, 2]])
        >>> bag.backward_update(np.ones_like(pooled), optimizer)
        >>> np.flatnonzero((bag.weight != before).any(axis=1))
        array([1, 2, 4])
        """
        backward, of_weights = self._gradients(grad_output)
        optimizer.update_pieces(backward.table.array, gradient_pieces(backward))
        self._forget_forward(of_weights)

    def row_gradient(self) -> RowGradient:
        """Return `grad`, in any form, as the `RowGradient` that optimizers take.

        Returns
        -------
        RowGradient
            Gradient of the rows that bags have touched or, if a dense `grad` was assigned, of those
            that are not all zeros.

        Raises
        ------
        RuntimeError
            If `grad` is None.
        """
        if self._grad is None:
            raise RuntimeError("grad is None: call backward first")
        if self._dense is not None and self._grad is self._dense.total:
            return RowGradient(*self._dense.row_gradient(), self._dense.total.shape)
        return as_row_gradient(self._grad)

    def _gradients(self, grad_output: Any) -> tuple[Backward, np.ndarray | None]:
        """Return the inputs of the table's gradient, and the gradient of the weights."""
        if self.frozen:
            raise RuntimeError("backward on a frozen table, use from_pretrained(..., freeze=False)")
        if self._saved is None:
            raise RuntimeError("backward needs a forward call in training mode before it")
        bags, table, winners, weights_shape, options = self._saved
        table.check_mapped()
        for array, name in zip(bags, Bags._fields, strict=True):
            check_mapped(array, name)
        grad = check_grad_output(grad_output, (bags.num_bags, table.dim), table.sum_dtype)
        grad = copy_if_overlapping(grad, table.array)
        if self._dense is not None:
            grad = copy_if_overlapping(grad, self._dense.total)
        self._check_accumulated(weights_shape)
        backward = Backward(grad, bags, table, winners, options)
        if weights_shape is None:
            return backward, None
        return backward, weights_gradient(backward).reshape(weights_shape)

    def _forget_forward(self, of_weights: np.ndarray | None) -> None:
        """End a backward pass: add the gradient of the weights, drop the saved state."""
        if of_weights is not None:
            previous = self.per_sample_weights_grad
            self.per_sample_weights_grad = of_weights if previous is None else previous + of_weights
        self._saved = None

    def _add_gradient(self, backward: Backward) -> None:
        """Add a gradient of the table to `grad`, in the form that `sparse` names."""
        if self.sparse:
            gradient = RowGradient(*row_gradient(backward), backward.table.shape)
            self._grad = gradient.added_to(self._grad, self.sparse)
            return
        shape, dtype = self._table.shape, backward.grad.dtype
        dense = self._dense
        if dense is not None and (dense.total.shape, dense.total.dtype) != (shape, dtype):
            dense = None
        if self._grad is not None and (dense is None or self._grad is not dense.total):
            self._grad = self._grad + DenseGradient(shape, dtype).add(backward).total
            return
        self._dense = dense or DenseGradient(shape, dtype)
        self._grad = self._dense.add(backward).total

    def _check_accumulated(self, weights_shape: tuple[int, ...] | None) -> None:
        previous = self.per_sample_weights_grad
        if weights_shape is not None and previous is not None and previous.shape != weights_shape:
            raise ValueError(
                f"per_sample_weights_grad has shape {previous.shape} from an earlier call, "
                f"cannot add shape {weights_shape}: call zero_grad() first"
            )

    def zero_grad(self) -> None:
        """Drop the gradients.

        The next dense `grad` uses the same memory: copy a gradient that you need later.
        """
        if self._dense is not None:
            self._dense.clear(self.num_threads)
        self._grad = None
        self.per_sample_weights_grad = None

    def train(self, mode: bool = True) -> "EmbeddingBag":
        """Set training mode, or eval mode with ``train(False)``; return self."""
        self.training = mode
        return self

    def eval(self) -> "EmbeddingBag":
        """Set eval mode, in which calls keep nothing for backward; return self."""
        return self.train(False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the state of the last call: a copy needs its own call before `backward`."""
        return {**self.__dict__, "_saved": None, "_dense": None}

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return ``{"weight": table}``; the table is not copied."""
        return {"weight": self.weight}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Copy the table of a `state_dict` into `weight`.

        Raises
        ------
        KeyError
            If a name is missing or unknown.
        ValueError, TypeError
            If shape or dtype differ.
        """
        if set(state_dict) != {"weight"}:
            raise KeyError(f"state_dict must have the one name 'weight', got {sorted(state_dict)}")
        table, weight = self._table, np.asarray(state_dict["weight"])
        if weight.shape != table.shape:
            raise ValueError(f"weight must have shape {table.shape}, got {weight.shape}")
        if weight.dtype != table.dtype:
            raise TypeError(f"weight must have dtype {table.dtype}, got {weight.dtype}")
        check_mapped(weight, "weight")
        table.check_writeable("load_state_dict")
        table.array[...] = weight

    def extra_repr(self) -> str:
        """Return the arguments in the representation, as PyTorch writes them."""
        parts = [str(self.num_embeddings), str(self.embedding_dim)]
        if self.max_norm is not None:
            parts.append(f"max_norm={self.max_norm}")
        if self.norm_type != 2:
            parts.append(f"norm_type={self.norm_type}")
        if self.scale_grad_by_freq:
            parts.append(f"scale_grad_by_freq={self.scale_grad_by_freq}")
        parts.append(f"mode={self.mode!r}")
        if self.padding_idx is not None:
            parts.append(f"padding_idx={self.padding_idx}")
        return ", ".join(parts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


def _table_of_shape(weight: Any, shape: tuple[int, int]) -> Table:
    """Return the table in an array, or raise ValueError if it has another shape."""
    table = Table.of(weight)
    if table.shape != shape:
        raise ValueError(f"weight must have shape {shape}, got {table.shape}")
    return table
