/*
 * child: see child.h.
 */
#include "acceptor/watch/child.h"

#include <stdio.h>
#include <string.h>

void rc_child_init(struct rc_child *child, int index, struct rc_life *life, struct rc_process *process)
{
    memset(child, 0, sizeof(*child));
    child->index = index;
    if (index == RC_CHILD_RELAY) {
        snprintf(child->name, sizeof(child->name), "relay");
    } else {
        snprintf(child->name, sizeof(child->name), "worker %d", index);
    }
    child->life = life;
    child->process = process;
    child->bell_fd = -1;
    child->pidfd = -1;
    child->order_fd = -1;
}

const char *rc_child_name(const struct rc_child *child)
{
    return child->name;
}

enum rc_child_beat rc_child_check(struct rc_child *child, uint64_t now_ms, uint64_t stuck_ms, uint64_t kill_ms)
{
    if (child->pid == 0 || rc_child_state(child) != RC_PROCESS_READY) {
        return RC_CHILD_BEATS;
    }
    const uint64_t beat_ms = atomic_load_explicit(&child->process->heartbeat_ms, memory_order_relaxed);
    const uint64_t age_ms = now_ms > beat_ms ? now_ms - beat_ms : 0;
    if (kill_ms != 0 && age_ms > kill_ms) {
        child->stuck = true;
        return RC_CHILD_LOST;
    }
    if (age_ms > stuck_ms && !child->stuck) {
        child->stuck = true;
        return RC_CHILD_STUCK;
    }
    if (age_ms <= stuck_ms && child->stuck) {
        child->stuck = false;
        return RC_CHILD_RECOVERED;
    }
    return RC_CHILD_BEATS;
}

int64_t rc_child_load_correction(struct rc_child *child, uint64_t load, uint64_t connections)
{
    const int64_t difference = (int64_t)(load - connections);
    if (difference != child->load_difference || difference == 0) {
        child->load_difference = difference;
        child->load_ticks = 1;
        return 0;
    }
    child->load_ticks++;
    if (child->load_ticks < RC_CHILD_LOAD_TICKS) {
        return 0;
    }
    child->load_ticks = 0;
    child->load_difference = 0;
    return difference;
}
