/*
 * telling: what servers of applications are told stands in its order, in the truth: a second hub on a copy of it goes on there.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/hub_rig.h"
#include "worker/backend/telling.h"
#include "worker/store/truth_check.h"

static struct hub_rig rig;

static const struct hub_rig_options options = {.slots = 4, .worker_log_bytes = UINT64_C(1) << 20};

static void add(struct rc_telling_queue *queue, enum rc_telling_kind kind, uint8_t to, const char *text)
{
    cr_assert_eq(rc_telling_add(&rig.hub, queue, kind, (struct rc_telling_to){.number = to}, rc_span_text(text), 77),
                 0);
}

static void is_first(const struct rc_telling_queue *queue, const char *text)
{
    cr_assert_neq(queue->first, 0);
    const struct rc_span its = rc_telling_text(&rig.hub, queue->first);
    cr_assert(rc_span_equal(its, rc_span_text(text)), "%.*s in place of %s", (int)its.count, (const char *)its.bytes,
              text);
}

static void is_whole(void)
{
    struct rc_err err = {0};
    cr_assert_eq(rc_truth_check_own(&rig.truth, &err), 0, "%s", err.text);
}

Test(telling, in_order_and_gone_when_removed)
{
    struct rc_telling_queue queue = {0};
    hub_rig_open(&rig, &options);
    add(&queue, RC_TELLING_WEBHOOK, 0, "one");
    add(&queue, RC_TELLING_WEBHOOK, 0, "two");
    cr_assert_eq(queue.count, 2);
    cr_assert_eq(rc_telling_since_ms(&rig.hub, &queue), 77);
    is_whole();
    is_first(&queue, "one");
    cr_assert_neq(rc_telling_next(&rig.hub, queue.first), 0);
    rc_telling_remove_first(&rig.hub, &queue);
    is_first(&queue, "two");
    rc_telling_remove_first(&rig.hub, &queue);
    cr_assert(queue.first == 0 && queue.last == 0 && queue.count == 0 && queue.bytes == 0);
    cr_assert_eq(rig.truth.tellings.used, 0);
    cr_assert_eq(rig.hub.input_bytes, 0);
    add(&queue, RC_TELLING_WEBHOOK, 0, "three");
    is_first(&queue, "three");
    rc_telling_remove_first(&rig.hub, &queue);
    is_whole();
    hub_rig_close(&rig);
}

Test(telling, more_than_there_is_room_for_is_refused)
{
    static char text[65536];
    struct rc_telling_queue queue = {0};
    hub_rig_open(&rig, &options);
    int rc = 0;
    for (uint32_t i = 0; rc == 0; i++) {
        cr_assert_lt(i, 20);
        rc = rc_telling_add(&rig.hub, &queue, RC_TELLING_DISCONNECT, (struct rc_telling_to){.number = 1},
                            rc_span_of(text, sizeof(text)), 1);
    }
    cr_assert_eq(rc, -ENOMEM);
    cr_assert_gt(queue.count, 4);
    is_whole();
    while (queue.count > 0) {
        rc_telling_remove_first(&rig.hub, &queue);
    }
    const uint32_t most = rig.truth.tellings.count_max;
    rig.truth.tellings.count_max = rig.truth.tellings.high;
    for (uint32_t i = 1; i < rig.truth.tellings.high; i++) {
        add(&queue, RC_TELLING_DISCONNECT, 1, "x");
    }
    cr_assert_eq(
        rc_telling_add(&rig.hub, &queue, RC_TELLING_DISCONNECT, (struct rc_telling_to){.number = 1}, RC_SPAN("x"), 1),
        -ENOMEM);
    rig.truth.tellings.count_max = most;
    while (queue.count > 0) {
        rc_telling_remove_first(&rig.hub, &queue);
    }
    is_whole();
    hub_rig_close(&rig);
}

struct queues {
    struct rc_telling_queue of[2];
};

static struct rc_telling_queue *queue_of(void *context, struct rc_telling_to to)
{
    struct queues *queues = context;
    return to.number < 2 ? &queues->of[to.number] : NULL;
}

/* As a successor does: the queues are made from the truth alone. */
Test(telling, a_successor_has_them_in_their_order)
{
    struct queues before = {0};
    struct queues webhooks = {0};
    struct queues others = {0};
    struct rc_telling_queue third = {0};
    char text[16];
    hub_rig_open(&rig, &options);
    for (uint32_t i = 0; i < 20; i++) {
        snprintf(text, sizeof(text), "%u", i);
        add(&before.of[i % 2], RC_TELLING_WEBHOOK, i % 2, text);
        if (i == 9) { /* their places come again, in another order */
            rc_telling_remove_first(&rig.hub, &before.of[1]);
            rc_telling_remove_first(&rig.hub, &before.of[0]);
        }
    }
    add(&others.of[0], RC_TELLING_DISCONNECT, 0, "gone");
    add(&third, RC_TELLING_WEBHOOK, 2, "nobody is that");
    others = (struct queues){0};
    cr_assert_eq(rc_tellings_take(&rig.hub, RC_TELLING_WEBHOOK, &webhooks, queue_of), 1,
                 "whose server is not there any more");
    cr_assert_eq(rc_tellings_take(&rig.hub, RC_TELLING_DISCONNECT, &others, queue_of), 0);
    is_whole();
    for (uint32_t i = 2; i < 20; i++) {
        snprintf(text, sizeof(text), "%u", i);
        is_first(&webhooks.of[i % 2], text);
        rc_telling_remove_first(&rig.hub, &webhooks.of[i % 2]);
    }
    cr_assert_eq(webhooks.of[0].count + webhooks.of[1].count, 0);
    is_first(&others.of[0], "gone");
    rc_telling_remove_first(&rig.hub, &others.of[0]);
    cr_assert_eq(rig.truth.tellings.used, 0);
    is_whole();
    hub_rig_close(&rig);
}
