/* router: see router.h for the order of steps that makes a restart exact. */
#include "relay/route/router.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/member.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "relay/bridge/wire.h"

/* What one worker may hand in before it is the next one's turn. */
#define BATCH_RECORDS_MAX 256u
#define BATCH_BYTES_MAX (512u * 1024)

static bool is_user(const char *name, uint32_t name_bytes)
{
    return name_bytes > 5 && memcmp(name, "user:", 5) == 0;
}

static void set_interest_gauge(struct rc_router *router)
{
    rc_metric_set(router->setup.metrics, RC_METRIC_INTERESTS, router->fanout.interest.pair_count);
    rc_metric_set(router->setup.metrics, RC_METRIC_INTEREST_CHANNELS, router->fanout.interest.map.count);
    rc_metric_set(router->setup.metrics, RC_METRIC_INTEREST_USERS, router->user_channels);
}

/* --- sequence and intent --------------------------------------------------------------------------------------------- */

uint64_t rc_router_sequence(struct rc_router *router)
{
    const uint64_t sequence = router->next_sequence++;
    /* T3 pairs with T4 in take_over of a successor: behind the intent that has the sequence. */
    atomic_store_explicit(&router->setup.truth->next_sequence, router->next_sequence, memory_order_release);
    rc_metric_add(router->setup.metrics, RC_METRIC_SEQUENCED, 1);
    return sequence;
}

/*
 * From here on the record has its sequence, whoever routes it. T1 pairs with T2 in take_over of a successor: each store is a release so
 * that none passes the one before it.
 */
static uint64_t store_intent(struct rc_router *router, const struct rc_relay_port *port)
{
    struct rc_relay_truth *truth = router->setup.truth;
    const uint64_t sequence = router->next_sequence;
    atomic_store_explicit(&truth->intent_sequence, 0, memory_order_release);                      /* T1 */
    atomic_store_explicit(&truth->intent_position, rc_port_position(port), memory_order_release); /* T1 */
    atomic_store_explicit(&truth->intent_worker, port->index, memory_order_release);              /* T1 */
    atomic_store_explicit(&truth->intent_pair, port->up_pair, memory_order_release);              /* T1 */
    atomic_store_explicit(&truth->intent_sequence, sequence, memory_order_release);               /* T1 */
    return rc_router_sequence(router);
}

/* --- records up ------------------------------------------------------------------------------------------------------ */

/* --- what is kept ---------------------------------------------------------------------------------------------------- */

/* JSON's null is no value. */
static bool is_null(const struct rc_envelope_view *view)
{
    return view->head.data_bytes == 4 && (view->head.flags & (RC_ENVELOPE_BINARY | RC_ENVELOPE_ARGS)) == 0 &&
           memcmp(view->data, "null", 4) == 0;
}

uint16_t rc_router_retain(struct rc_router *router, const struct rc_envelope_view *view, struct rc_history_stamp *stamp)
{
    const struct rc_remote_ops *remote = router->setup.remote.ops;
    struct rc_envelope_view value = *view;
    if (router->setup.history == NULL || router->setup.history->view.slot_count == 0) {
        return RC_ROUTE_NOT_ENABLED;
    }
    if (is_null(view)) {
        value.head.data_bytes = 0;
    }
    if (stamp->ms == 0) {
        *stamp = (struct rc_history_stamp){
            .ms = rc_clock_wall_ms(), .instance = rc_span_text(router->setup.instance_id), .own = true};
    }
    if (rc_history_keep(router->setup.history, &value, stamp, remote != NULL,
                        rc_history_now(&router->setup.history->view)) == RC_HISTORY_REFUSED) {
        return RC_ROUTE_UNAVAILABLE;
    }
    if (stamp->own && remote != NULL && remote->retained != NULL) {
        remote->retained(router->setup.remote.context, &value);
    }
    return 0;
}

/* The message has its place in the channel's history, before anybody gets it. */
static inline void keep_history(struct rc_router *router, struct rc_fanout_message *message)
{
    struct rc_history *history = router->setup.history;
    struct rc_envelope *head = &message->copy.head;
    const struct rc_span name = rc_span_of(message->copy.channel, head->channel_bytes);
    const struct rc_config_namespace *policy = rc_history_policy_of(history, head->channel_hash, name);
    if (policy == NULL || (name.count == 1 && name.bytes[0] == '*')) {
        return;
    }
    const bool placeless = (message->up->head.flags & RC_ENVELOPE_REMOTE) != 0 &&
                           policy->history_scope == RC_HISTORY_SCOPE_CLUSTER && router->setup.remote.ops != NULL;
    if (!placeless) { /* where all count, what has no place is not in it */
        const struct rc_history_place place =
            rc_history_append(history, &message->copy, policy, rc_history_now(&history->view));
        head->epoch = place.epoch;
        head->position = place.offset;
        head->target.slot = place.slot;
    }
}

/* Before it is handed to anybody: who asks behind it in the same ring finds it. What goes to other instances says when it was kept. */
static inline void keep_message(struct rc_router *router, struct rc_fanout_message *message)
{
    if (router->setup.history != NULL && router->setup.history->wanted) {
        keep_history(router, message);
    }
    rc_router_keep_recoverable(router, message);
    if (RC_UNLIKELY(message->up->head.flags & RC_ENVELOPE_RETAIN)) {
        struct rc_envelope_view *view = &message->copy;
        struct rc_history_stamp stamp = {0};
        if (message->up->head.flags & RC_ENVELOPE_REMOTE) {
            stamp.ms = message->up->head.token;
            stamp.instance = rc_span_of(message->up->request_id, message->up->head.request_id_bytes);
        }
        if (rc_router_retain(router, view, &stamp) == 0 && stamp.own) {
            view->head.flags = (uint16_t)(view->head.flags | RC_ENVELOPE_RETAIN);
            view->head.token = stamp.ms;
        }
    }
}

/* The user has no connection here. Without other instances that is nowhere. */
void rc_router_miss(struct rc_router *router, const struct rc_envelope_view *view)
{
    const struct rc_remote_ops *remote = router->setup.remote.ops;
    if (!is_user(view->channel, view->head.channel_bytes)) {
        return;
    }
    if (remote == NULL) {
        rc_metric_add(router->setup.metrics, RC_METRIC_FAILED_DELIVERIES, 1);
    } else if (remote->missed != NULL) {
        remote->missed(router->setup.remote.context, rc_span_of(view->channel + 5, view->head.channel_bytes - 5u));
    }
}

/* May some history be all instances'? */
static inline bool router_shares(const struct rc_router *router)
{
    return router->setup.history != NULL && router->setup.history->wanted && router->setup.remote.ops != NULL &&
           router->setup.remote.ops->share != NULL;
}

/* True: all instances give it its place, and it is delivered then. */
static bool share_message(struct rc_router *router, const struct rc_relay_port *port,
                          const struct rc_port_record *record, const struct rc_fanout_message *message)
{
    struct rc_envelope_view view = message->copy;
    view.head.request_id_bytes = record->view.head.request_id_bytes;
    view.head.flags = (uint16_t)(view.head.flags | (record->view.head.flags & (RC_ENVELOPE_API | RC_ENVELOPE_RETAIN)));
    return router->setup.remote.ops->share(router->setup.remote.context, &view, port->index, port->generation,
                                           message->asker != NULL);
}

static void route_publish(struct rc_router *router, struct rc_relay_port *port, const struct rc_port_record *record,
                          uint64_t sequence)
{
    struct rc_fanout_message message;
    rc_fanout_prepare(&message, RC_DOWN_MESSAGE, &record->view, sequence, RC_FANOUT_FLAGS,
                      rc_fanout_asker(&router->fanout, port, record));
    if (RC_UNLIKELY(router_shares(router)) && share_message(router, port, record, &message)) {
        return;
    }
    keep_message(router, &message);
    if (!rc_fanout_to_all(&router->fanout, &message)) {
        rc_router_miss(router, &record->view);
    }
    if (message.asker != NULL) {
        rc_fanout_answer(&router->fanout, port, &message, 0);
    }
    if (router->setup.remote.ops != NULL) {
        router->setup.remote.ops->publish(router->setup.remote.context, &message.copy);
    }
}

/* Users among the rooms who have no connection here. */
static void miss_rooms(struct rc_router *router, const struct rc_envelope_view *view)
{
    struct rc_envelope_view one = *view;
    struct rc_span names = rc_span_of(view->exclude_text, view->head.exclude_text_bytes);
    struct rc_span name;
    while (rc_select_next(&names, &name)) {
        one.channel = (const char *)name.bytes;
        one.head.channel_bytes = (uint8_t)name.count;
        if (is_user(one.channel, one.head.channel_bytes) && !rc_router_wanted(router, name)) {
            rc_router_miss(router, &one);
        }
    }
}

/* A message for several rooms, or with such whose members do not get it. */
static void route_select(struct rc_router *router, const struct rc_port_record *record, uint64_t sequence)
{
    const struct rc_remote_ops *remote = router->setup.remote.ops;
    struct rc_fanout_message message;
    rc_fanout_prepare(&message, RC_DOWN_SELECT, &record->view, sequence, RC_FANOUT_FLAGS, NULL);
    rc_router_keep_recoverable(router, &message);
    (void)rc_fanout_to_rooms(&router->fanout, &message);
    miss_rooms(router, &record->view);
    if (remote != NULL && remote->select != NULL) {
        remote->select(router->setup.remote.context, &message.copy);
    }
}

/* Kept, and sent to nobody. */
static void route_retain(struct rc_router *router, struct rc_relay_port *port, const struct rc_port_record *record,
                         uint64_t sequence)
{
    struct rc_fanout_message message;
    rc_fanout_prepare(&message, RC_DOWN_MESSAGE, &record->view, sequence, RC_FANOUT_FLAGS,
                      rc_fanout_asker(&router->fanout, port, record));
    struct rc_history_stamp stamp = {0};
    const uint16_t code = rc_router_retain(router, &message.copy, &stamp);
    if (message.asker != NULL) {
        rc_fanout_answer(&router->fanout, port, &message, code);
    }
}

static void add_interest(struct rc_router *router, struct rc_relay_port *port, const struct rc_envelope_view *view)
{
    const struct rc_interest_request request = {.worker = port->index,
                                                .token = view->head.token,
                                                .hash = view->head.channel_hash,
                                                .name = view->channel,
                                                .name_bytes = view->head.channel_bytes};
    const int rc =
        rc_interest_add(&router->fanout.interest, request.hash, request.name, request.name_bytes, request.worker);
    if (rc < 0) {
        rc_log_limited(RC_LOG_WARN, 1, "interest_refused", "worker=%u interests=%llu reason=\"%s\"", port->index,
                       (unsigned long long)router->fanout.interest.pair_count, strerror(-rc));
        rc_router_interest_done(router, &request, 0, RC_ROUTE_UNAVAILABLE);
        return;
    }
    if (rc == RC_INTEREST_EDGE && is_user(request.name, request.name_bytes)) {
        router->user_channels++;
    }
    set_interest_gauge(router);
    if (router->setup.remote.ops == NULL ||
        !router->setup.remote.ops->interest_add(router->setup.remote.context, &request, rc == RC_INTEREST_EDGE)) {
        rc_router_interest_done(router, &request, 0, 0);
    }
}

static void remote_remove(void *context, uint64_t hash, const char *name, uint32_t name_bytes)
{
    struct rc_router *router = context;
    if (is_user(name, name_bytes)) {
        router->user_channels--;
    }
    if (router->setup.remote.ops != NULL) {
        router->setup.remote.ops->interest_remove(router->setup.remote.context, hash, name, name_bytes);
    }
}

static void remove_interest(struct rc_router *router, struct rc_relay_port *port, const struct rc_envelope_view *view)
{
    const struct rc_envelope *head = &view->head;
    if (rc_interest_remove(&router->fanout.interest, head->channel_hash, view->channel, head->channel_bytes,
                           port->index) == RC_INTEREST_EDGE) {
        remote_remove(router, head->channel_hash, view->channel, head->channel_bytes);
    }
    set_interest_gauge(router);
}

static void forget_interest(struct rc_router *router, uint32_t worker)
{
    rc_interest_forget(&router->fanout.interest, worker, remote_remove, router);
    set_interest_gauge(router);
}

/* A snapshot for an earlier relay is void: its beginning was read by that relay. */
static void take_snapshot(struct rc_router *router, struct rc_relay_port *port, const struct rc_port_record *record)
{
    if (record->view.head.token != router->setup.relay_generation) {
        return;
    }
    if (record->type == RC_UP_SNAPSHOT_BEGIN) {
        /* Everything until the end, so that clearing what may be stale loses nothing. */
        rc_worker_set_put(&router->fanout.unknown, port->index, true);
        rc_worker_set_put(&router->snapshot, port->index, true);
        forget_interest(router, port->index);
    } else if (rc_worker_set_has(&router->snapshot, port->index)) {
        rc_worker_set_put(&router->fanout.unknown, port->index, false);
        rc_worker_set_put(&router->snapshot, port->index, false);
        rc_log_info("snapshot_taken", "worker=%u interests=%u", port->index,
                    router->fanout.interest.worker_pairs[port->index]);
    }
}

/* --- members --------------------------------------------------------------------------------------------------------- */

/* Only channels with presence are told to those without Redis; with it, also those with a subscription set. */
static void take_presence(struct rc_router *router, const struct rc_port_record *record)
{
    const struct rc_envelope *head = &record->view.head;
    const struct rc_span channel = rc_span_of(record->view.channel, head->channel_bytes);
    struct rc_span user = rc_span_of(record->view.data, head->data_bytes);
    struct rc_span info = {0};
    if (record->type == RC_UP_MEMBER_REMOVE) {
        rc_roster_remove(router->setup.roster, channel, &head->origin);
    } else if ((head->flags & RC_ENVELOPE_MEMBER) && !rc_member_read(user, &user, &info)) {
        rc_metric_add(router->setup.metrics, RC_METRIC_PRESENCE_REFUSED, 1); /* out of another process's memory */
    } else if (head->flags & RC_ENVELOPE_PRESENCE) {
        rc_roster_add_member(router->setup.roster, channel, &head->origin, user, info);
    }
}

static void take_member(struct rc_router *router, struct rc_relay_port *port, struct rc_port_record *record)
{
    const struct rc_remote_ops *remote = router->setup.remote.ops;
    /* A worker speaks for its own clients only: they are who it keeps, whatever their ids name. */
    record->view.head.origin.keeper = (uint16_t)(port->index + 1);
    if (router->setup.roster != NULL) {
        take_presence(router, record);
    }
    if (remote != NULL && remote->member != NULL) {
        remote->member(router->setup.remote.context, &record->view, record->type == RC_UP_MEMBER_ADD);
    }
}

static void mark_members(struct rc_router *router, uint32_t worker, enum rc_members_mark mark)
{
    const struct rc_remote_ops *remote = router->setup.remote.ops;
    if (router->setup.roster != NULL) {
        switch (mark) {
        case RC_MEMBERS_BEGIN:
            rc_roster_worker_begin(router->setup.roster, worker);
            break;
        case RC_MEMBERS_END:
            rc_roster_worker_end(router->setup.roster, worker);
            break;
        case RC_MEMBERS_GONE:
            rc_roster_worker_gone(router->setup.roster, worker);
            break;
        }
    }
    if (remote != NULL && remote->members != NULL) {
        remote->members(router->setup.remote.context, worker, mark);
    }
}

/* Has a place in the host's order of messages. */
static bool record_is_sequenced(uint32_t type)
{
    return type == RC_UP_PUBLISH || type == RC_UP_DIRECT || type == RC_UP_SELECT || type == RC_UP_RETAIN ||
           type == RC_UP_BARRIER;
}

/* `sequence`: what a predecessor gave the record, 0 = it is new. */
static void route_sequenced(struct rc_router *router, struct rc_relay_port *port, struct rc_port_record *record,
                            uint64_t sequence)
{
    const bool api = (record->view.head.flags & RC_ENVELOPE_API) != 0;
    if (RC_UNLIKELY(api) && rc_route_calls_is_duplicate(&router->calls, port, record, sequence)) {
        return;
    }
    if (sequence == 0) {
        sequence = store_intent(router, port);
    }
    if (RC_UNLIKELY(api)) {
        rc_route_calls_remember_key(&router->calls, &record->view, sequence);
    }
    if (record->type == RC_UP_PUBLISH) {
        route_publish(router, port, record, sequence);
    } else if (record->type == RC_UP_SELECT) {
        route_select(router, record, sequence);
    } else if (record->type == RC_UP_RETAIN) {
        route_retain(router, port, record, sequence);
    } else if (record->type == RC_UP_BARRIER) {
        rc_router_barrier(router, port, record, sequence);
    } else {
        rc_router_direct(router, port, record, sequence);
    }
}

static void route_record(struct rc_router *router, struct rc_relay_port *port, struct rc_port_record *record,
                         uint64_t sequence)
{
    struct rc_envelope *head = &record->view.head;
    /* Computed here and not believed: a wrong one in the table would lose messages of others. */
    head->channel_hash = head->channel_bytes > 0 ? rc_channel_hash(record->view.channel, head->channel_bytes) : 0;
    if (record_is_sequenced(record->type)) {
        route_sequenced(router, port, record, sequence);
        return;
    }
    if (record->type == RC_UP_SESSION || record->type == RC_UP_LINK) {
        rc_recovery_told(router->setup.recovery, record->type, port->index, record->current, &record->view,
                         rc_clock_ms());
        return;
    }
    if (!record->current) {
        return; /* the interest of a dead worker, or what it asked */
    }
    switch (record->type) {
    case RC_UP_INTEREST_ADD:
        add_interest(router, port, &record->view);
        break;
    case RC_UP_INTEREST_REMOVE:
        remove_interest(router, port, &record->view);
        break;
    case RC_UP_MEMBER_ADD:
    case RC_UP_MEMBER_REMOVE:
        take_member(router, port, record);
        break;
    case RC_UP_MEMBERS_BEGIN:
    case RC_UP_MEMBERS_END:
        if (head->token == router->setup.relay_generation) { /* else for a predecessor, which took the beginning */
            mark_members(router, port->index, record->type == RC_UP_MEMBERS_BEGIN ? RC_MEMBERS_BEGIN : RC_MEMBERS_END);
        }
        break;
    case RC_UP_GUEST:
        rc_router_guest(router, port, &record->view);
        break;
    case RC_UP_CALL:
        rc_route_calls_take(&router->calls, port, record);
        break;
    case RC_UP_REPLY:
        rc_route_calls_take_reply(&router->calls, port, record);
        break;
    case RC_UP_QUERY:
        if (router->setup.recovery != NULL &&
            rc_recovery_asked(router->setup.recovery, port->index, &record->view, rc_clock_ms())) {
            break;
        }
        if (!rc_kept_answer(&router->kept, port, &record->view, true) && router->setup.query != NULL) {
            router->setup.query(router->setup.query_context, port->index, &record->view);
        }
        break;
    case RC_UP_LIMIT:
        if (router->setup.limit != NULL) {
            router->setup.limit(router->setup.limit_context, port->index, &record->view);
        }
        break;
    default: /* the port lets no other type through */
        take_snapshot(router, port, record);
        break;
    }
}

/* --- turns ----------------------------------------------------------------------------------------------------------- */

static bool take_batch(struct rc_router *router, struct rc_relay_port *port)
{
    uint32_t records = 0;
    uint64_t bytes = 0;
    while (records < BATCH_RECORDS_MAX && bytes < BATCH_BYTES_MAX && !rc_port_stalled(port)) {
        struct rc_port_record record;
        const int rc = rc_port_next(port, &record);
        if (rc == 0) {
            break;
        }
        records++;
        if (rc > 0) {
            bytes += rc_envelope_bytes(&record.view.head);
            route_record(router, port, &record, 0);
            rc_port_release(port);
        }
    }
    if (records == 0) {
        return false;
    }
    rc_worker_set_put(&router->fanout.touched, port->index, true); /* it may wait for room in its up ring */
    rc_fanout_ring(&router->fanout);
    return records == BATCH_RECORDS_MAX || bytes >= BATCH_BYTES_MAX;
}

static void router_follow(struct rc_router *router, struct rc_relay_port *port)
{
    if (rc_port_follow(port)) {
        forget_interest(router, port->index);
        mark_members(router, port->index, RC_MEMBERS_GONE);
        rc_guests_forget(&router->fanout.guests, port->index);
        if (router->setup.recovery != NULL) {
            rc_recovery_worker_gone(router->setup.recovery, port->index, port->generation, rc_clock_ms());
        }
        /* It started while this relay runs: its interest is empty and every change of it comes up. */
        rc_worker_set_put(&router->fanout.unknown, port->index, false);
        rc_worker_set_put(&router->snapshot, port->index, false);
    }
    rc_worker_set_put(&router->fanout.live, port->index, port->live);
}

bool rc_router_turn(struct rc_router *router)
{
    const uint32_t count = router->setup.port_count;
    uint64_t overflow_used = 0;
    bool more = false;
    for (uint32_t i = 0; i < count; i++) {
        struct rc_relay_port *port = &router->setup.ports[i];
        router_follow(router, port);
        more |= rc_port_pump(port);
        if (port->ring_due) {
            rc_port_ring(port);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        more |= take_batch(router, &router->setup.ports[(router->first + i) % count]);
    }
    router->first = (router->first + 1) % count;
    rc_fanout_ring(&router->fanout);
    for (uint32_t i = 0; i < count; i++) {
        overflow_used += rc_port_overflow_used(&router->setup.ports[i]);
    }
    rc_metric_set(router->setup.metrics, RC_METRIC_OVERFLOW_BYTES, overflow_used);
    return more;
}

void rc_router_ring(struct rc_router *router)
{
    rc_fanout_ring(&router->fanout);
}

bool rc_router_pending(struct rc_router *router)
{
    for (uint32_t i = 0; i < router->setup.port_count; i++) {
        if (rc_port_pending(&router->setup.ports[i])) {
            return true;
        }
    }
    return false;
}

bool rc_router_drained(struct rc_router *router)
{
    for (uint32_t i = 0; i < router->setup.port_count; i++) {
        if (!rc_port_drained(&router->setup.ports[i])) {
            return false;
        }
    }
    return true;
}

static bool router_deliver(struct rc_router *router, enum rc_record_type type, const struct rc_envelope_view *view,
                           uint64_t sequence)
{
    struct rc_fanout_message message;
    rc_fanout_prepare(&message, type, view, sequence, RC_FANOUT_FLAGS | RC_ENVELOPE_REMOTE, NULL);
    struct rc_envelope *head = &message.copy.head;
    head->channel_hash = head->channel_bytes > 0 ? rc_channel_hash(view->channel, head->channel_bytes) : 0;
    if (type == RC_DOWN_MESSAGE) {
        keep_message(router, &message);
        return rc_fanout_to_all(&router->fanout, &message);
    }
    if (type == RC_DOWN_SELECT) {
        rc_router_keep_recoverable(router, &message);
        return rc_fanout_to_rooms(&router->fanout, &message);
    }
    if (!rc_router_deliver_direct(router, &message)) {
        rc_metric_add(router->setup.metrics, RC_METRIC_UNROUTED, 1);
        return false;
    }
    return true;
}

bool rc_router_deliver(struct rc_router *router, enum rc_record_type type, const struct rc_envelope_view *view)
{
    /* No intent: what comes from outside has no place in an up ring to be read from again. */
    return router_deliver(router, type, view, rc_router_sequence(router));
}

bool rc_router_deliver_behind(struct rc_router *router, uint64_t sequence, const struct rc_envelope_view *view)
{
    /* A predecessor that came as far has given it already. */
    const uint64_t own = router->next_sequence > sequence + 1 ? sequence + 1 : rc_router_sequence(router);
    return router_deliver(router, RC_DOWN_DIRECT, view, own);
}

void rc_router_gap_behind(struct rc_router *router, struct rc_span name, struct rc_gap_behind behind)
{
    if (router->setup.recovery != NULL) {
        rc_recovery_hole(router->setup.recovery, name, router->next_sequence, rc_clock_ms());
    }
    rc_fanout_gap(&router->fanout, (const char *)name.bytes, (uint32_t)name.count, behind);
}

void rc_router_gap(struct rc_router *router, const char *name, uint32_t name_bytes)
{
    rc_router_gap_behind(router, rc_span_of(name, name_bytes), (struct rc_gap_behind){0});
}

bool rc_router_wanted(const struct rc_router *router, struct rc_span channel)
{
    return rc_fanout_wanted(&router->fanout, channel);
}

int rc_router_send(struct rc_router *router, uint32_t worker, enum rc_record_type type,
                   const struct rc_envelope_view *view)
{
    return rc_route_calls_pass(&router->calls, worker, type, view);
}

uint64_t rc_router_record_max(const struct rc_router *router, uint32_t worker)
{
    return worker < router->setup.port_count ? router->setup.ports[worker].record_bytes_max : 0;
}

bool rc_router_call(struct rc_router *router, const struct rc_envelope_view *view, struct rc_call_asked *asked)
{
    return rc_route_calls_serve(&router->calls, view, asked);
}

void rc_router_confirmed(struct rc_router *router, uint64_t token, bool everywhere)
{
    rc_route_calls_confirmed(&router->calls, token, everywhere);
}

void rc_router_asked(struct rc_router *router, uint32_t worker, uint32_t generation,
                     const struct rc_envelope_view *asked)
{
    struct rc_relay_port *port = &router->setup.ports[worker];
    if (port->generation == generation && rc_worker_set_has(&router->fanout.live, worker)) {
        (void)rc_kept_answer(&router->kept, port, asked, false);
    }
}

void rc_router_interest_done(struct rc_router *router, const struct rc_interest_request *request, uint16_t flags,
                             uint16_t code)
{
    struct rc_relay_port *port = &router->setup.ports[request->worker];
    struct rc_envelope_view view = {
        .head = {.channel_hash = request->hash,
                 .token = request->token,
                 .flags = flags,
                 .code = code,
                 .channel_bytes = (uint8_t)request->name_bytes},
        .channel = request->name,
    };
    if (code == 0) {
        rc_kept_state(&router->kept, request, &view);
    }
    if (rc_fanout_send(&router->fanout, port, RC_DOWN_INTEREST, &view) != 0 && port->live) {
        rc_metric_add(router->setup.metrics, RC_METRIC_ACKNOWLEDGEMENTS_DROPPED, 1); /* the worker will ask again */
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

/* The record that a predecessor was in the middle of goes first: every other one gets a greater sequence. */
static void route_intent(struct rc_router *router, uint64_t sequence)
{
    const struct rc_relay_truth *truth = router->setup.truth;
    /* T2 pairs with T1 in store_intent: of a record whose intent_sequence is not 0, all of it is there. */
    const uint64_t position = atomic_load_explicit(&truth->intent_position, memory_order_acquire); /* T2 */
    const uint32_t worker = atomic_load_explicit(&truth->intent_worker, memory_order_acquire);     /* T2 */
    const uint32_t pair = atomic_load_explicit(&truth->intent_pair, memory_order_acquire);         /* T2 */
    if (worker >= router->setup.port_count || pair > 1) {
        return;
    }
    struct rc_relay_port *port = &router->setup.ports[worker];
    if (!rc_port_rewind(port, pair, position)) {
        rc_port_resume(port);
        return;
    }
    struct rc_port_record record;
    if (rc_port_next(port, &record) == 1 && port->up_pair == pair && rc_port_position(port) == position) {
        route_record(router, port, &record, sequence);
        rc_port_release(port);
        rc_metric_add(router->setup.metrics, RC_METRIC_REROUTED, 1);
        rc_log_info("rerouted", "worker=%u sequence=%llu", worker, (unsigned long long)sequence);
    }
    rc_port_resume(port);
}

static void take_over(struct rc_router *router)
{
    struct rc_relay_truth *truth = router->setup.truth;
    const uint64_t intent = atomic_load_explicit(&truth->intent_sequence, memory_order_acquire); /* T2 */
    uint64_t next = atomic_load_explicit(&truth->next_sequence, memory_order_acquire);           /* T4 pairs with T3 */
    next = next > intent ? next : intent + 1; /* it may have died between the two stores */
    router->next_sequence = next;
    atomic_store_explicit(&truth->next_sequence, next, memory_order_release); /* T3 */
    if (next > 1 && router->setup.relay_generation > 1) {
        rc_router_place_again(router, next - 1);
    }
    if (intent != 0) {
        route_intent(router, intent);
    }
}

int rc_router_open(struct rc_router *router, const struct rc_router_setup *setup)
{
    RC_ASSERT(setup->port_count > 0 && setup->port_count <= RC_WORKERS_MAX);
    *router = (struct rc_router){.setup = *setup};
    const int rc =
        rc_fanout_open(&router->fanout, setup->ports, setup->port_count, setup->metrics, setup->interest_count_max);
    if (rc != 0) {
        return rc;
    }
    router->kept = (struct rc_kept){.history = setup->history,
                                    .metrics = setup->metrics,
                                    .fanout = &router->fanout,
                                    .remote = &router->setup.remote,
                                    .presence = setup->presence,
                                    .presence_context = setup->presence_context};
    router->fanout.recovery = setup->recovery;
    rc_route_calls_open(&router->calls, &router->fanout, &router->setup.remote, setup->idempotency);
    for (uint32_t i = 0; i < setup->port_count; i++) {
        const struct rc_relay_port *port = &setup->ports[i];
        rc_worker_set_put(&router->fanout.live, i, port->live);
        /* A worker that does not run yet will know this relay from its first moment. */
        rc_worker_set_put(&router->fanout.unknown, i, setup->relay_generation > 1 && port->live);
    }
    set_interest_gauge(router);
    take_over(router);
    rc_fanout_ring(&router->fanout);
    return 0;
}

void rc_router_close(struct rc_router *router)
{
    rc_fanout_close(&router->fanout);
    rc_route_calls_close(&router->calls);
    rc_kept_close(&router->kept);
}

void rc_router_set_interest_max(struct rc_router *router, uint64_t interest_count_max)
{
    router->setup.interest_count_max = interest_count_max;
    router->fanout.interest.pair_count_max = interest_count_max;
}
