/* Which channels of Socket.IO servers are subscribed: while somebody wants them, or for good. */
#include "relay/bridge/adapter_interest.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/support/fake_foreign.h"

static const struct rc_bridge bridge;
static const struct rc_adapter_kind with_rooms = {.marks = {{.mark = "#"}, {.mark = "-request#", .lasting = true}},
                                                  .rooms = true};
static const struct rc_adapter_kind without_rooms = {.marks = {{.mark = "#", .lasting = true}}};
static struct rc_adapter_bridge adapter;

static void open_adapter(void)
{
    adapter = (struct rc_adapter_bridge){
        .bridge = &bridge, .kind = &with_rooms, .head = "k#", .head_bytes = 2, .emission.instance = "abcde"};
    adapter.config.namespace_count = 2;
    (void)snprintf(adapter.config.namespaces[0].text, sizeof(adapter.config.namespaces[0].text), "/");
    (void)snprintf(adapter.config.namespaces[1].text, sizeof(adapter.config.namespaces[1].text), "/x*");
    cr_assert_eq(rc_hashmap_init(&adapter.nsp_map, 8, RC_HASHMAP_COUNT_MAX), 0);
}

static void close_adapter(void)
{
    for (uint32_t i = 0; i < adapter.nsp_count; i++) {
        free(adapter.nsps[i].name);
    }
    free(adapter.nsps);
    rc_hashmap_free(&adapter.nsp_map);
}

TestSuite(adapter_interest, .init = open_adapter, .fini = close_adapter);

static void requested(void *context, struct rc_span nsp, struct rc_adapter_request *request, struct rc_span message)
{
    (void)context;
    (void)nsp;
    (void)request;
    (void)message;
}

static void interest(const char *channel, bool wanted, const char *expected)
{
    foreign_asked[0] = '\0';
    rc_adapter_interest(&adapter, rc_span_text(channel), wanted);
    cr_assert_str_eq(foreign_asked, expected);
}

Test(adapter_interest, what_lasts_is_for_namespaces_with_a_name)
{
    rc_adapter_set_requests(&adapter, requested, NULL);
    cr_assert_str_eq(foreign_asked, "+k-request#/# ");
    interest("red", true, "+k#/#red# +k#/# ");
    interest("/xy#red", true, "+k#/xy#red# +k#/xy# +k-request#/xy# ");
    interest("/xy#red", false, "-k#/xy#red# -k#/xy# -k-request#/xy# ");
    interest("red", false, "-k#/#red# -k#/# ");
}

Test(adapter_interest, without_rooms_a_namespace_is_all)
{
    adapter.kind = &without_rooms;
    rc_adapter_set_requests(&adapter, requested, NULL);
    cr_assert_str_eq(foreign_asked, "+k#/# ");
    interest("red", true, "");
    interest("/y#red", true, "+k#/y# ");
    interest("/y#blue", true, "");
    interest("/y#red", false, "");
    interest("/y#blue", false, "-k#/y# ");
}

/* As many namespaces as come: their places are used again. */
Test(adapter_interest, namespaces_come_and_go)
{
    char channel[32];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 20; i++) {
            (void)snprintf(channel, sizeof(channel), "/n%d#", i);
            rc_adapter_interest(&adapter, rc_span_text(channel), true);
        }
        cr_assert_eq(adapter.nsp_count, 20);
        for (int i = 0; i < 20; i++) {
            (void)snprintf(channel, sizeof(channel), "/n%d#", i);
            rc_adapter_interest(&adapter, rc_span_text(channel), false);
        }
    }
    cr_assert_eq(adapter.nsp_count, 20);
    interest("/n1#", false, ""); /* nobody wanted it */
}

/* Clients choose their names: a newcomer's place must not cost a walk over all that are there. */
Test(adapter_interest, a_hundred_thousand_namespaces)
{
    char channel[32];
    const clock_t start = clock(); /* time on a processor: others may want it, too */
    for (int i = 0; i < 100000; i++) {
        (void)snprintf(channel, sizeof(channel), "/n%d#", i);
        foreign_asked[0] = '\0';
        rc_adapter_interest(&adapter, rc_span_text(channel), true);
        cr_assert_lt(clock() - start, 3 * CLOCKS_PER_SEC, "%d", i);
    }
    rc_adapter_interest(&adapter, RC_SPAN("/n7#"), false);
    rc_adapter_interest(&adapter, RC_SPAN("/n99#"), false);
    interest("/x1#", true, "+k#/x1# ");
    interest("/x2#", true, "+k#/x2# ");
    cr_assert_eq(adapter.nsp_count, 100000, "their places are used again");
    interest("/x3#", true, "+k#/x3# ");
    cr_assert_eq(adapter.nsp_count, 100001);
}

Test(adapter_interest, what_is_no_channel_of_theirs_is_left_alone)
{
    char channel[RC_NSP_MAX + 8];
    interest("*", true, "");
    (void)snprintf(channel, sizeof(channel), "/%0*u#a", (int)RC_NSP_MAX, 0u);
    interest(channel, true, "");
    adapter.bridge = NULL;
    interest("red", true, "");
}
