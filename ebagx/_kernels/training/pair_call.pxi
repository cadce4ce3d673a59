# The arrays and numbers of one call of `train_pairs`, and the phase in which it is.

cdef enum:
    PAIR_BEGIN = 0
    PAIR_REFRESH = 1
    PAIR_FORWARD = 2
    PAIR_DRAWN = 3
    PAIR_ROWS = 4
    PAIR_UPDATE = 5

# Losses have the numbers that pairs_reference.py gives them.
cdef enum:
    WARP = 0
    BPR = 1
    LOGISTIC = 2
    SAMPLED_SOFTMAX = 3


# Arrays have room for a batch of B pairs, for which K items may be drawn. The pairs of one user are
# a run of neighbours; `runs` has where they start.
cdef struct PairBuffers:
    Rows losses        # (pairs of the call,) float64
    Rows pooled        # (B, D): the bag of each run's user
    Rows vectors       # (B + K, D + 1): of each pair, divided, and then 1; gradients of drawn items
    Rows gradients     # (2 B, D): of each pair's pooled vector, then the sum of each run
    Rows coefficients  # (B, 1 + max(K, 1)): the loss's derivatives by scores, of the own item first
    Rows negatives     # (B, 1) int32: the other item, or -1
    Rows divisors      # (B,): by which the vector was divided; 0: it is 0, as its bag is empty
    Rows runs          # (B + 1,) int64
    Rows work          # (threads, D + 1)


# The stored entries of a matrix of users and items.
cdef struct Positives:
    Rows order      # (pairs of the call,) intp: those to train on; those of a batch ascend
    Rows users      # (n,)
    Rows offsets    # (U + 1,)
    Rows items      # (n,): those of each user ascend
    Rows values     # (n,)
    Rows strengths  # (n,): weights in the loss


cdef struct UserBags:
    Rows indices  # which ascend in each bag
    Rows offsets
    Rows weights
    Rows totals  # (U,) float64: Σ|w| or Σw² of the bags; or empty: bags keep the pair's item
    Rows splits  # (B, P + 1) int64: where the lookups of P parts of the rows start in a run's bag


cdef struct ItemBags:
    Rows indices
    Rows offsets  # empty: each item has a row of its own, and nothing else
    Rows weights


cdef struct ItemVectors:
    Rows catalogue  # (I, D + 1): vectors of all items, some batches old; or (K, D + 1): drawn ones
    Rows pooled     # (2 B, D + 1): those of the batch's own and other items
    Rows shifts     # (B + 1, 1 + K): what the scores of drawn items lose, for each run; of no user
    Rows panels     # (K / 16 * (D + 1), 16): vectors of 16 drawn items, side by side
    Rows places     # (I,) int32: where an item comes first among those drawn, or 0; 0 at first
    Rows repeats    # (1 + K,) int32: number of drawn items equal to the ones before, and which


cdef struct PairSampling:
    Rows ranks       # (most draws,): the factor of WARP's loss after so many draws
    Rows candidates  # (C,) int32: items that WARP draws; empty: all
    Rows drawn       # (batches, K) int32: items drawn for each, ascending; empty: pairs draw theirs
    Rows shifts      # (I,): log(K q) of items that a draw gives with probability q


# The lookups of a table in a batch: its gradient is the sum of scaled vectors of each row. Threads
# share them by parts of the rows, and each thread has arrays for the lookups of one part.
cdef struct SideArrays:
    Rows indices    # (threads, n) int64
    Rows places     # (threads, n) int32: which vectors
    Rows weights    # (threads, n)
    Rows numbers    # (threads, n) int32: which of the part's rows each lookup is of
    Rows rows       # (threads, n) int64: touched rows in the order of their first lookups
    Rows row_ends   # (threads, n + 1) int64: where the lookups of each row end in row order
    Rows sorted     # (threads, n) int32: places in row order
    Rows scales     # (threads, n): weights in row order
    Rows slots      # (N,) int32: numbers that rows had in earlier batches
    Rows bounds     # (P + 1,) int64: the first row of each part, and N
    Rows following  # (P,) int64: the next number of a row of each part
    Rows claims     # (P,) int64: the last batch for which a thread has taken each part, from 1 on


# The arrays of one thread for the lookups of one part.
cdef struct PartLookups:
    int64_t* indices
    int32_t* places
    float* weights
    int32_t* numbers
    int64_t* rows
    int64_t* row_ends
    int32_t* sorted
    float* scales
    Py_ssize_t room
    Py_ssize_t first_row
    Py_ssize_t stop_row
    Py_ssize_t count    # of lookups
    Py_ssize_t touched  # rows


cdef struct Side:
    SideArrays arrays
    Trained trained
    Rows vectors
    PartLookups kept  # if the gradient is clipped by its norm: then there is one part


cdef struct PairCall:
    PairBuffers buffers
    Rows taken         # (1,) int64: batches whose steps have been taken
    Positives data
    UserBags user_bags
    ItemBags item_bags
    ItemVectors items
    PairSampling sampling
    Side users_side
    Side items_side
    bint long_data
    bint long_users
    bint long_items
    int norm
    int loss
    uint64_t seed
    int64_t first_number
    Py_ssize_t batch_size
    Py_ssize_t num_threads
    Py_ssize_t batches_before     # in the pass
    Py_ssize_t batches_per_refresh
    int64_t deadline              # in nanoseconds, after which no batch begins; 0: never
    # The present phase, which only the thread that has finished the one before may change.
    int phase
    bint keeps_gradients
    Py_ssize_t batch
    Py_ssize_t first_pair
    Py_ssize_t num_pairs
    Py_ssize_t num_runs
    Py_ssize_t unit_runs          # users of one unit


cdef inline Py_ssize_t entry_at(const PairCall* call, Py_ssize_t b) noexcept nogil:
    # Returns the stored entry of a pair of the batch.
    cdef Py_ssize_t place = call.first_pair + b
    return clamped((<const Py_ssize_t*>call.data.order.data)[place], call.data.items.count - 1)


cdef inline Py_ssize_t user_of_entry(const PairCall* call, Py_ssize_t entry) noexcept nogil:
    cdef Indices users = Indices(call.data.users.data, call.long_data)
    return clamped(index_at(users, entry), call.user_bags.offsets.count - 2)


cdef inline Py_ssize_t item_of_entry(const PairCall* call, Py_ssize_t entry) noexcept nogil:
    # Numbers that are no items are found where they are looked up.
    return index_at(Indices(call.data.items.data, call.long_data), entry)


cdef inline float float_at(Rows numbers, Py_ssize_t place) noexcept nogil:
    return (<const float*>numbers.data)[place]


cdef inline bint has_item_bags(const PairCall* call) noexcept nogil:
    return call.item_bags.offsets.data != NULL


cdef inline int64_t* run_starts(const PairCall* call) noexcept nogil:
    return <int64_t*>call.buffers.runs.data
