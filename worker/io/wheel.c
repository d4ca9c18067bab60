/* wheel: see wheel.h. */
#include "worker/io/wheel.h"

#include <errno.h>
#include <stdlib.h>

#include "common/check.h"

int rc_wheel_open(struct rc_wheel *wheel, uint32_t count, uint32_t now_ds)
{
    RC_ASSERT(now_ds > 0);
    *wheel = (struct rc_wheel){.count = count, .now_ds = now_ds};
    wheel->nodes = calloc(count, sizeof(*wheel->nodes));
    if (wheel->nodes == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < RC_WHEEL_BUCKETS; i++) {
        wheel->buckets[i] = RC_WHEEL_NONE;
    }
    return 0;
}

void rc_wheel_close(struct rc_wheel *wheel)
{
    free(wheel->nodes);
    wheel->nodes = NULL;
}

void rc_wheel_clear(struct rc_wheel *wheel, uint32_t index)
{
    struct rc_wheel_node *node = &wheel->nodes[index];
    if (node->deadline_ds == 0) {
        return;
    }
    if (node->next != RC_WHEEL_NONE) {
        wheel->nodes[node->next].previous = node->previous;
    }
    if (node->previous != RC_WHEEL_NONE) {
        wheel->nodes[node->previous].next = node->next;
    } else {
        wheel->buckets[node->deadline_ds % RC_WHEEL_BUCKETS] = node->next;
    }
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
    uint32_t *bucket = &wheel->buckets[deadline_ds % RC_WHEEL_BUCKETS];
    *node = (struct rc_wheel_node){.next = *bucket, .previous = RC_WHEEL_NONE, .deadline_ds = deadline_ds};
    if (*bucket != RC_WHEEL_NONE) {
        wheel->nodes[*bucket].previous = index;
    }
    *bucket = index;
    wheel->pending++;
}

uint32_t rc_wheel_expire(struct rc_wheel *wheel, uint32_t now_ds)
{
    while (wheel->now_ds < now_ds) {
        const uint32_t tick = wheel->now_ds + 1;
        uint32_t index = wheel->buckets[tick % RC_WHEEL_BUCKETS];
        while (index != RC_WHEEL_NONE && wheel->nodes[index].deadline_ds > tick) {
            index = wheel->nodes[index].next;
        }
        if (index != RC_WHEEL_NONE) {
            rc_wheel_clear(wheel, index);
            return index;
        }
        wheel->now_ds = tick;
        if (wheel->pending == 0) {
            wheel->now_ds = now_ds;
        }
    }
    return RC_WHEEL_NONE;
}

uint32_t rc_wheel_sleep(const struct rc_wheel *wheel, uint32_t limit)
{
    if (wheel->pending == 0) {
        return limit;
    }
    for (uint32_t ticks = 1; ticks < limit; ticks++) {
        if (wheel->buckets[(wheel->now_ds + ticks) % RC_WHEEL_BUCKETS] != RC_WHEEL_NONE) {
            return ticks;
        }
    }
    return limit;
}
