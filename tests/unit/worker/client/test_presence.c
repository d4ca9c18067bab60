/* Who is in a channel: the client is told once, and only what makes sense. A real hub, and the test as the relay. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/records/query.h"
#include "tests/support/hub_rig.h"
#include "worker/client/client.h"

#define RING_BYTES 65536u

static struct {
    struct hub_rig rig;
    struct rc_uplink uplink;
    struct rc_asks asks;
    struct rc_clients clients; /* nothing of it but whom it knows */
    struct rc_uplink_handlers handlers;
    struct rc_port *port;
    struct rc_port_view view;
    struct rc_ring up; /* consumer */
    int bell_fd;
    uint32_t slot;
} b;

static void open_all(void)
{
    struct rc_err err = {0};
    hub_rig_open(&b.rig, &(struct hub_rig_options){.slots = 8});
    b.clients = (struct rc_clients){.truth = &b.rig.truth,
                                    .io = &b.rig.io,
                                    .hub = &b.rig.hub,
                                    .uplink = &b.uplink,
                                    .asks = &b.asks,
                                    .metrics = b.rig.metrics};
    b.handlers = rc_clients_uplink_handlers(&b.clients);
    RC_ASSERT(posix_memalign((void **)&b.port, 4096, rc_port_bytes(RING_BYTES, RING_BYTES)) == 0);
    memset(b.port, 0, rc_port_bytes(RING_BYTES, RING_BYTES));
    b.view = (struct rc_port_view){.shared = b.port, .ring_bytes = RING_BYTES, .overflow_bytes = RING_BYTES};
    atomic_store(&b.rig.shared->core.workers[0].generation, 1);
    atomic_store(&b.rig.shared->core.relay.generation, 1);
    b.bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    RC_ASSERT(rc_uplink_open(&b.uplink, b.rig.control, &b.view, &b.rig.truth, b.rig.metrics, 0, b.bell_fd, &b.handlers,
                             &err) == 0);
    rc_asks_open(&b.asks, b.rig.control, b.rig.metrics, &b.rig.io.now_ns);
    RC_ASSERT(rc_ring_attach_consumer(&b.up, &b.port->pairs[1].up, rc_port_data(&b.view, 1, RC_PORT_UP), RING_BYTES) ==
              0);
    b.slot = hub_rig_connect(&b.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
}

static void close_all(void)
{
    rc_asks_close(&b.asks);
    rc_uplink_close(&b.uplink);
    hub_rig_close(&b.rig);
    free(b.port);
    close(b.bell_fd);
}

TestSuite(presence, .init = open_all, .fini = close_all);

static void expect(const char *part)
{
    uint8_t opcode;
    struct rc_span payload;
    hub_rig_drain(&b.rig);
    cr_assert(hub_rig_frame(&b.rig, b.slot, &opcode, &payload), "no %s", part);
    cr_assert(memmem(payload.bytes, payload.count, part, strlen(part)) != NULL, "%.*s instead of %s",
              (int)payload.count, (const char *)payload.bytes, part);
}

static void expect_nothing(void)
{
    hub_rig_drain(&b.rig);
    cr_assert_eq(b.rig.peers[b.slot].count, 0);
}

/* The token with which the relay was asked. */
static uint64_t ask(void)
{
    struct rc_envelope_view view;
    uint32_t type;
    uint32_t bytes;
    const void *record;
    cr_assert_eq(rc_client_ask_presence(&b.clients, b.slot, RC_SPAN("c"), 10, RC_SPAN("7")), 0);
    cr_assert_eq(rc_ring_next(&b.up, &type, &record, &bytes), 1);
    cr_assert_eq(type, RC_UP_QUERY);
    cr_assert_eq(rc_envelope_read(&view, record, bytes), 0);
    cr_assert(view.head.origin.random == rc_truth_client(&b.rig.truth, b.slot)->random && view.request_id[0] == '7');
    rc_ring_release(&b.up);
    return view.head.token;
}

static void answer(uint64_t token, uint16_t code, const void *data, uint32_t bytes)
{
    const struct rc_envelope_view view = {
        .head = {.token = token, .channel_bytes = 1, .code = code, .data_bytes = bytes}, .channel = "c", .data = data};
    b.handlers.answered(b.handlers.context, RC_DOWN_QUERY, &view);
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
    cr_assert_eq(rc_hub_reply_frame(&b.rig.hub, b.slot, 2, much, sizeof(much)), 0);
    answer(ask(), 0, &head, sizeof(head));
    hub_rig_drain(&b.rig);
    cr_assert(hub_rig_frame(&b.rig, b.slot, &opcode, &payload) && payload.count == sizeof(much));
    expect("\"code\":429");
    answer(ask(), 0, &head, sizeof(head));
    expect("\"type\":\"presence\"");
}

Test(presence, who_gets_no_answer_is_told_so)
{
    static const struct rc_query_answer head = {.clients = 3};
    const uint64_t token = ask();
    atomic_fetch_add(&b.rig.shared->core.relay.generation, 1);
    rc_asks_expire(&b.asks);
    expect("\"code\":503");
    answer(token, 0, &head, sizeof(head));
    expect_nothing();
    (void)ask();
    b.rig.io.now_ns += 2900 * UINT64_C(1000000);
    rc_asks_expire(&b.asks);
    expect_nothing();
    b.rig.io.now_ns += 3100 * UINT64_C(1000000); /* draining has set it right */
    rc_asks_expire(&b.asks);
    expect("\"code\":503");
    expect_nothing();
}

/* The slot is somebody else's: not told, and not even by the end of it. */
Test(presence, of_a_client_that_is_gone_nobody_is_told)
{
    static const struct rc_query_answer head = {.clients = 3};
    const uint64_t token = ask();
    (void)ask();
    rc_truth_client(&b.rig.truth, b.slot)->random ^= 1;
    answer(token, 0, &head, sizeof(head));
    b.rig.io.now_ns += 5000 * UINT64_C(1000000);
    rc_asks_expire(&b.asks);
    expect_nothing();
    rc_truth_client(&b.rig.truth, b.slot)->random ^= 1;
}

Test(presence, a_full_ring_leaves_no_question_behind)
{
    int rc;
    uint32_t asked = 0;
    while ((rc = rc_client_ask_presence(&b.clients, b.slot, RC_SPAN("c"), 10, RC_SPAN("7"))) == 0) {
        asked++;
    }
    cr_assert(rc == -EAGAIN || rc == -ENOBUFS);
    cr_assert_eq(b.asks.counts[RC_ASK_CLIENT], asked);
}
