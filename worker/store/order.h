/*
 * order: which of two stores to the truth comes first.
 *
 * A worker may be killed between any two instructions, and the memory then holds every store that was retired: a successor sees them
 * in the order in which the one thread made them. So the compiler alone has to be told; the instruction costs nothing. Nothing fails.
 */
#ifndef RC_WORKER_STORE_ORDER_H
#define RC_WORKER_STORE_ORDER_H

#include <stdatomic.h>

/* What is written above is there before what is written below. */
#define RC_STORE_ORDER() atomic_signal_fence(memory_order_seq_cst)

#endif
