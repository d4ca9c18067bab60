/* What outlives a link's stream: frames that are counted, kept and sent again; connections that wait for a process; who may come, and be told what. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/link_rig.h"
#include "worker/link/link_io.h"

#define NOTHING UINT64_MAX

static struct link_rig rig;

static void open_rig(void)
{
    link_rig_open(&rig);
}

static void close_rig(void)
{
    link_rig_close(&rig);
}

TestSuite(link_line, .init = open_rig, .fini = close_rig);

static struct rc_link_line *line_of(const struct rc_link *link)
{
    return rc_truth_link_line(&rig.c.rig.truth, link->line);
}

static bool says(uint32_t client, const char *text)
{
    return rc_link_conn_message(rig.links, client, RC_PART_TEXT, (const uint8_t *)text, strlen(text));
}

static void receipt(struct rc_link *link, uint64_t frames)
{
    uint8_t bytes[8];
    rc_link_put_u64(bytes, frames);
    rc_line_receipt(rig.links, link, rc_span_of(bytes, sizeof(bytes)));
}

static void takes(struct rc_link *link, enum rc_link_type type, uint8_t flags)
{
    rc_line_take(rig.links, link, &(struct rc_link_head){.type = (uint8_t)type, .flags = flags, .connection = 1});
}

static void carry(struct rc_link *link, enum rc_link_type type, uint8_t flags, uint64_t connection)
{
    const struct rc_link_head head = {.type = (uint8_t)type, .flags = flags, .connection = connection};
    cr_assert(rc_link_carry_out(rig.links, link, &head, (struct rc_span){0}));
}

/* Time goes on, and what is due is done. */
static void later(uint64_t ms)
{
    rig.c.rig.io.now_ns += ms * 1000000u;
    rc_resume_work(rig.links);
}

Test(link_line, what_was_not_handed_on_is_sent_again_and_nothing_else)
{
    struct rc_link *link = link_rig_link(&rig, "one", NOTHING);
    const uint32_t client = link_rig_client(&rig, link);
    cr_assert_str_eq(link_rig_sent(&rig, link), "RECEIPT 0");
    cr_assert(says(client, "a") && says(client, "b") && says(client, "c"));
    cr_assert_str_eq(link_rig_sent(&rig, link), "TEXT a, TEXT b, TEXT c");
    receipt(link, 1);
    cr_assert_eq(line_of(link)->kept.count, 2);
    link_rig_cut(&rig, link);
    cr_assert_eq(rig.links->apart, 1);
    cr_assert(says(client, "d"), "it is kept for the process");
    link = link_rig_link(&rig, "one", 2);
    cr_assert_str_eq(link_rig_sent(&rig, link), "RECEIPT! 0, TEXT c, TEXT d");
    cr_assert_eq(rig.links->apart, 0);
    cr_assert(says(client, "e"));
    cr_assert_str_eq(link_rig_sent(&rig, link), "TEXT e");
    receipt(link, 5);
    cr_assert_eq(line_of(link)->kept.count, 0);
}

Test(link_line, what_comes_when_the_stream_has_just_ended_is_kept_for_the_next_one)
{
    struct rc_link *link = link_rig_link(&rig, "one", NOTHING);
    const uint32_t client = link_rig_client(&rig, link);
    cr_assert_str_eq(link_rig_sent(&rig, link), "RECEIPT 0");
    /* As rc_link_terminated does, before rc_links_work comes. */
    rc_link_end(rig.links, link, "the connection has ended");
    link->socket = RC_SOCKET_NONE;
    cr_assert(says(client, "a"));
    link_rig_cut(&rig, link);
    link = link_rig_link(&rig, "one", 0);
    cr_assert_str_eq(link_rig_sent(&rig, link), "RECEIPT! 0, TEXT a");
}

Test(link_line, a_receipt_for_what_was_not_sent_breaks_the_link)
{
    struct rc_link *link = link_rig_link(&rig, "one", NOTHING);
    const uint32_t client = link_rig_client(&rig, link);
    cr_assert(says(client, "a") && says(client, "b"));
    receipt(link, 1);
    receipt(link, 1);
    cr_assert_null(link->why);
    receipt(link, 3);
    cr_assert_not_null(link->why);
    struct rc_link *other = link_rig_link(&rig, "two", NOTHING);
    const uint32_t its = link_rig_client(&rig, other);
    cr_assert(says(its, "a"));
    receipt(other, 1);
    receipt(other, 0);
    cr_assert_not_null(other->why, "nor does it take back what it said");
}

Test(link_line, a_process_that_says_what_cannot_be_begins_anew)
{
    struct rc_link *link = link_rig_link(&rig, "one", NOTHING);
    const uint32_t client = link_rig_client(&rig, link);
    cr_assert(says(client, "a"));
    link_rig_cut(&rig, link);
    link = link_rig_link(&rig, "one", 7);
    cr_assert_str_eq(link_rig_sent(&rig, link), "RECEIPT 0");
    cr_assert_eq(rc_link_bond_of(rig.links, client)->line, 0, "its connections are nobody's now");
    cr_assert_eq(rc_link_bond_of(rig.links, client)->held.count, 1, "and what was not handed on is held");
}

Test(link_line, a_packet_counts_when_its_last_frame_has_come)
{
    struct rc_link *link = link_rig_link(&rig, "one", NOTHING);
    takes(link, RC_LINK_TEXT, RC_LINK_MORE);
    takes(link, RC_LINK_BINARY, RC_LINK_MORE);
    cr_assert_eq(line_of(link)->taken, 0);
    takes(link, RC_LINK_BINARY, 0);
    cr_assert_eq(line_of(link)->taken, 3);
    takes(link, RC_LINK_RECEIPT, 0);
    takes(link, RC_LINK_PONG, 0);
    cr_assert_eq(line_of(link)->taken, 3, "they are not numbered");
    takes(link, RC_LINK_BROADCAST, 0);
    rc_line_untake(rig.links, link);
    cr_assert_eq(line_of(link)->taken, 3);
    rc_line_tell(rig.links, link);
    cr_assert_str_eq(link_rig_sent(&rig, link), "RECEIPT 0", "nobody is woken up for it");
    later(RC_LINE_TELL_MS);
    rc_line_tell(rig.links, link);
    rc_line_tell(rig.links, link);
    cr_assert_str_eq(link_rig_sent(&rig, link), "RECEIPT 3", "said once");
}

Test(link_line, what_was_carried_out_is_told_before_what_is_said_next)
{
    struct rc_link *link = link_rig_link(&rig, "one", NOTHING);
    const uint32_t client = link_rig_client(&rig, link);
    takes(link, RC_LINK_TEXT, 0);
    rc_line_tell(rig.links, link);
    cr_assert(says(client, "a") && says(client, "b"));
    cr_assert_str_eq(link_rig_sent(&rig, link), "RECEIPT 0, RECEIPT 1, TEXT a, TEXT b");
    takes(link, RC_LINK_BROADCAST, 0);
    rc_line_tell(rig.links, link);
    link->carrying = true; /* it may have to be taken once more */
    cr_assert(says(client, "c"));
    later(RC_LINE_TELL_MS);
    rc_line_tell(rig.links, link);
    cr_assert_str_eq(link_rig_sent(&rig, link), "TEXT c");
    link->carrying = false;
    later(RC_LINE_TELL_MS);
    rc_line_tell(rig.links, link);
    cr_assert_str_eq(link_rig_sent(&rig, link), "RECEIPT 2");
}

Test(link_line, the_next_process_gets_what_the_dead_one_had_not_and_what_was_held_in_order)
{
    struct rc_link *link = link_rig_link(&rig, "one", NOTHING);
    const uint32_t client = link_rig_client(&rig, link);
    cr_assert(says(client, "a") && says(client, "b"));
    receipt(link, 1);
    link_rig_cut(&rig, link);
    later(3001); /* it has not come back */
    cr_assert(says(client, "c"));
    struct rc_link *next = link_rig_link(&rig, "two", NOTHING);
    hub_rig_run(&rig.c.rig);
    rc_link_conn_give(rig.links, client, next);
    rc_link_bond_of(rig.links, client)->flags = RC_LINK_BOND_OPENING;
    cr_assert(says(client, "d"), "held until RESUMED");
    cr_assert_str_eq(link_rig_sent(&rig, next), "RECEIPT 0");
    rc_resume_resumed(rig.links, client);
    rc_resume_resumed(rig.links, client); /* said twice means nothing */
    later(1);
    cr_assert_str_eq(link_rig_sent(&rig, next), "TEXT b, TEXT c, TEXT d");
    cr_assert_not(rc_link_conn_of(rig.links, client)->holding);
    cr_assert_eq(rig.links->held_bytes, 0);
}

Test(link_line, what_is_held_has_bounds_of_one_and_of_all)
{
    static char text[641];
    struct rc_link *link = link_rig_link(&rig, "one", NOTHING);
    const uint32_t one = link_rig_client(&rig, link);
    const uint32_t two = link_rig_client(&rig, link);
    const uint32_t three = link_rig_client(&rig, link);
    memset(text, 'x', sizeof(text) - 1);
    carry(link, RC_LINK_DETACH, RC_LINK_HOLD, 0);
    cr_assert(says(one, text));
    cr_assert_not(says(one, text), "max_held");
    cr_assert(says(two, text) && says(three, text));
    cr_assert_not(says(three, text + 540), "max_held_all");
    cr_assert_eq(rig.links->unheld.count, 2);
    rc_link_conn_forget(rig.links, one);
    cr_assert_eq(rig.links->held_bytes,
                 rc_link_bond_of(rig.links, two)->held.bytes + rc_link_bond_of(rig.links, three)->held.bytes);
}

Test(link_line, a_process_that_detaches_has_no_connections_any_more)
{
    struct rc_link *link = link_rig_link(&rig, "one", NOTHING);
    const uint32_t client = link_rig_client(&rig, link);
    const uint64_t connection = rc_link_conn_of(rig.links, client)->id;
    carry(link, RC_LINK_DETACH, RC_LINK_HOLD, 0);
    cr_assert_eq(rc_link_client(rig.links, link, connection), client, "what it says still counts");
    carry(link, RC_LINK_DETACH, 0, 0);
    cr_assert_eq(rc_link_client(rig.links, link, connection), 0);
    cr_assert_eq(link->line, 0);
    cr_assert_null(rc_links_choose(rig.links), "nor does it get new ones");
    receipt(link, 99); /* behind it nothing counts */
    cr_assert_null(link->why);
    later(9000);
    cr_assert_eq(rc_link_conn_of(rig.links, client)->id, connection, "it waits");
}

Test(link_line, how_long_a_process_hands_on_nothing_is_known)
{
    struct rc_link *link = link_rig_link(&rig, "one", NOTHING);
    const uint32_t client = link_rig_client(&rig, link);
    const struct rc_metrics *metrics = rig.c.rig.metrics;
    later(1);
    later(500);
    cr_assert_eq(rc_metric_get(metrics, RC_METRIC_LINK_RECEIPT_LAG_MS), 0, "nothing is there to hand on");
    cr_assert(says(client, "a") && says(client, "b"));
    later(700);
    cr_assert_eq(rc_metric_get(metrics, RC_METRIC_LINK_UNHANDED), 2);
    cr_assert_eq(rc_metric_get(metrics, RC_METRIC_LINK_RECEIPT_LAG_MS), 700);
    receipt(link, 1);
    later(100);
    cr_assert_eq(rc_metric_get(metrics, RC_METRIC_LINK_RECEIPT_LAG_MS), 0);
    later(50);
    cr_assert_eq(rc_metric_get(metrics, RC_METRIC_LINK_RECEIPT_LAG_MS), 50);
    receipt(link, 2);
    later(50);
    cr_assert_eq(rc_metric_get(metrics, RC_METRIC_LINK_RECEIPT_LAG_MS), 0);
}

Test(link_line, strangers_have_sixteen_places_and_the_oldest_gives_way)
{
    struct rc_links *links = rig.links;
    cr_assert_eq(rc_links_may_take(links, RC_SPAN("app")), 0);
    cr_assert_eq(rc_links_may_take(links, RC_SPAN("other")), -ENOENT);
    for (uint32_t i = 0; i < RC_LINKS_STRANGE_MAX; i++) {
        links->links[i] = (struct rc_link){.state = RC_LINK_GREETING,
                                           .table = &rig.table,
                                           .target = RC_LINK_NO_TARGET,
                                           .socket = RC_SOCKET_NONE,
                                           .deadline_ms = i == 5 ? 1 : 1000 + i};
    }
    cr_assert_eq(rc_links_may_take(links, (struct rc_span){0}), 0);
    for (uint32_t i = 0; i < RC_LINKS_STRANGE_MAX; i++) {
        cr_assert_eq(links->links[i].why != NULL, i == 5);
    }
    cr_assert_eq(rc_links_may_take(links, (struct rc_span){0}), 0, "its place is free");
    for (uint32_t i = 0; i < RC_LINKS_DIALLED_MAX; i++) {
        links->links[i] = (struct rc_link){
            .state = RC_LINK_IS_READY, .table = &rig.table, .target = RC_LINK_NO_TARGET, .socket = RC_SOCKET_NONE};
    }
    cr_assert_eq(rc_links_may_take(links, (struct rc_span){0}), -ENOSPC, "who has proved it stays");
    memset(links->links, 0, sizeof(links->links));
}

Test(link_line, who_does_not_take_what_others_say_is_told_no_more_of_it_and_goes_on)
{
    uint8_t enter[] = {1, 0, '/', 1, 0, 'a'};
    static uint8_t payload[2048] = {1, 0, '/', 1, 0, 'a', 0, 0};
    struct rc_link *one = link_rig_link(&rig, "one", NOTHING);
    struct rc_link *two = link_rig_link(&rig, "two", NOTHING);
    rc_link_bus_enter(rig.links, one, rc_span_of(enter, sizeof(enter)));
    enter[5] = 'b';
    rc_link_bus_enter(rig.links, two, rc_span_of(enter, sizeof(enter)));
    const struct rc_link_line *line = rc_truth_link_line(&rig.c.rig.truth, two->line);
    const uint32_t before = line->kept.count;
    for (int i = 0; i < 30; i++) {
        rc_link_bus_say(rig.links, one, rc_span_of(payload, sizeof(payload)));
    }
    cr_assert_eq(line->kept.count, before + 30, "16 times max_unsent are there for it");
    for (int i = 0; i < 10; i++) {
        rc_link_bus_say(rig.links, one, rc_span_of(payload, sizeof(payload)));
    }
    cr_assert_lt(line->kept.count, before + 40);
    cr_assert_null(two->why);
    cr_assert_null(one->why);
}
