/*
 * placeholders: the objects of a JSON text in whose place an attachment belongs (socket.io-protocol 5).
 *
 * Pure; any process may call.
 */
#ifndef RC_COMMON_RECORDS_PLACEHOLDERS_H
#define RC_COMMON_RECORDS_PLACEHOLDERS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/text/json_scan.h"

/* A walk over a valid JSON text. What stands for an attachment is what socket.io-parser takes for it: an object whose "_placeholder" is
 * true, whatever else it has. */
struct rc_placeholders {
    const uint8_t *at; /* borrowed */
    const uint8_t *end;
    uint32_t depth;
    struct rc_placeholders_level {
        bool object;
        bool placeholder;
        uint32_t number; /* of its attachment; UINT32_MAX = of none */
    } levels[RC_JSON_DEPTH_MAX];
};

void rc_placeholders_begin(struct rc_placeholders *walk, struct rc_span json);
/* The attachment's number of the next one. 1; 0: there is no more; -EBADMSG: it has no whole number, or the text is no valid JSON. */
int rc_placeholders_next(struct rc_placeholders *walk, uint32_t *number);

/* Does every placeholder of this JSON text name one of `count` attachments, and none of them one that another names? (Twice the same
 * one nobody writes, and it could be many times as long for receivers as it was.) `count`: at most RC_ARGS_ATTACHMENTS_MAX. 0 or
 * -EBADMSG. */
int rc_placeholders_check(struct rc_span json, uint32_t count);

#endif
