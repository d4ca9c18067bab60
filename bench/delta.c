/* delta: see delta.h. */
#include "bench/delta.h"

#include "common/base/check.h"
#include "common/text/fossil_delta.h"
#include "common/text/json_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int rc_bench_delta_take(struct rc_bench_delta *own, uint32_t slot, uint32_t slots, struct rc_span string, bool whole,
                        struct rc_span *text)
{
    struct rc_json_value value;
    struct rc_span plain;
    if (own->bases == NULL) {
        own->bases = calloc(slots, sizeof(*own->bases));
        RC_ASSERT(own->bases != NULL);
    }
    if (own->scratch_room < string.count) {
        own->scratch_room = (uint32_t)string.count * 2;
        own->scratch = realloc(own->scratch, own->scratch_room);
        RC_ASSERT(own->scratch != NULL);
    }
    if (rc_json_scan(string, 0, &value, NULL) != 0 ||
        rc_json_string_decode(&value, own->scratch, own->scratch_room, &plain) != 0) {
        return -EBADMSG;
    }
    struct rc_bench_delta_base *const base = &own->bases[slot];
    const size_t count = whole ? plain.count : rc_fossil_target_bytes(plain);
    if (count > RC_FOSSIL_BYTES_MAX) {
        return -EBADMSG;
    }
    uint8_t *const made = malloc(count + 1);
    RC_ASSERT(made != NULL);
    if (whole) {
        memcpy(made, plain.bytes, count);
    } else if (base->bytes == NULL || rc_fossil_apply(rc_span_of(base->bytes, base->count), plain, made, count) != 0) {
        free(made);
        return -EBADMSG;
    }
    free(base->bytes);
    *base = (struct rc_bench_delta_base){.bytes = made, .count = (uint32_t)count};
    *text = rc_span_of(made, count);
    return 0;
}

void rc_bench_delta_forget(struct rc_bench_delta *own, uint32_t slot)
{
    if (own->bases != NULL) {
        free(own->bases[slot].bytes);
        own->bases[slot] = (struct rc_bench_delta_base){0};
    }
}

void rc_bench_delta_free(struct rc_bench_delta *own, uint32_t slots)
{
    for (uint32_t i = 0; own->bases != NULL && i < slots; i++) {
        free(own->bases[i].bytes);
    }
    free(own->bases);
    free(own->scratch);
    *own = (struct rc_bench_delta){0};
}
