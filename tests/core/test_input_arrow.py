"""Test columns of the Arrow C data interface, which the tests make by hand."""

import tracemalloc

import numpy as np
import pytest

from ebagx import EmbeddingBag, csr_from_bags, embedding_bag, embedding_bag_backward
from ebagx._core.forms import take_apart
from support.arrow import FLOATS, LETTERS, Column, Exported, Streamed, bits, lists, numbers
from support.errors import NUM_ROWS, large_table, rejected

TABLE = large_table()
BAGS = [[3, 1, 1], [], [4], [0, 2]]
PAIRS = [[3, 1], [4, 4], [0, 2]]
LISTS = ["+l", "+L", "+vl", "+vL"]


def pooled(input, **arguments):
    return embedding_bag(input, TABLE, mode="sum", **arguments)


def streamed(column):
    return Streamed([column])


class Given:
    """An object with capsules that were made before."""

    def __init__(self, capsules):
        self.capsules = capsules

    def __arrow_c_array__(self, requested_schema=None):
        return self.capsules


def assert_released(*exported):
    for one in exported:
        counts = one.memory.released
        made = getattr(one, "made", 1)
        assert counts == {
            "schema": 1,
            "array": made,
            "stream": isinstance(one, Streamed),
            "child": 0,
        }


def assert_pools(bags, *columns):
    """Check columns as an array or a stream of chunks, that nothing is read after the release."""
    expected = pooled(bags)
    makers = [lambda: Streamed(list(columns))]
    if len(columns) == 1:
        makers.append(lambda: Exported(columns[0]))
    for make in makers:
        exported = make()
        np.testing.assert_array_equal(pooled(exported), expected)
        assert_released(exported)


@pytest.mark.parametrize("letter", LETTERS)
@pytest.mark.parametrize("form", LISTS)
class TestFormats:
    def test_lists(self, form, letter):
        assert_pools(BAGS, lists(BAGS, form, letter))

    def test_lists_that_start_later(self, form, letter):
        assert_pools(BAGS, lists(BAGS, form, letter, before=5))

    def test_slices(self, form, letter):
        column = lists(BAGS, form, letter, before=5)
        child = column.children[0]
        shifted = numbers([9] * 3, letter).buffers[1]
        values = np.concatenate([shifted, child.buffers[1]])
        child = child.but(buffers=[None, values], offset=3)
        column = column.but(children=[child])
        for start in range(5):
            for stop in range(start, 5):
                assert_pools(BAGS[start:stop], column.sliced(start, stop - start))

    def test_chunks(self, form, letter):
        chunks = [lists(BAGS, form, letter), lists([], form, letter), lists(BAGS, form, letter)]
        assert_pools(BAGS * 2, *chunks, lists(BAGS, form, letter, before=1).sliced(1, 0))


class TestLists:
    @pytest.mark.parametrize("letter", LETTERS)
    def test_of_one_length(self, letter):
        column = lists(PAIRS, "+w:2", letter)
        assert_pools(PAIRS, column)
        assert_pools(PAIRS[1:], column.sliced(1, 2))
        assert_pools(PAIRS[1:] + PAIRS, column.sliced(1, 2), column)
        assert_pools([[]] * 3, lists([[]] * 3, "+w:0", letter))

    def test_views_in_any_order(self):
        values = numbers([4, 3, 2, 1, 0])
        starts, sizes = np.array([3, 0, 1, 5], np.int32), np.array([2, 3, 0, 0], np.int32)
        column = Column("+vl", 4, [None, starts, sizes], [values])
        assert_pools([[1, 0], [4, 3, 2], [], []], column)

    @pytest.mark.parametrize("form", ["+l", "+L"])
    def test_of_nothing_may_have_no_offsets(self, form):
        assert_pools([], Column(form, 0, [None, None], [numbers([])]))
        assert_pools([], Column(form, 0, [None, np.zeros(0, np.int32)], [numbers([1, 2])]))

    @pytest.mark.parametrize("buffers", [[], [None]])
    @pytest.mark.parametrize("form", [*LISTS, "+w:0"])
    def test_empty_ones_of_the_null_type(self, form, buffers):
        """Producers that have seen no value do not know its type."""
        column = lists([[], [], []], form).but(children=[Column("n", 0, buffers)])
        assert_pools([[], [], []], column)
        assert_pools([[]] * 4, column.sliced(1, 1), column)

    def test_no_chunks(self):
        stream = Streamed([], lists([], "+L", "i"))
        assert pooled(stream).shape == (0, 2)
        assert_released(stream)

    def test_empty_ones_may_have_no_values(self):
        assert_pools(
            [[], []], Column("+l", 2, [None, np.zeros(3, np.int32)], [Column("l", 0, [None, None])])
        )

    @pytest.mark.parametrize("has_array", [False, True])
    def test_in_a_table_of_one_column(self, has_array):
        column = lists(BAGS).but(name="ids")
        table = Column("+s", 4, [None], [column])
        if not has_array:
            assert_pools(BAGS, table)
            assert_pools(BAGS[1:3], table.sliced(1, 2))
            assert_pools(BAGS[1:], Column("+s", 3, [None], [column.sliced(1, 3)]))
            return
        exported = Exported(table)
        type(exported).__array__ = lambda self, dtype=None, copy=None: np.zeros((4, 1), object)
        try:
            with pytest.raises(TypeError, match="is an Arrow table of the columns ids: pass one"):
                pooled(exported)
        finally:
            del type(exported).__array__


class TestNulls:
    @pytest.mark.parametrize("null_count", [1, -1])
    @pytest.mark.parametrize("form", [*LISTS, "+w:2"])
    def test_null_list_is_an_empty_bag(self, form, null_count):
        bags = PAIRS if form == "+w:2" else [[3, 1, 1], [99, -1], [4]]
        column = lists(bags, form, valid=[1, 0, 1]).but(null_count=null_count)
        assert_pools([bags[0], [], bags[2]], column)
        assert_pools([[], bags[2]], column.sliced(1, 2))
        assert_pools([[], bags[2], bags[0], []], column.sliced(1, 2), column.sliced(0, 2))

    def test_empty_null_list_costs_no_copy(self):
        column = lists([[3, 1], [], [4]], valid=[1, 0, 1])
        source = take_apart(Exported(column), None, None, False, NUM_ROWS)
        np.testing.assert_array_equal(source.offsets, [0, 2, 2, 3])
        assert not source.indices.flags.owndata

    @pytest.mark.parametrize("form", LISTS)
    def test_null_below_a_null_list(self, form):
        column = lists([[3, 1], [4, 4], [2]], form, valid=[1, 0, 1])
        child = numbers([3, 1, 4, 4, 2], valid=[1, 1, 0, 0, 1])
        assert_pools([[3, 1], [], [2]], column.but(children=[child]))

    @pytest.mark.parametrize("null_count", [2, 1, -1])
    @pytest.mark.parametrize("form", LISTS)
    def test_null_id(self, form, null_count):
        column = lists([[3, 1], [4, 4], [2, 2]], form)
        child = numbers([3, 1, 4, 0, 2, 0], valid=[1, 1, 1, 0, 1, 0]).but(null_count=null_count)
        column = column.but(children=[child])
        exported = Exported(column)
        with rejected(ValueError, "input[1][1] is null: drop or replace it"):
            pooled(exported)
        assert_released(exported)
        assert_pools([[3, 1]], column.sliced(0, 1))
        with rejected(ValueError, "input[1][1] is null: drop or replace it"):
            pooled(Streamed([column.sliced(0, 1), column.sliced(1, 2)]))

    def test_count_of_zero_is_trusted(self):
        column = lists([[3], [4]])
        child = numbers([3, 4], valid=[0, 0]).but(null_count=0)
        assert_pools([[3], [4]], column.but(children=[child]))

    @pytest.mark.parametrize("start", [0, 3, 7, 8, 9])
    def test_bits_of_slices(self, start):
        valid = np.arange(20) % 3 != 0
        column = lists([[b % 5] for b in range(20)], valid=valid)
        bags = [[b % 5] if valid[b] else [] for b in range(20)]
        assert_pools(bags[start : start + 9], column.sliced(start, 9))

    def test_null_type(self):
        flat = Column("n", 3, [], null_count=3)
        column = Column("+l", 2, [None, np.array([0, 1, 3], np.int32)], [flat])
        with rejected(ValueError, "input[0][0] is null: drop or replace it"):
            pooled(Exported(column))
        np.testing.assert_array_equal(pooled(Exported(column), invalid="skip"), np.zeros((2, 2)))
        with rejected(ValueError, "input[1][0] is null: drop or replace it"):
            pooled([Exported(flat.sliced(0, 0)), Exported(flat)])
        with rejected(ValueError, "per_sample_weights[0][0] is null: give every lookup a weight"):
            pooled([[1], [2, 3]], per_sample_weights=Exported(column))

    def test_unknown_number_without_a_buffer(self):
        assert_pools(BAGS, lists(BAGS).but(null_count=-1))


class TestFlatColumns:
    @pytest.mark.parametrize("letter", LETTERS)
    def test_of_ids_and_offsets(self, letter):
        ids, offsets = Exported(numbers([9, 3, 1, 4], letter).sliced(1, 3)), [0, 2]
        expected = pooled([[3, 1], [4]])
        np.testing.assert_array_equal(pooled(ids, offsets=offsets), expected)
        ids = Streamed([numbers([3, 1], letter), numbers([4], letter)])
        starts = Exported(numbers([0, 2], letter))
        np.testing.assert_array_equal(pooled(ids, offsets=starts), expected)
        assert_released(ids, starts)

    def test_nulls(self):
        ids = numbers([3, 1, 4], valid=[1, 1, 0])
        with rejected(ValueError, "input[2] is null: drop or replace it"):
            pooled(Exported(ids), offsets=[0])
        with rejected(ValueError, "offsets[2] is null: every bag has a start"):
            pooled([1] * 9, offsets=Exported(ids))

    def test_lists_are_no_offsets(self):
        with rejected(ValueError, "offsets must be an array of integers, got a column of lists"):
            pooled([1], offsets=Exported(lists([[0]])))

    def test_bags_in_a_list(self):
        bags = [Exported(numbers([3, 1])), Streamed([numbers([4]), numbers([0])]), [2]]
        np.testing.assert_array_equal(pooled(bags), pooled([[3, 1], [4, 0], [2]]))
        with rejected(ValueError, "input[1][0] is null: drop or replace it"):
            pooled([[1], Exported(numbers([3], valid=[0]))])


class TestWeights:
    WEIGHTS = ([0.5, 1.0, -2.0], [], [4.0], [0.25, 0.0])

    @pytest.mark.parametrize("letter", FLOATS)
    @pytest.mark.parametrize("form", LISTS)
    def test_lists(self, form, letter):
        weights = list(map(list, self.WEIGHTS))
        expected = pooled(BAGS, per_sample_weights=weights)
        flat = {"input": np.array([3, 1, 1, 4, 0, 2]), "offsets": [0, 3, 3, 4]}
        for lookups in ({"input": BAGS}, {"input": Exported(lists(BAGS))}, flat):
            given = Exported(lists(weights, form, letter))
            actual = pooled(**lookups, per_sample_weights=given)
            np.testing.assert_array_equal(actual, expected)
            assert_released(given)

    def test_gradient_is_flat(self):
        weights = Exported(lists(list(self.WEIGHTS), letter="g"))
        gradient = embedding_bag_backward(
            np.ones((4, 2)), BAGS, TABLE, mode="sum", per_sample_weights=weights
        )
        np.testing.assert_array_equal(gradient.per_sample_weights, [15, 7, 7, 19, 3, 11])

    def test_other_lengths(self):
        weights = Exported(lists([[1.0] * 3, [], [1.0, 1.0], [1.0]], letter="g"))
        message = "per_sample_weights[2] must have 1 weights, as many as input[2], got 2"
        with rejected(ValueError, message):
            pooled(BAGS, per_sample_weights=weights)

    def test_nulls(self):
        weights = lists([[1.0] * 3, [], [1.0], [1.0, 0.0]], letter="g")
        child = numbers([1.0] * 6, "g", valid=[1, 1, 1, 1, 1, 0])
        message = "per_sample_weights[3][1] is null: give every lookup a weight"
        with rejected(ValueError, message):
            pooled(BAGS, per_sample_weights=Exported(weights.but(children=[child])))
        # A null list has no weights.
        weights = weights.but(buffers=[bits([1, 1, 0, 1]), *weights.buffers[1:]], null_count=1)
        message = "per_sample_weights[2] must have 1 weights, as many as input[2], got 0"
        with rejected(ValueError, message):
            pooled(BAGS, per_sample_weights=Exported(weights))


class TestMemory:
    @pytest.mark.parametrize(("form", "letter"), [("+l", "i"), ("+L", "l")])
    def test_is_shared(self, form, letter):
        exported = Exported(lists(BAGS, form, letter))
        matrix = csr_from_bags(exported, NUM_ROWS)
        offsets, values = sorted(exported.memory.arrays, key=len)
        if len(offsets) == 6:
            offsets, values = values, offsets
        assert np.shares_memory(matrix.indices, values)
        assert np.shares_memory(matrix.indptr, offsets)
        assert not matrix.indices.flags.writeable
        assert exported.memory.released["array"] == 0
        np.testing.assert_array_equal(matrix.indices, [3, 1, 1, 4, 0, 2])
        indices = matrix.indices
        del matrix
        assert exported.memory.released["array"] == 0
        del indices
        assert_released(exported)

    def test_the_module_keeps_it_for_backward(self):
        bag = EmbeddingBag(NUM_ROWS, 2, mode="sum", _weight=TABLE.copy())
        exported = Exported(lists(BAGS, "+L"))
        bag(exported)
        assert exported.memory.released["array"] == 0
        bag.backward(np.ones((4, 2)))
        assert_released(exported)
        np.testing.assert_array_equal(bag.grad[:, 0], [1, 2, 1, 1, 1])

    @pytest.mark.compiled
    def test_a_million_bags_take_none(self):
        offsets = np.arange(0, 2_000_001, 2)
        child = Column("l", 2_000_000, [None, np.zeros(2_000_000, np.int64)])
        exported = Exported(Column("+L", 1_000_000, [None, offsets], [child]))
        made = Given(exported.__arrow_c_array__())
        tracemalloc.start()
        try:
            source = take_apart(made, None, None, False, 1)
            used = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert len(source.offsets) == 1_000_001
        assert used < 100_000

    @pytest.mark.compiled
    def test_lists_of_one_length_take_their_offsets(self):
        child = Column("l", 2_000_000, [None, np.zeros(2_000_000, np.int64)])
        exported = Exported(Column("+w:2", 1_000_000, [None], [child]))
        made = Given(exported.__arrow_c_array__())
        tracemalloc.start()
        try:
            source = take_apart(made, None, None, False, 1)
            used = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert not source.indices.flags.owndata
        assert used < 2.1 * source.offsets.nbytes

    def test_a_capsule_that_nobody_takes(self):
        exported = Exported(lists(BAGS))
        exported.__arrow_c_array__()
        assert_released(exported)


def broken(column=None, **changes):
    return (lists([[3], [1, 2]]) if column is None else column).but(**changes)


def with_child(**changes):
    column = lists([[3], [1, 2]])
    return column.but(children=[column.children[0].but(**changes)])


def with_offsets(*offsets, form="+l"):
    dtype = np.int64 if form == "+L" else np.int32
    return broken(format=form, buffers=[None, np.array(offsets, dtype)])


def view(starts, sizes):
    starts, sizes = np.array(starts, np.int64), np.array(sizes, np.int64)
    return Column("+vL", 2, [None, starts, sizes], [numbers([1, 2, 3])])


INCONSISTENT = {
    "length": broken(length=-1),
    "long": broken(length=2**60),
    "offset": broken(offset=-1),
    "child's length": with_child(length=-3),
    "child's long length": with_child(length=2**62),
    "child's offset": with_child(offset=-(2**63)),
    "too short a child": with_child(length=2),
    "decreasing": with_offsets(0, 3, 1),
    "below 0": with_offsets(-1, 1, 3),
    "far below 0": with_offsets(-(2**31), 1, 3),
    "beyond": with_offsets(0, 1, 4),
    "far beyond": with_offsets(0, 2**62, 3, form="+L"),
    "only beyond": with_offsets(5, 5, 5),
    "a fall inside": with_offsets(0, 5, 3),
    "no offsets": broken(buffers=[None, None]),
    "no buffers": broken(buffers=[]),
    "one buffer": broken(buffers=[None]),
    "three buffers": broken(buffers=[None, np.zeros(3, np.int32), np.zeros(3)]),
    "negative count of buffers": broken(array={"n_buffers": -1}),
    "null pointer to buffers": broken(array={"buffers": None}),
    "no children": broken(array={"n_children": 0}),
    "null pointer to children": broken(array={"children": None}),
    "two children": broken(array={"n_children": 2}),
    "a released child": with_child(array={"release": None}),
    "no values": with_child(buffers=[None, None]),
    "one buffer of values": with_child(buffers=[np.zeros(3, np.int64)]),
    "children of values": with_child(array={"n_children": 1}),
    "nulls without bits": broken(null_count=1),
    "ids null without bits": with_child(null_count=1),
    "more nulls than entries": broken(null_count=3),
    "null_count": broken(null_count=-2),
    "type without a child": broken(schema={"n_children": 0}),
    "type with a null pointer to children": broken(schema={"children": None}),
    "type of two children": broken(schema={"n_children": 2, "children": None}),
    "fixed size": lists(PAIRS, "+w:2").but(length=4),
    "fixed size, long": lists(PAIRS, "+w:2").but(format="+w:99999999999999"),
    "fixed size, far": lists(PAIRS, "+w:2").but(offset=2**47),
    "view below 0": view([-1, 0], [1, 1]),
    "view of negative size": view([0, 1], [1, -1]),
    "view beyond": view([0, 1], [1, 3]),
    "view far beyond": view([0, 2**63 - 1], [1, 2**63 - 1]),
    "view without sizes": view([0], [1]).but(buffers=[None, np.zeros(2, np.int64), None]),
    "short table": Column("+s", 5, [None], [lists(BAGS)]),
    "null row": Column("+s", 4, [bits([1, 0, 1, 1])], [lists(BAGS)], 0, 1),
}
FORMATS = {
    "strings": (Column("u", 1, [None, np.zeros(2, np.int32), np.zeros(1)]), "'u'"),
    "floats": (lists([[1.0]], letter="g"), "'+l' of 'g'"),
    "bits": (lists([[1]]).but(children=[Column("b", 1, [None, bits([1])])]), "'+l' of 'b'"),
    "strings in lists": (with_child(format="u"), "'+l' of 'u'"),
    "dates": (with_child(format="tdD"), "'+l' of 'tdD'"),
    "lists in lists": (lists([[1]]).but(children=[lists([[1]])]), "'+l' of '+l'"),
    "map": (broken(format="+m"), "'+m'"),
    "union": (broken(format="+ud:0,1"), "'+ud:0,1'"),
    "unknown": (broken(format="+y"), "'+y'"),
    "no format": (broken(format=None), "''"),
    "empty format": (broken(format=""), "''"),
    "not UTF-8": (broken(schema={"format": b"\xff"}), "'\ufffd'"),
    "negative width": (lists(PAIRS, "+w:2").but(format="+w:-2"), "'+w:-2'"),
    "no width": (lists(PAIRS, "+w:2").but(format="+w:"), "'+w:'"),
    "long format": (with_child(format="l" * 5000), "'+l' of 'llllllllllll...lllllllllllll'"),
}


class TestHostile:
    @pytest.mark.parametrize("column", INCONSISTENT.values(), ids=INCONSISTENT)
    @pytest.mark.parametrize("make", [Exported, streamed], ids=["array", "stream"])
    def test_structure(self, make, column):
        exported = make(column)
        with pytest.raises(ValueError, match=r"^(input is inconsistent Arrow data|the Arrow off)"):
            pooled(exported)
        counts = exported.memory.released
        assert counts["schema"] == 1
        assert counts["array"] == getattr(exported, "made", 1)
        assert counts["stream"] == isinstance(exported, Streamed)

    @pytest.mark.parametrize(("column", "given"), FORMATS.values(), ids=FORMATS)
    def test_formats(self, column, given):
        for exported in (Exported(column), Streamed([column])):
            message = "input must be a column of integers or of lists of them, got Arrow format "
            with rejected(TypeError, message + given):
                pooled(exported)
            assert_released(exported)

    @pytest.mark.parametrize("nested", [False, True])
    def test_dictionary(self, nested):
        from ctypes import pointer

        from support.arrow import SchemaStruct

        coded = {"schema": {"dictionary": pointer(SchemaStruct(format=b"u"))}}
        column = with_child(**coded) if nested else numbers([1]).but(**coded)
        given = "'+l' of 'l' with a dictionary" if nested else "'l' with a dictionary"
        message = (
            f"input must be a column of integers or of lists of them, got Arrow format {given}"
        )
        with rejected(TypeError, message):
            pooled(Exported(column))

    def test_table(self):
        columns = [lists(BAGS).but(name=name) for name in "abcdefghij"]
        message = (
            "input is an Arrow table of the columns a, b, c, d, e, f, g, h, ...: pass one of them"
        )
        with rejected(TypeError, message):
            pooled(Streamed([Column("+s", 4, [None], columns)]))

    @pytest.mark.parametrize("capsules", [None, 5, (), (1, 2), [None, None], (None,)], ids=str)
    def test_no_capsules(self, capsules):
        class Wrong:
            def __arrow_c_array__(self, requested_schema=None):
                return capsules

        class WrongStream:
            def __arrow_c_stream__(self, requested_schema=None):
                return capsules

        message = (
            "input must give new Arrow capsules: these are of another kind, or were used before"
        )
        for wrong in (Wrong(), WrongStream()):
            with rejected(ValueError, message):
                pooled(wrong)

    @pytest.mark.parametrize("kind", [Exported, Streamed])
    def test_capsules_used_twice(self, kind):
        exported = kind(lists(BAGS) if kind is Exported else [lists(BAGS)])
        name = "__arrow_c_array__" if kind is Exported else "__arrow_c_stream__"
        capsules = getattr(exported, name)()

        class Again:
            pass

        setattr(Again, name, lambda self: capsules)
        np.testing.assert_array_equal(pooled(Again()), pooled(BAGS))
        with pytest.raises(ValueError, match="new Arrow capsules"):
            pooled(Again())
        assert_released(exported)

    def test_swapped_capsules(self):
        exported = Exported(lists(BAGS))
        swapped = Given(exported.__arrow_c_array__()[::-1])
        with pytest.raises(ValueError, match="new Arrow capsules"):
            pooled(swapped)
        swapped.capsules = None
        assert_released(exported)

    def test_exception_of_the_producer(self):
        class Raises:
            def __arrow_c_stream__(self):
                raise KeyError("no such column")

        with pytest.raises(KeyError, match="no such column"):
            pooled(Raises())

    def test_import_error_leaves_it_to_numpy(self):
        class Series:
            def __arrow_c_stream__(self):
                raise ImportError("pyarrow")

            def __array__(self, dtype=None, copy=None):
                return np.array(PAIRS)

        np.testing.assert_array_equal(pooled(Series()), pooled(PAIRS))


class TestStreams:
    @pytest.mark.parametrize("error", [b"the disk is full", b"", b"\xff"])
    @pytest.mark.parametrize("num_chunks", [0, 2])
    def test_that_fail(self, num_chunks, error):
        stream = Streamed([lists(BAGS)] * num_chunks, lists(BAGS), error)
        text = {b"": "error 5", b"\xff": "\ufffd"}.get(error, error.decode("utf-8", "replace"))
        with rejected(ValueError, f"the Arrow stream of input failed: {text}"):
            pooled(stream)
        assert_released(stream)

    def test_without_a_schema(self):
        stream = Streamed([lists(BAGS)], error=b"closed", schema_code=22)
        with rejected(ValueError, "the Arrow stream of input failed: closed"):
            pooled(stream)
            assert stream.memory.released["stream"] == 1
        assert stream.made == 0

    @pytest.mark.parametrize(
        ("name", "text"),
        [("get_schema", "it has no schema"), ("get_next", "it has no arrays")],
    )
    def test_null_pointers(self, name, text):
        stream = Streamed([lists(BAGS)], struct={name: None})
        with rejected(ValueError, f"the Arrow stream of input failed: {text}"):
            pooled(stream)
            assert stream.memory.released["stream"] == 1

    def test_no_text_for_an_error(self):
        stream = Streamed([], lists(BAGS), b"text", struct={"get_last_error": None})
        with rejected(ValueError, "the Arrow stream of input failed: error 5"):
            pooled(stream)

    def test_schema_that_is_released(self):
        stream = Streamed([lists(BAGS)], lists(BAGS).but(schema={"release": None}))
        with rejected(ValueError, "the Arrow stream of input failed: it has no schema"):
            pooled(stream)

    def test_no_chunk_is_taken_of_a_wrong_type(self):
        stream = Streamed([lists([[1.0]], letter="g")])
        with pytest.raises(TypeError, match="Arrow format"):
            pooled(stream)
        assert stream.made == 0
        assert_released(stream)

    def test_a_bad_chunk_releases_those_before(self):
        stream = Streamed([lists(BAGS), lists(BAGS), with_offsets(0, 3, 1), lists(BAGS)])
        with pytest.raises(ValueError, match="must not decrease"):
            pooled(stream)
        assert stream.made == 3
        assert_released(stream)
