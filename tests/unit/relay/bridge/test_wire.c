/* Messages in Redis: what is read out of JSON and binary ones, what is refused, and that what is written reads back. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/args.h"
#include "common/text/json_scan.h"
#include "relay/bridge/wire.h"

static struct rc_wire wire;
static struct rc_wire other;
static struct rc_metrics metrics;
static const struct rc_client_ref client = {.random = 0x1122334455667788, .slot = 5, .worker = 1};

static void open_wire(void)
{
    cr_assert_eq(rc_wire_open(&wire, "here", 7, 1000, &metrics), 0);
    cr_assert_eq(rc_wire_open(&other, "there", 8, 1000, &metrics), 0);
}

static void close_wire(void)
{
    rc_wire_close(&wire);
    rc_wire_close(&other);
}
TestSuite(bridge_wire, .init = open_wire, .fini = close_wire);

static enum rc_wire_result read_bytes(const void *bytes, size_t count, struct rc_envelope_view *view)
{
    /* In memory of its exact size, so that reading past the end is found. */
    uint8_t *copy = malloc(count > 0 ? count : 1);
    static uint8_t *before;
    memcpy(copy, bytes, count);
    free(before);
    before = copy;
    return rc_wire_read(&wire, rc_span_of(copy, count), "test", view);
}

static enum rc_wire_result read_text(const char *text, struct rc_envelope_view *view)
{
    return read_bytes(text, strlen(text), view);
}

static void expect_data(const struct rc_envelope_view *view, const char *data)
{
    cr_expect_eq(view->head.data_bytes, strlen(data));
    cr_expect_eq(memcmp(view->data, data, strlen(data)), 0, "%.*s", (int)view->head.data_bytes,
                 (const char *)view->data);
}

Test(bridge_wire, json_payload_is_taken_as_it_stands)
{
    struct rc_envelope_view view;
    cr_assert_eq(read_text(" {\"a\":[1], \"payload\" : {\"x\":1.50 ,\"y\":\"\\u0041\"} ,\"b\":null}\n", &view),
                 RC_WIRE_GOOD);
    expect_data(&view, "{\"x\":1.50 ,\"y\":\"\\u0041\"}");
    cr_assert_eq(view.head.flags, RC_ENVELOPE_REMOTE);
    cr_assert_eq(view.head.exclude_count, 0);
    cr_assert_gt(view.head.time_ns, 0);
    cr_assert_eq(read_text("{\"payload\":null}", &view), RC_WIRE_GOOD);
    expect_data(&view, "null");
    cr_assert_eq(read_text("{\"payload\":1,\"payload\":2}", &view), RC_WIRE_GOOD);
    expect_data(&view, "2");
    cr_assert_eq(read_text("{\"p\\u0061yload\":3}", &view), RC_WIRE_GOOD);
    expect_data(&view, "3");
}

Test(bridge_wire, own_messages_are_skipped_however_they_are_written)
{
    struct rc_envelope_view view;
    cr_expect_eq(read_text("{\"sourceInstance\":\"here\",\"payload\":1}", &view), RC_WIRE_OWN);
    cr_expect_eq(read_text("{\"payload\":1,\"sourceInstance\":\"here\"}", &view), RC_WIRE_OWN);
    cr_expect_eq(read_text("{ \"sourceInstance\" : \"\\u0068ere\",\"payload\":1}", &view), RC_WIRE_OWN);
    cr_expect_eq(read_text("{\"sourceInstance\":\"here2\",\"payload\":1}", &view), RC_WIRE_GOOD);
    cr_expect_eq(read_text("{\"sourceInstance\":null,\"payload\":1}", &view), RC_WIRE_GOOD);
    cr_expect_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_ECHOES), 3);
}

Test(bridge_wire, excluded_clients_of_this_host_become_refs)
{
    struct rc_envelope_view view;
    char text[1024];
    char id[RC_CLIENT_ID_MAX];
    char foreign[RC_CLIENT_ID_MAX];
    const size_t bytes = rc_client_id_write(id, "here", 7, &client);
    const size_t foreign_bytes = rc_client_id_write(foreign, "there", 8, &client);
    (void)snprintf(text, sizeof(text),
                   "{\"payload\":1,\"excludeIds\":[\"%.*s\",\"%.*s\",\"client-abc\",\"\",\"\\ud800\"]}",
                   (int)foreign_bytes, foreign, (int)bytes, id);
    cr_assert_eq(read_text(text, &view), RC_WIRE_GOOD);
    cr_assert_eq(view.head.exclude_count, 1);
    const struct rc_client_ref ref = rc_envelope_exclude(&view, 0);
    cr_assert(ref.random == client.random && ref.slot == 5 && ref.worker == 1);
}

Test(bridge_wire, too_many_exclusions_are_cut_and_counted)
{
    struct rc_envelope_view view;
    const size_t room = (RC_EXCLUDES_MAX + 10) * (RC_CLIENT_ID_MAX + 4) + 100;
    char *text = malloc(room);
    size_t used = (size_t)snprintf(text, room, "{\"payload\":1,\"excludeIds\":[");
    for (uint32_t i = 0; i < RC_EXCLUDES_MAX + 3; i++) {
        char id[RC_CLIENT_ID_MAX];
        const struct rc_client_ref ref = {.random = i + 1, .slot = i};
        const size_t bytes = rc_client_id_write(id, "here", 7, &ref);
        used += (size_t)snprintf(text + used, room - used, "%s\"%.*s\"", i > 0 ? "," : "", (int)bytes, id);
    }
    (void)snprintf(text + used, room - used, "]}");
    cr_assert_eq(read_text(text, &view), RC_WIRE_GOOD);
    cr_assert_eq(view.head.exclude_count, RC_EXCLUDES_MAX);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_EXCLUDES_CUT), 3);
    free(text);
}

Test(bridge_wire, what_makes_no_sense_is_refused_and_counted)
{
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "[]",
        "null",
        "7",
        "\"payload\"",
        "{}",
        "{\"payload\"}",
        "{\"payload\":}",
        "{\"payload\":1}x",
        "{\"payload\":1,}",
        "{payload:1}",
        "{\"Payload\":1}",
        "{\"sourceInstance\":1,\"payload\":1}",
        "{\"sourceInstance\":{},\"payload\":1}",
        "{\"payload\":1,\"excludeIds\":{}}",
        "{\"payload\":1,\"excludeIds\":[1]}",
        "{\"payload\":1,\"excludeIds\":[\"a\",null]}",
        "{\"payload\":\"\xff\"}",
        "{\"payload\":\"\xed\xa0\x80\"}",
        "{\"payload\":01}",
        "\xef\xbb\xbf{\"payload\":1}",
    };
    struct rc_envelope_view view;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cr_expect_eq(read_text(texts[i], &view), RC_WIRE_MALFORMED, "%s", texts[i]);
    }
    cr_expect_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_MALFORMED), sizeof(texts) / sizeof(texts[0]));
}

Test(bridge_wire, every_cut_of_a_message_is_refused)
{
    static const char text[] =
        "{\"sourceInstance\":\"there\",\"payload\":{\"a\":[1,2]},\"excludeIds\":[\"x\"],\"boot\":1,\"seq\":9}";
    struct rc_envelope_view view;
    for (size_t count = 0; count < sizeof(text) - 1; count++) {
        cr_expect_eq(read_bytes(text, count, &view), RC_WIRE_MALFORMED, "%zu", count);
    }
    cr_expect_eq(read_text(text, &view), RC_WIRE_GOOD);
}

Test(bridge_wire, too_large_is_its_own_reason)
{
    struct rc_envelope_view view;
    char text[1200];
    memset(text, 'x', sizeof(text));
    memcpy(text, "{\"payload\":\"", 12);
    text[12 + 998] = '"';
    text[12 + 999] = '}';
    cr_expect_eq(read_bytes(text, 12 + 1000, &view), RC_WIRE_GOOD, "1000 bytes with the first quote");
    text[12 + 998] = 'x';
    text[12 + 999] = '"';
    text[12 + 1000] = '}';
    cr_expect_eq(read_bytes(text, 12 + 1001, &view), RC_WIRE_TOO_LARGE);
    const size_t huge = 3u << 20;
    char *more = calloc(1, huge);
    cr_expect_eq(read_bytes(more, huge, &view), RC_WIRE_TOO_LARGE, "not even looked at");
    free(more);
}

static size_t join(const struct rc_span parts[RC_WIRE_PARTS], char *out)
{
    size_t used = 0;
    for (uint32_t i = 0; i < RC_WIRE_PARTS; i++) {
        if (parts[i].count > 0) {
            memcpy(out + used, parts[i].bytes, parts[i].count);
        }
        used += parts[i].count;
    }
    out[used] = '\0';
    return used;
}

Test(bridge_wire, what_is_written_is_the_sources_json)
{
    struct rc_span parts[RC_WIRE_PARTS];
    char text[1024];
    char id[RC_CLIENT_ID_MAX];
    char expected[1024];
    const size_t bytes = rc_client_id_write(id, "there", 8, &client);
    struct rc_envelope_view view = {.head = {.sequence = 42, .data_bytes = 7}, .data = (const uint8_t *)"{\"a\":1}"};
    rc_wire_write(&other, RC_WIRE_BROADCAST, &view, parts);
    (void)join(parts, text);
    cr_expect_str_eq(text,
                     "{\"sourceInstance\":\"there\",\"payload\":{\"a\":1},\"excludeIds\":[],\"boot\":8,\"seq\":42}");
    rc_wire_write(&other, RC_WIRE_CHANNEL, &view, parts);
    (void)join(parts, text);
    cr_expect_str_eq(text, "{\"sourceInstance\":\"there\",\"payload\":{\"a\":1},\"boot\":8,\"seq\":42}");
    rc_wire_write(&other, RC_WIRE_DIRECT, &view, parts);
    (void)join(parts, text);
    cr_expect_str_eq(text, "{\"payload\":{\"a\":1},\"sourceInstance\":\"there\",\"boot\":8,\"seq\":42}");
    view.head.exclude_count = 1;
    view.excludes = (const uint8_t *)&client;
    view.exclude_text = "x~y\0z\"z\0\0w";
    view.head.exclude_text_bytes = 11;
    rc_wire_write(&other, RC_WIRE_CHANNEL, &view, parts);
    (void)join(parts, text);
    (void)snprintf(
        expected, sizeof(expected),
        "{\"sourceInstance\":\"there\",\"payload\":{\"a\":1},\"excludeIds\":[\"%.*s\",\"x~y\",\"w\"],\"boot\":8,\"seq\":42}",
        (int)bytes, id);
    cr_expect_str_eq(text, expected);
}

Test(bridge_wire, what_was_passed_on_says_how_often)
{
    static const uint16_t kinds[] = {0, RC_ENVELOPE_BINARY};
    for (size_t i = 0; i < RC_ARRAY_COUNT(kinds); i++) {
        struct rc_envelope_view view = {.head = {.data_bytes = 1, .flags = kinds[i], .passed = 3},
                                        .data = (const uint8_t *)"1"};
        struct rc_span parts[RC_WIRE_PARTS];
        struct rc_envelope_view got;
        char text[256];
        cr_assert(rc_wire_write(&other, RC_WIRE_DIRECT, &view, parts));
        cr_assert_eq(read_bytes(text, join(parts, text), &got), RC_WIRE_GOOD);
        cr_assert_eq(got.head.passed, 3);
        expect_data(&got, "1");
        cr_assert(rc_wire_write(&other, RC_WIRE_CHANNEL, &view, parts));
        cr_assert_eq(read_bytes(text, join(parts, text), &got), RC_WIRE_GOOD);
        cr_assert_eq(got.head.passed, 0);
    }
    struct rc_envelope_view got;
    cr_assert_eq(read_text("{\"payload\":1,\"passed\":256}", &got), RC_WIRE_GOOD);
    cr_assert_eq(got.head.passed, UINT8_MAX);
}

static void expect_event(const struct rc_envelope_view *view, const char *event)
{
    cr_expect(rc_span_equal(rc_span_of(view->event, view->head.event_bytes), rc_span_text(event)), "%s", event);
}

Test(bridge_wire, event_of_a_message_goes_there_and_back)
{
    static const enum rc_wire_form forms[] = {RC_WIRE_BROADCAST, RC_WIRE_CHANNEL, RC_WIRE_DIRECT};
    for (size_t i = 0; i < 3; i++) {
        struct rc_envelope_view view = {.head = {.sequence = 2 * i + 1, .data_bytes = 1, .event_bytes = 4},
                                        .event = "a\"\nb",
                                        .data = (const uint8_t *)"1"};
        struct rc_span parts[RC_WIRE_PARTS];
        struct rc_envelope_view got;
        char text[1024];
        cr_assert(rc_wire_write(&other, forms[i], &view, parts));
        cr_assert_eq(read_bytes(text, join(parts, text), &got), RC_WIRE_GOOD);
        expect_event(&got, "a\"\nb");
        view.head.sequence++;
        view.head.flags = RC_ENVELOPE_BINARY;
        cr_assert(rc_wire_write(&other, forms[i], &view, parts));
        cr_assert_eq(read_bytes(text, join(parts, text), &got), RC_WIRE_GOOD);
        cr_assert_eq(got.head.flags, RC_ENVELOPE_REMOTE | RC_ENVELOPE_BINARY);
        expect_event(&got, "a\"\nb");
        expect_data(&got, "1");
    }
}

Test(bridge_wire, what_is_kept_says_when_and_by_whom)
{
    static const uint16_t kinds[] = {0, RC_ENVELOPE_BINARY};
    for (size_t i = 0; i < RC_ARRAY_COUNT(kinds); i++) {
        struct rc_envelope_view got;
        struct rc_span parts[RC_WIRE_PARTS];
        uint8_t bytes[512];
        size_t count = 0;
        const struct rc_envelope_view sent = {.head = {.sequence = i + 1,
                                                       .token = 1700000000000,
                                                       .flags = (uint16_t)(kinds[i] | RC_ENVELOPE_RETAIN),
                                                       .data_bytes = 1},
                                              .data = (const uint8_t *)"7"};
        cr_assert(rc_wire_write(&other, RC_WIRE_CHANNEL, &sent, parts));
        for (size_t part = 0; part < RC_WIRE_PARTS; part++) {
            if (parts[part].count > 0) {
                memcpy(bytes + count, parts[part].bytes, parts[part].count);
                count += parts[part].count;
            }
        }
        cr_assert_eq(read_bytes(bytes, count, &got), RC_WIRE_GOOD);
        cr_assert_eq(got.head.flags, RC_ENVELOPE_REMOTE | RC_ENVELOPE_RETAIN | kinds[i]);
        cr_assert_eq(got.head.token, 1700000000000);
        cr_assert(rc_span_equal(rc_span_of(got.request_id, got.head.request_id_bytes), RC_SPAN("there")));
        expect_data(&got, "7");
    }
    /* Only instances say so, and only with a time that all of them understand. */
    static const char *const others[] = {"{\"payload\":1,\"retain\":5}",
                                         "{\"sourceInstance\":\"a b\",\"payload\":1,\"retain\":5}",
                                         "{\"sourceInstance\":\"a\",\"payload\":1,\"retain\":true}",
                                         "{\"sourceInstance\":\"a\",\"payload\":1,\"retain\":18446744073709551615}"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(others); i++) {
        struct rc_envelope_view got;
        cr_assert_eq(read_text(others[i], &got), RC_WIRE_GOOD);
        cr_assert_eq(got.head.flags, RC_ENVELOPE_REMOTE, "%s", others[i]);
    }
}

Test(bridge_wire, what_is_volatile_stays_volatile)
{
    static const enum rc_wire_form forms[] = {RC_WIRE_BROADCAST, RC_WIRE_CHANNEL, RC_WIRE_DIRECT};
    uint64_t sequence = 0;
    for (size_t i = 0; i < 3; i++) {
        for (uint32_t kind = 0; kind < 2; kind++) {
            const uint16_t flags = (uint16_t)(RC_ENVELOPE_VOLATILE | (kind == 1 ? RC_ENVELOPE_BINARY : 0u));
            const struct rc_envelope_view view = {.head = {.sequence = ++sequence, .data_bytes = 1, .flags = flags},
                                                  .data = (const uint8_t *)"1"};
            struct rc_span parts[RC_WIRE_PARTS];
            struct rc_envelope_view got;
            char text[1024];
            cr_assert(rc_wire_write(&other, forms[i], &view, parts));
            cr_assert_eq(read_bytes(text, join(parts, text), &got), RC_WIRE_GOOD);
            cr_assert_eq(got.head.flags, RC_ENVELOPE_REMOTE | flags);
        }
    }
    struct rc_envelope_view got;
    cr_assert_eq(read_text("{\"payload\":1,\"volatile\":1}", &got), RC_WIRE_GOOD);
    cr_assert_eq(got.head.flags, RC_ENVELOPE_REMOTE);
}

/* Members of these names meant nothing before. */
Test(bridge_wire, what_is_no_event_is_ignored)
{
    static const char *const texts[] = {"{\"payload\":1,\"event\":7}", "{\"payload\":1,\"event\":\"\\ud800\"}",
                                        "{\"payload\":1,\"event\":null}", "{\"payload\":1,\"args\":[2]}",
                                        "{\"payload\":1,\"event\":\"a\",\"event\":{}}"};
    struct rc_envelope_view view;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cr_assert_eq(read_text(texts[i], &view), RC_WIRE_GOOD, "%s", texts[i]);
        cr_assert_eq(view.head.flags, RC_ENVELOPE_REMOTE);
        expect_event(&view, "");
    }
}

static struct rc_envelope_view args_view(const struct rc_span *attachments, uint32_t count, uint8_t data[256])
{
    const struct rc_span json = RC_SPAN("[1, \"a\",{\"_placeholder\":true,\"num\":0}]");
    uint32_t sizes[2];
    for (uint32_t i = 0; i < count; i++) {
        sizes[i] = (uint32_t)attachments[i].count;
    }
    rc_args_write(data, json, attachments, count);
    return (struct rc_envelope_view){.head = {.sequence = 1,
                                              .flags = RC_ENVELOPE_ARGS,
                                              .event_bytes = 4,
                                              .data_bytes = (uint32_t)rc_args_bytes(json.count, count, sizes)},
                                     .event = "tick",
                                     .data = data};
}

Test(bridge_wire, arguments_go_there_and_back)
{
    const struct rc_span attachments[2] = {rc_span_of("\0\1\2", 3), {.count = 0}};
    for (uint32_t count = 0; count <= 2; count++) {
        uint8_t data[256];
        struct rc_envelope_view view = args_view(attachments, count, data);
        struct rc_span parts[RC_WIRE_PARTS];
        struct rc_envelope_view got;
        char text[1024];
        view.head.sequence = count + 1;
        cr_assert(rc_wire_write(&other, RC_WIRE_CHANNEL, &view, parts));
        cr_assert_eq(read_bytes(text, join(parts, text), &got), RC_WIRE_GOOD);
        if (count == 0) {
            cr_assert_str_eq(text,
                             "{\"sourceInstance\":\"there\",\"payload\":[1, \"a\",{\"_placeholder\":true,\"num\":0}],"
                             "\"event\":\"tick\",\"args\":true,\"boot\":8,\"seq\":1}");
        }
        cr_assert_eq(got.head.flags, RC_ENVELOPE_REMOTE | RC_ENVELOPE_ARGS);
        expect_event(&got, "tick");
        cr_assert(rc_span_equal(rc_span_of(got.data, got.head.data_bytes), rc_span_of(data, view.head.data_bytes)));
    }
}

Test(bridge_wire, arguments_that_are_none_are_refused)
{
    uint8_t data[256];
    struct rc_envelope_view view = args_view(NULL, 0, data);
    struct rc_span parts[RC_WIRE_PARTS];
    view.head.data_bytes--;
    cr_assert_not(rc_wire_write(&other, RC_WIRE_CHANNEL, &view, parts));
    cr_assert_eq(read_text("{\"payload\":{},\"args\":true}", &view), RC_WIRE_MALFORMED);
    cr_assert_eq(read_text("{\"args\":true}", &view), RC_WIRE_MALFORMED);
    const struct rc_span attachment = RC_SPAN("xyz");
    view = args_view(&attachment, 1, data);
    char text[1024];
    cr_assert(rc_wire_write(&other, RC_WIRE_CHANNEL, &view, parts));
    const size_t bytes = join(parts, text);
    for (size_t cut = 0; cut < bytes; cut++) {
        struct rc_envelope_view got;
        cr_assert_neq(read_bytes(text, cut, &got), RC_WIRE_GOOD, "%zu", cut);
    }
    text[bytes] = 'x';
    cr_assert_neq(read_bytes(text, bytes + 1, &view), RC_WIRE_GOOD);
}

/* Of a channel's message only: nothing else is conflated. */
Test(bridge_wire, key_of_a_message_goes_there_and_back)
{
    struct rc_span parts[RC_WIRE_PARTS];
    struct rc_envelope_view got;
    char text[1024];
    struct rc_envelope_view view = {.head = {.sequence = 1, .data_bytes = 1, .key_bytes = 4},
                                    .key = (const uint8_t *)"a\"\nb",
                                    .data = (const uint8_t *)"5"};
    for (uint32_t binary = 0; binary < 2; binary++) {
        view.head.flags = binary == 1 ? RC_ENVELOPE_BINARY : 0;
        view.head.sequence++;
        rc_wire_write(&other, RC_WIRE_CHANNEL, &view, parts);
        const size_t count = join(parts, text);
        cr_assert(binary == 1 || strstr(text, "\"key\":\"a\\\"\\nb\"") != NULL, "%s", text);
        cr_assert_eq(read_bytes(text, count, &got), RC_WIRE_GOOD);
        cr_assert(got.head.key_bytes == 4 && memcmp(got.key, "a\"\nb", 4) == 0);
        expect_data(&got, "5");
        rc_wire_write(&other, RC_WIRE_BROADCAST, &view, parts);
        view.head.sequence++;
        rc_wire_write(&other, RC_WIRE_BROADCAST, &view, parts);
        cr_assert_eq(read_bytes(text, join(parts, text), &got), RC_WIRE_GOOD);
        cr_assert_eq(got.head.key_bytes, 0);
    }
    cr_assert_eq(read_text("{\"payload\":1,\"key\":null}", &got), RC_WIRE_GOOD);
    cr_assert_eq(got.head.key_bytes, 0);
    cr_assert_eq(read_text("{\"payload\":1,\"key\":5}", &got), RC_WIRE_MALFORMED);
    cr_assert_eq(read_text("{\"payload\":1,\"key\":\"\\ud800\"}", &got), RC_WIRE_MALFORMED);
    char long_key[128];
    for (uint32_t count = RC_MESSAGE_KEY_MAX; count <= RC_MESSAGE_KEY_MAX + 1; count++) {
        (void)snprintf(long_key, sizeof(long_key), "{\"payload\":1,\"key\":\"%0*d\"}", (int)count, 7);
        cr_assert_eq(read_text(long_key, &got), count <= RC_MESSAGE_KEY_MAX ? RC_WIRE_GOOD : RC_WIRE_MALFORMED);
    }
    static const char cut_key[] = "\x01\x03\x01"
                                  "b\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05"
                                  "ab";
    cr_assert_eq(read_bytes(cut_key, sizeof(cut_key) - 1, &got), RC_WIRE_MALFORMED);
}

Test(bridge_wire, a_copy_sent_again_is_known)
{
    struct rc_span parts[RC_WIRE_PARTS];
    struct rc_envelope_view view = {.head = {.sequence = 42, .data_bytes = 1}, .data = (const uint8_t *)"1"};
    struct rc_envelope_view got;
    char text[256];
    rc_wire_write(&other, RC_WIRE_CHANNEL, &view, parts);
    const size_t bytes = join(parts, text);
    cr_expect_eq(read_bytes(text, bytes, &got), RC_WIRE_GOOD);
    cr_expect_eq(read_bytes(text, bytes, &got), RC_WIRE_DUPLICATE);
    view.head.sequence = 43;
    rc_wire_write(&other, RC_WIRE_DIRECT, &view, parts);
    cr_expect_eq(read_bytes(text, join(parts, text), &got), RC_WIRE_GOOD);
    cr_expect_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_DUPLICATES), 1);
}

Test(bridge_wire, binary_reads_back_and_every_cut_of_it_is_safe)
{
    struct rc_span parts[RC_WIRE_PARTS];
    char bytes[1024];
    struct rc_client_ref here = client;
    struct rc_envelope_view view = {
        .head = {.sequence = 9, .data_bytes = 4, .flags = RC_ENVELOPE_BINARY, .exclude_count = 1},
        .excludes = (const uint8_t *)&here,
        .data = (const uint8_t *)"\0\xff\x01{"};
    char id[RC_CLIENT_ID_MAX + 1] = {0};
    (void)rc_client_id_write(id, "here", 7, &client);
    view.exclude_text = id;
    view.head.exclude_text_bytes = (uint32_t)strlen(id) + 1;
    rc_wire_write(&other, RC_WIRE_CHANNEL, &view, parts);
    const size_t count = join(parts, bytes);
    struct rc_envelope_view got;
    cr_assert_eq(read_bytes(bytes, count, &got), RC_WIRE_GOOD);
    cr_assert_eq(got.head.flags, RC_ENVELOPE_REMOTE | RC_ENVELOPE_BINARY);
    cr_assert_eq(got.head.data_bytes, 4);
    cr_assert_eq(memcmp(got.data, "\0\xff\x01{", 4), 0);
    cr_assert_eq(got.head.exclude_count, 1, "of this host");
    for (size_t cut = 0; cut < count - 4; cut++) {
        cr_expect_eq(read_bytes(bytes, cut, &got), RC_WIRE_MALFORMED, "%zu", cut);
    }
    rc_wire_write(&wire, RC_WIRE_CHANNEL, &view, parts);
    cr_expect_eq(read_bytes(bytes, join(parts, bytes), &got), RC_WIRE_OWN);
}

Test(bridge_wire, binary_with_json_text_is_json)
{
    static const char good[] = "\x01\x01\x01"
                               "b\0\0\0\0\0\0\0\0\0\0\0\0\0\0 [1, 2] ";
    static const char not_json[] = "\x01\x01\x01"
                                   "b\0\0\0\0\0\0\0\0\0\0\0\0\0\0 [1, 2";
    static const char unknown_flag[] = "\x01\x04\x01"
                                       "b\0\0\0\0\0\0\0\0\0\0\0\0\0\0 [1]";
    struct rc_envelope_view view;
    cr_assert_eq(read_bytes(good, sizeof(good) - 1, &view), RC_WIRE_GOOD);
    expect_data(&view, "[1, 2]");
    cr_assert_eq(view.head.flags, RC_ENVELOPE_REMOTE);
    cr_assert_eq(read_bytes(not_json, sizeof(not_json) - 1, &view), RC_WIRE_MALFORMED);
    cr_assert_eq(read_bytes(unknown_flag, sizeof(unknown_flag) - 1, &view), RC_WIRE_MALFORMED);
}

/* What is written of it; its size. */
static size_t write_form(enum rc_wire_form form, const struct rc_envelope_view *view, uint8_t message[1024])
{
    struct rc_span parts[RC_WIRE_PARTS];
    size_t count = 0;
    cr_assert(rc_wire_write(&other, form, view, parts));
    for (uint32_t i = 0; i < RC_WIRE_PARTS; i++) {
        if (parts[i].count > 0) {
            memcpy(message + count, parts[i].bytes, parts[i].count);
            count += parts[i].count;
        }
    }
    return count;
}

/* What the other instance reads of one with exceptions. */
static void expect_except(const struct rc_envelope_view *view, const char *names, size_t bytes)
{
    struct rc_envelope_view one = *view;
    struct rc_envelope_view got;
    uint8_t message[1024];
    char text[128] = ""; /* no rooms */
    memcpy(text + 1, view->exclude_text, view->head.exclude_text_bytes);
    one.exclude_text = text;
    one.head.exclude_text_bytes++;
    cr_assert_eq(read_bytes(message, write_form(RC_WIRE_SELECT, &one, message), &got), RC_WIRE_GOOD);
    cr_expect_eq(wire.rooms_bytes, 0);
    cr_expect_eq(wire.except_bytes, bytes);
    cr_expect_eq(memcmp(wire.except, names, bytes), 0);
    expect_data(&got, "[1]");
}

Test(bridge_wire, exceptions_read_back_in_both_forms)
{
    static const char names[] = "muted\0/n#\"quoted\""; /* its NUL ends the second */
    struct rc_envelope_view got;
    struct rc_envelope_view view = {.head = {.sequence = 1, .data_bytes = 3, .exclude_text_bytes = sizeof(names)},
                                    .exclude_text = names,
                                    .data = (const uint8_t *)"[1]"};
    expect_except(&view, names, sizeof(names));
    view.head.sequence = 2;
    view.head.flags = RC_ENVELOPE_BINARY;
    expect_except(&view, names, sizeof(names));
    /* What is no name refuses the message: it must not reach whom it is not for. */
    cr_expect_eq(read_text("{\"payload\":1,\"except\":[\"a\",\"\"]}", &got), RC_WIRE_MALFORMED);
    cr_expect_eq(read_text("{\"payload\":1,\"except\":\"a\"}", &got), RC_WIRE_MALFORMED);
    cr_expect_eq(read_text("{\"payload\":1,\"except\":[7]}", &got), RC_WIRE_MALFORMED);
    cr_expect_eq(read_text("{\"payload\":1,\"except\":[\"a\\u0000b\"]}", &got), RC_WIRE_MALFORMED);
    cr_expect_eq(read_text("{\"payload\":1,\"except\":null}", &got), RC_WIRE_GOOD);
    cr_expect_eq(wire.except_bytes, 0);
    cr_expect_eq(read_text("{\"payload\":1}", &got), RC_WIRE_GOOD);
    cr_expect_eq(wire.except_bytes, 0);
}

/* Copies for several rooms are one message, whichever comes first, in both forms. */
Test(bridge_wire, rooms_read_back_and_come_once)
{
    static const char names[] = "a\0/n#\"b\"\0\0muted"; /* its NUL ends the last */
    for (int binary = 0; binary < 2; binary++) {
        struct rc_envelope_view got;
        struct rc_envelope_view view = {.head = {.sequence = 5 + (uint64_t)binary,
                                                 .data_bytes = 3,
                                                 .flags = binary ? RC_ENVELOPE_BINARY : 0u,
                                                 .exclude_text_bytes = sizeof(names)},
                                        .exclude_text = names,
                                        .data = (const uint8_t *)"[1]"};
        uint8_t message[1024];
        char text[RC_SELECT_BYTES];
        const size_t bytes = write_form(RC_WIRE_SELECT, &view, message);
        for (size_t cut = 0; cut < bytes - 3; cut++) { /* the payload of a binary one may be empty */
            (void)read_bytes(message, cut, &got);
        }
        rc_wire_close(&wire);
        cr_assert_eq(rc_wire_open(&wire, "here", 7, 1000, &metrics), 0);
        cr_assert_eq(read_bytes(message, bytes, &got), RC_WIRE_GOOD);
        expect_data(&got, "[1]");
        cr_expect(rc_wire_selects(&wire));
        cr_assert(rc_wire_select(&wire, RC_SPAN("a"), &got, text));
        cr_expect_eq(got.head.exclude_text_bytes, sizeof(names));
        cr_expect_eq(memcmp(got.exclude_text, names, sizeof(names)), 0);
        cr_expect_eq(got.head.channel_bytes, 2);
        cr_expect_eq(memcmp(got.channel, "/#", 2), 0);
        cr_expect_eq(read_bytes(message, bytes, &got), RC_WIRE_DUPLICATE, "the copy of another room");
    }
    struct rc_envelope_view got;
    cr_expect_eq(read_text("{\"payload\":1,\"rooms\":[\"a\",\"\"]}", &got), RC_WIRE_MALFORMED);
    cr_expect_eq(read_text("{\"payload\":1,\"rooms\":7}", &got), RC_WIRE_MALFORMED);
    cr_expect_eq(read_text("{\"payload\":1}", &got), RC_WIRE_GOOD);
    cr_expect_not(rc_wire_selects(&wire));
}

/* One room is its channel's business, but for a socket, whose channel is another. */
Test(bridge_wire, one_room_is_written_where_its_channel_is_another)
{
    static const char names[] = "a\0\0muted";
    struct rc_envelope_view got;
    struct rc_envelope_view view = {.head = {.sequence = 5, .data_bytes = 3, .exclude_text_bytes = sizeof(names)},
                                    .exclude_text = names,
                                    .data = (const uint8_t *)"[1]"};
    uint8_t message[1024];
    cr_assert_eq(read_bytes(message, write_form(RC_WIRE_SELECT, &view, message), &got), RC_WIRE_GOOD);
    cr_expect_eq(wire.rooms_bytes, 0);
    view.head.sequence = 6;
    cr_assert_eq(read_bytes(message, write_form(RC_WIRE_ROOMS, &view, message), &got), RC_WIRE_GOOD);
    cr_expect_eq(wire.rooms_bytes, 2);
    cr_expect_eq(wire.except_bytes, 6);
}
