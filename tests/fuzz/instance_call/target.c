/* Calls between instances and their replies, from Redis: what is accepted is within its bounds, and is the same when it is written and
 * read again. */
#include <stdlib.h>
#include <string.h>

#include "common/records/channel_name.h"
#include "common/records/sockets.h"
#include "common/base/check.h"
#include "common/text/json_scan.h"
#include "relay/bridge/call_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check_request(struct rc_span message)
{
    struct rc_call_request request;
    struct rc_call_request again;
    const char *why = "";
    if (rc_call_request_read(&request, message, &why) < 0) {
        RC_ASSERT(why != NULL && why[0] != '\0');
        return;
    }
    RC_ASSERT(request.operation >= RC_CALL_SUBSCRIBE && request.operation <= RC_CALL_ROOM_USERS);
    RC_ASSERT(request.user_bytes <= RC_CHANNEL_NAME_MAX - 5 && request.client_bytes <= RC_CLIENT_ID_MAX);
    RC_ASSERT((request.call_bytes == 0) == (request.from_bytes == 0));
    if (request.operation == RC_CALL_CHANNELS) {
        RC_ASSERT(request.limit >= 1 && request.limit <= RC_CALL_LIMIT_MAX && request.from_bytes > 0);
    } else if (request.operation >= RC_CALL_ROOM_COUNT) {
        RC_ASSERT(request.channel_bytes > 0 && request.from_bytes > 0);
    } else if (request.operation == RC_CALL_DO) {
        RC_ASSERT((request.client_bytes > 0) + (request.user_bytes > 0) + (request.channel_bytes > 0) == 1);
        RC_ASSERT(request.limit >= 1 && request.code + request.limit <= 256);
        RC_ASSERT(request.text_bytes > 0 && request.body.count >= 2 && request.body.bytes[0] == '{');
    } else {
        RC_ASSERT((request.client_bytes == 0) != (request.user_bytes == 0));
    }
    if (request.operation == RC_CALL_SUBSCRIBE || request.operation == RC_CALL_UNSUBSCRIBE) {
        RC_ASSERT(rc_channel_name_check(request.channel, request.channel_bytes, RC_CHANNEL_NAME_MAX) == 0);
    }
    if (request.operation == RC_CALL_DISCONNECT) {
        RC_ASSERT(request.text_bytes >= 1 && request.text_bytes <= RC_CALL_REASON_MAX);
        RC_ASSERT(request.code == 1000 || (request.code >= 3000 && request.code <= 4999));
    }
    size_t text_bytes;
    char *text = rc_call_request_write(&request, &text_bytes);
    RC_ASSERT(text != NULL && rc_call_request_read(&again, rc_span_of(text, text_bytes), &why) == 0);
    RC_ASSERT(again.operation == request.operation && again.code == request.code && again.limit == request.limit);
    RC_ASSERT(rc_span_equal(rc_span_of(again.user, again.user_bytes), rc_span_of(request.user, request.user_bytes)));
    RC_ASSERT(
        rc_span_equal(rc_span_of(again.client, again.client_bytes), rc_span_of(request.client, request.client_bytes)));
    RC_ASSERT(rc_span_equal(rc_span_of(again.channel, again.channel_bytes),
                            rc_span_of(request.channel, request.channel_bytes)));
    RC_ASSERT(rc_span_equal(again.body, request.body));
    RC_ASSERT(rc_span_equal(rc_span_of(again.text, again.text_bytes), rc_span_of(request.text, request.text_bytes)));
    RC_ASSERT(rc_span_equal(rc_span_of(again.call, again.call_bytes), rc_span_of(request.call, request.call_bytes)));
    RC_ASSERT(rc_span_equal(rc_span_of(again.from, again.from_bytes), rc_span_of(request.from, request.from_bytes)));
    free(text);
}

static void check_reply(struct rc_span message)
{
    static uint8_t scratch[RC_CALL_REPLY_BYTES_MAX];
    static uint8_t other[RC_CALL_REPLY_BYTES_MAX];
    struct rc_call_reply reply;
    struct rc_call_reply again;
    const char *why = "";
    if (rc_call_reply_read(&reply, message, scratch, &why) < 0) {
        RC_ASSERT(why != NULL && why[0] != '\0');
        return;
    }
    RC_ASSERT(reply.call_bytes > 0 && reply.from_bytes > 0 && (reply.flags & RC_REPLY_LOCAL) == 0);
    RC_ASSERT(reply.entries.count <= RC_CALL_REPLY_BYTES_MAX - sizeof(struct rc_reply_head));
    size_t text_bytes;
    char *text = rc_call_reply_write(&reply, &text_bytes);
    RC_ASSERT(text != NULL && rc_call_reply_read(&again, rc_span_of(text, text_bytes), other, &why) == 0);
    RC_ASSERT(again.flags == reply.flags && again.count == reply.count);
    RC_ASSERT(rc_span_equal(again.entries, reply.entries));
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    check_request(rc_span_of(bytes, count));
    check_reply(rc_span_of(bytes, count));
    return 0;
}
