/*
 * pusher_body: bodies of server SDKs of the Pusher Channels protocol: an event for one or several channels, or a batch of events.
 *
 *   {"name":"e","channels":["a","b"],"data":"{}","socket_id":"1.2","info":"user_count"}     {"batch":[{"name":"e","channel":"a","data":"{}"}]}
 *
 * Pure but for memory; only a worker calls it. What is read is a peer's: every byte is checked.
 */
#ifndef RC_WORKER_API_PUSHER_BODY_H
#define RC_WORKER_API_PUSHER_BODY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/config/values.h"

/* What is to be told of a channel, or-ed: its `info`. */
enum rc_pusher_info {
    RC_PUSHER_INFO_USERS = 1u << 0,
    RC_PUSHER_INFO_SUBSCRIPTIONS = 1u << 1,
    RC_PUSHER_INFO_CACHE = 1u << 2, /* its last event */
    RC_PUSHER_INFO_COUNTS = RC_PUSHER_INFO_USERS | RC_PUSHER_INFO_SUBSCRIPTIONS,
};
/* "user_count,subscription_count", as far as it is in `may`; UINT32_MAX: something else. */
uint32_t rc_pusher_info_read(struct rc_span text, uint32_t may);

/* One event for one channel. Spans into the body or the post's text. */
struct rc_pusher_post_event {
    struct rc_span channel; /* as the broker has it: "user:…" of one that is for a user */
    struct rc_span event;
    struct rc_span data;      /* JSON */
    struct rc_span socket_id; /* JSON array of the id that is left out; empty = none */
    uint32_t kind;            /* enum rc_pusher_kind, or-ed */
    uint32_t info;            /* enum rc_pusher_info, or-ed */
};

struct rc_pusher_post {
    struct rc_pusher_post_event *events; /* owned */
    uint32_t count;
    uint8_t *text; /* owned */
    size_t text_used;
    size_t text_room;
};

#define RC_PUSHER_WHY_MAX 128u

/* 0, or the status to answer, with `why`. The post is to be freed in either case; it borrows from the body. */
uint16_t rc_pusher_post_read(struct rc_pusher_post *post, struct rc_span body, bool batch,
                             const struct rc_config_pusher_app *app, char why[RC_PUSHER_WHY_MAX]);
void rc_pusher_post_free(struct rc_pusher_post *post);

#endif
