/* Of a history the newest message of each key: which, in which order, bounded, and beside a writer that evicts. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/shm/history_keys.h"
#include "tests/support/history_rig.h"

static struct history_rig rig;
static struct rc_history_keys keys;

static void open_rig(void)
{
    history_rig_open(&rig, 1u << 20);
    cr_assert_eq(rc_history_keys_open(&keys, 16), 0);
}

static void close_rig(void)
{
    rc_history_keys_close(&keys);
    history_rig_close(&rig);
}

TestSuite(history_keys, .init = open_rig, .fini = close_rig);

static void append(const char *key, const char *data)
{
    const struct rc_envelope_view view = history_rig_record(&rig, "a", key, data, (uint32_t)strlen(data));
    cr_assert_neq(rc_history_append(&rig.store, &view, &rig.config.namespaces[0], rig.now_ms).offset, 0);
}

/* "key=data@offset" of what was found among the messages up to `last`, with one space between them. */
static const char *found(uint64_t last, uint32_t messages_max)
{
    static char text[4096];
    uint8_t buffer[1024];
    struct rc_history_message message;
    struct rc_history_cursor cursor;
    const uint32_t slot = history_rig_slot(&rig, "a");
    const struct rc_history_state state = rc_history_state(&rig.view, slot);
    uint32_t next = 0;
    int used = 0;
    const int count = rc_history_keys_find(&keys, &rig.view, slot, state.epoch, state.first, last, messages_max);
    text[0] = '\0';
    if (count < 0) {
        return count == -ENODATA ? "gone" : "damaged";
    }
    int seen = 0;
    for (; (cursor = rc_history_keys_next(&keys, &next)).epoch != 0; seen++) {
        const uint64_t offset = cursor.offset;
        cr_assert_eq(rc_history_read(&rig.view, &cursor, buffer, sizeof(buffer), &message), 1);
        used += snprintf(text + used, sizeof(text) - (size_t)used, "%s%.*s=%.*s@%llu", used == 0 ? "" : " ",
                         (int)message.key.count, (const char *)message.key.bytes, (int)message.data.count,
                         (const char *)message.data.bytes, (unsigned long long)offset);
    }
    cr_assert_eq(seen, count);
    return text;
}

Test(history_keys, the_newest_of_each_key_in_the_order_of_offsets)
{
    append("k1", "1");
    cr_assert_str_eq(found(1, 100), "k1=1@1");
    append("", "2");
    append("k2", "3");
    append("k1", "4");
    append("", "5");
    append("k3", "6");
    cr_assert_str_eq(found(6, 100), "k2=3@3 k1=4@4 =5@5 k3=6@6");
    cr_assert_str_eq(found(3, 100), "k1=1@1 =2@2 k2=3@3", "nothing that is newer than was asked for");
    cr_assert_str_eq(found(0, 100), "");
}

Test(history_keys, of_too_many_keys_those_that_changed_last)
{
    char key[8];
    rig.config.namespaces[0].history = 1000;
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(key, sizeof(key), "k%u", i);
        append(key, "x");
        append("always", "y");
    }
    const char *text = found(200, 1000);
    cr_assert_eq(keys.count, 16);
    cr_assert_eq(strncmp(text, "k85=x@171 k86=x@173 ", 20), 0, "%s", text);
    cr_assert_str_eq(text + strlen(text) - 23, " k99=x@199 always=y@200", "%s", text);
}

Test(history_keys, of_too_many_messages_the_newest)
{
    append("k1", "1");
    append("k2", "2");
    append("k3", "3");
    cr_assert_str_eq(found(3, 2), "k2=2@2 k3=3@3");
}

Test(history_keys, random_work_is_what_a_plain_model_says)
{
    uint64_t newest[40] = {0};
    char key[8];
    char expected[4096];
    rig.config.namespaces[0].history = 500;
    for (uint64_t offset = 1; offset <= 3000; offset++) {
        const int k = rand() % 40;
        (void)snprintf(key, sizeof(key), "k%d", k);
        append(key, "d");
        newest[k] = offset;
        if (offset % 97 != 0) {
            continue;
        }
        int used = 0;
        int left = 16;
        uint64_t from = offset;
        for (; from > 0 && left > 0; from--) { /* where the sixteenth newest stands */
            for (int i = 0; i < 40; i++) {
                left -= newest[i] == from ? 1 : 0;
            }
        }
        expected[0] = '\0';
        for (uint64_t at = from + 1; at <= offset; at++) {
            for (int i = 0; i < 40; i++) {
                if (newest[i] == at) {
                    used += snprintf(expected + used, sizeof(expected) - (size_t)used, "%sk%d=d@%llu",
                                     used == 0 ? "" : " ", i, (unsigned long long)at);
                }
            }
        }
        cr_assert_str_eq(found(offset, 1000), expected);
    }
}

Test(history_keys, what_goes_meanwhile_is_passed_over)
{
    rig.config.namespaces[0].history = 3;
    append("k1", "1");
    append("k2", "2");
    const uint32_t slot = history_rig_slot(&rig, "a");
    const struct rc_history_state state = rc_history_state(&rig.view, slot);
    append("k3", "3");
    append("k2", "4");
    append("k4", "5"); /* the first two are over, of which the reader had learnt before */
    cr_assert_eq(state.first, 1);
    cr_assert_eq(rc_history_keys_find(&keys, &rig.view, slot, state.epoch, state.first, 5, 100), 3);
    cr_assert_eq(rc_history_keys_find(&keys, &rig.view, slot, state.epoch, state.first, 2, 100), 0, "none is left");
    rc_history_clear(&rig.store, slot);
    cr_assert_eq(rc_history_keys_find(&keys, &rig.view, slot, state.epoch, state.first, 5, 100), 0);
}

Test(history_keys, what_is_gone_is_said)
{
    append("k1", "1");
    const uint32_t slot = history_rig_slot(&rig, "a");
    const struct rc_history_state state = rc_history_state(&rig.view, slot);
    cr_assert_eq(rc_history_keys_find(&keys, &rig.view, slot, state.epoch + 1, 1, 1, 10), -ENODATA);
    rc_history_renew(&rig.store, slot);
    cr_assert_eq(rc_history_keys_find(&keys, &rig.view, slot, state.epoch, 1, 1, 10), -ENODATA);
    cr_assert_str_eq(found(1, 10), "", "nothing is there in the new epoch");
}
