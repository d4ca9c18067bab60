/* Calls that publish, where the up ring is full: whoever waited before them sends before them. The test is the relay. */
#include "common/base/check.h"
#include "tests/support/api_rig.h"
#include "worker/ws/frame.h"

#define FILLER_BYTES 3000u

static uint32_t client;

static void open_all(void)
{
    api_rig_open();
    client = hub_rig_connect(&c.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
}

TestSuite(api_publish, .init = open_all, .fini = api_rig_close);

static void call(const char *name, const char *body)
{
    char text[1024];
    const int count = snprintf(text, sizeof(text), "POST /api/%s " API_RIG_HEAD "Content-Length: %zu\r\n\r\n%s", name,
                               strlen(body), body);
    rc_socket_received(&c.clients, caller, (uint8_t *)text, (uint32_t)count);
}

/* The status of the answer that has come; 0: none. */
static int answered(void)
{
    char text[2048] = "";
    int status = 0;
    hub_rig_drain(&c.rig);
    const ssize_t count = recv(caller_fd, text, sizeof(text) - 1, MSG_DONTWAIT);
    cr_assert(count < 0 || sscanf(text, "HTTP/1.1 %d ", &status) == 1, "%s", text);
    return status;
}

/* The client publishes to "client": it goes up, or waits. */
static void client_publishes(bool waits)
{
    static const char text[] = "{\"type\":\"publish\",\"channel\":\"client\",\"data\":1}";
    const uint32_t socket = hub_rig_socket_of(&c.rig, client);
    cr_assert_eq(rc_socket_message(&c.clients, socket, RC_WS_TEXT, (uint8_t *)(uintptr_t)text, sizeof(text) - 1, 0),
                 !waits);
}

/* What is in the ring, without the filler, by the first letter of its channel. */
static const char *went_up(void)
{
    static char letters[64];
    uint32_t count = 0;
    uint32_t type;
    struct rc_envelope_view view;
    while (client_rig_up(&c, &type, &view)) {
        if (type != RC_UP_PUBLISH || view.channel[0] != 'f') {
            cr_assert_lt(count, sizeof(letters) - 1);
            letters[count++] = type == RC_UP_PUBLISH ? view.channel[0] : '?';
        }
    }
    letters[count] = '\0';
    return letters;
}

static void take(uint32_t records)
{
    uint32_t type;
    struct rc_envelope_view view;
    while (records-- > 0) {
        cr_assert(client_rig_up(&c, &type, &view) && view.channel[0] == 'f');
    }
}

#define BATCH "{\"messages\":[{\"channel\":\"a\",\"data\":1},{\"channel\":\"b\",\"data\":2}]}"

Test(api_publish, a_batch_waits_for_room_from_its_first_message_on)
{
    cr_assert_gt(client_rig_fill(&c, FILLER_BYTES), 4);
    (void)client_rig_fill(&c, 0);
    call("publish", BATCH);
    cr_assert_eq(answered(), 0, "it was refused");
    cr_assert_eq(c.uplink.waiters.count, 1);
    cr_assert_str_eq(went_up(), "");
    rc_clients_uplink_room(&c.clients);
    cr_assert_eq(c.uplink.waiters.count, 0);
    cr_assert_str_eq(went_up(), "ab");
    cr_assert_eq(answered(), 0);
}

Test(api_publish, a_single_message_is_refused_where_there_is_no_room)
{
    (void)client_rig_fill(&c, FILLER_BYTES);
    (void)client_rig_fill(&c, 0);
    call("publish", "{\"channel\":\"a\",\"data\":1}");
    cr_assert_eq(answered(), 503);
    cr_assert_eq(c.uplink.waiters.count, 0);
    cr_assert_str_eq(went_up(), "");
}

/* A little room: a call's messages would fit, but a client waits for more of it. */
Test(api_publish, nobody_overtakes_who_waits)
{
    (void)client_rig_fill(&c, FILLER_BYTES);
    (void)client_rig_fill(&c, 0);
    client_publishes(true);
    take(1);
    call("publish", "{\"channel\":\"a\",\"data\":1}");
    cr_assert_eq(answered(), 503);
    call("broadcast", "{\"data\":1}");
    cr_assert_eq(answered(), 503);
    call("subscribe", "{\"user\":\"u\",\"channel\":\"a\"}");
    cr_assert_eq(answered(), 503);
    call("publish", BATCH);
    cr_assert_eq(answered(), 0);
    cr_assert_eq(c.uplink.waiters.count, 2);
    cr_assert_str_eq(went_up(), "");
    rc_clients_uplink_room(&c.clients);
    cr_assert_str_eq(went_up(), "cab");
}

/* Room for all has come, and those who waited have not had their turn yet: a call comes behind them, and is not refused. */
Test(api_publish, where_there_is_room_again_a_single_message_goes_behind_who_waits)
{
    (void)client_rig_fill(&c, FILLER_BYTES);
    (void)client_rig_fill(&c, 0);
    client_publishes(true);
    cr_assert_str_eq(went_up(), "");
    call("publish", "{\"channel\":\"a\",\"data\":1}");
    cr_assert_eq(answered(), 0);
    cr_assert_str_eq(went_up(), "");
    rc_clients_uplink_room(&c.clients);
    cr_assert_str_eq(went_up(), "ca");
}

/* Nothing of it was sent, and so its caller is told to try again, not that nobody knows. */
Test(api_publish, a_batch_that_never_had_room_was_not_carried_out)
{
    (void)client_rig_fill(&c, FILLER_BYTES);
    (void)client_rig_fill(&c, 0);
    call("publish", BATCH);
    c.rig.io.now_ns += (RC_API_ANSWER_MS + 1) * UINT64_C(1000000);
    rc_asks_expire(&c.asks);
    cr_assert_eq(answered(), 503);
    cr_assert_eq(c.uplink.waiters.count, 0);
    rc_clients_uplink_room(&c.clients);
    cr_assert_str_eq(went_up(), "");
}
