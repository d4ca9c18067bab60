/* A session that goes to another host, both hosts in one process: what it missed there and here comes once and in order, what cannot be told apart
 * ends it, and a relay that dies in between leaves none. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/query.h"
#include "relay/recovery/abroad.h"
#include "tests/support/recovery_host.h"

#define BYTES (256u * 1024)
#define PID "pid-of-the-session-1"
#define SID "sid-of-the-session-1"

struct host {
    void *memory;
    struct rc_recovery recovery;
    uint64_t sequence;
    char answer[4096]; /* data of what was missed, each with a space behind it */
    uint16_t code;
};

static struct host hosts[2];
static struct rc_config config;
static struct rc_metrics metrics;

static uint64_t next_sequence(void *context)
{
    struct host *host = context;
    return ++host->sequence;
}

static int on_send(void *context, uint32_t worker, const struct rc_envelope_view *down)
{
    struct host *host = context;
    struct rc_missed_entry entry;
    struct rc_missed_parts parts;
    struct rc_span rest = rc_span_of(down->data, down->head.data_bytes);
    (void)worker;
    host->code = down->head.code;
    if (rest.count < sizeof(struct rc_missed_head)) {
        return 0;
    }
    rest = rc_span_of(rest.bytes + sizeof(struct rc_missed_head), rest.count - sizeof(struct rc_missed_head));
    while (rc_missed_next(&rest, &entry, &parts)) {
        const size_t used = strlen(host->answer);
        cr_assert(rc_span_equal(parts.channel, RC_SPAN("lobby")) || rc_span_equal(parts.channel, RC_SPAN("/#")));
        (void)snprintf(host->answer + used, sizeof(host->answer) - used, "%.*s ", (int)parts.data.count,
                       (const char *)parts.data.bytes);
    }
    return 0;
}

static void host_open(struct host *host, const char *instance)
{
    struct rc_recovery_view view;
    host_view(&view, host->memory, BYTES, &config, 1000);
    struct rc_recovery_setup setup = host_setup(&view, &config, &metrics);
    setup.instance_id = instance;
    setup.boot_nonce = 7;
    setup.sequence = next_sequence;
    setup.send = on_send;
    setup.context = host;
    host_begins(&host->recovery, &setup);
}

static void open_all(void)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(hosts); i++) {
        hosts[i] = (struct host){.memory = calloc(1, BYTES)};
        host_open(&hosts[i], i == 0 ? "a" : "b");
    }
}

static void close_all(void)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(hosts); i++) {
        rc_recovery_close(&hosts[i].recovery);
        free(hosts[i].memory);
    }
}

TestSuite(abroad, .init = open_all, .fini = close_all);

static void tell(enum rc_sio_session_state state)
{
    uint8_t data[256];
    const char rooms[] = "/#\0lobby";
    struct rc_sio_session_head head = {.state = (uint8_t)state, .user_bytes = 3, .rooms_bytes = sizeof(rooms)};
    memcpy(head.pid, PID, RC_PID_BYTES);
    memcpy(head.sid, SID, RC_SID_BYTES);
    memcpy(data, &head, sizeof(head));
    memcpy(data + sizeof(head), "ann", 3);
    memcpy(data + sizeof(head) + 3, rooms, sizeof(rooms));
    const struct rc_envelope_view up = {
        .head = {.origin = {.random = 77}, .channel_bytes = 2, .data_bytes = sizeof(head) + 3 + sizeof(rooms)},
        .channel = "/#",
        .data = data};
    rc_recovery_take(&hosts[0].recovery, 0, 1, true, &up, 100);
}

static void say_as(struct host *host, uint16_t flags, uint32_t identity, const char *text)
{
    const struct rc_envelope_view message = {.head = {.sequence = ++host->sequence,
                                                      .flags = flags,
                                                      .channel_hash = rc_channel_hash("lobby", 5),
                                                      .channel_bytes = 5,
                                                      .data_bytes = (uint32_t)strlen(text)},
                                             .channel = "lobby",
                                             .data = (const uint8_t *)text};
    rc_recovery_keep(&host->recovery, RC_DOWN_MESSAGE, &message, identity, 100);
}

static void say(struct host *host, uint32_t identity, const char *text)
{
    say_as(host, 0, identity, text);
}

static struct rc_span claim_of(const char *user)
{
    static uint8_t data[64];
    struct rc_sio_session_claim claim = {.user_bytes = (uint8_t)strlen(user)};
    memcpy(claim.pid, PID, RC_PID_BYTES);
    memcpy(data, &claim, sizeof(claim));
    memcpy(data + sizeof(claim), user, strlen(user));
    return rc_span_of(data, sizeof(claim) + strlen(user));
}

static struct rc_recovery_given given[16];
static uint32_t given_count;

static bool give(void *context, const struct rc_recovery_given *message)
{
    (void)context;
    given[given_count++] = *message;
    return true;
}

static uint64_t both; /* up to there both have heard */

/* From the first host to the second, which expects it since before `middle`. */
static uint16_t go(void (*middle)(void))
{
    const struct rc_recovery_asked_for asked = {.channel = RC_SPAN("/#"), .claim = claim_of("ann")};
    struct rc_span record;
    uint64_t lost_ms = 0;
    cr_assert_eq(rc_recovery_abroad_find(&hosts[0].recovery, &asked, 100, &record, &lost_ms), 0);
    cr_assert(rc_recovery_abroad_expect(&hosts[1].recovery, asked.channel, record, 100));
    cr_assert(!rc_recovery_abroad_expect(&hosts[1].recovery, asked.channel, record, 100), "once");
    middle();
    given_count = 0;
    cr_assert_eq(rc_recovery_abroad_give(&hosts[0].recovery, &asked, 100, give, NULL), 0);
    const uint16_t code = rc_recovery_abroad_arrived(&hosts[1].recovery, PID, both, given, given_count, 100);
    rc_recovery_abroad_gone(&hosts[0].recovery, PID);
    cr_assert_eq(rc_recovery_abroad_find(&hosts[0].recovery, &asked, 100, &record, &lost_ms), RC_SIO_SESSION_UNKNOWN);
    return code;
}

/* What a worker of the host gets. */
static const char *asks(struct host *host)
{
    uint8_t data[128];
    const struct rc_query_head head = {.kind = RC_QUERY_MISSED};
    const struct rc_span claim = claim_of("ann");
    memcpy(data, &head, sizeof(head));
    memcpy(data + sizeof(head), claim.bytes, claim.count);
    const struct rc_envelope_view up = {
        .head = {.origin = {.random = 5}, .channel_bytes = 2, .data_bytes = (uint32_t)(sizeof(head) + claim.count)},
        .channel = "/#",
        .data = data};
    host->answer[0] = '\0';
    host->code = 999;
    cr_assert(rc_recovery_asked(&host->recovery, 0, &up, 100));
    return host->answer;
}

static void both_hear(void)
{
    say(&hosts[0], 11, "both");
    say(&hosts[1], 11, "both");
    say(&hosts[1], 12, "late");
    cr_assert_str_eq(asks(&hosts[1]), "");
    cr_assert_eq(hosts[1].code, RC_SIO_SESSION_CONNECTED, "it is on its way");
}

Test(abroad, what_came_both_ways_comes_once)
{
    tell(RC_SIO_SESSION_LIVE);
    tell(RC_SIO_SESSION_LOST);
    say(&hosts[0], 10, "first");
    say(&hosts[1], 10, "nobody wants it there yet");
    cr_assert_eq(go(both_hear), 0);
    say(&hosts[1], 13, "after");
    cr_assert_str_eq(asks(&hosts[1]), "first both late after ");
    cr_assert_str_eq(asks(&hosts[1]), "", "once");
}

static void the_same_without_a_name(void)
{
    say(&hosts[0], 0, "tick");
    say(&hosts[1], 0, "tick");
}

static void another_without_a_name(void)
{
    say(&hosts[0], 0, "tick");
    say(&hosts[1], 0, "tack");
}

static void the_same_twice(void)
{
    say(&hosts[0], 20, "tick");
    say(&hosts[1], 21, "tick");
}

Test(abroad, what_cannot_be_told_apart_ends_it)
{
    tell(RC_SIO_SESSION_LIVE);
    tell(RC_SIO_SESSION_LOST);
    cr_assert_eq(go(the_same_without_a_name), RC_SIO_SESSION_TOO_OLD);
    cr_assert_str_eq(asks(&hosts[1]), "");
    cr_assert_eq(hosts[1].code, RC_SIO_SESSION_UNKNOWN);
}

Test(abroad, what_can_be_does_not)
{
    tell(RC_SIO_SESSION_LIVE);
    tell(RC_SIO_SESSION_LOST);
    cr_assert_eq(go(another_without_a_name), 0);
    cr_assert_str_eq(asks(&hosts[1]), "tick tack ");
}

/* The first host's clients had "old" from it at once; Redis, which was away, brings it to the second one only now. */
static void brings_what_was_had(void)
{
    say_as(&hosts[1], RC_ENVELOPE_REMOTE, 21, "old");
    say_as(&hosts[0], RC_ENVELOPE_REMOTE, 22, "missed");
    say_as(&hosts[1], RC_ENVELOPE_REMOTE, 22, "missed");
    say(&hosts[1], 23, "own");
    both = hosts[1].sequence;
    say_as(&hosts[1], RC_ENVELOPE_REMOTE, 24, "behind");
}

Test(abroad, what_both_had_heard_before_it_was_asked_for_is_not_new)
{
    say(&hosts[0], 21, "old");
    tell(RC_SIO_SESSION_LIVE);
    tell(RC_SIO_SESSION_LOST);
    cr_assert_eq(go(brings_what_was_had), 0);
    cr_assert_str_eq(asks(&hosts[1]), "missed own behind ");
}

Test(abroad, two_that_read_the_same_are_two)
{
    tell(RC_SIO_SESSION_LIVE);
    tell(RC_SIO_SESSION_LOST);
    cr_assert_eq(go(the_same_twice), 0);
    cr_assert_str_eq(asks(&hosts[1]), "tick tick ");
}

static void a_hole(void)
{
    rc_recovery_hole(&hosts[1].recovery, RC_SPAN("lobby"), ++hosts[1].sequence, 100);
}

Test(abroad, what_was_missed_on_the_way_ends_it)
{
    tell(RC_SIO_SESSION_LIVE);
    tell(RC_SIO_SESSION_LOST);
    cr_assert_eq(go(a_hole), RC_SIO_SESSION_TOO_OLD);
}

Test(abroad, who_may_not_have_it_leaves_it_where_it_is)
{
    struct rc_recovery_asked_for asked = {.channel = RC_SPAN("/#"), .claim = claim_of("ann")};
    struct rc_span record;
    uint64_t lost_ms = 0;
    tell(RC_SIO_SESSION_LIVE);
    cr_assert_eq(rc_recovery_abroad_find(&hosts[0].recovery, &asked, 100, &record, &lost_ms), RC_SIO_SESSION_CONNECTED);
    tell(RC_SIO_SESSION_LOST);
    asked.claim = claim_of("bob");
    cr_assert_eq(rc_recovery_abroad_find(&hosts[0].recovery, &asked, 100, &record, &lost_ms),
                 RC_SIO_SESSION_FOREIGN_USER);
    asked = (struct rc_recovery_asked_for){.channel = RC_SPAN("/chat#"), .claim = claim_of("ann")};
    cr_assert_eq(rc_recovery_abroad_find(&hosts[0].recovery, &asked, 100, &record, &lost_ms), RC_SIO_SESSION_UNKNOWN);
    cr_assert(!rc_recovery_abroad_expect(&hosts[1].recovery, RC_SPAN("/#"), RC_SPAN("no session"), 100));
    cr_assert_str_eq(asks(&hosts[0]), "");
    cr_assert_eq(hosts[0].code, 0);
}

Test(abroad, a_successor_does_not_expect_it_any_more)
{
    const struct rc_recovery_asked_for asked = {.channel = RC_SPAN("/#"), .claim = claim_of("ann")};
    struct rc_span record;
    uint64_t lost_ms = 0;
    tell(RC_SIO_SESSION_LIVE);
    tell(RC_SIO_SESSION_LOST);
    cr_assert_eq(rc_recovery_abroad_find(&hosts[0].recovery, &asked, 100, &record, &lost_ms), 0);
    cr_assert(rc_recovery_abroad_expect(&hosts[1].recovery, asked.channel, record, 100));
    rc_recovery_close(&hosts[1].recovery);
    host_open(&hosts[1], "b");
    cr_assert_eq(rc_recovery_abroad_arrived(&hosts[1].recovery, PID, 0, NULL, 0, 100), RC_SIO_SESSION_UNKNOWN);
}
