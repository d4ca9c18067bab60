/*
 * truth_found: what a walk over the truth has come to: which objects and heap blocks somebody names, and how many bytes what has.
 *
 * Made by rc_truth_check (truth_check.h) in private memory, for whoever wants to know the state of a segment that another process wrote, or its
 * own. Nothing here believes the truth: an index is looked at before it is followed, and nothing is found twice, so that every walk
 * ends. Errors are -EBADMSG with the first thing that is wrong, or -ENOMEM.
 */
#ifndef RC_WORKER_STORE_TRUTH_FOUND_H
#define RC_WORKER_STORE_TRUTH_FOUND_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "worker/store/truth.h"

/* What heap blocks are for: their bytes have budgets of their own. */
enum rc_truth_bytes {
    RC_TRUTH_BYTES_NAMES,
    RC_TRUTH_BYTES_LOGS,    /* with their exclusions */
    RC_TRUTH_BYTES_OUTPUTS, /* cut frames, replies */
    RC_TRUTH_BYTES_INPUTS,  /* undecoded input, and what is kept of who clients are */
    RC_TRUTH_BYTES_HELD,    /* throttled messages */
    RC_TRUTH_BYTES_TLS,     /* of TLS connections */
    RC_TRUTH_BYTES_LINKS,   /* what is kept for an application behind links */
    RC_TRUTH_BYTES_KINDS,
};

/* Of a group. */
struct rc_truth_group_found {
    uint32_t members; /* subscriptions */
    uint32_t behind;  /* of them those with a cursor */
    uint32_t first;   /* of its places in `places` */
};

struct rc_truth_found {
    const struct rc_truth *truth; /* borrowed */
    struct rc_err *err;           /* borrowed */
    uint8_t *memory;              /* owned: of the arrays below, one behind the other */
    uint64_t memory_bytes;
    uint8_t *used[RC_TRUTH_POOL_COUNT]; /* a bit per object below `high` */
    uint32_t counts[RC_TRUTH_POOL_COUNT];
    uint32_t highs[RC_TRUTH_POOL_COUNT]; /* when it was looked at */
    struct rc_heap heap;                 /* of the same blocks: those that were found are taken */
    uint64_t bytes[RC_TRUTH_BYTES_KINDS];
    struct rc_truth_group_found *groups; /* by group */
    uint32_t *pending;                   /* by client: requests that wait */
    uint8_t *places;                     /* a bit per place in a member vector */
    uint8_t *named;                      /* a bit per replay that another one of its client is before */
    uint32_t everybody;                  /* channel "*" */
    uint32_t clients_high;               /* the highest that is in use */
};

/* -ENOMEM. */
int rc_truth_found_open(struct rc_truth_found *found, const struct rc_truth *truth, struct rc_err *err);
void rc_truth_found_close(struct rc_truth_found *found);

/* The object is named by somebody, for the first time. `by` and `number` say who that is. */
int rc_truth_found_object(struct rc_truth_found *found, enum rc_truth_pool_id pool, uint32_t index, const char *by,
                          uint32_t number);
/* The same of a heap block with at least `bytes`; 0: there is none, and none is needed while `bytes` is 0. */
int rc_truth_found_block(struct rc_truth_found *found, uint32_t block, uint64_t bytes, enum rc_truth_bytes kind,
                         const char *by, uint32_t number);
/* Was it found? */
static inline bool rc_truth_was_found(const struct rc_truth_found *found, enum rc_truth_pool_id pool, uint32_t index)
{
    return index > 0 && index < found->highs[pool] && (found->used[pool][index / 8] & (1u << (index % 8))) != 0;
}

/* Is there a client of that number? */
static inline bool rc_truth_found_is_client(const struct rc_truth_found *found, uint32_t index)
{
    return index > 0 && index < found->highs[RC_TRUTH_POOL_clients] &&
           rc_truth_client(found->truth, index)->random != 0;
}

/* Ends the walk unless the condition holds. */
#define RC_FOUND_MUST(found, condition, ...)                        \
    do {                                                            \
        if (!(condition)) {                                         \
            return rc_err_set((found)->err, -EBADMSG, __VA_ARGS__); \
        }                                                           \
    } while (0)
#define RC_FOUND_TRY(call)           \
    do {                             \
        const int rc_tried = (call); \
        if (rc_tried < 0) {          \
            return rc_tried;         \
        }                            \
    } while (0)

#endif
