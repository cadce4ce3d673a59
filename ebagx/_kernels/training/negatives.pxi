# Negatives in training: a batch uses only some rows of a head that has many.
#
# The chosen classes of a batch are the true ones of its bags, then those that were drawn for it,
# each once. A bag's loss is over the chosen classes instead of all. One that is not true of the bag
# counts with the weight 1 / q, if q is the probability that a batch has it: so the sums over
# classes are right on average. Their rows lie side by side in a copy while the batch is computed.

# Classes of the steps of a call.
cdef struct Negatives:
    Rows drawn    # (steps, M) int32, or empty: every batch uses all classes
    Rows weights  # (K,): 1 / q
    Rows slots    # (threads, K) int32: numbers of classes, as BlockPlan has those of rows
    Rows firsts   # (threads,) int64


# Chosen classes of the batches of a block, and the head of the present one.
cdef struct ChosenClasses:
    Rows classes  # (batches, most) int32
    Rows counts   # (batches,) int64
    Rows places   # (batches, labels of a batch) int32: the places of labels among the chosen
    Rows starts   # (batches, bags of a batch + 1) int64: where the labels of bags start in `places`
    Rows head     # (most, D + 1)
    Rows factors  # (threads, most * 16): the weights of a strip


cdef struct Choice:
    int32_t* slots
    int32_t* classes
    Py_ssize_t num_classes
    Py_ssize_t most
    int32_t first      # number of the batch's first class
    int32_t following  # that of the next one


cdef inline int32_t place_of(Choice* choice, Py_ssize_t given) noexcept nogil:
    # Returns the place of a class among the chosen ones, to which it is added if it is new.
    cdef Py_ssize_t k = given if <size_t>given < <size_t>choice.num_classes else 0
    cdef int32_t number = choice.slots[k]
    if number < choice.first and choice.following - choice.first < choice.most:
        number = choice.following
        choice.following += 1
        choice.slots[k] = number
        choice.classes[number - choice.first] = <int32_t>k
    return max(number - choice.first, 0)


cdef void choose_true_classes(
    Choice* choice, const ChosenClasses* chosen, const ExampleBags* bags, const Targets* targets,
    bint is_long, Py_ssize_t first_bag, Py_ssize_t num_bags, Py_ssize_t batch,
) noexcept nogil:
    cdef Indices offsets = Indices(targets.offsets.data, is_long)
    cdef Indices classes = Indices(targets.classes.data, is_long)
    cdef int64_t* starts_b = <int64_t*>row_address(chosen.starts, batch)
    cdef int32_t* places_j = <int32_t*>row_address(chosen.places, batch)
    cdef Py_ssize_t b, j, stop, count = 0
    starts_b[0] = 0
    for b in range(num_bags):
        j = example_at(bags, first_bag + b)
        stop = clamped(index_at(offsets, j + 1), targets.classes.count)
        j = clamped(index_at(offsets, j), targets.classes.count)
        stop = min(stop, j + chosen.places.dim - count)
        while j < stop:
            places_j[count] = place_of(choice, index_at(classes, j))
            count += 1
            j += 1
        starts_b[b + 1] = count


cdef void choose_classes(
    const Negatives* negatives, const ChosenClasses* chosen, const ExampleBags* bags,
    const Targets* targets, bint is_long, Py_ssize_t thread, Py_ssize_t first_bag,
    Py_ssize_t num_bags, Py_ssize_t step, Py_ssize_t batch,
) noexcept nogil:
    # Lists the classes of a batch of the block, which is this step of the call.
    cdef int64_t* next_number = <int64_t*>row_address(negatives.firsts, thread)
    cdef const int32_t* drawn_m = <const int32_t*>row_address(negatives.drawn, step)
    cdef Choice choice
    cdef Py_ssize_t m
    choice.slots = <int32_t*>row_address(negatives.slots, thread)
    choice.classes = <int32_t*>row_address(chosen.classes, batch)
    choice.num_classes, choice.most = negatives.slots.dim, chosen.classes.dim
    if next_number[0] + choice.most > 0x7FFFFFFF:
        memset(choice.slots, 0, <size_t>choice.num_classes * sizeof(int32_t))
        next_number[0] = 1
    choice.first = choice.following = <int32_t>next_number[0]
    choose_true_classes(&choice, chosen, bags, targets, is_long, first_bag, num_bags, batch)
    for m in range(negatives.drawn.dim):
        place_of(&choice, drawn_m[m])
    (<int64_t*>chosen.counts.data)[batch] = choice.following - choice.first
    next_number[0] = choice.following


cdef inline Py_ssize_t chosen_class(
    const ChosenClasses* chosen, Py_ssize_t batch, Py_ssize_t place
) noexcept nogil:
    return (<const int32_t*>row_address(chosen.classes, batch))[place]


cdef void copy_chosen_rows(
    const ChosenClasses* chosen, Rows weights, Py_ssize_t batch, Py_ssize_t first, Py_ssize_t stop
) noexcept nogil:
    cdef Py_ssize_t place
    for place in range(first, stop):
        memcpy(
            row_address(chosen.head, place),
            row_address(weights, chosen_class(chosen, batch, place)),
            <size_t>weights.dim * sizeof(float),
        )


cdef void weigh_classes(
    float* factors, const Negatives* negatives, const ChosenClasses* chosen, Py_ssize_t batch,
    Py_ssize_t count, const StripBags* bags,
) noexcept nogil:
    # Writes the weight of each of `count` classes for each bag of a strip: 1 for the true ones.
    cdef Py_ssize_t place, j
    cdef int lane
    cdef float weight
    for place in range(count):
        weight = (<const float*>negatives.weights.data)[chosen_class(chosen, batch, place)]
        for lane in range(STRIP):
            factors[place * STRIP + lane] = weight
    for lane in range(bags.count):
        for j in range(bags.starts[lane], bags.ends[lane]):
            factors[true_class(bags, j, count) * STRIP + lane] = 1
