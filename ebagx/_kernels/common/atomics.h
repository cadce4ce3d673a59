/* The clock, atomic numbers and the waiting that threads need beside OpenMP. */
#ifndef EBAGX_ATOMICS_H
#define EBAGX_ATOMICS_H

#include <stdint.h>
#include <time.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#define EBAGX_YIELD() SwitchToThread()
#define EBAGX_SLEEP() Sleep(1)
static inline int64_t ebagx_nanoseconds(void)
{
    LARGE_INTEGER now, per_second;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&per_second);
    return (int64_t)((double)now.QuadPart / (double)per_second.QuadPart * 1e9);
}
#else
#include <sched.h>
#define EBAGX_YIELD() sched_yield()
#define EBAGX_SLEEP() ebagx_sleep()
static inline void ebagx_sleep(void)
{
    struct timespec millisecond = {0, 1000000};
    nanosleep(&millisecond, 0);
}
static inline int64_t ebagx_nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
#endif

#if defined(_MSC_VER)
#include <intrin.h>
typedef volatile __int64 ebagx_atomic;
#define EBAGX_LOAD(place) _InterlockedCompareExchange64((place), 0, 0)
#define EBAGX_STORE(place, value) _InterlockedExchange64((place), (value))
#define EBAGX_ADD(place, value) (_InterlockedExchangeAdd64((place), (value)) + (value))
#define EBAGX_REPLACE(place, seen, value) \
    (_InterlockedCompareExchange64((place), (value), (seen)) == (seen))
#define EBAGX_PAUSE() YieldProcessor()
#else
typedef int64_t ebagx_atomic;
#define EBAGX_LOAD(place) __atomic_load_n((place), __ATOMIC_ACQUIRE)
#define EBAGX_STORE(place, value) __atomic_store_n((place), (value), __ATOMIC_RELEASE)
#define EBAGX_ADD(place, value) __atomic_add_fetch((place), (value), __ATOMIC_ACQ_REL)
#define EBAGX_REPLACE(place, seen, value) ebagx_replace((place), (seen), (value))
static inline int ebagx_replace(ebagx_atomic *place, int64_t seen, int64_t value)
{
    return __atomic_compare_exchange_n(
        place, &seen, value, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}
#if defined(__x86_64__) || defined(__i386__)
#define EBAGX_PAUSE() __builtin_ia32_pause()
#else
#define EBAGX_PAUSE() ((void)0)
#endif
#endif

#endif
