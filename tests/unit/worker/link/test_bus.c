/* What processes tell each other: who is told that another one has taken it, and what becomes of what is for somebody who is not there. */
#include <criterion/criterion.h>
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

TestSuite(link_bus, .init = open_rig, .fini = close_rig);

static size_t put_text(uint8_t *at, const char *text)
{
    rc_link_put_u16(at, (uint16_t)strlen(text));
    memcpy(at + 2, text, strlen(text));
    return 2 + strlen(text);
}

/* A link of a process of that name, which has an adapter of that uid in "/" and keeps to its window. */
static struct rc_link *comes(const char *process)
{
    uint8_t payload[64];
    struct rc_link *link = link_rig_link(&rig, process, UINT64_MAX);
    link->ready.paced = true;
    size_t bytes = put_text(payload, "/");
    bytes += put_text(payload + bytes, process);
    rc_link_bus_enter(rig.links, link, rc_span_of(payload, bytes));
    return link;
}

static void goes(struct rc_link *link)
{
    link->state = RC_LINK_GREETING;
    rc_link_bus_left(rig.links, link);
    link_rig_cut(&rig, link);
}

static void says(struct rc_link *link, const char *uid, const char *to, size_t count)
{
    static uint8_t payload[8192];
    size_t bytes = put_text(payload, "/");
    bytes += put_text(payload + bytes, uid);
    bytes += put_text(payload + bytes, to);
    memset(payload + bytes, 'x', count);
    rc_link_bus_say(rig.links, link, rc_span_of(payload, bytes + count));
}

/* What it was sent is handed on, and it is said so. */
static const char *hands_on(struct rc_link *link)
{
    const char *sent = link_rig_sent(&rig, link);
    const struct rc_link_line *line = rc_truth_link_line(&rig.c.rig.truth, link->line);
    uint8_t payload[8];
    rc_link_put_u64(payload, line->handed + line->kept.count);
    rc_line_receipt(rig.links, link, rc_span_of(payload, sizeof(payload)));
    return sent;
}

static uint64_t dropped(void)
{
    return rc_metric_get(rig.c.rig.hub.metrics, RC_METRIC_LINK_CLUSTER_DROPPED);
}

Test(link_bus, what_is_for_an_adapter_that_is_not_there_is_counted)
{
    struct rc_link *says_it = comes("one");
    struct rc_link *other = comes("two");
    says(says_it, "one", "two", 10);
    says(says_it, "one", "", 10);
    cr_assert_eq(dropped(), 0);
    goes(other);
    says(says_it, "one", "two", 10);
    cr_assert_eq(dropped(), 1);
    says(says_it, "one", "one", 10);
    says(says_it, "one", "", 10);
    cr_assert_eq(dropped(), 1, "to itself, or to all: nobody lacks it");
}

Test(link_bus, a_process_that_is_back_before_another_one_was_told_that_it_was_gone_has_taken_what_was_said_to_it)
{
    struct rc_link *first = comes("one");
    struct rc_link *other = comes("two");
    says(first, "one", "two", 5000); /* more than it takes, and a window */
    rc_link_bus_work(rig.links);
    cr_assert_null(strstr(hands_on(first), "TAKEN"), "it has not taken that");
    goes(other);
    rc_link_bus_work(rig.links);
    cr_assert_null(strstr(hands_on(first), "TAKEN"), "it is gone");
    other = comes("two");
    rc_link_bus_work(rig.links);
    cr_assert_not_null(strstr(hands_on(first), "TAKEN"));
    rc_link_bus_work(rig.links);
    cr_assert_null(strstr(hands_on(first), "TAKEN"), "once");
}

Test(link_bus, who_has_the_place_of_another_one_begins_anew)
{
    struct rc_link *first = comes("one");
    struct rc_link *other = comes("two");
    const size_t place = (size_t)(other - rig.links->links);
    says(first, "one", "two", 5000);
    says(other, "two", "one", 5000);
    (void)hands_on(first);
    (void)hands_on(other);
    rc_link_bus_work(rig.links);
    says(other, "two", "one", 1000);
    says(first, "one", "two", 1000);
    cr_assert_neq(first->cluster_taken[place], 0);
    cr_assert_neq(first->said[place], 0);
    goes(other);
    cr_assert_eq(first->cluster_taken[place], 0);
    cr_assert_eq(first->said[place], 0);
}

Test(link_bus, who_is_linked_anew_again_and_again_does_not_say_without_end_to_who_takes_nothing)
{
    const struct rc_link *other = comes("two");
    const uint64_t most = other->table->config.max_unsent_bytes;
    other->table->config.max_frame_bytes = 4 * most;
    uint64_t said = 0;
    unsigned links = 0;
    while (dropped() == 0) {
        struct rc_link *again = comes("one");
        for (uint64_t its = 0; its < 8 * most && dropped() == 0; its += 4000) { /* half of its part */
            says(again, "one", "two", 4000);
            said += 4000;
        }
        goes(again);
        cr_assert_lt(++links, 8, "%llu bytes", (unsigned long long)said);
    }
    cr_assert_gt(said, 2 * (16 + 4) * most, "%llu bytes", (unsigned long long)said);
    cr_assert_null(other->why);
}
