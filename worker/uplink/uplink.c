/* uplink: see uplink.h. */
#include "worker/uplink/uplink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"

int rc_uplink_open(struct rc_uplink *uplink, const struct rc_control *control, const struct rc_port_view *port,
                   struct rc_hub *hub, struct rc_truth *truth, struct rc_metrics *metrics, int worker_index,
                   int relay_bell_fd, struct rc_err *err)
{
    *uplink = (struct rc_uplink){
        .control = control,
        .port = *port,
        .hub = hub,
        .truth = truth,
        .metrics = metrics,
        .relay_bell_fd = relay_bell_fd,
        .worker_index = worker_index,
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
    /* What a predecessor of this pair did not read was for its clients. */
    uint32_t type;
    uint32_t bytes;
    const void *record;
    while (rc_ring_next(&uplink->down, &type, &record, &bytes) == 1) {}
    rc_ring_release(&uplink->down);
    return 0;
}

void rc_uplink_close(struct rc_uplink *uplink)
{
    rc_waiters_close(&uplink->waiters);
    rc_questions_close(&uplink->questions);
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

uint64_t rc_uplink_room_bytes(const struct rc_uplink *uplink)
{
    const uint64_t free = uplink->up.capacity - rc_ring_used(&uplink->up);
    const uint64_t most = rc_ring_payload_max(&uplink->up);
    /* Half of what is free fits wherever the ring wraps. */
    const uint64_t fits = free / 2 < 2 * RC_RING_ALIGN ? 0 : free / 2 - 2 * RC_RING_ALIGN;
    return fits < most ? fits : most;
}

/* --- interest --- */

void rc_uplink_interest_changed(struct rc_uplink *uplink, uint32_t index)
{
    struct rc_channel *channel = rc_truth_channel(uplink->truth, index);
    if (!(channel->flags & RC_CHANNEL_DIRTY)) {
        channel->flags |= RC_CHANNEL_DIRTY;
        channel->next_dirty = uplink->dirty;
        uplink->dirty = index;
    }
}

/* Takes the channel out of the list of those whose acknowledgement is awaited. */
static void asked_remove(struct rc_uplink *uplink, uint32_t index)
{
    struct rc_channel *channel = rc_truth_channel(uplink->truth, index);
    if (!(channel->flags & RC_CHANNEL_ASKED)) {
        return;
    }
    uint32_t *first = uplink->asked == index ? &uplink->asked : &uplink->asked_before;
    if (channel->previous_asked != 0) {
        rc_truth_channel(uplink->truth, channel->previous_asked)->next_asked = channel->next_asked;
    } else {
        RC_ASSERT(*first == index);
        *first = channel->next_asked;
    }
    if (channel->next_asked != 0) {
        rc_truth_channel(uplink->truth, channel->next_asked)->previous_asked = channel->previous_asked;
    }
    channel->next_asked = channel->previous_asked = 0;
    channel->flags &= (uint16_t)~RC_CHANNEL_ASKED;
}

static void asked_add(struct rc_uplink *uplink, uint32_t index)
{
    struct rc_channel *channel = rc_truth_channel(uplink->truth, index);
    asked_remove(uplink, index);
    channel->next_asked = uplink->asked;
    if (uplink->asked != 0) {
        rc_truth_channel(uplink->truth, uplink->asked)->previous_asked = index;
    }
    uplink->asked = index;
    channel->flags |= RC_CHANNEL_ASKED;
}

static int uplink_write_interest(struct rc_uplink *uplink, uint32_t index, enum rc_record_type type, uint64_t token)
{
    const struct rc_channel *channel = rc_truth_channel(uplink->truth, index);
    const struct rc_span name = rc_hub_name(uplink->hub, channel);
    struct rc_envelope_view view = {
        .head = {.channel_hash = channel->hash, .token = token, .channel_bytes = (uint8_t)name.count},
        .channel = (const char *)name.bytes};
    return rc_uplink_write(uplink, type, &view);
}

/* A registration: acknowledgements of earlier ones say nothing any more. */
static int uplink_register(struct rc_uplink *uplink, uint32_t index)
{
    struct rc_channel *channel = rc_truth_channel(uplink->truth, index);
    const int rc = uplink_write_interest(uplink, index, RC_UP_INTEREST_ADD, uplink->token + 1);
    if (rc == 0) {
        channel->token = ++uplink->token;
        channel->flags |= RC_CHANNEL_TOLD;
        asked_add(uplink, index);
    }
    return rc;
}

/* The relay has had the interest all along, so that every acknowledgement of the registration is as good as the next one. With a new
 * token those on their way would be void, and whoever waits might do so for as long as others keep asking. */
static int uplink_ask(struct rc_uplink *uplink, uint32_t index)
{
    const int rc =
        uplink_write_interest(uplink, index, RC_UP_INTEREST_ADD, rc_truth_channel(uplink->truth, index)->token);
    if (rc == 0) {
        asked_add(uplink, index);
    }
    return rc;
}

static int uplink_withdraw(struct rc_uplink *uplink, uint32_t index)
{
    struct rc_channel *channel = rc_truth_channel(uplink->truth, index);
    const int rc = uplink_write_interest(uplink, index, RC_UP_INTEREST_REMOVE, 0);
    if (rc == 0) {
        channel->token = 0;
        channel->flags &= (uint16_t)~RC_CHANNEL_TOLD;
    }
    return rc;
}

static int uplink_mark_snapshot(struct rc_uplink *uplink, enum rc_record_type type)
{
    struct rc_envelope_view view = {.head = {.token = uplink->relay_generation}};
    return rc_uplink_write(uplink, type, &view);
}

/* Tells a new relay everything, from where the ring was full the last time. */
static int uplink_snapshot(struct rc_uplink *uplink)
{
    const uint32_t generation = rc_control_relay_generation(uplink->control);
    if (generation != uplink->relay_generation) {
        const uint32_t before = uplink->relay_generation;
        uplink->relay_generation = generation;
        if (uplink_mark_snapshot(uplink, RC_UP_SNAPSHOT_BEGIN) < 0) {
            uplink->relay_generation = before;
            return -EAGAIN;
        }
        uplink->snapshot_next = 1;
    }
    if (uplink->snapshot_next == 0) {
        return 0;
    }
    for (uint32_t index = uplink->snapshot_next; index < uplink->truth->channels.high; index++) {
        struct rc_channel *channel = rc_truth_channel(uplink->truth, index);
        uplink->snapshot_next = index;
        if (channel->name == 0) {
            continue;
        }
        if (!(channel->flags & RC_CHANNEL_WANTED)) {
            channel->flags &= (uint16_t)~RC_CHANNEL_TOLD; /* this relay never heard of it */
        } else if (uplink_register(uplink, index) < 0) {
            return -EAGAIN;
        }
    }
    if (uplink_mark_snapshot(uplink, RC_UP_SNAPSHOT_END) < 0) {
        uplink->snapshot_next = uplink->truth->channels.high;
        return -EAGAIN;
    }
    uplink->snapshot_next = 0;
    return 0;
}

static int uplink_interests(struct rc_uplink *uplink)
{
    while (uplink->dirty != 0) {
        const uint32_t index = uplink->dirty;
        struct rc_channel *channel = rc_truth_channel(uplink->truth, index);
        const bool wanted = (channel->flags & RC_CHANNEL_WANTED) != 0;
        const bool told = (channel->flags & RC_CHANNEL_TOLD) != 0;
        int rc = 0;
        if (told && wanted) {
            /* Unwanted and wanted again before the relay heard of it: nothing changed for the relay, but the request
             * that waits needs an acknowledgement. */
            rc = channel->pending != 0 ? uplink_ask(uplink, index) : 0;
        } else if (told != wanted) {
            rc = wanted ? uplink_register(uplink, index) : uplink_withdraw(uplink, index);
        }
        if (rc < 0) {
            return -EAGAIN;
        }
        if (!wanted) {
            asked_remove(uplink, index);
            channel->flags &= (uint16_t)~RC_CHANNEL_REFUSED;
        }
        uplink->dirty = channel->next_dirty;
        channel->next_dirty = 0;
        channel->flags &= (uint16_t)~RC_CHANNEL_DIRTY;
        rc_hub_release(uplink->hub, index);
    }
    return 0;
}

static int uplink_ask_late(struct rc_uplink *uplink, uint32_t index)
{
    if (!(rc_truth_channel(uplink->truth, index)->flags & RC_CHANNEL_REFUSED)) {
        return uplink_ask(uplink, index);
    }
    const int rc = uplink_register(uplink, index);
    if (rc == 0) {
        rc_hub_owe_gap(uplink->hub, index); /* nothing has come since the last one */
    }
    return rc;
}

void rc_uplink_ask_again(struct rc_uplink *uplink)
{
    const uint64_t now_ms = uplink->hub->io->now_ns / 1000000u;
    const uint32_t generation = rc_control_relay_generation(uplink->control);
    if (now_ms < uplink->ask_again_ms || generation != uplink->relay_generation || uplink->snapshot_next != 0) {
        return; /* a new relay is told everything anyhow */
    }
    uplink->ask_again_ms = now_ms + RC_UPLINK_ASK_AGAIN_MS;
    /* What the relay has not even read needs no second record: it would only be slower still. */
    const bool read = uplink->up.position - rc_ring_used(&uplink->up) >= uplink->asked_position;
    for (uint32_t count = 0; read && uplink->asked_before != 0 && count < RC_UPLINK_ASK_AGAIN_MAX; count++) {
        if (uplink_ask_late(uplink, uplink->asked_before) < 0) {
            return;
        }
        rc_metric_add(uplink->metrics, RC_METRIC_INTERESTS_ASKED_AGAIN, 1);
    }
    if (uplink->asked_before == 0) {
        uplink->asked_before = uplink->asked;
        uplink->asked = 0;
        uplink->asked_position = uplink->up.position;
    }
}

void rc_uplink_flush(struct rc_uplink *uplink)
{
    uplink->blocked = false;
    if (uplink_snapshot(uplink) < 0 || uplink_interests(uplink) < 0) {
        /* The relay wakes us at half empty; until then there is nothing to try. */
        uplink->blocked = !rc_ring_want_room(&uplink->up, sizeof(struct rc_envelope) + RC_CHANNEL_NAME_MAX);
        uplink->written = true;
    }
    if (uplink->written) {
        uplink->written = false;
        if (rc_doorbell_ring(&uplink->control->relay->report.process.bell, uplink->relay_bell_fd, &uplink->relay_rung) >
            0) {
            rc_metric_add(uplink->metrics, RC_METRIC_WAKES_SENT, 1);
        }
    }
}

/* --- what comes down --- */

/* Answers the origin of a request, if it still is who it was. */
static void uplink_answer(struct rc_uplink *uplink, const struct rc_envelope_view *view)
{
    const struct rc_client_ref *origin = &view->head.origin;
    if (origin->worker != (uint16_t)uplink->worker_index ||
        rc_truth_named(uplink->truth, origin->slot, origin->random) == NULL) {
        return;
    }
    struct rc_event event = {.type = RC_EVENT_PUBLISHED,
                             .code = (enum rc_code)view->head.code,
                             .id = rc_span_of(view->request_id, view->head.request_id_bytes)};
    if (view->head.code != 0) {
        event.type = RC_EVENT_ERROR;
        event.message = RC_SPAN("the message could not be routed");
    } else if (view->head.target.random != 0) {
        event.type = RC_EVENT_SENT;
    } else if (view->head.flags & RC_ENVELOPE_BROADCAST) {
        event.type = RC_EVENT_BROADCASTED;
    }
    if (rc_hub_reply_event(uplink->hub, origin->slot, &event) < 0) {
        rc_hub_close_client(uplink->hub, origin->slot, RC_CLOSE_TRY_AGAIN_LATER, NULL, 0, true);
    }
}

/* The relay has not registered the channel. With subscribers it is asked for again after a period: they must not be forgotten. */
static void uplink_refused(struct rc_uplink *uplink, uint32_t index)
{
    struct rc_channel *channel = rc_truth_channel(uplink->truth, index);
    channel->flags &= (uint16_t) ~(RC_CHANNEL_TOLD | RC_CHANNEL_ACTIVE | RC_CHANNEL_LOCAL);
    if (channel->subscriber_count == 0) {
        return;
    }
    asked_add(uplink, index);
    if (!(channel->flags & RC_CHANNEL_REFUSED)) {
        const struct rc_span name = rc_hub_name(uplink->hub, channel);
        channel->flags |= RC_CHANNEL_REFUSED;
        rc_hub_owe_gap(uplink->hub, index);
        rc_metric_add(uplink->metrics, RC_METRIC_INTERESTS_REFUSED, 1);
        rc_log_limited(RC_LOG_WARN, 1, "interest_refused", "channel=\"%.*s\" subscribers=%u", (int)name.count,
                       (const char *)name.bytes, channel->subscriber_count);
    }
}

static void uplink_acknowledged(struct rc_uplink *uplink, const struct rc_envelope_view *view)
{
    const struct rc_span name = rc_span_of(view->channel, view->head.channel_bytes);
    const uint32_t index = rc_hub_find(uplink->hub, rc_channel_hash(view->channel, name.count), name);
    if (index == 0) {
        return;
    }
    struct rc_channel *channel = rc_truth_channel(uplink->truth, index);
    /* An acknowledgement of an earlier registration says nothing: the interest was withdrawn in between. */
    if (channel->token != view->head.token || !(channel->flags & RC_CHANNEL_WANTED)) {
        return;
    }
    asked_remove(uplink, index);
    if (view->head.code != 0) {
        uplink_refused(uplink, index);
    } else if (channel->flags & RC_CHANNEL_REFUSED) {
        channel->flags &= (uint16_t)~RC_CHANNEL_REFUSED;
        rc_hub_owe_gap(uplink->hub, index); /* from now on everything comes */
    }
    rc_hub_acknowledged(uplink->hub, index, (view->head.flags & RC_ENVELOPE_SCOPE_LOCAL) != 0, view->head.code);
}

/* -ENOSPC: the hub has to send before it can take this record. */
static int uplink_handle(struct rc_uplink *uplink, uint32_t type, const struct rc_envelope_view *view)
{
    const uint64_t sequence = view->head.sequence;
    uint64_t last = atomic_load_explicit(&uplink->truth->layout->last_sequence, memory_order_relaxed);
    if (sequence != 0 && sequence <= last) {
        rc_metric_add(uplink->metrics, RC_METRIC_DOWN_DUPLICATES, 1);
        return 0;
    }
    int rc = 0;
    switch ((enum rc_record_type)type) {
    case RC_DOWN_MESSAGE:
        rc = rc_hub_message(uplink->hub, view);
        break;
    case RC_DOWN_DIRECT:
        rc = rc_hub_direct(uplink->hub, view);
        break;
    case RC_DOWN_GAP:
        rc = rc_hub_gap(uplink->hub, rc_span_of(view->channel, view->head.channel_bytes));
        break;
    case RC_DOWN_INTEREST:
        uplink_acknowledged(uplink, view);
        break;
    case RC_DOWN_ANSWER:
        break;
    case RC_DOWN_CALL:
    case RC_DOWN_REPLY:
        uplink->call(uplink->call_context, (enum rc_record_type)type, view);
        return 0;
    case RC_DOWN_QUERY:
        if (view->head.flags & RC_ENVELOPE_API) {
            uplink->call(uplink->call_context, RC_DOWN_QUERY, view);
        } else {
            rc_questions_answered(uplink, view);
        }
        return 0;
    default:
        rc_metric_add(uplink->metrics, RC_METRIC_RING_CORRUPT, 1);
        return 0;
    }
    if (rc == -ENOSPC) {
        return rc;
    }
    if (RC_UNLIKELY(view->head.flags & RC_ENVELOPE_API)) {
        uplink->call(uplink->call_context, (enum rc_record_type)type, view);
    } else if (type == RC_DOWN_ANSWER || (view->head.flags & RC_ENVELOPE_ANSWER)) {
        uplink_answer(uplink, view);
    }
    if (sequence != 0) {
        atomic_store_explicit(&uplink->truth->layout->last_sequence, sequence, memory_order_relaxed);
    }
    return 0;
}

bool rc_uplink_drain(struct rc_uplink *uplink)
{
    for (uint32_t count = 0; count < RC_UPLINK_BATCH_MAX && !uplink->corrupt; count++) {
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
        if (rc_envelope_read(&view, record, bytes) < 0) {
            rc_metric_add(uplink->metrics, RC_METRIC_RING_CORRUPT, 1);
            continue;
        }
        if (uplink_handle(uplink, type, &view) == -ENOSPC) {
            uplink->down.position = position; /* once more after the turn */
            return true;
        }
        rc_metric_add(uplink->metrics, RC_METRIC_DOWN_RECORDS, 1);
    }
    return !uplink->corrupt;
}

void rc_uplink_release(struct rc_uplink *uplink, uint64_t position)
{
    rc_ring_release_to(&uplink->down, position);
    if (rc_ring_room_due(&uplink->down)) {
        uplink->written = true;
    }
}

static bool uplink_has_news(const struct rc_uplink *uplink)
{
    return uplink->dirty != 0 || uplink->snapshot_next != 0 ||
           rc_control_relay_generation(uplink->control) != uplink->relay_generation;
}

bool rc_uplink_due(struct rc_uplink *uplink)
{
    return rc_ring_readable(&uplink->down) || (!uplink->blocked && uplink_has_news(uplink)) ||
           (uplink->waiters.count > 0 && rc_uplink_room(uplink));
}
