/*
 * envelope: arbitrary bytes as a ring record. What is accepted must lie inside the record part by part, and writing
 * the view again must give the same bytes. The record is copied into memory of exactly its size, so that ASan sees a
 * read outside.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

/* Reads the whole view as the relay and the workers do; what is read must not be left out by the compiler. */
static uint64_t read_all(const struct rc_envelope_view *view)
{
    uint64_t sum = rc_channel_hash(view->channel, view->head.channel_bytes);
    for (uint32_t i = 0; i < view->head.exclude_count; i++) {
        sum += rc_envelope_exclude(view, i).random;
    }
    for (uint32_t at = 0; at < view->head.exclude_text_bytes;) {
        const size_t id_bytes = strlen(view->exclude_text + at);
        struct rc_client_ref ref = {0};
        sum += rc_client_id_read(view->exclude_text + at, id_bytes, "node-1", 7, &ref);
        at += (uint32_t)id_bytes + 1;
    }
    for (uint32_t i = 0; i < view->head.event_bytes; i++) {
        sum += (uint8_t)view->event[i];
    }
    for (uint32_t i = 0; i < view->head.request_id_bytes; i++) {
        sum += view->request_id[i];
    }
    for (uint32_t i = 0; i < view->head.data_bytes; i++) {
        sum += view->data[i];
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
    struct rc_envelope_view view;
    uint8_t *record = malloc(bytes + 1);
    if (bytes != 0) {
        memcpy(record + 1, input, bytes); /* odd address: ring payloads are aligned to 8, but nothing may rely on it */
    }
    if (rc_envelope_read(&view, record + 1, (uint32_t)bytes) == 0) {
        uint8_t *again = malloc(bytes);
        __asm__ volatile("" ::"r"(read_all(&view)));
        RC_ASSERT(rc_envelope_bytes(&view.head) == bytes);
        RC_ASSERT(view.data + view.head.data_bytes == record + 1 + bytes);
        rc_envelope_write(again, &view);
        RC_ASSERT(memcmp(again, input, bytes) == 0);
        free(again);
    }
    free(record);
    return 0;
}
