/* What a process may take of a worker with its frames: how many sockets a connection has, what is noted of their rooms, what waits for who does not
 * read. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/link_rig.h"
#include "worker/link/link_io.h"

static struct link_rig rig;

static void open_rig(void)
{
    link_rig_open(&rig);
}

static void close_rig(void)
{
    link_rig_close(&rig);
}

TestSuite(link_bounds, .init = open_rig, .fini = close_rig);

static int adds(uint32_t client, uint32_t sid)
{
    char text[16];
    const int bytes = snprintf(text, sizeof(text), "%u-%u", client, sid);
    return rc_link_member_add(rig.links, client, RC_SPAN("/"), rc_span_of(text, (size_t)bytes));
}

Test(link_bounds, a_connection_has_so_many_sockets_and_four_when_half_of_all_are_in_use)
{
    struct rc_link *link = link_rig_link(&rig, "one", UINT64_MAX);
    struct rc_pool *pool = &rig.c.rig.truth.link_members;
    const uint32_t clients[] = {link_rig_client(&rig, link), link_rig_client(&rig, link), link_rig_client(&rig, link)};
    uint32_t count = 0;
    while (adds(clients[0], count) == 0) {
        count++;
    }
    cr_assert_eq(count, pool->count_max / 2 < 1024 ? pool->count_max / 2 : 1024, "%u", count);
    cr_assert_eq(adds(clients[0], count), -EDQUOT);
    cr_assert_eq(adds(clients[0], 0), 0, "it is there already");
    while (pool->used < pool->count_max / 2) {
        cr_assert_eq(adds(clients[1], pool->used), 0);
    }
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(adds(clients[2], i), 0, "each has four");
    }
    cr_assert_eq(adds(clients[2], 4), -EDQUOT);
    rc_link_members_forget(rig.links, clients[0]);
    cr_assert_eq(rc_link_conn_of(rig.links, clients[0])->sockets, 0);
    cr_assert_eq(adds(clients[2], 4), 0, "what is given back may be had again");
}

static bool room(uint32_t client, uint32_t number, bool joined)
{
    char name[1001];
    (void)snprintf(name, sizeof(name), "%01000u", number);
    return rc_link_member_room(rig.links, client, RC_SPAN("/"), rc_span_of(name, 1000), joined);
}

Test(link_bounds, long_names_of_rooms_are_noted_once_and_up_to_a_bound)
{
    struct rc_link *link = link_rig_link(&rig, "one", UINT64_MAX);
    const uint32_t client = link_rig_client(&rig, link);
    cr_assert_eq(adds(client, 1), 0);
    const struct rc_link_member *member =
        rc_truth_link_member(&rig.c.rig.truth, rc_link_conn_of(rig.links, client)->member);
    uint32_t count = 0;
    while (count < 1000 && room(client, count, true)) {
        count++;
        const uint32_t block = member->rooms;
        cr_assert(room(client, count - 1, true));
        cr_assert_eq(member->rooms, block, "it is there already: nothing is written anew");
    }
    cr_assert_eq(count, 262144 / 1002);
    cr_assert(room(client, 5000, false), "it was never there");
    cr_assert_eq(member->rooms_bytes, count * 1002);
    cr_assert(room(client, 7, false));
    cr_assert(room(client, 5000, true));
    cr_assert_not(room(client, 7, true));
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(room(client, i, false));
    }
    cr_assert(room(client, 5000, false));
    cr_assert_eq(member->rooms_bytes, 0);
    cr_assert_eq(member->rooms, 0);
}

/* SESSION of the socket, with data of so many bytes. False: it is not kept. */
static bool says(uint32_t client, uint32_t sid, uint32_t data_bytes)
{
    static uint8_t payload[65536] = {1, 0, '/'};
    char text[16];
    const int bytes = snprintf(text, sizeof(text), "%u-%u", client, sid);
    uint8_t *at = payload + 3;
    rc_link_put_u16(at, (uint16_t)bytes);
    memcpy(at + 2, text, (size_t)bytes);
    at += 2 + bytes;
    memset(at, 0, 6); /* neither pid nor auth */
    rc_link_put_u32(at + 6, data_bytes);
    at += 10;
    memset(at, 'x', data_bytes);
    at[0] = at[data_bytes - 1] = '"';
    rc_link_session(rig.links, client, rc_span_of(payload, (size_t)(at - payload) + data_bytes));
    const uint32_t index = rc_link_member_find(rig.links, RC_SPAN("/"), rc_span_of(text, (size_t)bytes));
    return rc_truth_link_member(&rig.c.rig.truth, index)->session != 0;
}

Test(link_bounds, what_is_kept_of_sockets_has_a_bound_for_each_connection_and_for_all)
{
    struct rc_link *link = link_rig_link(&rig, "one", UINT64_MAX);
    const uint32_t clients[] = {link_rig_client(&rig, link), link_rig_client(&rig, link)};
    const uint64_t most = rig.c.rig.truth.layout->heap_bytes / 2;
    uint32_t count = 0;
    do {
        cr_assert_eq(adds(clients[0], count), 0);
    } while (says(clients[0], count++, 60000));
    cr_assert_eq(count - 1, (4u << 20) / (60000 + sizeof(struct rc_link_session)));
    cr_assert_lt(rig.links->kept_bytes, most / 2, "the rig has memory for more");
    cr_assert_eq(adds(clients[1], 0), 0);
    cr_assert_eq(adds(clients[1], 1), 0);
    cr_assert(says(clients[1], 0, 60000));
    rig.links->kept_bytes += most / 2; /* others' */
    cr_assert(says(clients[1], 0, 10000), "who has less than before is heard");
    cr_assert_not(says(clients[1], 0, 20000));
    cr_assert(says(clients[1], 1, 16000));
    cr_assert_not(says(clients[1], 0, 1000), "16 KiB of both");
    rig.links->kept_bytes -= most / 2;
    rc_link_members_forget(rig.links, clients[0]);
    cr_assert_eq(rig.links->kept_bytes, 16000 + sizeof(struct rc_link_session));
    cr_assert(rc_link_member_remove(rig.links, clients[1], RC_SPAN("/"), RC_SPAN("2-1")) || clients[1] != 2);
    rc_link_members_forget(rig.links, clients[1]);
    cr_assert_eq(rig.links->kept_bytes, 0);
}

Test(link_bounds, who_does_not_read_is_told_of_its_frames_when_it_does)
{
    struct rc_link *link = link_rig_link(&rig, "one", UINT64_MAX);
    const struct rc_link_head head = {.type = RC_LINK_JOIN, .connection = 1, .length = 65536}; /* told of at once */
    for (uint32_t i = 0; i < 10000; i++) {
        rc_line_take(rig.links, link, &head);
        rc_line_tell(rig.links, link);
    }
    cr_assert_lt(rc_link_unsent(rig.links, link), 2 * rig.table.config.max_unsent_bytes);
    (void)link_rig_sent(&rig, link);
    rc_line_tell(rig.links, link);
    cr_assert_str_eq(link_rig_sent(&rig, link), "RECEIPT 10000");
}

Test(link_bounds, who_does_not_read_and_asks_for_sessions_that_there_are_not_is_not_answered)
{
    static const uint8_t request[] = {7, 0, 0, 0, 1, 0, '/', 0, 0, 0, 0};
    struct rc_link *link = link_rig_link(&rig, "one", UINT64_MAX);
    for (uint32_t i = 0; i < 10000; i++) {
        rc_link_recovery_asked(rig.links, link, rc_span_of(request, sizeof(request)));
    }
    cr_assert_lt(rc_link_unsent(rig.links, link), 2 * rig.table.config.max_unsent_bytes);
    cr_assert_lt(rc_truth_link_line(&rig.c.rig.truth, link->line)->kept.bytes, 2 * rig.table.config.max_unsent_bytes);
    cr_assert_eq(rig.links->question_count, 0);
    cr_assert_null(link->why);
}

Test(link_bounds, detach_said_again_means_nothing)
{
    struct rc_link *link = link_rig_link(&rig, "one", UINT64_MAX);
    const uint32_t client = link_rig_client(&rig, link);
    rc_resume_detach(rig.links, link, true);
    cr_assert(rc_link_conn_of(rig.links, client)->holding);
    rc_link_conn_of(rig.links, client)->holding = false;
    rc_resume_detach(rig.links, link, true);
    cr_assert_not(rc_link_conn_of(rig.links, client)->holding, "nobody looks at all of them for it");
}

/* --- processes that speak to each other ------------------------------------------------------------------------------ */

static void enters(struct rc_link *link, const char *uid)
{
    uint8_t payload[64] = {1, 0, '/'};
    const size_t bytes = strlen(uid);
    rc_link_put_u16(payload + 3, (uint16_t)bytes);
    memcpy(payload + 5, uid, bytes);
    rc_link_bus_enter(rig.links, link, rc_span_of(payload, 5 + bytes));
}

/* CLUSTER of 512 bytes from that adapter to all others of "/". */
static void speaks(struct rc_link *link, const char *uid)
{
    uint8_t payload[512] = {1, 0, '/'};
    const size_t bytes = strlen(uid);
    rc_link_put_u16(payload + 3, (uint16_t)bytes);
    memcpy(payload + 5, uid, bytes);
    rc_link_bus_say(rig.links, link, rc_span_of(payload, sizeof(payload)));
}

static unsigned frames_of(const struct rc_link *link, const char *name)
{
    unsigned count = 0;
    for (const char *at = link_rig_sent(&rig, link); (at = strstr(at, name)) != NULL; at += strlen(name)) {
        count++;
    }
    return count;
}

/* What it was sent is handed on. */
static void hands_on(struct rc_link *link)
{
    const struct rc_link_line *line = rc_truth_link_line(&rig.c.rig.truth, link->line);
    uint8_t payload[8];
    rc_link_put_u64(payload, line->handed + line->kept.count);
    rc_line_receipt(rig.links, link, rc_span_of(payload, sizeof(payload)));
}

Test(link_bounds, who_says_more_than_another_process_takes_loses_that_and_ends_nobody)
{
    struct rc_link *floods = link_rig_link(&rig, "floods", UINT64_MAX);
    struct rc_link *stands = link_rig_link(&rig, "stands", UINT64_MAX);
    struct rc_link *third = link_rig_link(&rig, "third", UINT64_MAX);
    const uint64_t most = rig.table.config.max_unsent_bytes;
    enters(floods, "floods");
    enters(stands, "stands");
    enters(third, "third");
    (void)link_rig_sent(&rig, stands);
    hands_on(stands);
    for (uint32_t i = 0; i < 1000; i++) {
        speaks(floods, "floods");
        (void)link_rig_sent(&rig, third);
        hands_on(third);
    }
    cr_assert_null(stands->why, "%s", stands->why);
    cr_assert_null(floods->why);
    const struct rc_link_line *line = rc_truth_link_line(&rig.c.rig.truth, stands->line);
    cr_assert_lt(line->kept.bytes, (uint64_t)most * 20);
    const uint64_t before = line->kept.count;
    const uint64_t dropped = rc_metric_get(rig.c.rig.hub.metrics, RC_METRIC_LINK_CLUSTER_DROPPED);
    cr_assert_eq(before + dropped, 1000, "%llu there, %llu dropped", (unsigned long long)before,
                 (unsigned long long)dropped);
    speaks(third, "third");
    cr_assert_eq(line->kept.count, before + 1, "another one has its part");
    (void)link_rig_sent(&rig, stands);
    hands_on(stands);
    speaks(floods, "floods");
    cr_assert_eq(line->kept.count, 1, "and who takes it again is told again");
    cr_assert_eq(rc_metric_get(rig.c.rig.hub.metrics, RC_METRIC_LINK_CLUSTER_DROPPED), dropped);
}

Test(link_bounds, who_comes_and_goes_without_end_fills_nobody)
{
    struct rc_link *floods = link_rig_link(&rig, "floods", UINT64_MAX);
    struct rc_link *stands = link_rig_link(&rig, "stands", UINT64_MAX);
    static const uint8_t gone[] = {1, 0, '/', 1, 0, 'f'};
    enters(stands, "stands");
    for (uint32_t i = 0; i < 5000; i++) {
        enters(floods, "f");
        rc_link_bus_exit(rig.links, floods, rc_span_of(gone, sizeof(gone)));
        if (i % 16 == 0) {
            (void)link_rig_sent(&rig, floods);
            hands_on(floods);
        }
    }
    enters(floods, "f");
    enters(floods, "g");
    cr_assert_null(stands->why, "%s", stands->why);
    const struct rc_link_line *line = rc_truth_link_line(&rig.c.rig.truth, stands->line);
    cr_assert_lt(line->kept.bytes, (uint64_t)rig.table.config.max_unsent_bytes * 2);
    (void)link_rig_sent(&rig, stands);
    hands_on(stands);
    rc_link_bus_work(rig.links);
    cr_assert_eq(frames_of(stands, "PEERS"), 1, "it is told who is there, once");
    rc_link_bus_work(rig.links);
    cr_assert_eq(frames_of(stands, "PEERS"), 0);
}

/* --- rooms that were left ------------------------------------------------------------------------------------------- */

/* JOIN or LEAVE of the client's socket "1" with these rooms: their numbers, four digits each. */
static void rooms_of(uint32_t client, bool joins, uint32_t first, uint32_t count)
{
    static uint8_t payload[65536] = {1, 0, '/', 1, 0, '1'};
    uint8_t *at = payload + 6;
    rc_link_put_u16(at, (uint16_t)count);
    at += 2;
    for (uint32_t i = first; i < first + count; i++) {
        rc_link_put_u16(at, 5);
        (void)snprintf((char *)at + 2, 6, "s%04u", i);
        at += 7;
    }
    const struct rc_span span = rc_span_of(payload, (size_t)(at - payload));
    if (joins) {
        rc_link_join(rig.links, client, span);
    } else {
        rc_link_leave(rig.links, client, false, span);
    }
}

static void says_in(struct rc_link *link, uint32_t number)
{
    uint8_t payload[] = "\1\0/\1\0\5\0s0000\0\0\0\0\1\0\0\1\0\0\0m";
    char name[5];
    (void)snprintf(name, sizeof(name), "%04u", number);
    memcpy(payload + 8, name, 4);
    cr_assert_eq(rc_link_broadcast(rig.links, link, 0, rc_span_of(payload, sizeof(payload) - 1)), 0);
}

Test(link_bounds, who_leaves_rooms_of_which_much_is_still_to_be_sent_is_closed_beyond_a_bound)
{
    struct rc_link *link = link_rig_link(&rig, "one", UINT64_MAX);
    const uint32_t client = link_rig_client(&rig, link);
    const struct rc_link_conn *conn = rc_link_conn_of(rig.links, client);
    const struct rc_metrics *metrics = rig.c.rig.metrics;
    const uint32_t rooms = 1024;
    rooms_of(client, true, 0, rooms + 1);
    for (uint32_t i = 0; i <= rooms; i++) {
        says_in(link, i);
    }
    rooms_of(client, false, 0, rooms);
    rooms_of(client, false, 0, rooms);
    cr_assert_eq(conn->leaving, rooms, "each once, %u", conn->leaving);
    rooms_of(client, true, 3, 1);
    cr_assert_eq(conn->leaving, rooms - 1, "it has come back");
    rooms_of(client, false, 3, 1);
    cr_assert_eq(rc_metric_get(metrics, RC_METRIC_LINK_LEAVING_REFUSED), 0);
    cr_assert(rc_hub_takes(&rig.c.rig.hub, client));
    rooms_of(client, false, rooms, 1);
    cr_assert_eq(rc_metric_get(metrics, RC_METRIC_LINK_LEAVING_REFUSED), 1);
    cr_assert_eq(rig.links->leaving_count, rooms);
    hub_rig_run(&rig.c.rig);
    rc_link_rooms_settle(rig.links);
    cr_assert_eq(rig.links->leaving_count, 0);
    for (uint32_t i = 0; i < 1024; i++) {
        cr_assert_eq(rig.links->leaving_by[i], 0);
    }
}

static uint32_t channels_of(uint32_t client)
{
    const struct rc_truth *truth = &rig.c.rig.truth;
    uint32_t count = 0;
    for (uint32_t i = rc_truth_client(truth, client)->subscriptions; i != 0;
         i = rc_truth_subscription(truth, i)->next) {
        count++;
    }
    return count;
}

Test(link_bounds, a_room_is_left_by_the_socket_that_is_in_it)
{
    struct rc_link *link = link_rig_link(&rig, "one", UINT64_MAX);
    const uint32_t client = link_rig_client(&rig, link);
    static const uint8_t others[] = "\1\0/\1\0\62\1\0\5\0s0000";
    rooms_of(client, true, 0, 1);
    cr_assert_eq(channels_of(client), 2, "the namespace and the room");
    rc_link_leave(rig.links, client, false, rc_span_of(others, sizeof(others) - 1));
    cr_assert_eq(channels_of(client), 2, "LEAVE of a socket that it has not");
    rooms_of(client, false, 0, 1);
    cr_assert_eq(channels_of(client), 1);
}
