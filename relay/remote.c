/* remote: see remote.h. */
#include "relay/remote.h"

#include <errno.h>

#include "common/log.h"
#include "common/redis_health.h"

/* --- from the router ------------------------------------------------------------------------------------------------- */

static void publish(void *context, const struct rc_envelope_view *view)
{
    struct rc_remote *remote = context;
    const struct rc_config_namespace *policy =
        rc_config_namespace_of(remote->config, view->channel, view->head.channel_bytes);
    const uint32_t flags = policy->outbox ? 0 : RC_REDIS_PUBLISH_FLEETING;
    if (view->head.channel_bytes == 1 && view->channel[0] == '*') {
        rc_broadcast_publish(&remote->broadcast, view, flags);
    } else {
        rc_channel_bridge_publish(&remote->channel, view, flags);
    }
}

static bool direct(void *context, const struct rc_envelope_view *view)
{
    struct rc_remote *remote = context;
    return view->head.target.worker == RC_WORKER_FOREIGN && rc_direct_publish(&remote->direct, view);
}

static bool interest_add(void *context, const struct rc_interest_request *request, bool first)
{
    struct rc_remote *remote = context;
    (void)first; /* a later worker waits for the same confirmation */
    const enum rc_redis_want want =
        rc_redis_channel_want(remote->link, request->hash, rc_span_of(request->name, request->name_bytes),
                              request->worker, request->token);
    if (want == RC_REDIS_WANT_LOCAL) {
        rc_router_interest_done(remote->router, request, RC_ENVELOPE_SCOPE_LOCAL, 0);
    }
    return want != RC_REDIS_WANT_CONFIRMED;
}

static void interest_remove(void *context, uint64_t hash, const char *name, uint32_t name_bytes)
{
    struct rc_remote *remote = context;
    rc_redis_channel_unwant(remote->link, hash, rc_span_of(name, name_bytes));
}

const struct rc_remote_ops rc_remote_ops = {
    .publish = publish, .direct = direct, .interest_add = interest_add, .interest_remove = interest_remove};

/* --- to the router --------------------------------------------------------------------------------------------------- */

static bool deliver(void *context, enum rc_record_type type, const struct rc_envelope_view *view)
{
    const struct rc_remote *remote = context;
    return rc_router_deliver(remote->router, type, view);
}

static void interested(void *context, uint64_t hash, struct rc_span name, uint32_t worker, uint64_t token,
                       bool confirmed)
{
    const struct rc_remote *remote = context;
    const struct rc_interest_request request = {.worker = worker,
                                                .token = token,
                                                .hash = hash,
                                                .name = (const char *)name.bytes,
                                                .name_bytes = (uint32_t)name.count};
    rc_router_interest_done(remote->router, &request, confirmed ? 0 : RC_ENVELOPE_SCOPE_LOCAL, 0);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int rc_remote_open(struct rc_remote *remote, struct rc_control *control, const struct rc_config *config,
                   struct rc_router *router, const struct rc_redis_host *host, struct rc_err *err)
{
    *remote = (struct rc_remote){.control = control, .config = config, .router = router};
    const struct rc_redis_setup setup = {.config = &config->redis,
                                         .instance_id = control->instance_id,
                                         .metrics = &control->relay_metrics,
                                         .health = &control->redis_health,
                                         .host = *host};
    struct rc_err why;
    int result = rc_redis_link_open(&remote->link, &setup, &why);
    if (result == -ENOMEM) {
        return rc_err_set(err, result, "%s", why.text);
    }
    if (result != 0) {
        rc_redis_health_set(&control->redis_health, RC_REDIS_AWAY, why.text);
        rc_log_error("redis_unusable", "reason=\"%s\" mode=local-only remedy=\"correct [redis] and restart\"", why.text);
        return 0;
    }
    result = rc_wire_open(&remote->wire, control->instance_id, control->boot_nonce, config->limits.max_message_size_bytes,
                          &control->relay_metrics);
    if (result != 0) {
        rc_redis_link_close(remote->link);
        remote->link = NULL;
        return rc_err_set(err, result, "no memory for messages from Redis");
    }
    remote->bridge = (struct rc_bridge){
        .link = remote->link,
        .wire = &remote->wire,
        .host = {.deliver = deliver, .interested = interested, .context = remote},
    };
    rc_channel_bridge_open(&remote->channel, &remote->bridge);
    rc_broadcast_open(&remote->broadcast, &remote->bridge);
    rc_direct_open(&remote->direct, &remote->bridge);
    rc_notifications_open(&remote->notifications, &remote->bridge);
    rc_application_open(&remote->application, &remote->bridge, config, control->bridges);
    return 0;
}

void rc_remote_close(struct rc_remote *remote)
{
    if (remote->link != NULL) {
        rc_redis_link_close(remote->link);
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
    }
}
