/* wheel: see wheel.h. */
#include "worker/io/wheel.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/check.h"

int rc_wheel_open(struct rc_wheel *wheel, uint32_t count, uint32_t now_ds)
{
    RC_ASSERT(now_ds > 0 && count <= RC_WHEEL_FIRST);
    *wheel = (struct rc_wheel){.count = count, .now_ds = now_ds, .turn = now_ds / RC_WHEEL_TURN};
    wheel->nodes = calloc(count, sizeof(*wheel->nodes));
    if (wheel->nodes == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < RC_WHEEL_TURN + RC_WHEEL_FAR_TURNS; i++) {
        wheel->buckets[i] = RC_WHEEL_NONE;
    }
    return 0;
}

void rc_wheel_close(struct rc_wheel *wheel)
{
    free(wheel->nodes);
    wheel->nodes = NULL;
}

static uint32_t far_bucket(uint32_t turn)
{
    return RC_WHEEL_TURN + turn % RC_WHEEL_FAR_TURNS;
}

/* Within a turn from now a tick's bucket has timers of that tick only. */
static uint32_t bucket_of(const struct rc_wheel *wheel, uint32_t deadline_ds)
{
    return deadline_ds - wheel->now_ds <= RC_WHEEL_TURN ? deadline_ds % RC_WHEEL_TURN
                                                        : far_bucket(deadline_ds / RC_WHEEL_TURN);
}

static void link_node(struct rc_wheel *wheel, uint32_t index)
{
    struct rc_wheel_node *node = &wheel->nodes[index];
    const uint32_t bucket = bucket_of(wheel, node->deadline_ds);
    node->previous = RC_WHEEL_FIRST | bucket;
    node->next = wheel->buckets[bucket];
    if (node->next != RC_WHEEL_NONE) {
        wheel->nodes[node->next].previous = index;
    }
    wheel->buckets[bucket] = index;
}

static void unlink_node(struct rc_wheel *wheel, const struct rc_wheel_node *node)
{
    if (node->next != RC_WHEEL_NONE) {
        wheel->nodes[node->next].previous = node->previous;
    }
    if ((node->previous & RC_WHEEL_FIRST) == 0) {
        wheel->nodes[node->previous].next = node->next;
    } else {
        wheel->buckets[node->previous & ~RC_WHEEL_FIRST] = node->next;
    }
}

void rc_wheel_clear(struct rc_wheel *wheel, uint32_t index)
{
    struct rc_wheel_node *node = &wheel->nodes[index];
    if (node->deadline_ds == 0) {
        return;
    }
    unlink_node(wheel, node);
    node->deadline_ds = 0;
    wheel->pending--;
}

void rc_wheel_set(struct rc_wheel *wheel, uint32_t index, uint32_t deadline_ds)
{
    struct rc_wheel_node *node = &wheel->nodes[index];
    if (deadline_ds <= wheel->now_ds) {
        deadline_ds = wheel->now_ds + 1;
    }
    if (node->deadline_ds == deadline_ds) {
        return;
    }
    rc_wheel_clear(wheel, index);
    node->deadline_ds = deadline_ds;
    link_node(wheel, index);
    wheel->pending++;
}

/* A turn begins: what is due in it goes to its tick, what is due whole rounds of far buckets later stays. */
static void wheel_spread(struct rc_wheel *wheel, uint32_t turn)
{
    uint32_t index = wheel->buckets[far_bucket(turn)];
    while (index != RC_WHEEL_NONE) {
        const struct rc_wheel_node *node = &wheel->nodes[index];
        const uint32_t next = node->next;
        if (node->deadline_ds / RC_WHEEL_TURN == turn) {
            unlink_node(wheel, node);
            link_node(wheel, index);
        }
        index = next;
    }
    wheel->turn = turn;
}

uint32_t rc_wheel_expire(struct rc_wheel *wheel, uint32_t now_ds)
{
    while (wheel->now_ds < now_ds) {
        const uint32_t tick = wheel->now_ds + 1;
        if (wheel->pending == 0) {
            wheel->now_ds = now_ds;
            wheel->turn = now_ds / RC_WHEEL_TURN;
            break;
        }
        if (tick / RC_WHEEL_TURN != wheel->turn) {
            wheel_spread(wheel, tick / RC_WHEEL_TURN);
        }
        const uint32_t index = wheel->buckets[tick % RC_WHEEL_TURN];
        if (index != RC_WHEEL_NONE) {
            rc_wheel_clear(wheel, index);
            return index;
        }
        wheel->now_ds = tick;
    }
    return RC_WHEEL_NONE;
}

uint32_t rc_wheel_sleep(const struct rc_wheel *wheel, uint32_t limit)
{
    if (wheel->pending == 0) {
        return limit;
    }
    for (uint32_t ticks = 1; ticks < limit; ticks++) {
        const uint32_t tick = wheel->now_ds + ticks;
        if (wheel->buckets[tick % RC_WHEEL_TURN] != RC_WHEEL_NONE ||
            (tick % RC_WHEEL_TURN == 0 && wheel->buckets[far_bucket(tick / RC_WHEEL_TURN)] != RC_WHEEL_NONE)) {
            return ticks;
        }
    }
    return limit;
}
