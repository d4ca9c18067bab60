/*
 * order: which of two stores to the truth comes first.
 *
 * A worker may be killed between any two instructions, and the memory then holds every store that was retired: a successor sees them
 * in the order in which the one thread made them. So the compiler alone has to be told; the instruction costs nothing. Nothing fails.
 *
 * Builds with the address sanitizer can be told to be killed at one of these places (rc_store_order_dies), which are where it matters most, or to have
 * a test look there (rc_store_order_calls).
 */
#ifndef RC_WORKER_STORE_ORDER_H
#define RC_WORKER_STORE_ORDER_H

#include <stdatomic.h>
#include <stdint.h>

#ifdef __SANITIZE_ADDRESS__
void rc_store_order_passed(void);
/* So many of these places from now on the process is killed; 0 = never. */
void rc_store_order_dies(uint64_t left);
/* At each of them from now on `passed` is called; NULL = nobody. */
void rc_store_order_calls(void (*passed)(void));
#else
static inline void rc_store_order_passed(void) {}
static inline void rc_store_order_dies(uint64_t left)
{
    (void)left;
}
#endif

/* What is written above is there before what is written below. */
#define RC_STORE_ORDER()                           \
    do {                                           \
        atomic_signal_fence(memory_order_seq_cst); \
        rc_store_order_passed();                   \
    } while (0)

#endif
