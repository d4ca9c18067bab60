/* What is kept of channels: bounds, reading, taking over, damage, and random work against a plain model. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/history_rig.h"

static struct history_rig rig;

static void open_rig(void)
{
    history_rig_open(&rig, 1u << 20);
}

static void close_rig(void)
{
    history_rig_close(&rig);
}

TestSuite(history_store, .init = open_rig, .fini = close_rig);

static struct rc_config_namespace *policy(void)
{
    return &rig.config.namespaces[0];
}

static struct rc_history_state state_of(const char *channel)
{
    const uint32_t slot = history_rig_slot(&rig, channel);
    cr_assert_neq(slot, RC_HISTORY_NO_SLOT, "%s", channel);
    return rc_history_stand(&rig.store, slot, rc_history_policy(&rig.store, rc_span_text(channel)), rig.now_ms);
}

static struct rc_history_cursor cursor_at(const char *channel, uint64_t offset)
{
    const uint32_t slot = history_rig_slot(&rig, channel);
    return (struct rc_history_cursor){.slot = slot, .epoch = rc_history_state(&rig.view, slot).epoch, .offset = offset};
}

/* A message "m1", "m2" and so on. */
static void append_text(const char *channel, unsigned number)
{
    char text[64];
    const int bytes = snprintf(text, sizeof(text), "m%u", number);
    cr_assert_neq(history_rig_append(&rig, channel, text, (uint32_t)bytes).epoch, 0);
}

/* The data of the channel's messages from `offset` on, with one space between them. */
static const char *texts_from(const char *channel, uint64_t offset)
{
    static char text[65536];
    static uint8_t buffer[65536];
    struct rc_history_cursor cursor = cursor_at(channel, offset);
    struct rc_history_message message;
    size_t used = 0;
    text[0] = '\0';
    int rc;
    while ((rc = rc_history_read(&rig.view, &cursor, buffer, sizeof(buffer), &message)) == 1) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%.*s", used == 0 ? "" : " ",
                                 (int)message.data.count, (const char *)message.data.bytes);
    }
    return rc == 0 ? text : rc == -ENODATA ? "gone" : "damaged";
}

/* How many messages are read from `offset` on. */
static unsigned texts_count(const char *channel, uint64_t offset)
{
    static uint8_t buffer[65536];
    struct rc_history_cursor cursor = cursor_at(channel, offset);
    struct rc_history_message message;
    unsigned count = 0;
    int rc;
    while ((rc = rc_history_read(&rig.view, &cursor, buffer, sizeof(buffer), &message)) == 1) {
        count++;
    }
    cr_assert_eq(rc, 0);
    return count;
}

Test(history_store, offsets_count_from_one_and_are_read_in_order)
{
    for (unsigned i = 1; i <= 5; i++) {
        append_text("a", i);
    }
    append_text("b", 7);
    cr_assert_eq(state_of("a").first, 1);
    cr_assert_eq(state_of("a").last, 5);
    cr_assert_str_eq(texts_from("a", 1), "m1 m2 m3 m4 m5");
    cr_assert_str_eq(texts_from("a", 4), "m4 m5");
    cr_assert_str_eq(texts_from("a", 6), "");
    cr_assert_str_eq(texts_from("b", 1), "m7");
    cr_assert_neq(state_of("a").epoch, state_of("b").epoch);
}

Test(history_store, a_namespace_without_history_keeps_nothing)
{
    policy()->history = 0;
    rc_history_configure(&rig.store, &rig.config);
    cr_assert_eq(history_rig_append(&rig, "a", "x", 1).slot, RC_HISTORY_NO_SLOT);
    cr_assert_eq(rig.store.channel_count, 0);
}

Test(history_store, a_policy_is_looked_up_once_and_again_after_a_reload)
{
    const uint64_t hash = rc_channel_hash("a", 1);
    cr_assert_eq(rc_history_policy_of(&rig.store, hash, RC_SPAN("a")), policy());
    cr_assert_eq(rc_history_policy_of(&rig.store, hash, RC_SPAN("another name")), policy(), "it is not looked at");
    policy()->history = 0;
    rc_history_configure(&rig.store, &rig.config);
    cr_assert_null(rc_history_policy_of(&rig.store, hash, RC_SPAN("a")));
    policy()->history = 10;
    rc_history_configure(&rig.store, &rig.config);
    cr_assert_eq(rc_history_policy_of(&rig.store, hash, RC_SPAN("a")), policy());
}

Test(history_store, not_more_messages_than_the_policy_says_are_shown)
{
    policy()->history = 3;
    for (unsigned i = 1; i <= 10; i++) {
        append_text("a", i);
    }
    cr_assert_eq(state_of("a").first, 8);
    cr_assert_str_eq(texts_from("a", 8), "m8 m9 m10");
    cr_assert_str_eq(texts_from("a", 7), "gone");
}

Test(history_store, a_channel_has_its_bytes_and_no_more)
{
    char large[400];
    memset(large, 'x', sizeof(large));
    policy()->history_bytes = 4096;
    for (unsigned i = 0; i < 50; i++) {
        cr_assert_neq(history_rig_append(&rig, "a", large, sizeof(large)).epoch, 0);
        cr_assert_leq(rig.store.channels[history_rig_slot(&rig, "a")].bytes, 4096);
    }
    cr_assert_gt(state_of("a").first, 40);
    cr_assert_eq(state_of("a").last, 50);
    cr_assert_gt(rc_metric_get(&rig.metrics, RC_METRIC_HISTORY_EVICTED_BYTES), 0);
}

Test(history_store, what_is_older_than_the_policy_says_is_gone_to_the_message)
{
    policy()->history_ttl_ms = 1000;
    for (unsigned i = 1; i <= 30; i++) {
        append_text("a", i);
        rig.now_ms += 100;
    }
    /* The 30th is 100 ms old. */
    cr_assert_eq(state_of("a").first, 21);
    cr_assert_str_eq(texts_from("a", 21), "m21 m22 m23 m24 m25 m26 m27 m28 m29 m30");
    rig.now_ms += 2000;
    cr_assert_eq(state_of("a").first, 31);
    cr_assert_str_eq(texts_from("a", 30), "gone");
    append_text("a", 31);
    cr_assert_str_eq(texts_from("a", 31), "m31");
}

Test(history_store, a_sweep_frees_what_is_old_and_forgets_what_is_empty_for_long)
{
    policy()->history_ttl_ms = 1000;
    append_text("a", 1);
    append_text("b", 1);
    (void)history_rig_keep(&rig, "b", "", "value", 1);
    rig.now_ms += 1001;
    rc_history_sweep(&rig.store, rig.now_ms);
    cr_assert_eq(rc_metric_get(&rig.metrics, RC_METRIC_HISTORY_BYTES), 0);
    cr_assert_eq(rig.store.channel_count, 2);
    rig.now_ms += RC_HISTORY_EMPTY_MS;
    rc_history_sweep(&rig.store, rig.now_ms);
    rc_history_sweep(&rig.store, rig.now_ms);
    cr_assert_eq(history_rig_slot(&rig, "a"), RC_HISTORY_NO_SLOT);
    cr_assert_str_eq(history_rig_values(&rig, "b"), "=value");
}

Test(history_store, three_small_messages_take_one_unit)
{
    for (unsigned i = 0; i < 3; i++) {
        append_text("a", i);
    }
    cr_assert_eq(rig.store.blocks.used_units, 1);
}

Test(history_store, a_kept_message_costs_its_payload_and_at_most_48_bytes)
{
    static const uint32_t sizes[] = {16, 64, 100, 200, 256, 500, 1000, 2000, 4000, 10000, 0}; /* 0: of all sizes */
    static uint8_t data[10000];
    history_rig_close(&rig);
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        static uint32_t payload[5000];
        uint64_t kept = 0;
        history_rig_open(&rig, 64u << 20);
        policy()->history = 1000;
        for (unsigned i = 0; i < 5000; i++) {
            payload[i] = sizes[k] > 0 ? sizes[k] : 1 + (uint32_t)rand() % 2000;
            kept += payload[i];
            kept -= i >= 1000 ? payload[i - 1000] : 0;
            (void)history_rig_append(&rig, "a", data, payload[i]);
            /* The page that is being filled takes what it needs for what will come. */
            const struct rc_history_channel *channel = &rig.store.channels[history_rig_slot(&rig, "a")];
            const uint64_t unused =
                (uint64_t)RC_HISTORY_UNIT * rig.store.pages[channel->tail - 1].units - channel->tail_at;
            const uint64_t bytes = (uint64_t)RC_HISTORY_UNIT * rig.store.blocks.used_units - unused;
            cr_assert_eq(bytes + unused, channel->bytes);
            /* While it grows it has small pages, which many sizes fill less well than one. */
            cr_assert(i < (sizes[k] > 0 ? 1000 : 2000) || bytes <= kept + 1000 * 48,
                      "%u bytes each: %llu for each of 1000 after %u", sizes[k],
                      (unsigned long long)(bytes - kept) / 1000, i);
        }
        cr_assert_eq(state_of("a").first, 4001);
        history_rig_restart(&rig);
        cr_assert_eq(state_of("a").first, 4001);
        cr_assert_eq(texts_count("a", 4001), 1000, "a successor finds all of them");
        history_rig_close(&rig);
    }
    history_rig_open(&rig, 1u << 20);
}

Test(history_store, when_memory_is_used_up_the_oldest_page_of_all_goes)
{
    static uint8_t data[4000];
    append_text("quiet", 1);
    policy()->history = 100000;
    for (unsigned i = 0; i < 1000; i++) {
        cr_assert_neq(history_rig_append(&rig, "busy", data, sizeof(data)).epoch, 0);
    }
    cr_assert_eq(state_of("busy").last, 1000);
    cr_assert_gt(state_of("busy").first, 1);
    cr_assert_lt(state_of("busy").first, 900, "most of the memory is its");
    cr_assert_eq(state_of("quiet").first, 2);
    cr_assert_eq(state_of("quiet").last, 1);
    cr_assert_gt(rc_metric_get(&rig.metrics, RC_METRIC_HISTORY_EVICTED_MEMORY), 0);
}

Test(history_store, a_message_larger_than_all_memory_has_an_offset_and_is_not_there)
{
    static uint8_t data[2u << 20];
    append_text("a", 1);
    cr_assert_eq(history_rig_append(&rig, "a", data, sizeof(data)).offset, 2);
    cr_assert_eq(state_of("a").first, 3);
    append_text("a", 3);
    cr_assert_str_eq(texts_from("a", 2), "gone");
    cr_assert_str_eq(texts_from("a", 3), "m3");
}

Test(history_store, when_slots_are_used_up_the_channel_used_longest_ago_goes)
{
    char name[32];
    const uint32_t slots = rig.view.slot_count;
    (void)history_rig_keep(&rig, "valued", "", "v", 1);
    for (uint32_t i = 0; i < slots + 10; i++) {
        (void)snprintf(name, sizeof(name), "c%u", i);
        cr_assert_neq(history_rig_append(&rig, name, "x", 1).epoch, 0, "%u of %u", i, slots);
    }
    cr_assert_eq(rig.store.channel_count, slots);
    cr_assert_eq(history_rig_slot(&rig, "c0"), RC_HISTORY_NO_SLOT);
    cr_assert_neq(history_rig_slot(&rig, "c12"), RC_HISTORY_NO_SLOT);
    cr_assert_str_eq(history_rig_values(&rig, "valued"), "=v");
}

/* --- taking over ----------------------------------------------------------------------------------------------------- */

Test(history_store, a_successor_finds_everything_and_goes_on)
{
    for (unsigned i = 1; i <= 20; i++) {
        append_text("a", i);
    }
    (void)history_rig_keep(&rig, "a", "k", "v1", 1);
    const uint64_t epoch = state_of("a").epoch;
    history_rig_restart(&rig);
    cr_assert_eq(state_of("a").epoch, epoch);
    append_text("a", 21);
    cr_assert_str_eq(texts_from("a", 19), "m19 m20 m21");
    cr_assert_str_eq(history_rig_values(&rig, "a"), "k=v1");
}

Test(history_store, a_history_that_is_renewed_is_empty_and_counts_on_in_a_new_epoch)
{
    for (unsigned i = 1; i <= 5; i++) {
        append_text("a", i);
    }
    (void)history_rig_keep(&rig, "a", "k", "v1", 1);
    const struct rc_history_state before = state_of("a");
    struct rc_history_cursor old = cursor_at("a", 1);
    struct rc_history_message message;
    uint8_t buffer[256];
    rc_history_renew(&rig.store, history_rig_slot(&rig, "a"));
    cr_assert_neq(state_of("a").epoch, before.epoch);
    cr_assert_eq(state_of("a").first, 6);
    cr_assert_eq(state_of("a").last, 5);
    cr_assert_eq(rc_history_read(&rig.view, &old, buffer, sizeof(buffer), &message), -ENODATA);
    append_text("a", 6);
    cr_assert_str_eq(texts_from("a", 6), "m6");
    cr_assert_eq(rc_history_read(&rig.view, &old, buffer, sizeof(buffer), &message), -ENODATA);
    history_rig_restart(&rig);
    cr_assert_str_eq(texts_from("a", 6), "m6");
    cr_assert_str_eq(history_rig_values(&rig, "a"), "k=v1", "a successor finds the value in the new epoch");
}

Test(history_store, a_record_that_is_routed_again_is_kept_once)
{
    const struct rc_envelope_view view = history_rig_record(&rig, "a", "", "x", 1);
    const uint64_t offset = rc_history_append(&rig.store, &view, policy(), rig.now_ms).offset;
    history_rig_restart(&rig);
    cr_assert_eq(rc_history_append(&rig.store, &view, policy(), rig.now_ms).offset, offset);
    cr_assert_eq(state_of("a").last, 1);
    /* It died when the offset was promised and the message was not there yet. */
    const struct rc_envelope_view next = history_rig_record(&rig, "a", "", "y", 1);
    struct rc_history_slot *slot = &rig.view.slots[history_rig_slot(&rig, "a")];
    slot->promised_offset = 2;
    slot->promised_sequence = next.head.sequence;
    history_rig_restart(&rig);
    cr_assert_eq(rc_history_append(&rig.store, &next, policy(), rig.now_ms).offset, 2);
    cr_assert_str_eq(texts_from("a", 1), "x y");
}

Test(history_store, damage_costs_the_channels_it_is_in)
{
    append_text("a", 1);
    append_text("b", 1);
    (void)history_rig_keep(&rig, "b", "", "v", 1);
    rig.view.slots[history_rig_slot(&rig, "a")].page = 77777;
    history_rig_restart(&rig);
    cr_assert_eq(history_rig_slot(&rig, "a"), RC_HISTORY_NO_SLOT);
    cr_assert_str_eq(texts_from("b", 1), "m1");
    cr_assert_str_eq(history_rig_values(&rig, "b"), "=v");
    cr_assert_eq(rc_metric_get(&rig.metrics, RC_METRIC_HISTORY_DAMAGED), 1);
    append_text("a", 1);
    cr_assert_str_eq(texts_from("a", 1), "m1");
}

/* Words of a relay gone wild, in the head's counters, slots, references and pages: a successor makes the best of it, and neither it nor a
 * reader reads or writes beyond the segment. */
Test(history_store, stray_words_stop_neither_a_successor_nor_a_reader)
{
    static uint8_t buffer[65536];
    srand(11);
    for (unsigned round = 0; round < 300; round++) {
        for (unsigned i = 0; i < 40; i++) {
            char name[16];
            (void)snprintf(name, sizeof(name), "c%u", (unsigned)rand() % 10);
            (void)history_rig_append(&rig, name, buffer, (uint32_t)rand() % 900);
            (void)history_rig_keep(&rig, name, rand() % 2 == 0 ? "k" : "", "value", round);
        }
        const uint32_t used = rig.store.blocks.used_units + 4;
        for (unsigned i = 0; i < 8; i++) {
            static const uint64_t values[] = {0, 1, 7, UINT32_MAX, UINT64_MAX, UINT64_C(1) << 40};
            uint64_t *where[] = {
                (uint64_t *)rig.view.slots + (size_t)rand() % (10 * sizeof(struct rc_history_slot) / 8),
                (uint64_t *)(rig.view.units + (size_t)(rand() % (int)used) * RC_HISTORY_UNIT) + rand() % 16,
                (uint64_t *)rig.view.references + rand() % 4,
                (uint64_t *)&rig.segment->slots_high,
            };
            *where[rand() % 4] = rand() % 2 == 0 ? values[rand() % 6] : (uint64_t)rand() << 20 ^ (uint64_t)rand();
        }
        for (uint32_t slot = 0; slot < 12; slot++) {
            struct rc_history_cursor cursor = {.slot = slot, .epoch = rc_history_state(&rig.view, slot).epoch};
            struct rc_history_message message;
            for (cursor.offset = 0; cursor.offset < 60;) {
                if (rc_history_read(&rig.view, &cursor, buffer, sizeof(buffer), &message) != 1) {
                    cursor.offset++;
                }
            }
        }
        history_rig_restart(&rig);
        rc_history_sweep(&rig.store, rig.now_ms);
    }
}

/* --- against a model ------------------------------------------------------------------------------------------------- */

#define MODEL_CHANNELS 12u
#define MODEL_MESSAGES 4000u

struct model {
    uint64_t epoch;
    uint64_t last;
    uint32_t seeds[MODEL_MESSAGES]; /* of message offset % MODEL_MESSAGES */
    uint32_t sizes[MODEL_MESSAGES];
};

static void fill(uint8_t *out, uint32_t bytes, uint32_t seed)
{
    for (uint32_t i = 0; i < bytes; i++) {
        seed = seed * 1664525u + 1013904223u;
        out[i] = (uint8_t)(seed >> 24);
    }
}

static void model_check(const struct model *model, const char *name)
{
    static uint8_t buffer[65536];
    static uint8_t expected[65536];
    const struct rc_history_state state = state_of(name);
    cr_assert_eq(state.epoch, model->epoch, "%s", name);
    cr_assert_eq(state.last, model->last);
    cr_assert(state.first >= 1 && state.first <= state.last + 1);
    if (state.last >= policy()->history) {
        cr_assert_geq(state.first, state.last - policy()->history + 1);
    }
    struct rc_history_cursor cursor = cursor_at(name, state.first);
    struct rc_history_message message;
    for (uint64_t offset = state.first; offset <= state.last; offset++) {
        cr_assert_eq(rc_history_read(&rig.view, &cursor, buffer, sizeof(buffer), &message), 1, "%s %llu", name,
                     (unsigned long long)offset);
        fill(expected, model->sizes[offset % MODEL_MESSAGES], model->seeds[offset % MODEL_MESSAGES]);
        cr_assert_eq(message.data.count, model->sizes[offset % MODEL_MESSAGES]);
        cr_assert_eq(memcmp(message.data.bytes, expected, message.data.count), 0);
    }
    cr_assert_eq(rc_history_read(&rig.view, &cursor, buffer, sizeof(buffer), &message), 0);
    if (state.first > 1) {
        cursor = cursor_at(name, state.first - 1);
        cr_assert_eq(rc_history_read(&rig.view, &cursor, buffer, sizeof(buffer), &message), -ENODATA);
    }
}

Test(history_store, random_work_is_what_a_plain_model_says)
{
    static struct model models[MODEL_CHANNELS];
    static uint8_t data[65536];
    srand(3);
    policy()->history = 300;
    for (uint32_t step = 0; step < 30000; step++) {
        const uint32_t channel = (uint32_t)rand() % MODEL_CHANNELS;
        struct model *model = &models[channel];
        char name[16];
        (void)snprintf(name, sizeof(name), "c%u", channel);
        rig.now_ms += (uint64_t)rand() % 3;
        if (rand() % 1000 == 0) {
            history_rig_restart(&rig);
        } else if (rand() % 500 == 0 && model->epoch != 0) {
            rc_history_clear(&rig.store, history_rig_slot(&rig, name));
        } else if (rand() % 30 == 0) {
            (void)history_rig_keep(&rig, name, rand() % 2 == 0 ? "a" : "", rand() % 3 == 0 ? "" : "value", step);
            const uint32_t slot = history_rig_slot(&rig, name);
            model->epoch = slot == RC_HISTORY_NO_SLOT ? model->epoch : rc_history_state(&rig.view, slot).epoch;
        } else {
            const uint32_t bytes = rand() % 50 == 0 ? (uint32_t)rand() % 60000 : (uint32_t)rand() % 600;
            fill(data, bytes, step);
            const struct rc_history_place place = history_rig_append(&rig, name, data, bytes);
            cr_assert(model->epoch == 0 || place.epoch == model->epoch);
            cr_assert_eq(place.offset, model->last + 1);
            model->epoch = place.epoch;
            model->last = place.offset;
            model->seeds[place.offset % MODEL_MESSAGES] = step;
            model->sizes[place.offset % MODEL_MESSAGES] = bytes;
        }
        if (step % 500 == 0) {
            for (uint32_t i = 0; i < MODEL_CHANNELS; i++) {
                (void)snprintf(name, sizeof(name), "c%u", i);
                if (models[i].epoch != 0) {
                    model_check(&models[i], name);
                }
            }
        }
    }
    cr_assert_gt(rc_metric_get(&rig.metrics, RC_METRIC_HISTORY_EVICTED_MEMORY), 100, "the memory was too large");
    cr_assert_eq(rc_metric_get(&rig.metrics, RC_METRIC_HISTORY_DAMAGED), 0);
}

/* --- a history that all instances share ------------------------------------------------------------------------------ */

static void append_at(const char *channel, unsigned number, uint64_t epoch, uint64_t offset)
{
    char text[64];
    const int bytes = snprintf(text, sizeof(text), "m%u", number);
    const struct rc_envelope_view view = history_rig_record(&rig, channel, "", text, (uint32_t)bytes);
    rc_history_append_at(&rig.store, &view, policy(), epoch, offset, rig.now_ms);
}

static struct rc_history_state shared_state(const char *channel)
{
    return rc_history_shared(&rig.store, rc_channel_hash(channel, strlen(channel)), rc_span_text(channel));
}

Test(history_store, a_given_place_is_taken_if_it_is_the_next_one_and_else_begins_anew)
{
    policy()->history = 100;
    append_at("a", 1, 77, 5);
    append_at("a", 2, 77, 6);
    cr_assert_str_eq(texts_from("a", 5), "m1 m2");
    struct rc_history_state state = shared_state("a");
    cr_assert(state.epoch == 77 && state.first == 5 && state.last == 6);
    append_at("a", 3, 77, 9); /* a hole */
    state = shared_state("a");
    cr_assert(state.epoch == 77 && state.first == 9 && state.last == 9);
    append_at("a", 4, 78, 10); /* another epoch */
    state = shared_state("a");
    cr_assert(state.epoch == 78 && state.first == 10 && state.last == 10);
    rc_history_begin_at(&rig.store, rc_channel_hash("a", 1), rc_span_text("a"), 79, 20, rig.now_ms);
    state = shared_state("a");
    cr_assert(state.epoch == 79 && state.first == 21 && state.last == 20);
}

Test(history_store, a_copy_is_there_for_a_successor_with_its_values_and_known_as_shared)
{
    policy()->history = 100;
    cr_assert_eq(history_rig_keep(&rig, "a", "k", "value", 1), RC_HISTORY_KEPT);
    append_at("a", 1, 77, 5);
    append_at("a", 2, 77, 6);
    history_rig_restart(&rig);
    const struct rc_history_state state = shared_state("a");
    cr_assert(state.epoch == 77 && state.first == 5 && state.last == 6);
    cr_assert_str_eq(texts_from("a", 5), "m1 m2");
    cr_assert(rig.store.value_count == 1, "the epoch is not theirs");
    append_at("a", 3, 77, 7);
    cr_assert_str_eq(texts_from("a", 5), "m1 m2 m3");
}

Test(history_store, who_counts_alone_has_an_epoch_of_its_own)
{
    policy()->history = 100;
    append_at("a", 1, 77, 5);
    append_text("a", 2);
    cr_assert_eq(shared_state("a").epoch, 0);
    const struct rc_history_state state = state_of("a");
    cr_assert(state.epoch != 0 && state.epoch != 77 && state.first == 1 && state.last == 1);
    append_text("a", 3);
    cr_assert_eq(state_of("a").epoch, state.epoch);
    cr_assert_str_eq(texts_from("a", 1), "m2 m3");
    append_at("a", 4, 77, 6);
    cr_assert_eq(shared_state("a").epoch, 77);
    cr_assert_str_eq(texts_from("a", 6), "m4");
}

/* --- what is read again ------------------------------------------------------------------------------------------------ */

static uint64_t evicted; /* bytes of others that went for it */

/* Messages from..to of the channel, as append_text made them, go before its oldest one. False: there is no room. */
static bool prepend_texts(const char *channel, unsigned from, unsigned to)
{
    struct rc_history_prepend prepend;
    char text[64];
    uint64_t bytes = 0;
    evicted = 0;
    for (unsigned i = from; i <= to; i++) {
        const struct rc_envelope_view view =
            history_rig_record(&rig, channel, "", text, (uint32_t)snprintf(text, sizeof(text), "m%u", i));
        bytes += rc_history_entry_need(&view);
    }
    const uint32_t slot = history_rig_slot(&rig, channel);
    if (!rc_history_prepend_begin(&rig.store, slot, policy(), from, bytes, &prepend, &evicted)) {
        return false;
    }
    for (unsigned i = from; i <= to; i++) {
        const struct rc_envelope_view view =
            history_rig_record(&rig, channel, "", text, (uint32_t)snprintf(text, sizeof(text), "m%u", i));
        rc_history_prepend_put(&rig.store, &prepend, &view, rig.now_ms);
    }
    rc_history_prepend_end(&rig.store, &prepend);
    return true;
}

/* As much of others as takes all that the channels have. */
static void flood_texts(void)
{
    static char large[4000];
    const uint64_t before = rc_metric_get(&rig.metrics, RC_METRIC_HISTORY_EVICTED_MEMORY);
    for (unsigned i = 0; i < 1000; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "flood%u", i % 20);
        cr_assert_neq(history_rig_append(&rig, name, large, sizeof(large)).epoch, 0);
    }
    cr_assert_gt(rc_metric_get(&rig.metrics, RC_METRIC_HISTORY_EVICTED_MEMORY), before + 20);
}

Test(history_store, what_was_evicted_goes_before_what_is_there_and_is_read_in_order)
{
    for (unsigned i = 1; i <= 6; i++) {
        append_text("a", i);
    }
    cr_assert_not(rc_history_prepends(&rig.store, history_rig_slot(&rig, "a")), "it has all");
    flood_texts();
    cr_assert_eq(state_of("a").first, 7);
    append_text("a", 7);
    cr_assert(rc_history_prepends(&rig.store, history_rig_slot(&rig, "a")));
    cr_assert(prepend_texts("a", 4, 6));
    cr_assert_eq(state_of("a").first, 4);
    cr_assert_str_eq(texts_from("a", 4), "m4 m5 m6 m7");
    cr_assert(prepend_texts("a", 1, 3));
    append_text("a", 8);
    cr_assert_str_eq(texts_from("a", 1), "m1 m2 m3 m4 m5 m6 m7 m8");
    cr_assert_not(rc_history_prepends(&rig.store, history_rig_slot(&rig, "a")));
    history_rig_restart(&rig);
    cr_assert_str_eq(texts_from("a", 1), "m1 m2 m3 m4 m5 m6 m7 m8");
    append_text("a", 9);
    cr_assert_str_eq(texts_from("a", 7), "m7 m8 m9");
}

Test(history_store, what_is_read_again_of_a_channel_that_lost_all_is_all_that_it_has)
{
    for (unsigned i = 1; i <= 3; i++) {
        append_text("a", i);
    }
    flood_texts();
    cr_assert_str_eq(texts_from("a", 3), "gone");
    cr_assert(prepend_texts("a", 2, 3));
    cr_assert_str_eq(texts_from("a", 2), "m2 m3");
    append_text("a", 4);
    cr_assert_str_eq(texts_from("a", 2), "m2 m3 m4");
    flood_texts();
    cr_assert_str_eq(texts_from("a", 2), "gone", "it goes as any other");
    cr_assert_eq(state_of("a").first, 5);
}

Test(history_store, what_its_namespace_hides_is_not_read_again)
{
    policy()->history = 3;
    for (unsigned i = 1; i <= 5; i++) {
        append_text("a", i);
    }
    cr_assert_eq(state_of("a").first, 3);
    cr_assert_not(rc_history_prepends(&rig.store, history_rig_slot(&rig, "a")), "it is there, and is not shown");
    policy()->history = 100;
    flood_texts();
    policy()->history_bytes = 1024;
    append_text("a", 6);
    cr_assert(prepend_texts("a", 4, 5));
    cr_assert_not(prepend_texts("a", 2, 3), "it would have more bytes than it may have");
    cr_assert_str_eq(texts_from("a", 4), "m4 m5 m6");
}

Test(history_store, who_reads_while_messages_go_before_it_goes_on)
{
    static uint8_t buffer[4096];
    for (unsigned i = 1; i <= 4; i++) {
        append_text("a", i);
    }
    flood_texts();
    append_text("a", 5);
    append_text("a", 6);
    struct rc_history_cursor cursor = cursor_at("a", 5);
    struct rc_history_message message;
    cr_assert_eq(rc_history_read(&rig.view, &cursor, buffer, sizeof(buffer), &message), 1);
    cr_assert(prepend_texts("a", 1, 4));
    cr_assert_eq(rc_history_read(&rig.view, &cursor, buffer, sizeof(buffer), &message), 1);
    cr_assert(rc_span_equal(message.data, RC_SPAN("m6")));
    cr_assert_eq(rc_history_read(&rig.view, &cursor, buffer, sizeof(buffer), &message), 0);
}

/* All of the memory has the smallest pages. */
static void fill_with_small(void)
{
    static char text[300];
    for (unsigned i = 0; i < 8000; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "small%u", i % 200);
        cr_assert_neq(history_rig_append(&rig, name, text, sizeof(text)).epoch, 0);
    }
}

Test(history_store, several_messages_that_find_no_row_do_not_take_it_from_everybody)
{
    fill_with_small();
    (void)rc_history_begin_at(&rig.store, rc_channel_hash("a", 1), RC_SPAN("a"), 77, 2000, rig.now_ms);
    const uint64_t before = rc_metric_get(&rig.metrics, RC_METRIC_HISTORY_EVICTED_MEMORY);
    (void)prepend_texts("a", 1001, 2000);
    const uint64_t pages = rc_metric_get(&rig.metrics, RC_METRIC_HISTORY_EVICTED_MEMORY) - before;
    cr_assert_gt(pages, 0);
    cr_assert_leq(pages, 64);
    cr_assert_geq(evicted, pages * RC_HISTORY_UNIT, "they are told also where it was in vain");
}

Test(history_store, a_piece_is_a_part_of_what_the_channel_and_the_memory_have)
{
    append_text("a", 1);
    const uint32_t slot = history_rig_slot(&rig, "a");
    const uint64_t all = rc_history_prepend_piece(&rig.store, slot, policy());
    cr_assert_leq(all + sizeof(struct rc_history_page), (1u << 20) / 32, "no larger block than that");
    policy()->history_bytes = 64 * 1024;
    cr_assert_leq(rc_history_prepend_piece(&rig.store, slot, policy()), 64 * 1024 / 8);
    cr_assert_gt(rc_history_prepend_piece(&rig.store, slot, policy()), 7 * 1024);
    policy()->history_bytes = rig.store.channels[slot].bytes;
    cr_assert_eq(rc_history_prepend_piece(&rig.store, slot, policy()), 0, "it has all that it may have");
}
