/* The history segment's head, and a reader beside a writer that evicts what it reads. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/history_rig.h"

Test(history, a_segment_of_any_size_says_what_fits_it)
{
    for (uint64_t bytes = sizeof(struct rc_history_segment); bytes < 300000; bytes += 997) {
        struct rc_history_segment *segment = calloc(1, bytes);
        struct rc_history_view view;
        struct rc_err err;
        cr_assert(segment != NULL);
        rc_history_format(segment, bytes);
        cr_assert_eq(rc_history_view_open(&view, segment, bytes, &err), 0, "%llu: %s", (unsigned long long)bytes,
                     err.text);
        cr_assert(view.units + (size_t)view.unit_count * RC_HISTORY_UNIT <= (uint8_t *)segment + bytes ||
                  view.unit_count == 0);
        cr_assert(bytes < 100000 || (uint64_t)view.unit_count * RC_HISTORY_UNIT > bytes * 8 / 10);
        free(segment);
    }
}

Test(history, what_is_no_such_segment_is_refused)
{
    struct rc_history_segment *segment = calloc(1, 65536);
    struct rc_history_view view;
    struct rc_err err;
    cr_assert(segment != NULL);
    cr_assert_eq(rc_history_view_open(&view, segment, 65536, &err), -EBADMSG);
    rc_history_format(segment, 65536);
    cr_assert_eq(rc_history_view_open(&view, segment, 65536, &err), 0);
    segment->unit_count = 1000000;
    cr_assert_eq(rc_history_view_open(&view, segment, 65536, &err), -EBADMSG);
    rc_history_format(segment, 65536);
    segment->abi++;
    cr_assert_eq(rc_history_view_open(&view, segment, 65536, &err), -EBADMSG);
    free(segment);
}

#define MESSAGES 60000u

static struct history_rig rig;
static _Atomic bool ended;

static void *write_on(void *unused)
{
    static uint64_t data[64];
    (void)unused;
    for (uint64_t i = 1; i <= MESSAGES; i++) {
        for (size_t word = 0; word < 64; word++) {
            data[word] = i * 31 + word;
        }
        const uint32_t bytes = 8 * (1 + (uint32_t)(i * 7919 % 64));
        cr_assert_eq(history_rig_append(&rig, "a", data, bytes).offset, i);
    }
    ended = true;
    return NULL;
}

Test(history, what_a_reader_gets_is_whole_and_in_order_while_pages_are_used_again)
{
    static uint64_t buffer[1024];
    pthread_t writer;
    struct rc_history_message message;
    uint64_t got = 0;
    history_rig_open(&rig, 65536);
    rig.config.namespaces[0].history = 60;
    cr_assert_neq(history_rig_append(&rig, "b", "x", 1).epoch, 0);
    const uint32_t slot = 1; /* the next one */
    cr_assert_eq(pthread_create(&writer, NULL, write_on, NULL), 0);
    struct rc_history_cursor cursor = {.slot = slot};
    bool last_round;
    do {
        last_round = ended;
        const struct rc_history_state state = rc_history_state(&rig.view, slot);
        if (state.epoch == 0) {
            continue;
        }
        cursor.epoch = state.epoch;
        cursor.offset = cursor.offset == 0 ? 1 : cursor.offset;
        int rc;
        while ((rc = rc_history_read(&rig.view, &cursor, (uint8_t *)buffer, sizeof(buffer), &message)) == 1) {
            const uint64_t offset = cursor.offset - 1;
            uint64_t word;
            cr_assert_eq(message.data.count, 8 * (1 + offset * 7919 % 64));
            for (size_t i = 0; i < message.data.count / 8; i++) {
                memcpy(&word, message.data.bytes + 8 * i, sizeof(word));
                cr_assert_eq(word, offset * 31 + i, "message %llu", (unsigned long long)offset);
            }
            got++;
        }
        cr_assert(rc == 0 || rc == -ENODATA, "%d at %llu", rc, (unsigned long long)cursor.offset);
        if (rc == -ENODATA) {
            cursor.offset = rc_history_state(&rig.view, slot).first; /* too slow: from the oldest on */
        }
    } while (!last_round || cursor.offset <= MESSAGES);
    cr_assert_eq(pthread_join(writer, NULL), 0);
    cr_assert_eq(cursor.offset, MESSAGES + 1);
    cr_assert_gt(got, 60);
    history_rig_close(&rig);
}
