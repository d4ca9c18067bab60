/*
 * limit: what a worker asks about a limit that all instances share, as it travels on the rings.
 *
 *   RC_UP_LIMIT    token; data: struct rc_limit_head | name of what is counted
 *   RC_DOWN_LIMIT  the one answer, with the same origin and token. Code 0 and data struct rc_limit_result, or 503: Redis is away, or could not
 *                  say
 *
 * The worker does not wait for longer than its own deadline (worker/limits); an answer may come later. Everything here comes out of another
 * process's memory when it is read: checked, then believed.
 */
#ifndef RC_COMMON_RECORDS_LIMIT_H
#define RC_COMMON_RECORDS_LIMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/base/span.h"
#include "common/records/envelope.h"

#define RC_LIMIT_NAME_MAX 1024u /* bytes of the name of what is counted */

struct rc_limit_head {
    uint32_t count;
    uint32_t window_ms;
    uint32_t cost; /* of `count` */
};
_Static_assert(sizeof(struct rc_limit_head) == 12, "limit head layout");

struct rc_limit_result {
    uint32_t allowed;  /* 1: and counted; 0: not before retry_ms, and not counted */
    uint32_t retry_ms; /* 0 when allowed */
};
_Static_assert(sizeof(struct rc_limit_result) == 8, "limit result layout");

/* False: it is none. */
static inline bool rc_limit_head_read(const struct rc_envelope_view *view, struct rc_limit_head *head,
                                      struct rc_span *name)
{
    if (view->head.data_bytes <= sizeof(*head) || view->head.data_bytes > sizeof(*head) + RC_LIMIT_NAME_MAX) {
        return false;
    }
    memcpy(head, view->data, sizeof(*head));
    *name = rc_span_of(view->data + sizeof(*head), view->head.data_bytes - sizeof(*head));
    return head->count > 0 && head->window_ms > 0 && head->cost > 0 && head->cost <= head->count;
}

/* False: there was no answer. */
static inline bool rc_limit_result_read(const struct rc_envelope_view *view, struct rc_limit_result *result)
{
    if (view->head.code != 0 || view->head.data_bytes != sizeof(*result)) {
        return false;
    }
    memcpy(result, view->data, sizeof(*result));
    return result->allowed <= 1;
}

#endif
