/* A history that another broker left in a file: all of it when it is whole, new epochs when the machine went down on it, and of what is
 * damaged anywhere nothing that was never said. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/history_rig.h"

#define CHANNELS 6u
#define MESSAGES 60u

static struct history_rig rig;
static uint64_t epochs[CHANNELS];

/* What the message of that number in that channel is: nothing else has this text. */
static uint32_t text_of(char text[1024], uint32_t channel, uint64_t number)
{
    const uint32_t bytes = 40 + (uint32_t)(number * 37 + channel * 11) % 400;
    memset(text, 'a' + (int)((number + channel) % 26), bytes);
    (void)snprintf(text, 40, "%u/%llu/", channel, (unsigned long long)number);
    return bytes;
}

static void name_of(char name[16], uint32_t channel)
{
    (void)snprintf(name, 16, "room%u", channel);
}

static void open_rig(void)
{
    char name[16];
    char text[1024];
    history_rig_open(&rig, 1u << 19);
    rig.segment->file = 1;
    rig.config.namespaces[0].history = 40; /* so that pages are cut, too */
    history_rig_restart(&rig);
    for (uint32_t n = 1; n <= MESSAGES; n++) {
        for (uint32_t c = 0; c < CHANNELS; c++) {
            name_of(name, c);
            const uint32_t bytes = text_of(text, c, n);
            cr_assert_eq(history_rig_append(&rig, name, text, bytes).offset, n);
        }
    }
    for (uint32_t c = 0; c < CHANNELS; c++) {
        name_of(name, c);
        (void)snprintf(text, sizeof(text), "value of %u", c);
        cr_assert_eq(history_rig_keep(&rig, name, "k", text, 1), RC_HISTORY_KEPT);
        epochs[c] = rc_history_state(&rig.view, history_rig_slot(&rig, name)).epoch;
    }
}

static void close_rig(void)
{
    history_rig_close(&rig);
}

TestSuite(history_file, .init = open_rig, .fini = close_rig);

static void take_over(enum rc_history_doubt doubt)
{
    atomic_store_explicit(&rig.segment->doubt, doubt, memory_order_relaxed);
    rig.sequence = 0; /* another broker counts anew */
    history_rig_restart(&rig);
}

/* Everything that is there is what was said; how many messages that is. Of a channel in an old epoch no offset says anything else. */
static unsigned all_is_true(void)
{
    static uint8_t buffer[65536];
    unsigned count = 0;
    char name[16];
    char text[1024];
    for (uint32_t c = 0; c < CHANNELS; c++) {
        name_of(name, c);
        const uint32_t slot = history_rig_slot(&rig, name);
        if (slot == RC_HISTORY_NO_SLOT) {
            continue;
        }
        const struct rc_history_state state = rc_history_state(&rig.view, slot);
        struct rc_history_cursor cursor = {.slot = slot, .epoch = state.epoch, .offset = state.first};
        struct rc_history_message message;
        while (rc_history_read(&rig.view, &cursor, buffer, sizeof(buffer), &message) == 1) {
            const uint32_t bytes = text_of(text, c, cursor.offset - 1);
            cr_assert(rc_span_equal(message.data, rc_span_of(text, bytes)), "%s@%llu", name,
                      (unsigned long long)cursor.offset - 1);
            count++;
        }
        cr_assert(state.epoch != epochs[c] || state.last >= MESSAGES, "%s: its epoch goes on at %llu", name,
                  (unsigned long long)state.last);
        (void)snprintf(text, sizeof(text), "k=value of %u", c);
        cr_assert(history_rig_values(&rig, name)[0] == '\0' || strcmp(history_rig_values(&rig, name), text) == 0,
                  "%s has %s", name, history_rig_values(&rig, name));
    }
    return count;
}

Test(history_file, what_is_whole_goes_on)
{
    char text[1024];
    take_over(RC_HISTORY_OTHER);
    cr_assert_eq(all_is_true(), CHANNELS * 40);
    cr_assert_eq(rc_metric_get(&rig.metrics, RC_METRIC_HISTORY_DAMAGED), 0);
    cr_assert_eq(rig.segment->doubt, RC_HISTORY_SURE);
    cr_assert_eq(rc_history_state(&rig.view, history_rig_slot(&rig, "room1")).epoch, epochs[1]);
    cr_assert_str_eq(history_rig_values(&rig, "room1"), "k=value of 1");
    /* The new broker's sequences begin anew, and mean other messages. */
    for (uint32_t n = 1; n <= MESSAGES * CHANNELS + CHANNELS; n++) {
        const uint32_t bytes = text_of(text, 1, MESSAGES + n);
        cr_assert_eq(history_rig_append(&rig, "room1", text, bytes).offset, MESSAGES + n);
    }
    (void)all_is_true();
}

Test(history_file, an_entry_that_was_not_counted_any_more_is_no_damage)
{
    /* The relay was killed between a message and its count. */
    char text[1024];
    (void)history_rig_append(&rig, "room0", text, text_of(text, 0, MESSAGES + 1));
    rig.view.slots[history_rig_slot(&rig, "room0")].last = MESSAGES;
    take_over(RC_HISTORY_OTHER);
    cr_assert_eq(rc_metric_get(&rig.metrics, RC_METRIC_HISTORY_DAMAGED), 0);
    cr_assert_eq(rc_history_state(&rig.view, history_rig_slot(&rig, "room0")).epoch, epochs[0]);
    (void)all_is_true();
}

Test(history_file, a_count_from_the_past_is_damage)
{
    rig.view.slots[history_rig_slot(&rig, "room2")].last = MESSAGES - 3;
    take_over(RC_HISTORY_OTHER);
    cr_assert_gt(rc_metric_get(&rig.metrics, RC_METRIC_HISTORY_DAMAGED), 0, "the channel, and its value with it");
    (void)all_is_true();
}

Test(history_file, where_the_machine_went_down_messages_stay_and_epochs_end)
{
    take_over(RC_HISTORY_UNCLOSED);
    for (uint32_t c = 0; c < CHANNELS; c++) {
        char name[16];
        name_of(name, c);
        cr_assert_neq(rc_history_state(&rig.view, history_rig_slot(&rig, name)).epoch, epochs[c]);
    }
    cr_assert_eq(all_is_true(), CHANNELS * 40);
}

Test(history_file, a_doubt_that_nobody_has_cleared_stays)
{
    rig.segment->doubt = RC_HISTORY_UNCLOSED;
    rc_history_format(rig.segment, rig.bytes);
    cr_assert_eq(rig.segment->doubt, RC_HISTORY_UNCLOSED);
    cr_assert_eq(rig.segment->file, 1);
}

/* Any words, pages of zeros, pages of before: nothing of it is served. */
Test(history_file, random_damage_is_never_served, .timeout = 120)
{
    uint8_t *whole = malloc(rig.bytes);
    uint8_t *bytes = (uint8_t *)rig.segment;
    unsigned damaged = 0;
    static size_t touched[4096]; /* blocks of 512 bytes in which something is */
    size_t count = 0;
    for (size_t block = 512; block + 512 <= rig.bytes; block += 512) {
        bool any = false;
        for (size_t i = 0; i < 512; i++) {
            any |= bytes[block + i] != 0;
        }
        if (any) {
            touched[count++] = block;
        }
    }
    memcpy(whole, bytes, rig.bytes);
    srand(11);
    for (unsigned round = 0; round < 400; round++) {
        memcpy(bytes, whole, rig.bytes);
        for (int hits = 1 + rand() % 4; hits > 0; hits--) {
            const size_t block = touched[(size_t)rand() % count];
            const size_t at = block + (size_t)rand() % 504;
            switch (rand() % 3) {
            case 0:
                bytes[at] ^= (uint8_t)(1u << rand() % 8);
                break;
            case 1: {
                const uint64_t word = (uint64_t)rand() % 300;
                memcpy(bytes + at, &word, sizeof(word));
                break;
            }
            default: /* a sector that was never written */
                memset(bytes + block, 0, 512);
                break;
            }
        }
        take_over(RC_HISTORY_OTHER);
        (void)all_is_true();
        damaged += rc_metric_get(&rig.metrics, RC_METRIC_HISTORY_DAMAGED) > 0 ? 1 : 0;
        rig.metrics = (struct rc_metrics){0};
        cr_assert_neq(history_rig_append(&rig, "another", "x", 1).epoch, 0, "and it goes on");
    }
    cr_assert_gt(damaged, 100);
    free(whole);
}
