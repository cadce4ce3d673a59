# Phases of training that threads share: a call prepares one, its units run, then comes the next.

from cython.parallel cimport threadid

cdef extern from "training/team.h" nogil:
    ctypedef struct Team "ebagx_team":
        pass
    void form_team "ebagx_form_team"(Team*)
    void begin_phase "ebagx_begin_phase"(Team*, int64_t, bint)
    int64_t next_unit "ebagx_next_unit"(Team*, int64_t)
    int64_t claim "ebagx_claim"(int64_t*, int64_t, int64_t, int64_t)
    bint finish_unit "ebagx_finish_unit"(Team*)
    void join_team "ebagx_join_team"(Team*)
    bint is_busy_team "ebagx_is_busy"(Team*)

ctypedef fused team_call_t:
    TrainCall
    PairCall


cdef inline Py_ssize_t next_phase(team_call_t* call) noexcept nogil:
    # Sets up the phase that follows, and returns its number of units; 0 after the last one.
    if team_call_t is TrainCall:
        return begin_next_phase(call)
    else:
        return begin_next_pair_phase(call)


cdef inline bint has_long_units(const team_call_t* call) noexcept nogil:
    # Returns whether a thread may wait long for another one's unit, though processors are free.
    if team_call_t is TrainCall:
        return call.phase == PREPARE
    else:
        return call.phase == PAIR_ROWS


cdef inline void run_unit_of_phase(
    team_call_t* call, Py_ssize_t unit, Py_ssize_t thread
) noexcept nogil:
    if team_call_t is TrainCall:
        run_train_unit(call, unit, thread)
    else:
        run_pair_unit(call, unit, thread)


cdef void run_phases(team_call_t* call) noexcept nogil:
    cdef Py_ssize_t unit, units = next_phase(call)
    while units > 0:
        for unit in range(units):
            run_unit_of_phase(call, unit, 0)
        units = next_phase(call)


cdef void begin_phase_of_team(team_call_t* call, Team* team) noexcept nogil:
    cdef Py_ssize_t units = next_phase(call)
    begin_phase(team, units, has_long_units(call))


cdef void join_phases(team_call_t* call, Team* team, Py_ssize_t thread) noexcept nogil:
    cdef int64_t unit
    join_team(team)
    unit = next_unit(team, thread)
    while unit >= 0:
        run_unit_of_phase(call, unit, thread)
        if finish_unit(team):
            begin_phase_of_team(call, team)
        unit = next_unit(team, thread)


cdef bint share_phases(team_call_t* call, int num_threads) noexcept nogil:
    # Returns whether other processes needed the processors, so that one thread is better.
    cdef Team team
    if num_threads <= 1:
        run_phases(call)
        return False
    form_team(&team)
    begin_phase_of_team(call, &team)
    with parallel(num_threads=num_threads):
        join_phases(call, &team, threadid())
    return is_busy_team(&team)
