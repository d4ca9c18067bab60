/* uplink: see uplink.h. */
#include "worker/uplink/uplink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/store/order.h"

/* The predecessor's clients are this one's: the first record that it has not handled is next. It may have died before it rang the relay. */
static int uplink_go_on(struct rc_uplink *uplink, int worker_index, struct rc_err *err)
{
    const uint64_t done = uplink->truth->layout->down.done;
    uint32_t type;
    uint32_t bytes;
    const void *record;
    while (uplink->down.position < done && rc_ring_next(&uplink->down, &type, &record, &bytes) == 1) {}
    rc_waiters_rebuild(&uplink->waiters);
    uplink->written = true;
    return uplink->down.position >= done
               ? 0
               : rc_err_set(err, -EBADMSG, "worker %d has handled its down ring up to %llu, and it ends at %llu",
                            worker_index, (unsigned long long)done, (unsigned long long)uplink->down.position);
}

int rc_uplink_open(struct rc_uplink *uplink, const struct rc_control *control, const struct rc_port_view *port,
                   struct rc_truth *truth, struct rc_metrics *metrics, int worker_index, int relay_bell_fd,
                   const struct rc_uplink_handlers *handlers, struct rc_err *err)
{
    *uplink = (struct rc_uplink){
        .control = control,
        .port = *port,
        .handlers = *handlers,
        .truth = truth,
        .metrics = metrics,
        .relay_bell_fd = relay_bell_fd,
        /* W3 pairs with B1 in acceptor/start/broker.c: the former worker has written its last. */
        .generation = atomic_load_explicit(&control->core->workers[worker_index].generation, memory_order_acquire),
    };
    const uint32_t pair = uplink->generation & 1;
    int rc = rc_ring_attach_producer(&uplink->up, &port->shared->pairs[pair].up, rc_port_data(port, pair, RC_PORT_UP),
                                     port->ring_bytes);
    if (rc == 0) {
        rc = rc_ring_attach_consumer(&uplink->down, &port->shared->pairs[pair].down,
                                     rc_port_data(port, pair, RC_PORT_DOWN), port->ring_bytes);
    }
    if (rc < 0) {
        return rc_err_set(err, rc, "the rings of worker %d cannot be attached: %s", worker_index, strerror(-rc));
    }
    rc = rc_waiters_open(&uplink->waiters, truth);
    if (rc < 0) {
        return rc_err_set(err, rc, "no memory for the connections that wait for the relay");
    }
    if (truth->adopted) {
        return uplink_go_on(uplink, worker_index, err);
    }
    /* What a predecessor of this pair did not read was for its clients. */
    uint32_t type;
    uint32_t bytes;
    const void *record;
    while (rc_ring_next(&uplink->down, &type, &record, &bytes) == 1) {}
    rc_ring_release(&uplink->down);
    truth->layout->down.done = uplink->down.position;
    return 0;
}

void rc_uplink_close(struct rc_uplink *uplink)
{
    rc_waiters_close(&uplink->waiters);
}

bool rc_uplink_room(struct rc_uplink *uplink)
{
    /* Where the ring wraps, a record that is nearly half of it needs more than half: who has tried in vain tries again when its own
     * fits, not over and over. */
    const uint32_t most = (uint32_t)rc_ring_payload_max(&uplink->up);
    const bool half = uplink->first_bytes == 0 && rc_ring_used(&uplink->up) * 2 <= uplink->up.capacity;
    if (half || rc_ring_want_room(&uplink->up, uplink->first_bytes != 0 ? uplink->first_bytes : most)) {
        return true;
    }
    uplink->written = true; /* the relay has to look at what it was asked */
    return false;
}

uint32_t rc_uplink_serve(struct rc_uplink *uplink)
{
    const uint32_t socket = uplink->waiters.first;
    if (socket == RC_WAITERS_NOBODY || !rc_uplink_room(uplink)) {
        return RC_WAITERS_NOBODY;
    }
    rc_waiters_remove(&uplink->waiters, socket);
    uplink->first_bytes = 0;
    uplink->serving = true;
    return socket;
}

void rc_uplink_leave(struct rc_uplink *uplink, uint32_t socket)
{
    uplink->first_bytes = uplink->waiters.first == socket ? 0 : uplink->first_bytes;
    rc_waiters_remove(&uplink->waiters, socket);
}

bool rc_uplink_served(struct rc_uplink *uplink, uint32_t socket, uint64_t position)
{
    uplink->serving = false;
    if (!(uplink->truth->sockets[socket].flags & RC_SOCKET_WAITS_UPLINK) || uplink->up.position != position) {
        return true;
    }
    rc_waiters_add_first(&uplink->waiters, socket);
    uplink->first_bytes = uplink->refused_bytes;
    return false;
}

int rc_uplink_write(struct rc_uplink *uplink, enum rc_record_type type, struct rc_envelope_view *view)
{
    view->head.generation = uplink->generation;
    const uint64_t bytes = rc_envelope_bytes(&view->head);
    if (bytes > rc_ring_payload_max(&uplink->up)) {
        return -EMSGSIZE;
    }
    void *record = rc_ring_claim(&uplink->up, (uint32_t)type, (uint32_t)bytes);
    if (record == NULL && rc_ring_want_room(&uplink->up, (uint32_t)bytes)) {
        record = rc_ring_claim(&uplink->up, (uint32_t)type, (uint32_t)bytes);
    }
    if (record == NULL) {
        rc_metric_add(uplink->metrics, RC_METRIC_UP_FULL, 1);
        uplink->refused_bytes = (uint32_t)bytes;
        uplink->written = true; /* the relay has to look at what it was asked */
        return -EAGAIN;
    }
    rc_envelope_write(record, view);
    rc_ring_commit(&uplink->up, (uint32_t)bytes);
    uplink->written = true;
    rc_metric_add(uplink->metrics, RC_METRIC_UP_RECORDS, 1);
    return 0;
}

int rc_uplink_write_beside(struct rc_uplink *uplink, enum rc_record_type type, struct rc_envelope_view *view)
{
    const uint64_t bytes = rc_envelope_bytes(&view->head);
    const uint64_t half = uplink->first_bytes != 0 ? 0 : uplink->up.capacity / 2;
    if (uplink->waiters.count > 0 && bytes <= rc_ring_payload_max(&uplink->up) &&
        rc_ring_used(&uplink->up) + bytes + 2 * RC_RING_ALIGN > half) {
        rc_metric_add(uplink->metrics, RC_METRIC_UP_FULL, 1);
        return -EAGAIN;
    }
    return rc_uplink_write(uplink, type, view);
}

uint64_t rc_uplink_room_bytes(const struct rc_uplink *uplink)
{
    const uint64_t free = uplink->up.capacity - rc_ring_used(&uplink->up);
    const uint64_t most = rc_ring_payload_max(&uplink->up);
    /* Half of what is free fits wherever the ring wraps. */
    const uint64_t fits = free / 2 < 2 * RC_RING_ALIGN ? 0 : free / 2 - 2 * RC_RING_ALIGN;
    return fits < most ? fits : most;
}

void rc_uplink_flush(struct rc_uplink *uplink)
{
    if (uplink->written) {
        uplink->written = false;
        if (rc_doorbell_ring(&uplink->control->relay->report.process.bell, uplink->relay_bell_fd, &uplink->relay_rung) >
            0) {
            rc_metric_add(uplink->metrics, RC_METRIC_WAKES_SENT, 1);
        }
    }
}

/* --- what comes down --- */

/* Hands a record on. -ENOSPC: whoever it is for has to send before it can take it. */
static int uplink_handle(struct rc_uplink *uplink, uint32_t type, const struct rc_envelope_view *view)
{
    const struct rc_uplink_handlers *to = &uplink->handlers;
    const uint64_t sequence = view->head.sequence;
    uint64_t last = atomic_load_explicit(&uplink->truth->layout->down.last_sequence, memory_order_relaxed);
    if (sequence != 0 && sequence <= last) {
        rc_metric_add(uplink->metrics, RC_METRIC_DOWN_DUPLICATES, 1);
        return 0;
    }
    int rc = 0;
    bool answers = (view->head.flags & RC_ENVELOPE_ANSWER) != 0;
    switch ((enum rc_record_type)type) {
    case RC_DOWN_MESSAGE:
        rc = to->message(to->context, view);
        break;
    case RC_DOWN_DIRECT:
        rc = to->direct(to->context, view);
        if (rc != -ENOSPC && (view->head.flags & RC_ENVELOPE_API)) {
            to->direct_called(to->context, view);
            answers = false; /* its caller hears of it from the reply */
        }
        break;
    case RC_DOWN_SELECT:
        rc = to->select(to->context, view);
        break;
    case RC_DOWN_GAP:
        rc = to->gap(to->context, view);
        break;
    case RC_DOWN_INTEREST:
        to->acknowledged(to->context, view);
        break;
    case RC_DOWN_CALL:
        to->call(to->context, view);
        return 0;
    case RC_DOWN_MEMBER:
        if (to->member != NULL) {
            to->member(to->context, view);
        }
        return 0;
    case RC_DOWN_BARRIER:
        if (to->barrier != NULL) {
            to->barrier(to->context, view);
        }
        break;
    case RC_DOWN_ANSWER:
        answers = true;
        break;
    case RC_DOWN_REPLY:
    case RC_DOWN_QUERY:
    case RC_DOWN_LIMIT:
        to->answered(to->context, (enum rc_record_type)type, view);
        return 0;
    default:
        rc_metric_add(uplink->metrics, RC_METRIC_RING_CORRUPT, 1);
        return 0;
    }
    if (rc == -ENOSPC) {
        return rc;
    }
    if (answers) {
        to->answered(to->context, (enum rc_record_type)type, view);
    }
    if (sequence != 0) {
        atomic_store_explicit(&uplink->truth->layout->down.last_sequence, sequence, memory_order_relaxed);
    }
    return 0;
}

bool rc_uplink_drain(struct rc_uplink *uplink)
{
    for (uint32_t count = 0; count < RC_UPLINK_BATCH_MAX && !uplink->corrupt && !uplink->held; count++) {
        uint32_t type;
        uint32_t bytes;
        const void *record;
        const uint64_t position = uplink->down.position;
        const int rc = rc_ring_next(&uplink->down, &type, &record, &bytes);
        if (rc == 0) {
            return false;
        }
        if (rc < 0) {
            uplink->corrupt = true;
            rc_metric_add(uplink->metrics, RC_METRIC_RING_CORRUPT, 1);
            rc_log_error("down_ring_corrupt", "position=%llu remedy=\"this worker ends and is started again\"",
                         (unsigned long long)position);
            return false;
        }
        struct rc_envelope_view view;
        struct rc_truth_layout *layout = uplink->truth->layout;
        layout->hub.unit++;
        const int good = rc_envelope_read(&view, record, bytes);
        layout->down.begun_sequence = good < 0 ? 0 : view.head.sequence;
        RC_STORE_ORDER(); /* replies of this number are the record's, until it is done */
        layout->down.begun = position + 1;
        RC_STORE_ORDER();
        if (good < 0) {
            rc_metric_add(uplink->metrics, RC_METRIC_RING_CORRUPT, 1);
        } else if (uplink_handle(uplink, type, &view) == -ENOSPC) {
            uplink->down.position = position; /* once more after the turn */
            return true;
        } else {
            rc_metric_add(uplink->metrics, RC_METRIC_DOWN_RECORDS, 1);
        }
        RC_STORE_ORDER();
        layout->down.done = uplink->down.position;
    }
    return !uplink->corrupt && !uplink->held;
}

void rc_uplink_release(struct rc_uplink *uplink, uint64_t position)
{
    rc_ring_release_to(&uplink->down, position);
    if (rc_ring_room_due(&uplink->down)) {
        uplink->written = true;
    }
}

bool rc_uplink_settled(struct rc_uplink *uplink)
{
    /* In this order: the relay writes what it makes of a record before it gives that back. */
    return rc_ring_used(&uplink->up) == 0 && !rc_ring_readable(&uplink->down);
}

bool rc_uplink_due(struct rc_uplink *uplink)
{
    return (!uplink->held && rc_ring_readable(&uplink->down)) || (uplink->waiters.count > 0 && rc_uplink_room(uplink));
}
