/* envelope: round trips, every wrong length, client ids. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/records/args.h"
#include "common/records/envelope.h"

/* A record with all parts, in memory of exactly its size. */
static uint8_t *record_make(struct rc_envelope_view *view, uint32_t *bytes)
{
    static const struct rc_client_ref excludes[2] = {{.random = 11, .slot = 12, .worker = 13},
                                                     {.random = 21, .slot = 22, .worker = 23}};
    *view = (struct rc_envelope_view){
        .head = {.sequence = 1,
                 .epoch = 2,
                 .position = 3,
                 .time_ns = 4,
                 .channel_hash = 5,
                 .token = 6,
                 .origin = {.random = 7, .slot = 8, .worker = 9},
                 .target = {.random = 10, .slot = 11, .worker = 12},
                 .generation = 13,
                 .flags = RC_ENVELOPE_WANT_ANSWER | RC_ENVELOPE_BINARY,
                 .code = 403,
                 .channel_bytes = 10,
                 .request_id_bytes = 5,
                 .key_bytes = 3,
                 .event_bytes = 4,
                 .exclude_count = 2,
                 .exclude_text_bytes = 6,
                 .data_bytes = 9},
        .channel = "prices:BTC",
        .request_id = (const uint8_t *)"\"id1\"",
        .key = (const uint8_t *)"k\0y",
        .event = "tick",
        .excludes = (const uint8_t *)excludes,
        .exclude_text = "a~b\0c",
        .data = (const uint8_t *)"{\"a\": 1}\n",
    };
    *bytes = (uint32_t)rc_envelope_bytes(&view->head);
    uint8_t *record = malloc(*bytes);
    rc_envelope_write(record, view);
    return record;
}

Test(envelope, all_parts_come_back)
{
    struct rc_envelope_view in;
    struct rc_envelope_view out;
    uint32_t bytes;
    uint8_t *record = record_make(&in, &bytes);
    cr_assert_eq(bytes, sizeof(struct rc_envelope) + 10 + 5 + 3 + 4 + 32 + 6 + 9);
    cr_assert_eq(rc_envelope_read(&out, record, bytes), 0);
    cr_assert_eq(memcmp(&in.head, &out.head, sizeof(in.head)), 0);
    cr_assert_eq(memcmp(out.channel, "prices:BTC", 10), 0);
    cr_assert_eq(memcmp(out.request_id, "\"id1\"", 5), 0);
    cr_assert_eq(memcmp(out.key, "k\0y", 3), 0);
    cr_assert_eq(memcmp(out.event, "tick", 4), 0);
    cr_assert_eq(rc_envelope_exclude(&out, 1).slot, 22);
    cr_assert_eq(memcmp(out.exclude_text, "a~b\0c", 6), 0);
    cr_assert_eq(memcmp(out.data, "{\"a\": 1}\n", 9), 0);
    free(record);
}

Test(envelope, empty_parts_may_be_null)
{
    const struct rc_envelope_view in = {.head = {.sequence = 9}};
    struct rc_envelope_view out;
    uint8_t record[sizeof(struct rc_envelope)];
    rc_envelope_write(record, &in);
    cr_assert_eq(rc_envelope_read(&out, record, sizeof(record)), 0);
    cr_assert_eq(out.head.sequence, 9);
}

Test(envelope, every_other_length_is_refused)
{
    struct rc_envelope_view in;
    struct rc_envelope_view out;
    uint32_t bytes;
    uint8_t *record = record_make(&in, &bytes);
    for (uint32_t cut = 0; cut < bytes; cut++) {
        uint8_t *shorter = malloc(cut + 1); /* malloc(0) may be NULL */
        memcpy(shorter, record, cut);
        cr_assert_eq(rc_envelope_read(&out, shorter, cut), -EBADMSG, "%u of %u bytes", cut, bytes);
        free(shorter);
    }
    uint8_t *longer = calloc(1, bytes + 8);
    memcpy(longer, record, bytes);
    for (uint32_t more = 1; more <= 8; more++) {
        cr_assert_eq(rc_envelope_read(&out, longer, bytes + more), -EBADMSG);
    }
    free(longer);
    free(record);
}

/* Each length field set to each of some values: right exactly when nothing changed. */
Test(envelope, wrong_length_fields_are_refused)
{
    struct rc_envelope_view in;
    struct rc_envelope_view out;
    uint32_t bytes;
    uint8_t *record = record_make(&in, &bytes);
    const uint32_t values[] = {0, 1, 8, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xfffffffe, 0xffffffff};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct rc_envelope heads[6] = {in.head, in.head, in.head, in.head, in.head, in.head};
        heads[0].data_bytes = values[i];
        heads[1].exclude_text_bytes = values[i];
        heads[2].exclude_count = (uint16_t)values[i];
        heads[3].channel_bytes = (uint8_t)values[i];
        heads[4].request_id_bytes = (uint8_t)values[i];
        heads[5].event_bytes = (uint8_t)values[i];
        for (size_t field = 0; field < 6; field++) {
            memcpy(record, &heads[field], sizeof(heads[field]));
            cr_assert_eq(rc_envelope_read(&out, record, bytes), -EBADMSG, "field %zu = %u", field, values[i]);
        }
    }
    free(record);
}

Test(envelope, lengths_whose_sum_wraps_are_refused)
{
    struct rc_envelope head = {.data_bytes = UINT32_MAX, .exclude_text_bytes = 1 + sizeof(struct rc_envelope)};
    uint8_t record[sizeof(head) + sizeof(head)] = {0};
    struct rc_envelope_view out;
    memcpy(record, &head, sizeof(head));
    /* In 32 bits the sum would be twice the header. */
    cr_assert_eq(rc_envelope_read(&out, record, sizeof(record)), -EBADMSG);
}

Test(envelope, bounds_hold_though_the_lengths_add_up)
{
    const struct rc_envelope heads[] = {
        {.request_id_bytes = RC_REQUEST_ID_MAX + 1},
        {.key_bytes = RC_MESSAGE_KEY_MAX + 1},
        {.exclude_count = RC_EXCLUDES_MAX + 1},
        {.exclude_text_bytes = RC_EXCLUDE_TEXT_MAX + 1},
    };
    const struct rc_envelope good[] = {
        {.request_id_bytes = RC_REQUEST_ID_MAX},
        {.key_bytes = RC_MESSAGE_KEY_MAX},
        {.exclude_count = RC_EXCLUDES_MAX},
        {.exclude_text_bytes = RC_EXCLUDE_TEXT_MAX},
        {.channel_bytes = 255},
        {.event_bytes = 255},
    };
    struct rc_envelope_view out;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        uint8_t *record = calloc(1, rc_envelope_bytes(&heads[i]));
        memcpy(record, &heads[i], sizeof(heads[i]));
        cr_assert_eq(rc_envelope_read(&out, record, (uint32_t)rc_envelope_bytes(&heads[i])), -EBADMSG);
        free(record);
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint8_t *record = calloc(1, rc_envelope_bytes(&good[i]));
        memcpy(record, &good[i], sizeof(good[i]));
        cr_assert_eq(rc_envelope_read(&out, record, (uint32_t)rc_envelope_bytes(&good[i])), 0);
        free(record);
    }
}

Test(envelope, exclude_text_without_its_last_nul_is_refused)
{
    struct rc_envelope_view in = {.head = {.exclude_text_bytes = 3}, .exclude_text = "abc"};
    struct rc_envelope_view out;
    uint8_t record[sizeof(struct rc_envelope) + 3];
    rc_envelope_write(record, &in);
    cr_assert_eq(rc_envelope_read(&out, record, sizeof(record)), -EBADMSG);
    in.exclude_text = "ab";
    rc_envelope_write(record, &in);
    cr_assert_eq(rc_envelope_read(&out, record, sizeof(record)), 0);
}

Test(envelope, channel_hash_tells_names_apart_and_is_never_zero)
{
    cr_assert_neq(rc_channel_hash("prices:BTC", 10), rc_channel_hash("prices:BTD", 10));
    cr_assert_eq(rc_channel_hash("prices:BTC", 10), rc_channel_hash("prices:BTCX", 10));
    for (char c = 0; c < 127; c++) {
        cr_assert_neq(rc_channel_hash(&c, 1), 0);
    }
}

static const struct rc_client_ref someone = {.random = UINT64_C(0x0123456789abcdef), .slot = 0x89abcdef, .worker = 77};

Test(envelope, client_id_comes_back_as_local)
{
    char id[RC_CLIENT_ID_MAX];
    struct rc_client_ref ref = {0};
    const size_t bytes = rc_client_id_write(id, "node-1", 0xdeadbeef, &someone);
    cr_assert_eq(bytes, 6 + 1 + 24);
    cr_assert_eq(memcmp(id, "node-1~3q2-7wBNiavN7wEjRWeJq83v", bytes), 0, "%.*s", (int)bytes, id);
    cr_assert_eq(rc_client_id_read(id, bytes, "node-1", 0xdeadbeef, &ref), RC_CLIENT_ID_LOCAL);
    cr_assert_eq(memcmp(&ref, &someone, sizeof(ref)), 0);
}

Test(envelope, client_ids_of_elsewhere_are_told_apart)
{
    char id[RC_CLIENT_ID_MAX];
    struct rc_client_ref ref;
    const size_t bytes = rc_client_id_write(id, "node-1", 0xdeadbeef, &someone);
    cr_assert_eq(rc_client_id_read(id, bytes, "node-1", 0xdeadbee0, &ref), RC_CLIENT_ID_STALE);
    cr_assert_eq(rc_client_id_read(id, bytes, "node-2", 0xdeadbeef, &ref), RC_CLIENT_ID_FOREIGN);
    cr_assert_eq(rc_client_id_read(id, bytes, "node-11", 0xdeadbeef, &ref), RC_CLIENT_ID_FOREIGN);
    cr_assert_eq(rc_client_id_read(id, bytes, "node-", 0xdeadbeef, &ref), RC_CLIENT_ID_FOREIGN);
}

Test(envelope, longest_and_shortest_instance_ids_work)
{
    char instance[RC_INSTANCE_ID_MAX + 1];
    char id[RC_CLIENT_ID_MAX];
    struct rc_client_ref ref;
    for (size_t count = 1; count <= RC_INSTANCE_ID_MAX; count++) {
        memset(instance, 'x', count);
        instance[count] = '\0';
        const size_t bytes = rc_client_id_write(id, instance, 1, &someone);
        cr_assert_eq(bytes, count + 25);
        cr_assert_eq(rc_client_id_read(id, bytes, instance, 1, &ref), RC_CLIENT_ID_LOCAL);
    }
}

Test(envelope, cut_and_changed_client_ids_are_invalid_or_not_ours)
{
    char id[RC_CLIENT_ID_MAX];
    struct rc_client_ref ref;
    const size_t bytes = rc_client_id_write(id, "node-1", 0xdeadbeef, &someone);
    for (size_t cut = 0; cut < bytes; cut++) {
        char *shorter = malloc(cut + 1);
        memcpy(shorter, id, cut);
        cr_assert_neq(rc_client_id_read(shorter, cut, "node-1", 0xdeadbeef, &ref), RC_CLIENT_ID_LOCAL);
        free(shorter);
    }
    for (size_t at = 0; at < bytes; at++) {
        for (int c = 0; c < 256; c++) {
            char changed[RC_CLIENT_ID_MAX];
            memcpy(changed, id, bytes);
            changed[at] = (char)c;
            if (changed[at] == id[at]) {
                continue;
            }
            memset(&ref, 0, sizeof(ref));
            const enum rc_client_id_kind kind = rc_client_id_read(changed, bytes, "node-1", 0xdeadbeef, &ref);
            /* What still is an id of this boot is another client's. */
            cr_assert(kind != RC_CLIENT_ID_LOCAL || memcmp(&ref, &someone, sizeof(ref)) != 0);
            if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.", c) == NULL || c == 0) {
                cr_assert_eq(kind, RC_CLIENT_ID_INVALID, "byte %d at %zu", c, at);
            }
        }
    }
}

Test(envelope, client_ids_that_nobody_made_are_invalid)
{
    char id[RC_CLIENT_ID_MAX];
    struct rc_client_ref ref;
    struct rc_client_ref odd = someone;
    odd.random = 0;
    size_t bytes = rc_client_id_write(id, "n", 1, &odd);
    cr_assert_eq(rc_client_id_read(id, bytes, "n", 1, &ref), RC_CLIENT_ID_INVALID, "nobody");
    odd = someone;
    odd.worker = RC_WORKERS_MAX;
    bytes = rc_client_id_write(id, "n", 1, &odd);
    cr_assert_eq(rc_client_id_read(id, bytes, "n", 1, &ref), RC_CLIENT_ID_INVALID, "no such worker");
    cr_assert_eq(rc_client_id_read("~AAAAAAAAAAAAAAAAAAAAAAAA", 25, "n", 1, &ref), RC_CLIENT_ID_INVALID);
    cr_assert_eq(rc_client_id_read("a~b~AAAAAAAAAAAAAAAAAAAAAAAA", 28, "n", 1, &ref), RC_CLIENT_ID_INVALID);
}

Test(envelope, arguments_have_to_be_laid_out_as_such)
{
    uint8_t record[sizeof(struct rc_envelope) + sizeof(struct rc_args_head) + 2];
    struct rc_envelope_view out;
    uint8_t data[sizeof(struct rc_args_head) + 2];
    rc_args_write(data, RC_SPAN("[]"), NULL, 0);
    struct rc_envelope_view view = {.head = {.flags = RC_ENVELOPE_ARGS, .data_bytes = sizeof(data)}, .data = data};
    rc_envelope_write(record, &view);
    cr_assert_eq(rc_envelope_read(&out, record, sizeof(record)), 0);
    view.head.flags |= RC_ENVELOPE_BINARY;
    rc_envelope_write(record, &view);
    cr_assert_eq(rc_envelope_read(&out, record, sizeof(record)), -EBADMSG, "of two kinds");
    view.head.flags = RC_ENVELOPE_ARGS;
    data[0]++;
    rc_envelope_write(record, &view);
    cr_assert_eq(rc_envelope_read(&out, record, sizeof(record)), -EBADMSG);
}
