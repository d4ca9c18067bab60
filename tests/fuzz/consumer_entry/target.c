/* Entries of an application's stream as JSON: fields and values with one byte 0 between them. Whatever comes, what is written is one valid JSON
 * object that stays within the room, or it is refused. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/text/json_scan.h"
#include "relay/cluster/consumers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define VALUES_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rc_span values[VALUES_MAX];
    uint32_t count = 0;
    size_t at = 0;
    if (size == 0) {
        return 0;
    }
    const size_t room = (size_t)data[0] * 16;
    data++;
    size--;
    while (at < size && count < VALUES_MAX) {
        const uint8_t *end = memchr(data + at, '\0', size - at);
        const size_t bytes = end == NULL ? size - at : (size_t)(end - data) - at;
        values[count++] = rc_span_of(data + at, bytes);
        at += bytes + 1;
    }
    uint8_t *out = malloc(room == 0 ? 1 : room);
    RC_ASSERT(out != NULL);
    size_t bytes = 0;
    const int rc = rc_consumer_json(values, count, out, room, &bytes);
    RC_ASSERT(rc == 0 || rc == -EBADMSG || rc == -EMSGSIZE);
    if (rc == 0) {
        struct rc_json_value value;
        RC_ASSERT(bytes <= room);
        const int scanned = rc_json_scan(rc_span_of(out, bytes), RC_JSON_CHECK_UTF8, &value, NULL);
        RC_ASSERT(scanned == -EOVERFLOW ||
                  (scanned == 0 && value.type == RC_JSON_OBJECT)); /* a value may be as deep as allowed */
    }
    free(out);
    return 0;
}
