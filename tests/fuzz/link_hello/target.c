/*
 * How a link begins, as its other end says it: the answer to the upgrade or the request for it, in two pieces, and READY.
 *
 * Input: a byte that says which (the rest of it, where the answer is cut), then the text.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/link/hello.h"

static void answer(const uint8_t *text, size_t bytes, size_t cut)
{
    char nonce[RC_LINK_NONCE_BYTES];
    uint32_t status;
    const char *why;
    const int first = rc_link_answer_read(rc_span_of(text, cut < bytes ? cut : bytes), nonce, &status, &why);
    const int whole = rc_link_answer_read(rc_span_of(text, bytes), nonce, &status, &why);
    RC_ASSERT(whole <= (int)bytes);
    RC_ASSERT(first <= 0 || first == whole); /* what was whole stays so */
}

static void request(const uint8_t *text, size_t bytes, size_t cut)
{
    char nonce[RC_LINK_NONCE_BYTES];
    const char *why;
    const int first = rc_link_request_read(rc_span_of(text, cut < bytes ? cut : bytes), nonce, &why);
    const int whole = rc_link_request_read(rc_span_of(text, bytes), nonce, &why);
    RC_ASSERT(whole <= (int)bytes && (whole >= 0 || why != NULL));
    RC_ASSERT(first <= 0 || first == whole);
}

static void ready(const uint8_t *text, size_t bytes)
{
    struct rc_link_ready said;
    const char *why;
    if (rc_link_ready_read(rc_span_of(text, bytes), &said, &why) == 0) {
        const size_t count = strlen(said.process);
        RC_ASSERT(count > 0 && count <= RC_LINK_PROCESS_MAX);
        RC_ASSERT(strpbrk(said.process, "\" \n") == NULL);
    } else {
        RC_ASSERT(why != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1 || bytes > RC_LINK_JSON_MAX) {
        return 0;
    }
    uint8_t *copy = malloc(bytes);
    RC_ASSERT(copy != NULL);
    memcpy(copy, data + 1, bytes - 1);
    if (data[0] & 1) {
        answer(copy, bytes - 1, data[0] >> 1);
    } else if (data[0] & 2) {
        request(copy, bytes - 1, data[0] >> 2);
    } else {
        ready(copy, bytes - 1);
    }
    free(copy);
    return 0;
}
