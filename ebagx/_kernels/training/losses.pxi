# Losses of the scores of a strip of bags, and their gradients.
#
#     softmax    log(sum_k exp(s[k])) - s[true class]           exp(s[k]) / sum - (k is true)
#     sigmoid    sum_k log(1 + exp(s[k])) - s[k] if k is true   1 / (1 + exp(-s[k])) - (k is true)
#     squared    sum_k (s[k] - t[k])^2 / 2                      s[k] - t[k]
#     huber      the same up to epsilon, linear beyond          limited to [-epsilon, epsilon]
#     poisson    sum_k t[k] log(t[k] / exp(s[k])) - t[k] + exp(s[k])        exp(s[k]) - t[k]
#
# Sums run over k in order. The gradient of each bag is then multiplied by its scale. Where a batch
# uses only some classes (negatives.pxi), softmax multiplies exp(s[k]), and sigmoid the loss of a
# label, by the weight of the class for the bag.

cdef extern from "training/strip_ops.h" nogil:
    void take_greatest "ebagx_take_greatest"(float*, const float*)
    void exp_scores "ebagx_exp_scores"(float*, float*, const float*)
    void exp_weighted "ebagx_exp_weighted"(float*, float*, const float*, const float*)
    void divide_scores "ebagx_divide_scores"(float*, const float*)
    void log_strip "ebagx_log_strip"(float*)
    void scale_strip "ebagx_scale_strip"(float*, const float*)
    void sigmoid_strip "ebagx_sigmoid"(float*, float*)
    void sigmoid_weighted "ebagx_sigmoid_weighted"(float*, float*, const float*)
    void squared_strip "ebagx_squared"(float*, float*, const float*)
    void huber_strip "ebagx_huber"(float*, float*, const float*, float)
    void poisson_strip "ebagx_poisson"(float*, float*, const float*)

# Losses have the numbers that ebagx._training.losses gives them.
cdef enum:
    SOFTMAX = 0
    SIGMOID = 1
    SQUARED_ERROR = 2
    HUBER = 3
    POISSON = 4


# The targets of all examples: the true classes as a CSR matrix has them, or numbers.
cdef struct Targets:
    Rows offsets  # (n + 1,), or empty
    Rows classes
    Rows numbers  # (n, K), or empty
    Rows weights  # (n,), or empty: every weight is 1


# The bags of one strip. The labels of a bag are `labels[start:end]`: classes, or their places among
# the chosen ones.
cdef struct StripBags:
    Py_ssize_t count          # up to 16
    Py_ssize_t[STRIP] examples
    float[STRIP] scales       # of gradients; those of missing bags are 0
    Indices labels
    Py_ssize_t num_labels
    Py_ssize_t[STRIP] starts
    Py_ssize_t[STRIP] ends


cdef inline Py_ssize_t true_class(
    const StripBags* bags, Py_ssize_t j, Py_ssize_t num_classes
) noexcept nogil:
    return clamped(index_at(bags.labels, clamped(j, bags.num_labels - 1)), num_classes - 1)


cdef void softmax_loss(
    float* loss, float* scores, Py_ssize_t num_classes, const StripBags* bags, const float* factors
) noexcept nogil:
    cdef Py_ssize_t[STRIP] trues
    cdef float[STRIP] greatest
    cdef float[STRIP] total
    cdef float[STRIP] true_score
    cdef Py_ssize_t k
    cdef int lane
    for lane in range(STRIP):
        greatest[lane] = scores[lane]
        total[lane] = 0
    for k in range(1, num_classes):
        take_greatest(greatest, &scores[k * STRIP])
    for lane in range(bags.count):
        trues[lane] = true_class(bags, bags.starts[lane], num_classes) * STRIP + lane
        true_score[lane] = scores[trues[lane]] - greatest[lane]
    if factors == NULL:
        for k in range(num_classes):
            exp_scores(&scores[k * STRIP], total, greatest)
    else:
        for k in range(num_classes):
            exp_weighted(&scores[k * STRIP], total, greatest, &factors[k * STRIP])
    for k in range(num_classes):
        divide_scores(&scores[k * STRIP], total)
    log_strip(total)
    for lane in range(bags.count):
        loss[lane] = total[lane] - true_score[lane]
        scores[trues[lane]] -= 1


cdef void negate_true_scores(
    float* scores, const StripBags* bags, Py_ssize_t num_classes
) noexcept nogil:
    cdef Py_ssize_t lane, j, place
    for lane in range(bags.count):
        for j in range(bags.starts[lane], bags.ends[lane]):
            place = true_class(bags, j, num_classes) * STRIP + lane
            scores[place] = -scores[place]


cdef void sigmoid_loss(
    float* loss, float* scores, Py_ssize_t num_classes, const StripBags* bags, const float* factors
) noexcept nogil:
    # The loss of a true label of score s is that of a false label of score -s.
    cdef Py_ssize_t k
    negate_true_scores(scores, bags, num_classes)
    if factors == NULL:
        for k in range(num_classes):
            sigmoid_strip(loss, &scores[k * STRIP])
    else:
        for k in range(num_classes):
            sigmoid_weighted(loss, &scores[k * STRIP], &factors[k * STRIP])
    negate_true_scores(scores, bags, num_classes)


cdef void number_loss(
    float* loss, float* scores, const Targets* targets, const StripBags* bags, int kind,
    float epsilon, Py_ssize_t num_outputs,
) noexcept nogil:
    cdef float[STRIP] target
    cdef Py_ssize_t k, lane
    for lane in range(STRIP):
        target[lane] = 0
    for k in range(num_outputs):
        for lane in range(bags.count):
            target[lane] = (<const float*>row_address(targets.numbers, bags.examples[lane]))[k]
        if kind == SQUARED_ERROR:
            squared_strip(loss, &scores[k * STRIP], target)
        elif kind == HUBER:
            huber_strip(loss, &scores[k * STRIP], target, epsilon)
        else:
            poisson_strip(loss, &scores[k * STRIP], target)


cdef void strip_loss(
    double* losses_b, float* scores, const Targets* targets, const StripBags* bags,
    const float* factors, int kind, float epsilon, Py_ssize_t num_scores,
) noexcept nogil:
    # Writes the losses of a strip's bags; the scores become the scaled gradient, and zeros for
    # missing bags. `factors` are the weights of classes, or NULL.
    cdef float[STRIP] loss
    cdef Py_ssize_t k, lane
    for lane in range(STRIP):
        loss[lane] = 0
    if kind == SOFTMAX:
        softmax_loss(loss, scores, num_scores, bags, factors)
    elif kind == SIGMOID:
        sigmoid_loss(loss, scores, num_scores, bags, factors)
    else:
        number_loss(loss, scores, targets, bags, kind, epsilon, num_scores)
    for lane in range(bags.count):
        losses_b[lane] = loss[lane]
    for k in range(num_scores):
        scale_strip(&scores[k * STRIP], bags.scales)
    if bags.count < STRIP:
        for k in range(num_scores):
            for lane in range(bags.count, STRIP):
                scores[k * STRIP + lane] = 0
