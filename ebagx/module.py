"""`EmbeddingBag` holds a table and its gradients, as ``torch.nn.EmbeddingBag`` does."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ebagx._core.arguments import as_dtype, check_flag, check_size, checked_generator
from ebagx._core.backward import Backward, gradient_pieces, weights_gradient
from ebagx._core.bags import Bags, as_bags, bags_for
from ebagx._core.checks import check_grad_output, check_table_dtype
from ebagx._core.identity import Binding
from ebagx._core.layout import copy_if_overlapping
from ebagx._core.maps import Use, in_sequence
from ebagx._core.memory import aligned_empty
from ebagx._core.options import Option, Options, checked_options
from ebagx._core.plain import checked_bags, plain_bags, pool_plainly
from ebagx._core.table import Table
from ebagx.accumulation import GradientSum
from ebagx.functional import pooled_bags
from ebagx.optim import Optimizer

__all__ = ["EmbeddingBag"]


class _Saved(NamedTuple):
    """The state of a forward call that backward needs."""

    bags: Bags
    table: Table
    winners: np.ndarray | None
    weights_shape: tuple[int, ...] | None
    options: Options


class EmbeddingBag(GradientSum):
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
    invalid : {"raise", "skip"}, default="raise"
        "skip" leaves out lookups whose index is outside [0, N), as if they were padding.
    default_row : int, optional
        A bag without lookups, after padding and skipped ones are removed, gives this row. Negative
        counts from the end. By default such a bag gives zeros.

    Attributes
    ----------
    weight : ndarray of shape (N, D), or QuantizedTable
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

    max_norm = Option[float | None]()
    norm_type = Option[float]()
    scale_grad_by_freq = Option[bool]()
    mode = Option[str]()
    include_last_offset = Option[bool]()
    padding_idx = Option[int | None]()
    num_threads = Option[int | None]()
    invalid = Option[str]()
    default_row = Option[int | None]()

    # Attributes of other names are refused, as errors of spelling would have no effect. Subclasses
    # may have any.
    __slots__ = ("__weakref__", "_options", "_saved", "_table", "_training")

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
        invalid: str = "raise",
        default_row: int | None = None,
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
            invalid=invalid,
            default_row=default_row,
        )
        super().__init__(sparse)
        self._saved: _Saved | None = None
        self._training = True
        self._frozen = False
        if _weight is None:
            dtype = as_dtype(dtype, "dtype")
            check_table_dtype(dtype, "dtype")
            self._table = Table(aligned_empty(shape, dtype))
            self.reset_parameters(rng)
        else:
            self._table = _table_of_shape(_weight, shape)
            if not isinstance(_weight, Table):  # from_pretrained gives one, which may be frozen
                self._table.check_updatable()

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
        *,
        invalid: str = "raise",
        default_row: int | None = None,
    ) -> "EmbeddingBag":
        """Return an EmbeddingBag over a given table, without a copy.

        Parameters
        ----------
        embeddings : ndarray of shape (N, D), or QuantizedTable
            The table: an array or memory map, in any memory layout, which may be read-only.
        freeze : bool, default=True
            The table takes no gradient.
        max_norm, norm_type, scale_grad_by_freq, mode, sparse, include_last_offset, padding_idx
            As in `EmbeddingBag`.
        invalid, default_row
            As in `EmbeddingBag`.

        Returns
        -------
        EmbeddingBag
            Its `weight` shares memory with `embeddings`.

        Raises
        ------
        ValueError
            Without `freeze`, if elements of a writeable table share memory: it cannot be trained.
        TypeError
            Without `freeze`, for a QuantizedTable.

        Examples
        --------
        >>> import numpy as np, ebagx
        >>> bag = ebagx.EmbeddingBag.from_pretrained(np.eye(3))
        >>> bag([[0, 2]])
        array([[0.5, 0. , 0.5]])
        """
        check_flag(freeze, "freeze")
        table = Table.of(embeddings, "embeddings")
        if not freeze:
            table.check_updatable()
        bag = cls(
            table.num_rows,
            table.dim,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            mode=mode,
            sparse=sparse,
            _weight=Table.of(table.weight),
            include_last_offset=include_last_offset,
            padding_idx=padding_idx,
            invalid=invalid,
            default_row=default_row,
        )
        bag.frozen = freeze
        return bag

    @property
    def weight(self) -> np.ndarray:
        """The table (N, D)."""
        weight: np.ndarray = self._table.weight
        return weight

    @weight.setter
    def weight(self, weight: Any) -> None:
        table = _table_of_shape(weight, self._table.shape)
        if not self.frozen:
            table.check_updatable()
        if table.sum_dtype != self._table.sum_dtype:
            self._convert(self.sparse, table)
        Binding.move(self._table.array, table.array)  # the optimizer of this table may go on
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
    def training(self) -> bool:
        """True if calls keep what `backward` needs."""
        return self._training

    @training.setter
    def training(self, training: bool) -> None:
        check_flag(training, "training")
        self._training = bool(training)
        if not training:
            self._saved = None

    @property
    def frozen(self) -> bool:
        """True if the table takes no gradient."""
        return self._frozen

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        check_flag(frozen, "frozen")
        if not frozen:
            self._table.check_updatable()
        self._frozen = bool(frozen)
        if frozen:
            self._saved = None

    def reset_parameters(self, rng: Any = None) -> None:
        """Draw the table anew from N(0, 1), in place; the row `padding_idx` becomes 0.

        Parameters
        ----------
        rng : int, Generator or other seed of ``numpy.random.default_rng``, optional
            Source of the numbers.
        """
        table = self._table
        table.check_writeable("reset_parameters")
        generator, dtype, weight = checked_generator(rng, "rng"), table.sum_dtype, table.array
        with in_sequence(weight):
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
        is_kept = self._training and not self._frozen
        plain = plain_bags(input, offsets, per_sample_weights, table, options)
        done = None if plain is None else pool_plainly(plain, table, options, is_kept)
        if plain is not None and done is not None:
            pooled, ends = done
            if is_kept:
                shape = None if per_sample_weights is None else per_sample_weights.shape
                self._saved = _Saved(checked_bags(plain, ends, table), table, None, shape, options)
            return pooled
        table.check_mapped()
        bags, source = bags_for(input, offsets, per_sample_weights, table, options)
        pooled, winners = pooled_bags(bags, source, table, options)
        if is_kept:
            shape = None
            if per_sample_weights is not None and source.weights is not None:
                shape = source.weights.shape
            self._saved = _Saved(bags, table, winners, shape, options)
        return pooled

    def __call__(
        self, input: Any, offsets: Any = None, per_sample_weights: Any = None
    ) -> np.ndarray:
        """Pool the bags of `input`, as `forward`."""
        return self.forward(input, offsets, per_sample_weights)

    def prefetch(
        self, input: Any, offsets: Any = None, *, optimizer: Optimizer | None = None
    ) -> None:
        """Ask the system to read the rows of a later call from the disk.

        A call asks for its own rows; asked for ahead, the disk reads them while other code runs. It
        does nothing if the table is not in a memory map. The GIL is free meanwhile, so that a
        thread can do this during the call before.

        Parameters
        ----------
        input, offsets
            As `forward` will get them.
        optimizer : ebagx.optim.Optimizer, optional
            The optimizer whose state, loaded with ``copy=False``, is read too.

        Examples
        --------
        >>> import numpy as np, ebagx
        >>> bag = ebagx.EmbeddingBag(10, 3, rng=0)
        >>> batches = [[[1, 2], [4, 2]], [[3, 3], [9, 1]]]
        >>> for batch, following in zip(batches, [*batches[1:], None]):
        ...     if following is not None:
        ...         bag.prefetch(following)
        ...     pooled = bag(batch)
        """
        table = self._table
        if table.map_advice is None and optimizer is None:
            return
        table.check_mapped()
        last, num_rows, sums = self.include_last_offset, table.num_rows, table.sum_dtype
        bags, _ = as_bags(
            input,
            offsets,
            None,
            include_last_offset=last,
            num_rows=num_rows,
            sums=sums,
            invalid=self.invalid,
        )
        table.will_need(bags.indices, Use.PREFETCH)
        if optimizer is not None:
            optimizer.prefetch(bags.indices)

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
        self._add_weights_gradient(of_weights)
        self._saved = None

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
        self._update(backward, optimizer)
        self._add_weights_gradient(of_weights)
        self._saved = None

    def _gradients(self, grad_output: Any) -> tuple[Backward, np.ndarray | None]:
        """Return the inputs of the table's gradient, and the gradient of the weights."""
        if self._frozen:
            raise RuntimeError("backward on a frozen table, use from_pretrained(..., freeze=False)")
        if self._saved is None:
            raise RuntimeError("backward needs a forward call in training mode before it")
        bags, table, winners, weights_shape, options = self._saved
        table.check_mapped()
        bags.check_mapped()
        grad = check_grad_output(grad_output, (bags.num_bags, table.dim), table.sum_dtype)
        grad = copy_if_overlapping(grad, self._table.array)
        if self._dense is not None:
            grad = copy_if_overlapping(grad, self._dense.total)
        self._check_weights_gradient(weights_shape)
        backward = Backward(grad, bags, table, winners, options)
        if weights_shape is None:
            return backward, None
        return backward, weights_gradient(backward).reshape(weights_shape)

    def _update(self, backward: Backward, optimizer: Optimizer) -> None:
        """Let an optimizer update the table."""
        pieces, dtype = gradient_pieces(backward), self._table.sum_dtype
        if backward.grad.dtype != dtype:  # a table of another dtype was assigned since `forward`
            pieces = ((rows, values.astype(dtype)) for rows, values in pieces)
        optimizer.update_pieces(self._table, pieces)

    def train(self, mode: bool = True) -> "EmbeddingBag":
        """Set training mode, or eval mode with ``train(False)``; return self."""
        self.training = mode
        return self

    def eval(self) -> "EmbeddingBag":
        """Set eval mode, in which calls keep nothing for backward; return self."""
        return self.train(False)

    def _copied(self) -> dict[str, Any]:
        # A copy needs its own call before `backward`.
        return {**super()._copied(), "_saved": None}

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return ``{"weight": table}``; the table is not copied.

        It can be written by `numpy.savez` and loaded by `numpy.load`, also in bfloat16. For a
        QuantizedTable it is a TypeError: that has `save`.
        """
        return {"weight": self._table.state()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copy the table of a `state_dict` into `weight`.

        The gradients stay. Memory pages that are the same in both tables are not written.

        Raises
        ------
        KeyError
            If a name is missing or unknown.
        ValueError, TypeError
            If shape or dtype differ, or `state_dict` is no mapping.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"state_dict must be a mapping, got {type(state_dict).__name__}")
        if set(state_dict) != {"weight"}:
            names = sorted(map(str, state_dict))
            raise KeyError(f"state_dict must have the one name 'weight', got {names}")
        self._table.overwrite(state_dict["weight"], "load_state_dict")

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
        if self.invalid != "raise":
            parts.append(f"invalid={self.invalid!r}")
        if self.default_row is not None:
            parts.append(f"default_row={self.default_row}")
        return ", ".join(parts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


def _table_of_shape(weight: Any, shape: tuple[int, int]) -> Table:
    """Return the table in an array, or raise ValueError if it has another shape."""
    table = weight if isinstance(weight, Table) else Table.of(weight)
    if table.shape != shape:
        raise ValueError(f"weight must have shape {shape}, got {table.shape}")
    return table
