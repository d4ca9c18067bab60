/*
 * named: the client on a connection, as log lines name it. Reads the truth; the caller has the room. Nothing can fail.
 */
#ifndef RC_WORKER_STORE_NAMED_H
#define RC_WORKER_STORE_NAMED_H

#include "common/text/address.h"
#include "worker/store/truth.h"

struct rc_named {
    char address[RC_ADDRESS_TEXT_MAX];
    char user[RC_CHANNEL_NAME_MAX + 1];
};

/* The peer's address as text, "unix" of a socket without one. */
const char *rc_named_address(const struct rc_truth *truth, uint32_t slot, struct rc_named *who);
/* The user's id as text; empty: anonymous. */
const char *rc_named_user(const struct rc_truth *truth, uint32_t slot, struct rc_named *who);

/* The line for a connection that is ended by policy: each place in the code has five of them a second for itself. `format` are the
 * fields that follow, with a space before each; include common/base/log.h. */
#define rc_named_log_ended(event, truth, slot, reason, format, ...)                                                    \
    do {                                                                                                               \
        struct rc_named rc_named_here;                                                                                 \
        rc_log_limited(RC_LOG_INFO, 5, event, "slot=%u address=%s user=\"%s\" reason=\"%s\"" format, (uint32_t)(slot), \
                       rc_named_address((truth), (slot), &rc_named_here),                                              \
                       rc_named_user((truth), (slot), &rc_named_here), (reason)__VA_OPT__(, ) __VA_ARGS__);            \
    } while (0)

#endif
