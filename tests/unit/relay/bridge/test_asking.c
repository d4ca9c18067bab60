/* Events that clients are to answer, and answers, as records: what is written in front of the arguments, and that nothing cut is believed. (Who is
 * asked, and what becomes of answers: test_adapter_requests, test_python.) */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/sockets.h"
#include "relay/bridge/asking.h"

static uint8_t called[2048];
static uint32_t called_bytes;
static struct rc_envelope_view call;

static bool host_call(void *context, const struct rc_envelope_view *view, struct rc_call_asked *asked)
{
    (void)context;
    call = *view;
    called_bytes = view->head.data_bytes;
    memcpy(called, view->data, called_bytes);
    asked->bits[0] = 1;
    return true;
}

static const struct rc_bridge_host host = {.call = host_call};

static size_t args_put(uint8_t *out)
{
    const struct rc_span json = RC_SPAN("[1]");
    rc_args_write(out, json, NULL, 0);
    return rc_args_bytes(json.count, 0, NULL);
}

Test(asking, a_call_has_all_in_front_of_its_arguments)
{
    static uint8_t buffer[RC_EMIT_BEFORE_MAX + 64];
    char names[] = "red\0";
    char largest[RC_EMIT_ASKER_MAX];
    memset(largest, 'a', sizeof(largest));
    struct rc_targets targets = {.nsp = RC_SPAN("/x"), .everybody = "/x#", .select = {.text = names, .bytes = 5}};
    const struct rc_span askers[] = {{0}, RC_SPAN("who"), rc_span_of(largest, sizeof(largest))};
    for (size_t i = 0; i < RC_ARRAY_COUNT(askers); i++) {
        const struct rc_asking asking = {.tag = {.nonce = 5, .serial = 6}, .timeout_ms = 70, .asker = askers[i]};
        struct rc_envelope_view view = {
            .head = {.flags = RC_ENVELOPE_ARGS | RC_ENVELOPE_REMOTE, .target = {.random = 9, .slot = 3}},
            .data = buffer + RC_EMIT_BEFORE_MAX};
        struct rc_call_asked asked;
        struct rc_emit_head head;
        struct rc_call_head call_head;
        struct rc_span asker;
        struct rc_span args;
        struct rc_call_tag tag;
        view.head.data_bytes = (uint32_t)args_put(buffer + RC_EMIT_BEFORE_MAX);
        rc_asking_call(&host, &targets, i == 0 ? RC_DOWN_DIRECT : RC_DOWN_SELECT, &view, &asking, &asked);
        cr_assert_eq(asked.bits[0], 1);
        memcpy(&call_head, called, sizeof(call_head));
        cr_assert_eq(call_head.operation, RC_CALL_SOCKETS_EMIT);
        cr_assert_eq(rc_emit_read(rc_span_of(called + sizeof(call_head), called_bytes - sizeof(call_head)), &head,
                                  &asker, &args),
                     0);
        cr_assert_eq(head.timeout_ms, 70);
        cr_assert(rc_span_equal(asker, askers[i]));
        cr_assert_eq(args.count, view.head.data_bytes);
        cr_assert(call.head.channel_bytes == 3 && memcmp(call.channel, "/x#", 3) == 0);
        cr_assert_eq(call.head.exclude_text_bytes, 5);
        cr_assert_eq(call.head.target.random, i == 0 ? 9 : 0, "all workers, unless it is one client");
        call.head.flags = RC_ENVELOPE_API;
        cr_assert(rc_call_tag_read(&call, &tag) && tag.nonce == 5 && tag.serial == 6);
    }
}

static size_t answer_put(uint8_t *out, uint32_t flags, uint32_t count)
{
    const struct rc_reply_head head = {.flags = flags, .count = count};
    const struct rc_answer_head answer = {.asker_bytes = 3};
    memcpy(out, &head, sizeof(head));
    memcpy(out + sizeof(head), &answer, sizeof(answer));
    memcpy(out + sizeof(head) + sizeof(answer), "who", 3);
    const size_t before = sizeof(head) + sizeof(answer) + 3;
    return before + args_put(out + before);
}

static struct rc_envelope_view view_of(const uint8_t *data, size_t bytes)
{
    return (struct rc_envelope_view){.head = {.data_bytes = (uint32_t)bytes}, .data = data};
}

Test(asking, an_answer_is_believed_when_it_is_whole)
{
    uint8_t data[128];
    const size_t bytes = answer_put(data, RC_REPLY_CLIENT, 1);
    struct rc_span asker;
    struct rc_args_view args;
    for (size_t cut = 0; cut <= bytes; cut++) {
        uint8_t *part = malloc(cut > 0 ? cut : 1);
        memcpy(part, data, cut);
        const struct rc_envelope_view view = view_of(part, cut);
        cr_assert_eq(rc_asking_is_answer(&view), cut >= sizeof(struct rc_reply_head));
        cr_assert_eq(rc_asking_answer(&view, &asker, &args), cut < bytes ? -EBADMSG : 0, "%zu", cut);
        if (cut == bytes) {
            cr_assert(rc_span_equal(asker, RC_SPAN("who")) && rc_span_equal(args.json, RC_SPAN("[1]")));
        }
        free(part);
    }
}

Test(asking, the_end_and_the_number_of_clients_are_no_answers)
{
    uint8_t data[128];
    struct rc_span asker;
    struct rc_args_view args;
    const size_t bytes = answer_put(data, RC_REPLY_CLIENT | RC_REPLY_LAST, 0);
    const struct rc_envelope_view last = view_of(data, bytes);
    cr_assert(rc_asking_is_answer(&last));
    cr_assert_eq(rc_asking_answer(&last, &asker, &args), -ENOENT);
    const struct rc_envelope_view count = view_of(data, answer_put(data, 0, 2));
    cr_assert_not(rc_asking_is_answer(&count));
}
