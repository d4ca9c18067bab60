/*
 * state: what an acceptor hands to the program that goes on in its process, as records in a memfd.
 *
 *   head: RC_STATE_MAGIC, bytes of all that follows
 *   record: tag, bytes, payload, padding to 8 bytes      again and again
 *
 * A tag is a number for ever; what it means never changes, a record of another form has another tag. Who reads passes over tags that it does
 * not know, but for those with RC_STATE_MUST: then it cannot go on, and says so. Numbers are of this machine.
 *
 * Made and read by acceptor/upgrade alone; what is read is bounded here, its meaning is checked where it is used.
 */
#ifndef RC_ACCEPTOR_UPGRADE_STATE_H
#define RC_ACCEPTOR_UPGRADE_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"

#define RC_STATE_MAGIC UINT64_C(0x3154535443524355) /* "UCRCTST1" */
#define RC_STATE_MUST 0x80000000u
#define RC_STATE_BYTES_MAX (64u << 20)

struct rc_state {
    uint8_t *bytes; /* owned */
    size_t count;
    size_t capacity;
    int rc; /* of the first that failed: nothing more is added */
};

/* Begins an empty one. */
void rc_state_open(struct rc_state *state);
void rc_state_close(struct rc_state *state);
/* Appends a record of one or two pieces. Failing is kept in `rc`. */
void rc_state_put(struct rc_state *state, uint32_t tag, const void *bytes, size_t count);
void rc_state_put_with(struct rc_state *state, uint32_t tag, const void *head, size_t head_count, const void *rest,
                       size_t rest_count);

/* Writes all of it into a new memfd, close-on-exec: the descriptor. Negative errno with `err`. */
int rc_state_save(const struct rc_state *state, struct rc_err *err);
/* Reads what rc_state_save wrote. -EBADMSG: it is none. */
int rc_state_load(struct rc_state *state, int fd, struct rc_err *err);

/* Is `state` whole records? -EBADMSG. What is loaded is. */
int rc_state_check(const struct rc_state *state, struct rc_err *err);
/* Walks the records: start with *at = 0. 1: *tag and *payload are set; 0: the end. */
int rc_state_next(const struct rc_state *state, size_t *at, uint32_t *tag, struct rc_span *payload);

#endif
