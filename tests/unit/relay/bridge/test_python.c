/* What backends with python-socketio publish: which record an emit becomes, what workers are asked, what is refused. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/records/args.h"
#include "common/records/emit.h"
#include "common/records/select.h"
#include "common/records/sockets.h"
#include "relay/bridge/python.h"

/* In place of the link. */
static struct rc_redis_subscription *subscribed;

void rc_redis_subscribe(struct rc_redis_link *link, struct rc_redis_subscription *subscription)
{
    (void)link;
    subscribed = subscription;
}

static char published[512];

int rc_redis_publish(struct rc_redis_link *link, struct rc_span channel, const struct rc_span *parts,
                     uint32_t part_count, uint32_t flags)
{
    size_t used = 0;
    (void)link;
    cr_assert(rc_span_equal(channel, RC_SPAN("socketio")));
    cr_assert_eq(flags, 0);
    for (uint32_t i = 0; i < part_count; i++) {
        used += (size_t)snprintf(published + used, sizeof(published) - used, "%.*s", (int)parts[i].count,
                                 (const char *)parts[i].bytes);
    }
    return 0;
}

/* In place of the router: who is wanted, and the last record as text. */
static const char *wanted_names = "";
static char done[2048];
static struct rc_call_tag tag;

static bool host_wanted(void *context, struct rc_span name)
{
    char text[300];
    (void)context;
    (void)snprintf(text, sizeof(text), " %.*s ", (int)name.count, (const char *)name.bytes);
    return strstr(wanted_names, text) != NULL;
}

static bool host_known(void *context)
{
    (void)context;
    return true;
}

static size_t show_names(size_t used, const struct rc_envelope_view *view)
{
    struct rc_span names = rc_span_of(view->exclude_text, view->head.exclude_text_bytes);
    while (names.count > 0) {
        struct rc_span name;
        const bool more = rc_select_next(&names, &name);
        used += (size_t)snprintf(done + used, sizeof(done) - used, more ? " %.*s" : " |", (int)name.count,
                                 (const char *)name.bytes);
    }
    return used;
}

static bool host_deliver(void *context, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_args_view args;
    (void)context;
    cr_assert_eq(view->head.flags, RC_ENVELOPE_REMOTE | RC_ENVELOPE_ARGS);
    cr_assert_eq(rc_args_read(rc_span_of(view->data, view->head.data_bytes), &args), 0);
    cr_assert(type != RC_DOWN_DIRECT || (view->head.target.random == 77 && view->head.target.slot == 5));
    const char *kind = type == RC_DOWN_MESSAGE ? "message" : type == RC_DOWN_DIRECT ? "direct" : "select";
    const size_t used = (size_t)snprintf(done, sizeof(done), "%s %.*s %.*s%.*s not:%u", kind, view->head.channel_bytes,
                                         view->channel, view->head.event_bytes, view->event, (int)args.json.count,
                                         (const char *)args.json.bytes, view->head.exclude_count);
    (void)show_names(used, view);
    return true;
}

static bool host_call(void *context, const struct rc_envelope_view *view, struct rc_call_asked *asked)
{
    struct rc_call_head head;
    (void)context;
    asked->bits[0] = 3;
    cr_assert_eq(view->head.request_id_bytes, sizeof(tag));
    memcpy(&tag, view->request_id, sizeof(tag));
    memcpy(&head, view->data, sizeof(head));
    size_t used = (size_t)snprintf(done, sizeof(done), "%u/%u %.*s", head.operation, head.close_code,
                                   view->head.channel_bytes, view->channel);
    used = show_names(used, view);
    if (head.operation == RC_CALL_SOCKETS_EMIT) {
        struct rc_emit_head emit;
        struct rc_span asker;
        struct rc_span args;
        struct rc_args_view its;
        cr_assert_eq(rc_emit_read(rc_span_of(view->data + sizeof(head), view->head.data_bytes - sizeof(head)), &emit,
                                  &asker, &args),
                     0);
        cr_assert_eq(rc_args_read(args, &its), 0);
        cr_assert_eq(emit.timeout_ms, 0);
        (void)snprintf(done + used, sizeof(done) - used, " %.*s %.*s not:%u %.*s", view->head.event_bytes, view->event,
                       (int)its.json.count, its.json.bytes, view->head.exclude_count, (int)asker.count, asker.bytes);
        return true;
    }
    for (uint32_t i = sizeof(head); i < view->head.data_bytes; i++) {
        const uint8_t c = view->data[i];
        used += (size_t)snprintf(done + used, sizeof(done) - used, "%c", c == 0 ? ';' : c);
    }
    return true;
}

static struct rc_metrics metrics;
static struct rc_wire wire = {.instance_id = "here", .boot_nonce = 9, .message_bytes_max = 1000, .metrics = &metrics};
static const struct rc_bridge bridge = {
    .wire = &wire, .host = {.deliver = host_deliver, .wanted = host_wanted, .known = host_known, .call = host_call}};
static struct rc_python_bridge python;
static char own_sid[RC_SID_BYTES + 1];
static char other_sid[RC_SID_BYTES + 1];

static void open_python(void)
{
    static struct rc_config_socketio config;
    const struct rc_client_ref client = {.random = 77, .slot = 5, .worker = 1};
    char instance[RC_SID_INSTANCE_BYTES];
    (void)snprintf(config.python_channel.text, sizeof(config.python_channel.text), "socketio");
    cr_assert_eq(rc_python_open(&python, &bridge, &config), 0);
    rc_sid_instance(instance, "here");
    rc_sid_write(own_sid, instance, &client);
    rc_sid_instance(instance, "there");
    rc_sid_write(other_sid, instance, &client);
}

static void close_python(void)
{
    rc_python_close(&python);
}

TestSuite(python, .init = open_python, .fini = close_python);

static void receive_bytes(struct rc_span text, const char *expected)
{
    done[0] = '\0';
    subscribed->message(subscribed->context, RC_SPAN("socketio"), text);
    cr_assert_str_eq(done, expected);
}

static void receive(const char *text, const char *expected)
{
    receive_bytes(rc_span_text(text), expected);
}

/* $ becomes the sid of our client, % that of another instance's. */
static void fill(char *out, size_t room, const char *text)
{
    size_t used = 0;
    out[0] = '\0';
    for (; *text != '\0'; text++) {
        const char one[2] = {*text, '\0'};
        const char *piece = *text == '$' ? own_sid : *text == '%' ? other_sid : one;
        used += (size_t)snprintf(out + used, room - used, "%s", piece);
    }
}

static void call(const char *text, const char *expected)
{
    char message[1024];
    char wanted[1024];
    fill(message, sizeof(message), text);
    fill(wanted, sizeof(wanted), expected);
    receive(message, wanted);
}

/* An emit of "e" with 1. */
static void emit(const char *nsp, const char *room, const char *skip, const char *expected)
{
    char text[512];
    (void)snprintf(text, sizeof(text),
                   "{\"method\":\"emit\",\"event\":\"e\",\"data\":[1],\"binary\":false,\"namespace\":\"%s\","
                   "\"room\":%s,\"skip_sid\":%s,\"callback\":null,\"host_id\":\"h\"}",
                   nsp, room, skip);
    call(text, expected);
}

Test(python, one_fixed_subscription)
{
    cr_assert_str_eq(subscribed->name, "socketio");
    cr_assert_not(subscribed->pattern);
}

Test(python, a_room_is_a_message_on_its_channel)
{
    wanted_names = " red  /admin#red  7 ";
    emit("/", "\"red\"", "null", "message red e[1] not:0");
    emit("/admin", "\"red\"", "null", "message /admin#red e[1] not:0");
    emit("/", "7", "null", "message 7 e[1] not:0");
    emit("/", "[\"red\",\"nobody's\"]", "null", "message red e[1] not:0");
    emit("/", "\"red\"", "\"$\"", "message red e[1] not:1");
    emit("/", "\"red\"", "[\"%\",\"$\",null]", "message red e[1] not:1");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_PYTHON_RECEIVED), 6);
}

Test(python, no_room_is_everybody_in_the_namespace)
{
    wanted_names = " red ";
    emit("/", "null", "null", "message /# e[1] not:0");
    emit("/admin", "null", "\"$\"", "message /admin# e[1] not:1");
    emit("/", "[\"red\",\"$\",null]", "null", "message /# e[1] not:0");
}

Test(python, several_rooms_are_a_selection)
{
    wanted_names = " red  blue ";
    emit("/", "[\"red\",\"blue\"]", "null", "select /# e[1] not:0 red blue |");
    emit("/", "[\"red\",\"blue\"]", "\"$\"", "select /# e[1] not:1 red blue |");
    emit("/", "[\"red\",\"$\"]", "null", "select /# e[1] not:0 red $ |");
}

Test(python, a_client_is_a_direct_message)
{
    emit("/", "\"$\"", "null", "direct /# e[1] not:0");
    emit("/admin", "[\"$\"]", "null", "direct /admin# e[1] not:0");
    emit("/", "\"$\"", "\"$\"", "select /# e[1] not:1 $ |");
    emit("/", "\"%\"", "null", "");
}

Test(python, what_is_for_nobody_here)
{
    wanted_names = " red ";
    emit("/", "\"blue\"", "null", "");
    emit("/", "[]", "null", "");
    emit("/", "\"\"", "null", "");
    emit("/", "[\"a\\nb\",true]", "null", "");
    receive("{\"method\":\"callback\",\"host_id\":\"h\",\"sid\":\"s\",\"namespace\":\"/\",\"id\":1,\"args\":[]}", "");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_MALFORMED), 0);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_PYTHON_RECEIVED), 0);
}

Test(python, operations_on_sockets_are_calls)
{
    call("{\"method\":\"disconnect\",\"sid\":\"$\",\"namespace\":\"/\"}", "21/0 /# $ |");
    call("{\"method\":\"disconnect\",\"sid\":\"$\",\"namespace\":\"/admin\"}", "21/0 /admin# /admin#$ |");
    call("{\"method\":\"enter_room\",\"sid\":\"$\",\"room\":\"red\",\"namespace\":\"/\"}", "19/0 /# $ |red;");
    call("{\"method\":\"leave_room\",\"sid\":\"$\",\"room\":7,\"namespace\":\"/\"}", "20/0 /# $ |7;");
    receive("{\"method\":\"close_room\",\"room\":\"red\",\"namespace\":\"/admin\"}",
            "20/0 /admin# /admin#red |/admin#red;");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_PYTHON_RECEIVED), 5);
}

Test(python, operations_that_concern_nobody_here_are_no_calls)
{
    call("{\"method\":\"disconnect\",\"sid\":\"%\",\"namespace\":\"/\"}", "");
    receive("{\"method\":\"disconnect\",\"sid\":\"\",\"namespace\":\"/\"}", "");
    receive("{\"method\":\"close_room\",\"room\":null,\"namespace\":\"/\"}", "");
    receive("{\"method\":\"close_room\",\"room\":[],\"namespace\":\"/\"}", "");
    call("{\"method\":\"enter_room\",\"sid\":\"$\",\"room\":\"\",\"namespace\":\"/\"}", "");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_MALFORMED), 0);
}

Test(python, replies_to_its_calls_are_its_own)
{
    call("{\"method\":\"disconnect\",\"sid\":\"$\"}", "21/0 /# $ |");
    struct rc_envelope_view reply = {.head = {.flags = RC_ENVELOPE_API, .request_id_bytes = sizeof(tag)},
                                     .request_id = (const uint8_t *)&tag};
    cr_assert(rc_python_replied(&python, &reply));
    tag.nonce ^= 1;
    cr_assert_not(rc_python_replied(&python, &reply));
}

#define ASKER "{\"method\":\"callback\",\"host_id\":\"h\",\"sid\":\"red\",\"namespace\":\"/\",\"id\":7,\"args\":"

static void emit_asking(const char *callback, const char *expected)
{
    char text[1024];
    (void)snprintf(text, sizeof(text),
                   "{\"method\":\"emit\",\"event\":\"e\",\"data\":[1],\"binary\":false,\"namespace\":\"/\","
                   "\"room\":\"red\",\"skip_sid\":\"$\",\"callback\":%s,\"host_id\":\"h\"}",
                   callback);
    call(text, expected);
}

/* A client's answer to the last call. */
static void answer_of(const char *json, uint32_t attachment_count)
{
    uint8_t data[512];
    const struct rc_span asker = RC_SPAN(ASKER);
    const struct rc_reply_head head = {.flags = RC_REPLY_CLIENT, .count = 1};
    const struct rc_answer_head answer = {.asker_bytes = (uint16_t)asker.count};
    const struct rc_span attachment = {0};
    const uint32_t size = 0;
    memcpy(data, &head, sizeof(head));
    memcpy(data + sizeof(head), &answer, sizeof(answer));
    memcpy(data + sizeof(head) + sizeof(answer), asker.bytes, asker.count);
    const size_t before = sizeof(head) + sizeof(answer) + asker.count;
    rc_args_write(data + before, rc_span_text(json), &attachment, attachment_count);
    const struct rc_envelope_view view = {
        .head = {.flags = RC_ENVELOPE_API,
                 .data_bytes = (uint32_t)(before + rc_args_bytes(strlen(json), attachment_count, &size)),
                 .request_id_bytes = sizeof(tag)},
        .request_id = (const uint8_t *)&tag,
        .data = data};
    published[0] = '\0';
    cr_assert(rc_python_replied(&python, &view));
}

Test(python, answers_are_the_callbacks_of_their_server)
{
    wanted_names = " red ";
    emit_asking("[\"red\",\"/\",7]", "23/0 /# red | e [1] not:1 " ASKER);
    answer_of("[\"yes\",{}]", 0);
    cr_assert_str_eq(published, ASKER "[\"yes\",{}]}");
    answer_of("[{\"_placeholder\":true,\"num\":0}]", 1);
    cr_assert_str_eq(published, "", "JSON has no binary");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_PYTHON_ANSWERS), 1);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_PYTHON_ANSWERS_DROPPED), 1);
}

Test(python, what_is_no_callback_is_an_emit_without)
{
    char long_room[700];
    wanted_names = " red ";
    emit_asking("[]", "message red e[1] not:1");
    emit_asking("[\"red\",\"/\",7,8]", "message red e[1] not:1");
    emit_asking("\"abc\"", "message red e[1] not:1");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_PYTHON_ANSWERS_DROPPED), 0);
    (void)snprintf(long_room, sizeof(long_room), "[\"%0600d\",\"/\",7]", 1);
    emit_asking(long_room, "message red e[1] not:1");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_PYTHON_ANSWERS_DROPPED), 1);
}

Test(python, what_makes_no_sense_is_refused_and_counted)
{
    char large[3000];
    /* pickle.dumps({"method": …}, protocol 4 and 0) */
    receive_bytes(rc_span_of("\x80\x04\x95\x11\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x06method\x94", 29), "");
    receive("(dp0\nVmethod\np1\nVemit\np2\ns.", "");
    receive("", "");
    receive("[]", "");
    receive("{\"method\":\"emit\"", "");
    receive("{\"method\":\"emit\",\"event\":\"e\",\"data\":[[],\"?\"],\"binary\":true}", "");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_MALFORMED), 6);
    (void)snprintf(large, sizeof(large), "{\"method\":\"emit\",\"event\":\"e\",\"data\":[\"%01000d\"]}", 0);
    receive(large, "");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_TOO_LARGE), 1);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_RECEIVED), 7);
}

Test(python, more_rooms_than_fit_are_refused)
{
    static char text[400 * 260];
    size_t used = (size_t)snprintf(text, sizeof(text), "{\"method\":\"close_room\",\"room\":[");
    for (uint32_t i = 0; i < 300; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s\"%0250u\"", i > 0 ? "," : "", i);
    }
    (void)snprintf(text + used, sizeof(text) - used, "]}");
    receive(text, "");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_MALFORMED), 1);
}

Test(python, off_unless_configured)
{
    static struct rc_python_bridge off;
    static struct rc_config_socketio config;
    subscribed = NULL;
    cr_assert_eq(rc_python_open(&off, &bridge, &config), 0);
    cr_assert_null(subscribed);
    cr_assert_not(rc_python_replied(&off, &(struct rc_envelope_view){.head = {.flags = 0}}));
    rc_python_close(&off);
}
