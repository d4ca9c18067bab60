/* remote: see remote.h. */
#include "relay/remote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/metrics/redis_health.h"
#include "common/records/member.h"
#include "common/records/select.h"
#include "common/shm/neighbours.h"
#include "relay/bridge/adapter_interest.h"
#include "relay/remote_missed.h"
#include "relay/to_sockets.h"

#define WAITER_REPLY RC_WORKERS_MAX         /* no worker waits for the confirmation, but a reply */
#define WAITER_NOBODY (RC_WORKERS_MAX + 1u) /* nobody does */

static struct rc_to_sockets sockets_of(struct rc_remote *remote)
{
    return (struct rc_to_sockets){.router = remote->router,
                                  .registry = &remote->registry,
                                  .direct = &remote->direct,
                                  .comeback = remote->comeback};
}

/* --- from the router ------------------------------------------------------------------------------------------------- */

static void remote_publish(void *context, const struct rc_envelope_view *view)
{
    struct rc_remote *remote = context;
    const struct rc_config_namespace *policy =
        rc_config_namespace_of(remote->config, view->channel, view->head.channel_bytes);
    const struct rc_to_sockets sockets = sockets_of(remote);
    if (rc_registry_refused(&remote->registry)) {
        return; /* others would take it for the message of the owner of our id */
    }
    if (rc_to_sockets_room(&sockets, view)) {
        return;
    }
    const uint32_t flags = policy->outbox ? RC_REDIS_PUBLISH_TOLD : RC_REDIS_PUBLISH_FLEETING;
    if (view->head.channel_bytes == 1 && view->channel[0] == '*') {
        rc_broadcast_publish(&remote->broadcast, view, flags);
    } else {
        rc_channel_bridge_publish(&remote->channel, view, flags);
    }
    rc_adapter_publish(&remote->adapter, view, flags & ~(uint32_t)RC_REDIS_PUBLISH_TOLD);
}

/* On the channel of a room, or of everybody in the namespace. What it is published with. */
static uint32_t select_publish(struct rc_remote *remote, struct rc_span channel, const struct rc_envelope_view *view)
{
    struct rc_envelope_view one = *view;
    one.channel = (const char *)channel.bytes;
    one.head.channel_bytes = (uint8_t)channel.count;
    const struct rc_config_namespace *policy =
        rc_config_namespace_of(remote->config, one.channel, one.head.channel_bytes);
    const uint32_t flags = policy->outbox ? RC_REDIS_PUBLISH_TOLD : RC_REDIS_PUBLISH_FLEETING;
    rc_channel_bridge_select(&remote->channel, &one, flags);
    return flags;
}

/* On the channel of each of its rooms, or of everybody in the namespace, with the names of all of them, so that whoever hears it on several has it
 * once, and of those that it is not for. Servers with an adapter get it once. */
static void remote_select(void *context, const struct rc_envelope_view *view)
{
    struct rc_remote *remote = context;
    const struct rc_to_sockets sockets = sockets_of(remote);
    struct rc_span names = rc_span_of(view->exclude_text, view->head.exclude_text_bytes);
    struct rc_span room;
    bool any = false;
    uint32_t flags = RC_REDIS_PUBLISH_FLEETING;
    if (rc_registry_refused(&remote->registry)) {
        return;
    }
    while (rc_select_next(&names, &room)) {
        any = true;
        if (!rc_to_sockets_select(&sockets, room, view)) {
            flags = select_publish(remote, room, view);
        }
    }
    if (!any) {
        flags = select_publish(remote, rc_span_of(view->channel, view->head.channel_bytes), view);
    }
    rc_adapter_select(&remote->adapter, view, flags & ~(uint32_t)RC_REDIS_PUBLISH_TOLD);
}

static bool remote_complete(void *context, const struct rc_envelope_view *asked, uint32_t worker, uint32_t generation,
                            bool forget)
{
    struct rc_remote *remote = context;
    return !rc_registry_refused(&remote->registry) &&
           rc_shared_complete(&remote->shared, asked, worker, generation, forget);
}

/* Everything but what gives it its place is done now. */
static bool remote_share(void *context, const struct rc_envelope_view *view, uint32_t worker, uint32_t generation,
                         bool answers)
{
    struct rc_remote *remote = context;
    if (rc_registry_refused(&remote->registry) ||
        !rc_shared_publish(&remote->shared, view, worker, generation, answers)) {
        return false;
    }
    rc_adapter_publish(&remote->adapter, view, 0);
    return true;
}

static bool remote_direct(void *context, const struct rc_envelope_view *view)
{
    struct rc_remote *remote = context;
    const struct rc_to_sockets sockets = sockets_of(remote);
    return view->head.target.worker == RC_WORKER_FOREIGN && !rc_registry_refused(&remote->registry) &&
           (rc_to_sockets_moved(&sockets, view) || rc_direct_publish(&remote->direct, view));
}

/* Is Redis to be read before the worker is answered? `asked`: it has been asked for the subscription. */
static bool remote_waits(struct rc_remote *remote, const struct rc_interest_request *request, bool everywhere,
                         bool asked)
{
    return rc_channel_is_presence(rc_span_of(request->name, request->name_bytes))
               ? rc_presence_events_wait(remote->presence_events, request, everywhere)
               : asked && rc_shared_wait(&remote->shared, request, everywhere);
}

static bool interest_add(void *context, const struct rc_interest_request *request, bool first)
{
    struct rc_remote *remote = context;
    const struct rc_span name = rc_span_of(request->name, request->name_bytes);
    if (first) { /* a later worker waits for the same confirmation */
        rc_subscription_sets_interest(&remote->sets, name, true);
        rc_presence_interest(&remote->presence, name, true);
    }
    if (first && !rc_channel_is_presence(name) && !rc_router_held(remote->router, name)) {
        rc_adapter_interest(&remote->adapter, name, true); /* before ours, whose confirmation then stands for both */
    }
    const enum rc_redis_want want = rc_redis_channel_want(
        remote->link, request->hash, rc_span_of(request->name, request->name_bytes), request->worker, request->token);
    const bool refused = want == RC_REDIS_WANT_CONFIRMED && rc_registry_refused(&remote->registry);
    const bool everywhere = want == RC_REDIS_WANT_CONFIRMED;
    if (want != RC_REDIS_WANT_LATER && !refused && remote_waits(remote, request, everywhere, everywhere)) {
        return true;
    }
    if (want == RC_REDIS_WANT_LOCAL || refused) {
        rc_shared_early(&remote->shared, request);
        rc_router_interest_done(remote->router, request, RC_ENVELOPE_SCOPE_LOCAL, 0);
    }
    return want != RC_REDIS_WANT_CONFIRMED || refused;
}

static enum rc_confirmation remote_confirm(void *context, uint64_t hash, struct rc_span name, uint64_t token)
{
    const struct rc_remote *remote = context;
    if (rc_registry_refused(&remote->registry)) {
        return RC_CONFIRMED_HERE;
    }
    switch (rc_redis_channel_want(remote->link, hash, name, WAITER_REPLY, token)) {
    case RC_REDIS_WANT_CONFIRMED:
        return RC_CONFIRMED;
    case RC_REDIS_WANT_LOCAL:
        return RC_CONFIRMED_HERE;
    case RC_REDIS_WANT_LATER:
        break;
    }
    return RC_CONFIRMATION_LATER;
}

static void interest_remove(void *context, uint64_t hash, const char *name, uint32_t name_bytes)
{
    struct rc_remote *remote = context;
    const struct rc_span span = rc_span_of(name, name_bytes);
    rc_subscription_sets_interest(&remote->sets, span, false);
    rc_presence_interest(&remote->presence, span, false);
    if (!rc_router_held(remote->router, span)) {
        rc_redis_channel_unwant(remote->link, hash, span);
        if (!rc_channel_is_presence(span)) {
            rc_adapter_interest(&remote->adapter, span, false);
        }
    }
}

void rc_remote_hold(struct rc_remote *remote, struct rc_span name, bool held)
{
    const uint64_t hash = rc_channel_hash((const char *)name.bytes, name.count);
    if (remote->link == NULL || rc_router_wanted(remote->router, name)) {
        return;
    }
    rc_adapter_interest(&remote->adapter, name, held);
    if (held) {
        (void)rc_redis_channel_want(remote->link, hash, name, WAITER_NOBODY, 0);
    } else {
        rc_redis_channel_unwant(remote->link, hash, name);
    }
}

bool rc_remote_hears(struct rc_remote *remote, struct rc_span name)
{
    const uint64_t hash = rc_channel_hash((const char *)name.bytes, name.count);
    return remote->link != NULL &&
           rc_redis_channel_want(remote->link, hash, name, WAITER_NOBODY, 0) == RC_REDIS_WANT_CONFIRMED &&
           rc_adapter_hears(&remote->adapter, name) && rc_shared_settled(&remote->shared, hash, name);
}

/* Of a worker of this host: nobody else looks. */
static void user_missed(void *context, struct rc_span user)
{
    struct rc_remote *remote = context;
    rc_presence_missed(&remote->presence, user);
}

static int remote_call(void *context, uint32_t worker, const struct rc_envelope_view *view)
{
    struct rc_remote *remote = context;
    if (!rc_emits_is(view)) {
        return rc_calls_send(&remote->calls, worker, view);
    }
    if (!rc_registry_refused(&remote->registry)) {
        rc_adapter_asks_emit(&remote->asks, worker, view);
    }
    return rc_emits_send(&remote->emits, view);
}

static void call_replied(void *context, uint32_t worker, const struct rc_envelope_view *view)
{
    struct rc_remote *remote = context;
    if (!rc_adapter_requests_replied(&remote->requests, worker, view) && !rc_python_replied(&remote->python, view)) {
        rc_calls_replied(&remote->calls, worker, view);
    }
}

/* Socket.IO servers beside this instance know who is in a room, too. */
static int remote_ask(void *context, struct rc_span channel, uint64_t token)
{
    struct rc_remote *remote = context;
    return rc_adapter_asks_room(&remote->asks, channel, token);
}

static void room_told(void *context, uint64_t token, struct rc_span ids, uint32_t count)
{
    struct rc_remote *remote = context;
    rc_calls_told(&remote->calls, token, ids, count);
}

static void room_told_all(void *context, uint64_t token, bool whole)
{
    struct rc_remote *remote = context;
    rc_calls_told_all(&remote->calls, token, whole);
}

static int open_adapter(struct rc_remote *remote)
{
    const struct rc_adapter_asks_ops ops = {.room = room_told, .room_done = room_told_all, .context = remote};
    int rc = rc_adapter_open(&remote->adapter, &remote->bridge, &remote->config->socketio);
    if (rc == 0) {
        rc = rc_adapter_requests_open(&remote->requests, &remote->adapter);
    }
    return rc == 0 ? rc_adapter_asks_open(&remote->asks, &remote->adapter, remote->config, &ops) : rc;
}

static void close_adapter(struct rc_remote *remote)
{
    rc_adapter_asks_close(&remote->asks);
    rc_adapter_requests_close(&remote->requests);
    rc_adapter_close(&remote->adapter);
}

static void remote_member(void *context, const struct rc_envelope_view *view, bool subscribed)
{
    struct rc_remote *remote = context;
    const struct rc_span channel = rc_span_of(view->channel, view->head.channel_bytes);
    struct rc_span user = rc_span_of(view->data, view->head.data_bytes);
    struct rc_span info;
    if ((view->head.flags & RC_ENVELOPE_MEMBER) && !rc_member_read(user, &user, &info)) {
        user = (struct rc_span){0};
    }
    rc_subscription_sets_member(&remote->sets, channel, &view->head.origin, subscribed);
    rc_presence_member(&remote->presence, channel, &view->head.origin, user, subscribed);
}

static void remote_refresh(struct rc_remote *remote)
{
    const struct rc_config *config = rc_control_config(remote->control, rc_control_config_generation(remote->control));
    if (config != remote->config) {
        rc_remote_configure(remote, config);
    }
}

static void remote_members(void *context, uint32_t worker, enum rc_members_mark mark)
{
    struct rc_remote *remote = context;
    switch (mark) {
    case RC_MEMBERS_BEGIN:
        /* After a reload workers tell everything again, so that sets get the names that they have now: it must be as new here. */
        remote_refresh(remote);
        rc_entries_worker_begin(&remote->entries, worker);
        break;
    case RC_MEMBERS_END:
        rc_entries_worker_end(&remote->entries, worker);
        break;
    case RC_MEMBERS_GONE:
        rc_entries_worker_gone(&remote->entries, worker);
        break;
    }
}

/* What a bridge keeps all instances have heard of: one of them tells. */
static void remote_retained(void *context, const struct rc_envelope_view *view)
{
    struct rc_remote *remote = context;
    const bool of_all = (view->head.flags & RC_ENVELOPE_REMOTE) != 0;
    if (!rc_registry_refused(&remote->registry) && (!of_all || rc_registry_first(&remote->registry))) {
        rc_cluster_retained_tell(&remote->retained, view);
    }
}

const struct rc_remote_ops rc_remote_ops = {.publish = remote_publish,
                                            .share = remote_share,
                                            .complete = remote_complete,
                                            .select = remote_select,
                                            .direct = remote_direct,
                                            .interest_add = interest_add,
                                            .confirm = remote_confirm,
                                            .interest_remove = interest_remove,
                                            .missed = user_missed,
                                            .call = remote_call,
                                            .replied = call_replied,
                                            .member = remote_member,
                                            .retained = remote_retained,
                                            .members = remote_members};

/* --- to the router --------------------------------------------------------------------------------------------------- */

static bool remote_deliver(void *context, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_remote *remote = context;
    const struct rc_to_sockets sockets = sockets_of(remote);
    return !rc_registry_refused(&remote->registry) &&
           ((type == RC_DOWN_DIRECT && rc_to_sockets_moved(&sockets, view)) ||
            rc_router_deliver(remote->router, type, view));
}

/* Of a message that every instance has heard: one of them looks. */
static void remote_undelivered(void *context, struct rc_span user)
{
    struct rc_remote *remote = context;
    if (rc_registry_first(&remote->registry)) {
        rc_presence_missed(&remote->presence, user);
    }
}

static void remote_interested(void *context, uint64_t hash, struct rc_span name, uint32_t worker, uint64_t token,
                              bool confirmed)
{
    struct rc_remote *remote = context;
    const bool everywhere = confirmed && !rc_registry_refused(&remote->registry);
    if (worker == WAITER_NOBODY) {
        return;
    }
    if (worker == WAITER_REPLY) {
        rc_router_confirmed(remote->router, token, everywhere);
        return;
    }
    const struct rc_interest_request request = {.worker = worker,
                                                .token = token,
                                                .hash = hash,
                                                .name = (const char *)name.bytes,
                                                .name_bytes = (uint32_t)name.count};
    if (!rc_registry_refused(&remote->registry) && remote_waits(remote, &request, everywhere, true)) {
        return;
    }
    if (!everywhere) {
        rc_shared_early(&remote->shared, &request);
    }
    rc_router_interest_done(remote->router, &request, everywhere ? 0 : RC_ENVELOPE_SCOPE_LOCAL, 0);
}

static void remote_missed(void *context, struct rc_span name, enum rc_missed how)
{
    struct rc_remote *remote = context;
    const struct rc_remote_missed whom = {.router = remote->router,
                                          .shared = &remote->shared,
                                          .retained = &remote->retained,
                                          .presence_events = remote->presence_events};
    rc_remote_missed(&whom, name, how);
}

static bool remote_placed(void *context, struct rc_span name, struct rc_span message)
{
    struct rc_remote *remote = context;
    if (rc_channel_is_presence(name)) {
        rc_presence_events_heard(remote->presence_events, name);
        return true;
    }
    return !rc_registry_refused(&remote->registry) && rc_shared_received(&remote->shared, name, message);
}

static void remote_changed(void *context, uint64_t hash, struct rc_span name, enum rc_redis_change change)
{
    struct rc_remote *remote = context;
    rc_shared_changed(&remote->shared, hash, name, change);
}

/* One of those that have heard it gives it its place, as if it were its own. */
static bool remote_share_heard(void *context, const struct rc_envelope_view *view)
{
    struct rc_remote *remote = context;
    const struct rc_span name = rc_span_of(view->channel, view->head.channel_bytes);
    struct rc_envelope_view own = *view;
    if (!rc_shared_covers(&remote->shared, name) || rc_registry_refused(&remote->registry)) {
        return false;
    }
    own.head.channel_hash = rc_channel_hash(view->channel, view->head.channel_bytes);
    own.head.flags = (uint16_t)(view->head.flags & ~RC_ENVELOPE_REMOTE);
    own.head.request_id_bytes = 0;
    if (!rc_registry_first(&remote->registry)) {
        return true;
    }
    own.head.sequence = rc_router_sequence(remote->router);
    return rc_shared_publish(&remote->shared, &own, 0, 0, false);
}

/* An entry of an application's stream, which only this instance reads. */
static enum rc_consumed remote_consume(void *context, const struct rc_envelope_view *view,
                                       const struct rc_shared_source *source, uint64_t *sequence)
{
    struct rc_remote *remote = context;
    struct rc_envelope_view own = *view;
    if (rc_registry_refused(&remote->registry)) {
        return RC_CONSUMED_AGAIN;
    }
    *sequence = own.head.sequence = rc_router_sequence(remote->router);
    if (rc_shared_covers(&remote->shared, rc_span_of(view->channel, view->head.channel_bytes))) {
        const int rc = rc_shared_publish_entry(&remote->shared, &own, source);
        return rc == 0 ? RC_CONSUMED_LATER : rc == -EFBIG ? RC_CONSUMED_NEVER : RC_CONSUMED_AGAIN;
    }
    if (rc_channel_bridge_never(&remote->channel, &own)) {
        return RC_CONSUMED_NEVER; /* else who is subscribed here would have it, and nobody elsewhere */
    }
    (void)rc_router_deliver(remote->router, RC_DOWN_MESSAGE, &own);
    remote_publish(remote, &own);
    if ((own.head.flags & RC_ENVELOPE_RETAIN) !=
        0) { /* others have not heard the entry itself, as they have what a bridge keeps */
        rc_cluster_retained_tell(&remote->retained, &own);
    }
    return RC_CONSUMED;
}

static void remote_consumed(void *context, uint64_t sequence, bool taken)
{
    struct rc_remote *remote = context;
    rc_consumers_ended(&remote->consumers, sequence, taken);
}

static bool remote_wanted(void *context, struct rc_span name)
{
    const struct rc_remote *remote = context;
    return rc_router_wanted(remote->router, name) || rc_router_held(remote->router, name);
}

static bool remote_pass_call(void *context, const struct rc_envelope_view *view, struct rc_call_asked *asked)
{
    const struct rc_remote *remote = context;
    return rc_router_call(remote->router, view, asked);
}

static bool remote_known(void *context)
{
    const struct rc_remote *remote = context;
    return rc_worker_set_empty(&remote->router->fanout.unknown);
}

/* --- this instance among others -------------------------------------------------------------------------------------- */

static void remote_registered(void *context)
{
    struct rc_remote *remote = context;
    rc_entries_registered(&remote->entries, true);
    rc_heartbeat_now(&remote->heartbeat);
}

static void remote_unregistered(void *context)
{
    struct rc_remote *remote = context;
    rc_entries_registered(&remote->entries, false);
}

/* For workers that are asked for the others' sessions. */
static void remote_reachable(void *context)
{
    struct rc_remote *remote = context;
    struct rc_neighbour all[RC_NEIGHBOURS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < remote->registry.instance_count && count < RC_NEIGHBOURS_MAX; i++) {
        const struct rc_registry_instance *one = &remote->registry.instances[i];
        if (one->address[0] != '\0') {
            all[count] = (struct rc_neighbour){0};
            memcpy(all[count].sids, one->sids, sizeof(all[count].sids));
            memcpy(all[count].address, one->address, sizeof(all[count].address));
            count++;
        }
    }
    rc_neighbours_write(&remote->control->own_relay->neighbours, all, count);
}

static int remote_clean_user(void *context, struct rc_span user, const char *instance, rc_redis_replied *replied,
                             void *replied_context)
{
    struct rc_remote *remote = context;
    return rc_presence_clean_user(&remote->presence, user, instance, replied, replied_context);
}

static void remote_clean_member(void *context, struct rc_span channel, struct rc_span user, bool gone, bool vacated,
                                uint32_t clients)
{
    const struct rc_remote *remote = context;
    if (remote->presence_events != NULL) {
        rc_presence_events_counted(remote->presence_events, channel);
    }
    if (remote->newcomers != NULL) {
        rc_newcomers_cleaned(remote->newcomers, channel, user,
                             (gone ? RC_MEMBER_REMOVED : 0u) | (vacated ? RC_MEMBER_VACATED : 0u) | RC_MEMBER_COUNTED,
                             clients);
    }
}

static int write_entry(void *context, const struct rc_entry *entry, bool add, rc_redis_replied *replied,
                       void *replied_context)
{
    struct rc_remote *remote = context;
    const uint8_t letter = entry->name.bytes[0];
    return letter == 'c' || letter == 'i'
               ? rc_subscription_sets_write(&remote->sets, entry, add, replied, replied_context)
               : rc_presence_write(&remote->presence, entry, add, replied, replied_context);
}

static uint64_t client_count(void *context)
{
    const struct rc_remote *remote = context;
    uint64_t total = 0;
    for (uint32_t i = 0; i < remote->control->worker_count; i++) {
        total += rc_report_value(remote->control->workers[i], RC_METRIC_CONNECTIONS);
    }
    return total;
}

/* -ENOMEM. */
static int open_instance(struct rc_remote *remote)
{
    const struct rc_control *control = remote->control;
    const struct rc_config *config = remote->config;
    struct rc_metrics *metrics = remote->wire.metrics;
    struct rc_timers *timers = remote->bridge.timers;
    const struct rc_entries_ops entries = {.write = write_entry, .context = remote};
    const struct rc_registry_ops ops = {
        .registered = remote_registered,
        .unregistered = remote_unregistered,
        .reachable = remote_reachable,
        .cleanup = {.user = remote_clean_user, .member = remote_clean_member, .context = remote},
        .context = remote};
    const struct rc_calls_others others = {.ask = rc_adapter_off(&remote->adapter) ? NULL : remote_ask,
                                           .context = remote};
    int rc = rc_calls_open(&remote->calls, &remote->bridge, &remote->registry, remote->router, &others);
    if (rc != 0) {
        return rc;
    }
    rc = rc_entries_open(&remote->entries, remote->link, timers, metrics, control->instance_id, &entries);
    if (rc != 0) {
        rc_calls_close(&remote->calls);
        return rc;
    }
    rc = rc_presence_open(&remote->presence, &remote->bridge, &remote->entries, config, control->instance_id,
                          control->boot_nonce);
    if (rc != 0) {
        rc_entries_close(&remote->entries);
        rc_calls_close(&remote->calls);
        return rc;
    }
    rc_subscription_sets_open(&remote->sets, &remote->entries, config, control->instance_id, control->boot_nonce);
    rc_neighbours_write(&remote->control->own_relay->neighbours, NULL, 0); /* a predecessor's are asked for again */
    rc_registry_open(&remote->registry, remote->link, timers, metrics, control->instance_id, control->boot_wall_ms,
                     control->boot_nonce, &config->cluster, &ops);
    rc_heartbeat_open(&remote->heartbeat, remote->link, timers, &remote->registry, metrics,
                      config->cluster.heartbeat_interval_ms, client_count, remote);
    return 0;
}

/* -ENOMEM. */
static int open_shared(struct rc_remote *remote, struct rc_history *history)
{
    const struct rc_shared_setup setup = {.link = remote->link,
                                          .timers = remote->bridge.timers,
                                          .router = remote->router,
                                          .history = history,
                                          .wire = &remote->wire,
                                          .config = remote->config,
                                          .instance_id = remote->control->instance_id,
                                          .boot = remote->control->boot_nonce,
                                          .ended = remote_consumed,
                                          .ended_context = remote};
    return rc_shared_open(&remote->shared, &setup);
}

bool rc_remote_leave(struct rc_remote *remote)
{
    if (remote->registry.leaving) {
        return remote->registry.left;
    }
    if (!rc_registry_owned(&remote->registry) || !rc_redis_up(remote->link)) {
        return true;
    }
    rc_consumers_leave(&remote->consumers);
    const uint32_t members = remote->newcomers == NULL ? 0 : rc_roster_count(remote->newcomers->roster);
    if (members > 0) {
        rc_log_warn("members_left",
                    "count=%u reason=\"their workers ended at once: other instances tell that they have gone, after "
                    "cluster.dead_instance_threshold, or this one when it is started again\"",
                    members);
        rc_registry_abandon(&remote->registry);
        return true;
    }
    rc_entries_drop_all(&remote->entries);
    if (!rc_entries_settled(&remote->entries)) {
        return false;
    }
    rc_registry_leave(&remote->registry);
    return remote->registry.left;
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

/* The former relay may still hear what this one does not hear yet. */
static void remote_follow(struct rc_remote *remote, int pass_fd)
{
    if (pass_fd >= 0) {
        rc_direct_mark(remote->mark, sizeof(remote->mark), remote->control->instance_id);
        rc_redis_link_follow(remote->link, pass_fd, remote->mark);
    }
}

int rc_remote_open(struct rc_remote *remote, struct rc_control *control, const struct rc_config *config,
                   struct rc_router *router, struct rc_history *history, struct rc_timers *timers,
                   const struct rc_redis_host *host, int pass_fd, struct rc_err *err)
{
    *remote = (struct rc_remote){.control = control, .config = config, .router = router};
    const struct rc_redis_setup setup = {.config = &config->redis,
                                         .instance_id = control->instance_id,
                                         .metrics = control->metrics,
                                         .health = &control->own_relay->redis_health,
                                         .timers = timers,
                                         .host = *host,
                                         .successor = rc_control_relay_generation(control) > 1};
    struct rc_err why;
    int rc = rc_redis_link_open(&remote->link, &setup, &why);
    if (rc == -ENOMEM) {
        return rc_err_set(err, rc, "%s", why.text);
    }
    if (rc != 0) {
        rc_redis_health_set(&control->own_relay->redis_health, RC_REDIS_AWAY, why.text, "");
        rc_log_error("redis_unusable", "reason=\"%s\" mode=local-only remedy=\"correct [redis] and restart\"",
                     why.text);
        return 0;
    }
    remote_follow(remote, pass_fd);
    rc = rc_wire_open(&remote->wire, control->instance_id, control->boot_nonce, config->limits.max_message_size_bytes,
                      control->metrics);
    if (rc != 0) {
        rc_redis_link_close(remote->link);
        remote->link = NULL;
        return rc_err_set(err, rc, "no memory for messages from Redis");
    }
    remote->bridge = (struct rc_bridge){
        .link = remote->link,
        .timers = timers,
        .wire = &remote->wire,
        .host = {.deliver = remote_deliver,
                 .interested = remote_interested,
                 .missed = remote_missed,
                 .placed = remote_placed,
                 .changed = remote_changed,
                 .share = remote_share_heard,
                 .wanted = remote_wanted,
                 .call = remote_pass_call,
                 .known = remote_known,
                 .undelivered = remote_undelivered,
                 .context = remote},
    };
    rc_channel_bridge_open(&remote->channel, &remote->bridge);
    rc_broadcast_open(&remote->broadcast, &remote->bridge);
    rc_direct_open(&remote->direct, &remote->bridge);
    rc_notifications_open(&remote->notifications, &remote->bridge, &remote->config->socketio.notification_event);
    rc_gaps_open(&remote->gaps, &remote->bridge);
    rc_emits_open(&remote->emits, &remote->bridge, &remote->registry);
    rc_cluster_retained_open(&remote->retained, remote->link, timers, history, control->instance_id);
    rc_application_open(&remote->application, &remote->bridge, config, control->own_relay->bridges);
    rc = open_shared(remote, history);
    if (rc == 0) {
        rc = open_adapter(remote);
    }
    if (rc == 0) {
        rc = rc_python_open(&remote->python, &remote->bridge, &config->socketio);
    }
    if (rc == 0) {
        rc = open_instance(remote);
    }
    if (rc != 0) {
        rc_redis_link_close(remote->link);
        rc_emits_close(&remote->emits);
        rc_shared_close(&remote->shared);
        rc_application_close(&remote->application);
        rc_python_close(&remote->python);
        close_adapter(remote);
        rc_wire_close(&remote->wire);
        remote->link = NULL;
        return rc_err_set(err, rc, "no memory for what Redis is told of this instance");
    }
    const struct rc_consumers_ops consumers = {.publish = remote_consume, .context = remote};
    rc_consumers_open(&remote->consumers, &remote->bridge, &remote->application, config, control->instance_id,
                      control->boot_nonce, &consumers);
    return 0;
}

void rc_remote_close(struct rc_remote *remote)
{
    if (remote->link != NULL) {
        rc_redis_link_close(remote->link);
        rc_heartbeat_close(&remote->heartbeat);
        rc_registry_close(&remote->registry);
        rc_presence_close(&remote->presence);
        rc_entries_close(&remote->entries);
        rc_calls_close(&remote->calls);
        rc_cluster_retained_close(&remote->retained);
        rc_consumers_close(&remote->consumers);
        rc_shared_close(&remote->shared);
        rc_gaps_close(&remote->gaps);
        rc_emits_close(&remote->emits);
        rc_application_close(&remote->application);
        rc_python_close(&remote->python);
        close_adapter(remote);
        rc_wire_close(&remote->wire);
        remote->link = NULL;
    }
}

void rc_remote_configure(struct rc_remote *remote, const struct rc_config *config)
{
    remote->config = config;
    if (remote->link != NULL) {
        rc_redis_link_configure(remote->link, &config->redis);
        rc_application_configure(&remote->application, config);
        rc_adapter_asks_configure(&remote->asks, config);
        rc_shared_configure(&remote->shared, config);
        rc_registry_configure(&remote->registry, &config->cluster);
        rc_heartbeat_configure(&remote->heartbeat, config->cluster.heartbeat_interval_ms);
        rc_subscription_sets_configure(&remote->sets, config, &remote->router->fanout.interest);
        rc_presence_configure(&remote->presence, config);
    }
}
