/* Who is in a channel: the client is told once, and only what makes sense. A real hub, and the test as the relay. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/query.h"
#include "tests/support/client_rig.h"

static struct client_rig c;
static uint32_t slot;

static void open_all(void)
{
    client_rig_open(&c, 8);
    slot = hub_rig_connect(&c.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
}

static void close_all(void)
{
    client_rig_close(&c);
}

TestSuite(presence, .init = open_all, .fini = close_all);

static void expect(const char *part)
{
    uint8_t opcode;
    struct rc_span payload;
    hub_rig_drain(&c.rig);
    cr_assert(hub_rig_frame(&c.rig, slot, &opcode, &payload), "no %s", part);
    cr_assert(memmem(payload.bytes, payload.count, part, strlen(part)) != NULL, "%.*s instead of %s",
              (int)payload.count, (const char *)payload.bytes, part);
}

static void expect_nothing(void)
{
    hub_rig_drain(&c.rig);
    cr_assert_eq(c.rig.peers[slot].count, 0);
}

/* The token with which the relay was asked. */
static uint64_t ask(void)
{
    struct rc_envelope_view view;
    uint32_t type;
    cr_assert_eq(rc_client_ask_presence(&c.clients, slot, RC_SPAN("c"), 10, RC_SPAN("7")), 0);
    cr_assert(client_rig_up(&c, &type, &view));
    cr_assert_eq(type, RC_UP_QUERY);
    cr_assert(view.head.origin.random == rc_truth_client(&c.rig.truth, slot)->random && view.request_id[0] == '7');
    return view.head.token;
}

static void answer(uint64_t token, uint16_t code, const void *data, uint32_t bytes)
{
    const struct rc_envelope_view view = {
        .head = {.token = token, .channel_bytes = 1, .code = code, .data_bytes = bytes}, .channel = "c", .data = data};
    c.handlers.answered(c.handlers.context, RC_DOWN_QUERY, &view);
}

Test(presence, is_answered_once_and_only_if_it_makes_sense)
{
    uint8_t data[256];
    struct rc_query_answer head = {.clients = 3, .users = 1, .count = 1, .flags = RC_QUERY_LOCAL};
    const struct rc_query_entry entry = {.clients = 3, .user = RC_SPAN("u"), .instances = RC_SPAN("a,b")};
    memcpy(data, &head, sizeof(head));
    const uint32_t bytes = rc_query_entry_put(data, sizeof(head), sizeof(data), &entry);
    const uint64_t token = ask();
    answer(token, 0, data, bytes);
    answer(token, 0, data, bytes);
    expect("{\"type\":\"presence\",\"id\":7,\"channel\":\"c\",\"clients\":3,\"users\":1,\"members\":["
           "{\"user\":\"u\",\"clients\":3,\"instances\":[\"a\",\"b\"]}],\"more\":false,\"scope\":\"local\"}");
    expect_nothing();
    for (uint32_t cut = 0; cut < bytes; cut++) {
        answer(ask(), 0, data, cut);
        expect("\"code\":503");
    }
    head.count = 2;
    memcpy(data, &head, sizeof(head));
    answer(ask(), 0, data, bytes);
    expect("\"code\":503");
    answer(ask(), 503, NULL, 0);
    expect("\"code\":503");
    expect_nothing();
}

Test(presence, who_does_not_read_gets_no_more_lists)
{
    static const struct rc_query_answer head = {.clients = 3};
    static uint8_t much[65536];
    uint8_t opcode;
    struct rc_span payload;
    cr_assert_eq(rc_hub_reply_frame(&c.rig.hub, slot, 2, much, sizeof(much)), 0);
    answer(ask(), 0, &head, sizeof(head));
    hub_rig_drain(&c.rig);
    cr_assert(hub_rig_frame(&c.rig, slot, &opcode, &payload) && payload.count == sizeof(much));
    expect("\"code\":429");
    answer(ask(), 0, &head, sizeof(head));
    expect("\"type\":\"presence\"");
}

Test(presence, who_gets_no_answer_is_told_so)
{
    static const struct rc_query_answer head = {.clients = 3};
    const uint64_t token = ask();
    atomic_fetch_add(&c.rig.shared->core.relay.generation, 1);
    rc_asks_expire(&c.asks);
    expect("\"code\":503");
    answer(token, 0, &head, sizeof(head));
    expect_nothing();
    (void)ask();
    c.rig.io.now_ns += 2900 * UINT64_C(1000000);
    rc_asks_expire(&c.asks);
    expect_nothing();
    c.rig.io.now_ns += 3100 * UINT64_C(1000000); /* draining has set it right */
    rc_asks_expire(&c.asks);
    expect("\"code\":503");
    expect_nothing();
}

/* The slot is somebody else's: not told, and not even by the end of it. */
Test(presence, of_a_client_that_is_gone_nobody_is_told)
{
    static const struct rc_query_answer head = {.clients = 3};
    const uint64_t token = ask();
    (void)ask();
    rc_truth_client(&c.rig.truth, slot)->random ^= 1;
    answer(token, 0, &head, sizeof(head));
    c.rig.io.now_ns += 5000 * UINT64_C(1000000);
    rc_asks_expire(&c.asks);
    expect_nothing();
    rc_truth_client(&c.rig.truth, slot)->random ^= 1;
}

Test(presence, a_full_ring_leaves_no_question_behind)
{
    int rc;
    uint32_t asked = 0;
    while ((rc = rc_client_ask_presence(&c.clients, slot, RC_SPAN("c"), 10, RC_SPAN("7"))) == 0) {
        asked++;
    }
    cr_assert(rc == -EAGAIN || rc == -ENOBUFS);
    cr_assert_eq(c.asks.counts[RC_ASK_CLIENT], asked);
}

/* Questions until the share of all clients is used up; how many. The relay takes them and does not answer. */
static uint32_t ask_all(uint32_t client)
{
    struct rc_envelope_view view;
    uint32_t type;
    uint32_t asked = 0;
    int rc;
    while ((rc = rc_client_ask_presence(&c.clients, client, RC_SPAN("c"), 10, RC_SPAN("7"))) == 0) {
        asked++;
        cr_assert(client_rig_up(&c, &type, &view));
    }
    cr_assert_eq(rc, -ENOBUFS);
    return asked;
}

Test(presence, clients_that_are_gone_keep_nobody_from_asking)
{
    const uint32_t other = hub_rig_connect(&c.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    struct rc_envelope_view view;
    uint32_t type;
    cr_assert_eq(rc_client_ask_presence(&c.clients, other, RC_SPAN("c"), 10, RC_SPAN("8")), 0);
    cr_assert(client_rig_up(&c, &type, &view));
    cr_assert_eq(ask_all(slot), RC_ASKS_OF_KIND_MAX - 1);
    cr_assert_eq(rc_metric_get(c.rig.metrics, RC_METRIC_ASKS_FULL), 1);
    /* One that asks for nothing else has the table looked through once in a while, not every time. */
    rc_truth_client(&c.rig.truth, slot)->random ^= 1;
    cr_assert_eq(rc_client_ask_presence(&c.clients, other, RC_SPAN("c"), 10, RC_SPAN("9")), -ENOBUFS);
    c.rig.io.now_ns += 100 * UINT64_C(1000000);
    cr_assert_eq(rc_client_ask_presence(&c.clients, other, RC_SPAN("c"), 10, RC_SPAN("9")), 0);
    cr_assert_eq(c.asks.counts[RC_ASK_CLIENT], 2, "the one who is here still wants to know");
    cr_assert_eq(rc_metric_get(c.rig.metrics, RC_METRIC_ASKS_FULL), 2);
    rc_truth_client(&c.rig.truth, slot)->random ^= 1;
}
