/*
 * gap_wire: what an instance tells the others about messages of its clients that it had to give up, as JSON on Redis.
 *
 *   ws:instances:gap   {"from":"web1","boot":123,"seq":456,"channels":["prices:BTC","*"]}
 *                      {"from":"web1","boot":123,"seq":457,"all":true}
 *
 *   from, boot  which start of which instance
 *   seq         grows; a copy that was sent again after a reconnect is known by it
 *   channels    1 to RC_GAP_CHANNELS_MAX names; "*" = broadcasts. One of channels and all is there
 *
 * Anybody who can publish to Redis may have written it: everything is checked before anything is believed. Unknown members are
 * ignored, of two equal ones the last counts. Pure but for rc_gap_message_write, which allocates.
 */
#ifndef RC_RELAY_BRIDGE_GAP_WIRE_H
#define RC_RELAY_BRIDGE_GAP_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/config.h"
#include "common/text/json_scan.h"
#include "common/base/span.h"

#define RC_GAP_CHANNELS_MAX 256u /* of one message */

struct rc_gap_message {
    char from[RC_INSTANCE_ID_MAX];
    uint8_t from_bytes;
    uint32_t boot;
    uint64_t seq;
    bool all;
    bool placed;             /* with `all`: also messages of shared histories, which are in no stream */
    struct rc_span channels; /* borrowed: the JSON array, checked; empty with `all` */
};

/* 0, an error of json_scan, or -EINVAL with the reason in *why. The message must live as long as the result. */
int rc_gap_message_read(struct rc_gap_message *out, struct rc_span message, const char **why);

/* Walks the channels of what was read: 1 and the name, decoded into `out` where it has to be; 0 at the end. */
int rc_gap_message_begin(struct rc_json_cursor *cursor, const struct rc_gap_message *message);
int rc_gap_message_next(struct rc_json_cursor *cursor, char out[RC_CHANNEL_NAME_MAX], struct rc_span *name);

/* The text for these channels (at most RC_GAP_CHANNELS_MAX), for all when there are none, `placed` as above: NULL without memory; *bytes
 * long, the caller's to free. */
char *rc_gap_message_write(const char *from, uint32_t boot, uint64_t seq, const struct rc_span *names, uint32_t count,
                           bool placed, size_t *bytes);

#endif
