/*
 * Replies that are read where they lie (relay/redis/resp), against hiredis: what is taken is what hiredis reads from the same bytes,
 * and what is not all there, hiredis does not read either. The first byte of the input says whether arrays are taken.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "relay/redis/conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void equal(const redisReply *ours, const redisReply *theirs)
{
    RC_ASSERT(ours->type == theirs->type);
    switch (ours->type) {
    case REDIS_REPLY_INTEGER:
        RC_ASSERT(ours->integer == theirs->integer);
        break;
    case REDIS_REPLY_STRING:
        RC_ASSERT(ours->len == theirs->len && memcmp(ours->str, theirs->str, ours->len) == 0);
        break;
    default:
        RC_ASSERT(ours->elements == theirs->elements);
        for (size_t i = 0; i < ours->elements; i++) {
            equal(ours->element[i], theirs->element[i]);
        }
        break;
    }
}

/* What hiredis makes of just these bytes; NULL: nothing yet, or nothing sensible. The caller frees it. */
static redisReply *read_by_hiredis(const uint8_t *bytes, size_t count)
{
    void *reply = NULL;
    redisReader *reader = redisReaderCreate();
    RC_ASSERT(reader != NULL);
    reader->maxelements = RC_REDIS_ELEMENTS_MAX;
    if (count > 0) {
        RC_ASSERT(redisReaderFeed(reader, (const char *)bytes, count) == REDIS_OK);
    }
    (void)redisReaderGetReply(reader, &reply);
    redisReaderFree(reader);
    return reply;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    if (count == 0) {
        return 0;
    }
    struct rc_resp resp;
    const bool arrays = (bytes[0] & 1) != 0;
    struct rc_span rest = rc_span_of(bytes + 1, count - 1);
    for (;;) {
        size_t used = 0;
        const enum rc_resp_result result = rc_resp_take(&resp, rest, arrays, &used);
        redisReply *theirs = read_by_hiredis(rest.bytes, result == RC_RESP_TAKEN ? used : rest.count);
        if (result == RC_RESP_TAKEN) {
            RC_ASSERT(used > 0 && used <= rest.count && theirs != NULL);
            equal(&resp.whole, theirs);
        } else if (result == RC_RESP_SHORT) {
            RC_ASSERT(theirs == NULL);
        }
        freeReplyObject(theirs);
        if (result != RC_RESP_TAKEN) {
            return 0;
        }
        rest = rc_span_of(rest.bytes + used, rest.count - used);
    }
}
