# The arrays and numbers of one call of `train_batches`, and the phase in which it is.

cdef enum:
    MAX_LAYERS = 3
    UNIT_ROWS = 64      # touched rows of one unit
    UNIT_CLASSES = 8    # rows of a layer of one unit

cdef enum:
    BEGIN = 0
    PREPARE = 1
    GATHER = 2
    FORWARD = 3
    GRADIENT = 4
    UPDATE = 5


cdef struct TrainBuffers:
    Rows losses  # (bags of the call,) float64
    Rows grad    # (examples of a batch, G * D): of the pooled vectors
    Rows work    # (threads, numbers of four rows of the widest weights)


cdef struct TrainCall:
    TrainBuffers buffers
    ExampleBags bags
    Targets targets
    BlockLookups block
    BlockPlan plan
    Negatives negatives
    ChosenClasses chosen
    LayerBuffers[MAX_LAYERS] layers
    Trained[MAX_LAYERS + 1] trained  # the layers, then the table
    int num_layers
    int loss
    float epsilon
    Py_ssize_t factors  # of one output; 0: layers give the scores
    Py_ssize_t batch_size
    bint long_bags
    bint long_targets
    # The present phase, which only the thread that has finished the one before may change.
    int phase
    bint keeps_gradients
    Py_ssize_t first_batch   # of the block
    Py_ssize_t num_batches   # of the block
    Py_ssize_t batch         # in the block
    Py_ssize_t first_bag     # of the batch, in the block
    Py_ssize_t num_bags      # of the batch


cdef inline Py_ssize_t bags_of_batch(const TrainCall* call, Py_ssize_t batch) noexcept nogil:
    # Returns how many bags a batch of the call has; they start at batch * batch_size.
    return min(call.bags.order.count - batch * call.batch_size, call.batch_size)


cdef inline bint uses_some_classes(const TrainCall* call) noexcept nogil:
    return call.negatives.drawn.data != NULL
