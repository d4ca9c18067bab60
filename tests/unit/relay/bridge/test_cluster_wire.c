/* What servers of a cluster say to one another: both forms of every message, what is refused, and that ours can be read. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/records/args.h"
#include "common/text/base64.h"
#include "common/text/msgpack_json.h"
#include "relay/bridge/cluster_wire.h"

static uint8_t buffer[16384];

static int read_bytes(struct rc_cluster_message *message, struct rc_span bytes)
{
    cr_assert_leq(rc_cluster_read_room(bytes.count, 8192), sizeof(buffer));
    return rc_cluster_read(message, bytes, buffer, rc_cluster_read_room(bytes.count, 8192));
}

static int read_json(struct rc_cluster_message *message, const char *text)
{
    return read_bytes(message, rc_span_text(text));
}

static void expect(struct rc_span span, const char *text)
{
    cr_assert_eq(span.count, strlen(text), "\"%.*s\" is not \"%s\"", (int)span.count, (const char *)span.bytes, text);
    cr_assert(rc_span_equal(span, rc_span_text(text)), "\"%.*s\" is not \"%s\"", (int)span.count,
              (const char *)span.bytes, text);
}

static void expect_rooms(struct rc_adapter_rooms rooms, const char *expected)
{
    char scratch[RC_ADAPTER_SCRATCH_BYTES];
    char text[256] = "";
    struct rc_span room;
    while (rc_adapter_room_next(&rooms, scratch, &room) == 1) {
        const size_t used = strlen(text);
        (void)snprintf(text + used, sizeof(text) - used, "%.*s;", (int)room.count, (const char *)room.bytes);
    }
    cr_assert_str_eq(text, expected);
}

#define OPTIONS "\"opts\":{\"rooms\":[\"red\",7,null,\"\\u00e9\"],\"except\":[\"blue\"],\"flags\":{}}"
#define HEAD "{\"uid\":\"0123456789abcdef\",\"nsp\":\"/adm\\u0069n\",\"type\":"

Test(cluster_wire, a_broadcast_has_its_event_and_its_rooms)
{
    struct rc_cluster_message message;
    cr_assert_eq(read_json(&message, HEAD "3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"e\",1.0]}," OPTIONS "}}"), 0);
    const struct rc_adapter_broadcast *broadcast = &message.request.broadcast;
    cr_assert_eq(message.request.type, RC_ADAPTER_BROADCAST);
    cr_assert_eq(message.request.id.count, 0);
    expect(message.nsp, "/admin");
    expect(message.request.uid, "0123456789abcdef");
    expect(broadcast->data, "[\"e\",1.0]");
    cr_assert_eq(broadcast->type, 2);
    cr_assert_eq(broadcast->rooms.count, 4, "null is named too: it is not everybody");
    expect_rooms(broadcast->rooms, "red;7;é;");
    expect_rooms(broadcast->except, "blue;");
    cr_assert(!broadcast->is_volatile);
    cr_assert_eq(read_json(&message, HEAD "3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"e\"]}," OPTIONS
                                          ",\"requestId\":\"r1\"}}"),
                 0);
    expect(message.request.id, "\"r1\"");
    cr_assert_eq(read_json(&message,
                           HEAD "3,\"data\":{\"opts\":{\"flags\":{\"volatile\":true,\"timeout\":7}},\"packet\":{"
                                "\"type\":2,\"data\":[\"e\"]}}}"),
                 0);
    cr_assert(message.request.broadcast.is_volatile);
}

static uint32_t timeout_of(const char *flags)
{
    struct rc_cluster_message message;
    char text[512];
    (void)snprintf(text, sizeof(text),
                   HEAD "3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"e\"]},\"opts\":{\"flags\":%s},"
                        "\"requestId\":\"r\\u0022\"}}",
                   flags);
    cr_assert_eq(read_json(&message, text), 0, "%s", text);
    expect(message.request.id, "\"r\\u0022\"");
    expect(message.request.id_text, "r\"");
    return message.request.broadcast.timeout_ms;
}

Test(cluster_wire, a_broadcast_that_is_answered_says_to_whom_and_how_long)
{
    cr_assert_eq(timeout_of("{}"), 0);
    cr_assert_eq(timeout_of("{\"volatile\":true,\"timeout\":5000}"), 5000);
    cr_assert_eq(timeout_of("{\"timeout\":4294967296}"), UINT32_MAX);
    cr_assert_eq(timeout_of("{\"timeout\":null}"), 0);
    cr_assert_eq(timeout_of("{\"timeout\":-1}"), 0);
    cr_assert_eq(timeout_of("{\"timeout\":\"5\"}"), 0);
    struct rc_cluster_message message;
    cr_assert_lt(
        read_json(&message, HEAD "3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"e\"]},\"requestId\":\"\\ud800\"}}"), 0,
        "an id that is no text");
}

Test(cluster_wire, what_is_asked_is_read_as_a_request)
{
    static const struct {
        const char *text;
        enum rc_adapter_request_type type;
        const char *id;
        const char *targets;
        const char *data;
        bool close;
    } all[] = {
        {"4,\"data\":{" OPTIONS ",\"rooms\":[\"a\"]}}", RC_ADAPTER_JOIN, "", "[\"a\"]", "", false},
        {"5,\"data\":{" OPTIONS ",\"rooms\":[\"a\"],\"requestId\":\"r\"}}", RC_ADAPTER_LEAVE, "", "[\"a\"]", "", false},
        {"6,\"data\":{" OPTIONS ",\"close\":true}}", RC_ADAPTER_DISCONNECT, "", "", "", true},
        {"7,\"data\":{" OPTIONS ",\"requestId\":\"r\"}}", RC_ADAPTER_FETCH, "\"r\"", "", "", false},
        {"9,\"data\":{\"packet\":[\"e\",{}]}}", RC_ADAPTER_SERVER_EVENT, "", "", "[\"e\",{}]", false},
        {"9,\"data\":{\"packet\":[\"e\"],\"requestId\":\"r\"}}", RC_ADAPTER_SERVER_EVENT, "\"r\"", "", "[\"e\"]",
         false},
        {"9,\"data\":{\"packet\":[\"e\"],\"requestId\":null}}", RC_ADAPTER_SERVER_EVENT, "", "", "[\"e\"]", false},
        {"1}", RC_ADAPTER_NOTHING, "", "", "", false},
        {"2}", RC_ADAPTER_NOTHING, "", "", "", false},
        {"8,\"data\":{\"requestId\":\"r\",\"sockets\":[]}}", RC_ADAPTER_NOTHING, "", "", "", false},
        {"13}", RC_ADAPTER_NOTHING, "", "", "", false},
        {"18446744073709551615}", RC_ADAPTER_NOTHING, "", "", "", false},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct rc_cluster_message message;
        char text[512];
        (void)snprintf(text, sizeof(text), HEAD "%s", all[i].text);
        cr_assert_eq(read_json(&message, text), 0, "%s", text);
        cr_assert_eq(message.request.type, all[i].type, "%s", text);
        cr_assert_eq(message.request.close, all[i].close);
        expect(message.request.id, all[i].id);
        expect(message.request.targets, all[i].targets);
        if (all[i].data[0] != '\0') {
            expect(message.request.data, all[i].data);
        }
    }
}

Test(cluster_wire, what_lacks_something_is_refused)
{
    static const char *const wrong[] = {
        "",
        "[]",
        "{}",
        "{\"type\":3}",
        "{\"uid\":\"u\",\"type\":1}",
        "{\"nsp\":\"/\",\"type\":1}",
        "{\"uid\":\"\",\"nsp\":\"/\",\"type\":1}",
        "{\"uid\":\"\\u0061\",\"nsp\":\"/\",\"type\":1}",
        "{\"uid\":7,\"nsp\":\"/\",\"type\":1}",
        "{\"uid\":\"01234567890123456789012345678901234567890123456789012345678901234\",\"nsp\":\"/\",\"type\":1}",
        "{\"uid\":\"u\",\"nsp\":7,\"type\":1}",
        "{\"uid\":\"u\",\"nsp\":\"/\",\"type\":\"1\"}",
        HEAD "3}",
        HEAD "3,\"data\":{\"packet\":{\"data\":[\"e\"]}," OPTIONS "}}",
        HEAD "3,\"data\":{\"packet\":{\"type\":2}," OPTIONS "}}",
        HEAD "3,\"data\":{\"packet\":{\"type\":2,\"data\":{}}," OPTIONS "}}",
        HEAD "3,\"data\":{\"packet\":{\"type\":\"2\",\"data\":[]}}}",
        HEAD "3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"e\"]},\"opts\":[]}}",
        HEAD "3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"e\"]}}}",
        HEAD "3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"e\"]},\"opts\":{\"rooms\":\"a\"}}}",
        HEAD "3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"e\"]},\"opts\":{\"rooms\":[\"a\"],\"except\":7}}}",
        HEAD "4,\"data\":{\"rooms\":[\"x\"]}}",
        HEAD "5,\"data\":{\"opts\":null,\"rooms\":[\"x\"]}}",
        HEAD "6}",
        HEAD "6,\"data\":{\"close\":true}}",
        HEAD "6,\"data\":{\"opts\":{\"rooms\":{}}}}",
        HEAD "7,\"data\":{\"requestId\":\"r\"}}",
        HEAD "4,\"data\":{" OPTIONS "}}",
        HEAD "7,\"data\":{" OPTIONS "}}",
        HEAD "7,\"data\":{" OPTIONS ",\"requestId\":7}}",
        HEAD "9,\"data\":{\"packet\":{}}}",
        HEAD "7,\"data\":{" OPTIONS ",\"requestId\":\"r\"}} ,",
        "\xc1",
        "\x81\xa1\x61",
        "\xdd\xff\xff\xff\xff",
        "{\"uid\":\"u\",\"nsp\":\"/\xff\",\"type\":1}",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct rc_cluster_message message;
        cr_assert_lt(read_json(&message, wrong[i]), 0, "%zu %s", i, wrong[i]);
    }
}

/* A broadcast of ours. */
static uint8_t data[512];
static struct rc_envelope_view view;
static struct rc_adapter_message ours;

static void make_ours(const char *args, const struct rc_span *attachments, uint32_t count)
{
    const struct rc_span json = rc_span_text(args);
    uint32_t sizes[4];
    for (uint32_t i = 0; i < count; i++) {
        sizes[i] = (uint32_t)attachments[i].count;
    }
    rc_args_write(data, json, attachments, count);
    view = (struct rc_envelope_view){
        .head = {.flags = RC_ENVELOPE_ARGS, .data_bytes = (uint32_t)rc_args_bytes(json.count, count, sizes)},
        .data = data};
    ours = (struct rc_adapter_message){
        .uid = RC_SPAN("~ABCDE"), .nsp = RC_SPAN("/"), .room = RC_SPAN("r\"d"), .event = RC_SPAN("e"), .view = &view};
}

static uint8_t written[16384];

static struct rc_span write_with(struct rc_span (*write)(const struct rc_adapter_message *, uint8_t *, size_t))
{
    const size_t room = rc_cluster_write_room(&ours);
    cr_assert_leq(room, sizeof(written));
    return write(&ours, written, room);
}

Test(cluster_wire, events_without_binary_are_text_byte_for_byte)
{
    make_ours("[1.0, \"\\u00e9\" ]", NULL, 0);
    expect(
        write_with(rc_cluster_write),
        "{\"uid\":\"~ABCDE\",\"nsp\":\"/\",\"type\":3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"e\",1.0, \"\\u00e9\" "
        "]},\"opts\":{\"rooms\":[\"r\\\"d\"],\"except\":[],\"flags\":{}}}}");
    make_ours("[]", NULL, 0);
    view.head.flags |= RC_ENVELOPE_VOLATILE;
    ours.room = (struct rc_span){0};
    expect(
        write_with(rc_cluster_write_entry),
        "{\"packet\":{\"type\":2,\"data\":[\"e\"]},\"opts\":{\"rooms\":[],\"except\":[],\"flags\":{\"volatile\":true}}}");
    view.head.flags &= (uint16_t)~RC_ENVELOPE_VOLATILE;
    expect(write_with(rc_cluster_write_entry),
           "{\"packet\":{\"type\":2,\"data\":[\"e\"]},\"opts\":{\"rooms\":[],\"except\":[],\"flags\":{}}}");
    view = (struct rc_envelope_view){.head = {.data_bytes = 5},
                                     .data = (const uint8_t *)"[\"a\"]"}; /* without arguments: one value */
    expect(write_with(rc_cluster_write_entry),
           "{\"packet\":{\"type\":2,\"data\":[\"e\",[\"a\"]]},\"opts\":{\"rooms\":[],\"except\":[],\"flags\":{}}}");
}

static void check_binary(struct rc_cluster_message *message, int rc, const char *nsp)
{
    struct rc_adapter_event event;
    struct rc_args_view args;
    uint8_t place[4096];
    cr_assert_eq(rc, 0);
    expect(message->nsp, nsp);
    expect(message->request.uid, "~ABCDE");
    expect_rooms(message->request.broadcast.rooms, "r\"d;");
    cr_assert_eq(rc_adapter_event_read(&event, &message->request.broadcast, place, sizeof(place)), 0);
    expect(event.name, "e");
    cr_assert_eq(rc_args_read(event.data, &args), 0);
    expect(args.json, "[{\"_placeholder\":true,\"num\":0},{\"deep\":[{\"_placeholder\":true,\"num\":1}]},1]");
    cr_assert_eq(args.attachment_count, 2);
    expect(rc_args_attachment(&args, 0), "\x01\x02");
    expect(rc_args_attachment(&args, 1), "");
    cr_assert_eq(rc_adapter_event_read(&event, &message->request.broadcast, place, RC_ARGS_BEFORE_MAX + 20), -EMSGSIZE);
}

Test(cluster_wire, events_with_binary_are_packed_and_come_back)
{
    const struct rc_span attachments[] = {RC_SPAN("\x01\x02"), RC_SPAN("")};
    struct rc_cluster_message message;
    make_ours("[{\"_placeholder\":true,\"num\":0},{\"deep\":[{\"_placeholder\":true,\"num\":1}]},1]", attachments, 2);
    const struct rc_span packed = write_with(rc_cluster_write);
    cr_assert_eq(packed.bytes[0], 0x84);
    check_binary(&message, read_bytes(&message, packed), "/");
    for (size_t cut = 0; cut < packed.count; cut++) {
        uint8_t *part = malloc(cut > 0 ? cut : 1);
        cr_assert_not_null(part);
        memcpy(part, packed.bytes, cut);
        cr_assert_lt(read_bytes(&message, rc_span_of(part, cut)), 0);
        free(part);
    }
    const struct rc_span text = write_with(rc_cluster_write_entry);
    const struct rc_cluster_entry entry = {
        .uid = RC_SPAN("~ABCDE"), .nsp = RC_SPAN("/x"), .type = RC_CLUSTER_BROADCAST, .data = text};
    const size_t room = rc_cluster_read_room(text.count, 8192);
    check_binary(&message, rc_cluster_read_entry(&message, &entry, buffer, room), "/x");
}

Test(cluster_wire, entries_of_a_stream_are_put_together_and_checked)
{
    const struct rc_span values[] = {RC_SPAN("nsp"),  RC_SPAN("/"),    RC_SPAN("odd"),
                                     RC_SPAN("x"),    RC_SPAN("data"), RC_SPAN("{\"opts\":{},\"rooms\":[\"a\"]}"),
                                     RC_SPAN("type"), RC_SPAN("4"),    RC_SPAN("uid"),
                                     RC_SPAN("u"),    RC_SPAN("alone")};
    struct rc_cluster_message message;
    struct rc_cluster_entry entry = rc_cluster_entry_of(values, 11);
    cr_assert_eq(rc_cluster_read_entry(&message, &entry, buffer, sizeof(buffer)), 0);
    cr_assert_eq(message.request.type, RC_ADAPTER_JOIN);
    expect(message.request.targets, "[\"a\"]");
    const struct rc_cluster_entry right = entry;
    entry.type = RC_SPAN("4x");
    cr_assert_eq(rc_cluster_read_entry(&message, &entry, buffer, sizeof(buffer)), -EINVAL);
    entry = right;
    entry.nsp = RC_SPAN("");
    cr_assert_eq(rc_cluster_read_entry(&message, &entry, buffer, sizeof(buffer)), -EINVAL);
    entry = right;
    entry.nsp = RC_SPAN("/\xff");
    cr_assert_eq(rc_cluster_read_entry(&message, &entry, buffer, sizeof(buffer)), -EILSEQ);
    entry = right;
    entry.data = RC_SPAN("!");
    cr_assert_eq(rc_cluster_read_entry(&message, &entry, buffer, sizeof(buffer)), -EBADMSG);
    entry.data = (struct rc_span){0};
    cr_assert_eq(rc_cluster_read_entry(&message, &entry, buffer, sizeof(buffer)), -EINVAL);
    entry.type = RC_SPAN("13");
    cr_assert_eq(rc_cluster_read_entry(&message, &entry, buffer, sizeof(buffer)), 0);
    cr_assert_eq(message.request.type, RC_ADAPTER_NOTHING);
}
