/*
 * Answers of backends: whatever comes, in whatever pieces, is judged the same, and what is kept of it stays bounded.
 *
 * Input: a byte that says how long the pieces are, then the answer.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/http/answer.h"

#define BODY_MAX 512u

static size_t feed(struct rc_http_answer *answer, const uint8_t *bytes, size_t count, size_t step)
{
    size_t used = 0;
    rc_http_answer_begin(answer, BODY_MAX);
    while (used < count && answer->state == RC_HTTP_ANSWER_READING) {
        const size_t piece = count - used < step ? count - used : step;
        uint8_t *copy = malloc(piece);
        RC_ASSERT(copy != NULL);
        memcpy(copy, bytes + used, piece);
        const size_t taken = rc_http_answer_feed(answer, copy, piece);
        free(copy);
        RC_ASSERT(taken <= piece && answer->body_bytes <= BODY_MAX);
        RC_ASSERT(taken == piece || answer->state != RC_HTTP_ANSWER_READING);
        used += taken;
    }
    rc_http_answer_end(answer);
    return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1 || bytes > 4096) {
        return 0;
    }
    struct rc_http_answer one;
    struct rc_http_answer other;
    const size_t used = feed(&one, data + 1, bytes - 1, 1u + data[0]);
    const size_t again = feed(&other, data + 1, bytes - 1, bytes);
    const bool whole = one.state == RC_HTTP_ANSWER_WHOLE;
    RC_ASSERT(whole == (other.state == RC_HTTP_ANSWER_WHOLE));
    if (whole) {
        RC_ASSERT(used == again && one.status == other.status && one.body_bytes == other.body_bytes &&
                  one.keep_alive == other.keep_alive && one.keep_alive_s == other.keep_alive_s);
        RC_ASSERT(one.body_bytes == 0 || memcmp(one.body, other.body, one.body_bytes) == 0);
        RC_ASSERT(one.status >= 200);
    }
    rc_http_answer_free(&one);
    rc_http_answer_free(&other);
    return 0;
}
