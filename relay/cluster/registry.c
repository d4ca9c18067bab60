/* registry: see registry.h. */
#include "relay/cluster/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/config/text.h"

#define LOCK_POLL_MS 200u       /* while somebody still cleans up after this id */
#define INSTANCES_ASKED_MAX 64u /* whose start and address are asked for, each time the list is read */

/* KEYS: owner. ARGV: nonce, ms, the value of a rival that is dead ("" = none). "own" it was ours, "new" it was not (somebody may
 * have cleaned up meanwhile), or the value of another owner. */
static const char claim_script[] = "local v=redis.call('GET',KEYS[1])\n"
                                   "local n=0\n"
                                   "if v and v~=ARGV[3] then\n"
                                   "  local o,c=string.match(v,'^(.*):(%d+)$')\n"
                                   "  if o~=ARGV[1] then return v end\n"
                                   "  n=tonumber(c)+1\n"
                                   "end\n"
                                   "redis.call('SET',KEYS[1],ARGV[1]..':'..n,'PX',ARGV[2])\n"
                                   "if n==0 then return 'new' end\n"
                                   "return 'own'";
/* KEYS: owner. ARGV: nonce. */
static const char release_script[] =
    "local v=redis.call('GET',KEYS[1])\n"
    "if v and string.match(v,'^(.*):%d+$')==ARGV[1] then return redis.call('DEL',KEYS[1]) end\n"
    "return 0";

static void registry_claim(struct rc_registry *registry);
static void wait_for_lock(struct rc_registry *registry);

/* An answer belongs to the round in which it was asked for. Kept until it came: every command is answered exactly once. */
struct registry_question {
    struct rc_registry *registry; /* borrowed */
    uint32_t round;
};

static struct registry_question *registry_question(struct rc_registry *registry)
{
    struct registry_question *one = malloc(sizeof(*one));
    if (one != NULL) {
        *one = (struct registry_question){.registry = registry, .round = registry->round};
    }
    return one;
}

/* The registry if the answer still matters, else NULL. */
static struct rc_registry *registry_answer(void *context)
{
    struct registry_question *one = context;
    struct rc_registry *registry = one->round == one->registry->round ? one->registry : NULL;
    free(one);
    return registry;
}

/* False: nothing was sent; the state's timer tries again. */
static bool registry_ask(struct rc_registry *registry, rc_redis_replied *replied, uint32_t key, uint32_t argc,
                         const struct rc_span *argv)
{
    struct registry_question *one = registry_question(registry);
    if (one == NULL) {
        return false;
    }
    if (rc_redis_command(registry->link, replied, one, key, argc, argv) < 0) {
        free(one);
        return false;
    }
    return true;
}

static struct rc_span registry_key_of(const struct rc_registry *registry, char out[RC_REDIS_NAME_MAX], const char *what)
{
    return rc_redis_key(registry->link, out, "ws:instance:%s:%s", registry->instance_id, what);
}

static void registry_enter(struct rc_registry *registry, enum rc_registry_state state)
{
    const bool owned = registry->state == RC_REGISTRY_OWNED;
    registry->state = state;
    registry->round++;
    rc_timer_cancel(registry->timers, &registry->timer);
    rc_metric_set(registry->metrics, RC_METRIC_INSTANCE_OWNED, state == RC_REGISTRY_OWNED);
    if (owned && state != RC_REGISTRY_OWNED) {
        registry->ops.unregistered(registry->ops.context);
    }
}

static void registry_later(struct rc_registry *registry, uint64_t in_ms, rc_timer_expired *expired)
{
    rc_timer_set(registry->timers, &registry->timer, rc_clock_ms() + in_ms, expired, registry);
}

/* --- where it is reached --------------------------------------------------------------------------------------------- */

/* As long as the owner key holds, and not longer. */
static void registry_advertise(struct rc_registry *registry)
{
    char key[RC_REDIS_NAME_MAX];
    char ms[24];
    if (registry->address[0] == '\0') {
        return;
    }
    (void)snprintf(ms, sizeof(ms), "%llu", (unsigned long long)registry->config.dead_instance_threshold_ms);
    const struct rc_span argv[] = {RC_SPAN("SET"), registry_key_of(registry, key, "address"),
                                   rc_span_text(registry->address), RC_SPAN("PX"), rc_span_text(ms)};
    (void)rc_redis_command(registry->link, NULL, NULL, 1, RC_ARRAY_COUNT(argv), argv); /* again with every heartbeat */
}

static void registry_unadvertise(struct rc_registry *registry)
{
    char key[RC_REDIS_NAME_MAX];
    const struct rc_span argv[] = {RC_SPAN("DEL"), registry_key_of(registry, key, "address")};
    if (registry->address[0] != '\0') {
        (void)rc_redis_command(registry->link, NULL, NULL, 1, RC_ARRAY_COUNT(argv), argv);
    }
}

static struct rc_registry_instance *registry_find(struct rc_registry *registry, struct rc_span id);

/* What is asked of another instance. Kept until the answer came. */
struct instance_question {
    struct rc_registry *registry; /* borrowed */
    char id[RC_INSTANCE_ID_MAX + 1];
};

static void ask_instance(struct rc_registry *registry, const struct rc_registry_instance *one, const char *what,
                         rc_redis_replied *came)
{
    char key[RC_REDIS_NAME_MAX];
    struct instance_question *asked = malloc(sizeof(*asked));
    if (asked == NULL) {
        return;
    }
    *asked = (struct instance_question){.registry = registry};
    memcpy(asked->id, one->id, sizeof(asked->id));
    const struct rc_span argv[] = {RC_SPAN("GET"),
                                   rc_redis_key(registry->link, key, "ws:instance:%s:%s", asked->id, what)};
    if (rc_redis_command(registry->link, came, asked, 1, RC_ARRAY_COUNT(argv), argv) < 0) {
        free(asked);
    }
}

/* What is no address is none: anybody may have written it. */
static void address_came(void *context, const redisReply *reply)
{
    struct instance_question *asked = context;
    struct rc_registry *registry = asked->registry;
    struct rc_registry_instance *one = registry_find(registry, rc_span_text(asked->id));
    if (one != NULL && reply != NULL && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_NIL)) {
        char address[RC_NEIGHBOUR_ADDRESS_MAX] = "";
        struct rc_listen_address parsed;
        struct rc_err why;
        if (reply->type == REDIS_REPLY_STRING) {
            if (reply->len < sizeof(address) &&
                rc_advertise_address_parse(&parsed, reply->str, reply->len, &why) == 0) {
                memcpy(address, reply->str, reply->len);
            } else {
                rc_log_limited(RC_LOG_WARN, 1, "instance_address_ignored", "instance=%s bytes=%zu", one->id,
                               reply->len);
            }
        }
        if (strcmp(address, one->address) != 0) {
            memcpy(one->address, address, sizeof(address));
            registry->ops.reachable(registry->ops.context);
        }
    }
    free(asked);
}

static void ask_address(struct rc_registry *registry, struct rc_registry_instance *one)
{
    const uint64_t now_ms = rc_clock_ms();
    if (registry->address[0] != '\0' && registry->state == RC_REGISTRY_OWNED &&
        (one->asked_ms == 0 || now_ms - one->asked_ms >= RC_REGISTRY_CHECK_MS)) {
        one->asked_ms = now_ms;
        ask_instance(registry, one, "address", address_came);
    }
}

/* --- ownership ------------------------------------------------------------------------------------------------------- */

static void claim_again(void *context, uint64_t now_ms)
{
    (void)now_ms;
    registry_claim(context);
}

static void lock_again(void *context, uint64_t now_ms)
{
    (void)now_ms;
    wait_for_lock(context);
}

static void registry_enlisted(void *context, const redisReply *reply)
{
    struct rc_registry *registry = registry_answer(context);
    if (registry != NULL && reply != NULL && reply->type == REDIS_REPLY_INTEGER) {
        registry->enlisted = true;
    }
}

/* Who is not in the list is not cleaned up after: tried again with every heartbeat until Redis has it. */
static void registry_enlist(struct rc_registry *registry)
{
    char key[RC_REDIS_NAME_MAX];
    const struct rc_span argv[] = {RC_SPAN("SADD"), rc_redis_key(registry->link, key, "ws:instances"),
                                   rc_span_text(registry->instance_id)};
    (void)registry_ask(registry, registry_enlisted, 1, RC_ARRAY_COUNT(argv), argv);
}

static void registry_owned(struct rc_registry *registry)
{
    registry_enter(registry, RC_REGISTRY_OWNED);
    registry->enlisted = false;
    registry_enlist(registry);
    registry_advertise(registry);
    rc_log_info("instance_registered", "instance=%s nonce=%s", registry->instance_id, registry->nonce);
    registry->ops.registered(registry->ops.context);
}

static void lock_looked(void *context, const redisReply *reply)
{
    struct rc_registry *registry = registry_answer(context);
    if (registry == NULL || reply == NULL) {
        return; /* NULL: Redis was lost, the observer says so */
    }
    if (reply->type != REDIS_REPLY_INTEGER || reply->integer != 0) {
        registry_later(registry, LOCK_POLL_MS, lock_again);
    } else {
        registry_owned(registry);
    }
}

/* The owner key is ours: whoever cleans up after this id stops at the next page and gives the lock back. */
static void wait_for_lock(struct rc_registry *registry)
{
    char key[RC_REDIS_NAME_MAX];
    if (!registry->inherited) {
        if (registry->cleanup.running || rc_cleanup_start(&registry->cleanup, registry->instance_id, true) < 0) {
            registry_later(registry, LOCK_POLL_MS, lock_again);
        }
        return; /* goes on in cleaned */
    }
    const struct rc_span argv[] = {RC_SPAN("EXISTS"), registry_key_of(registry, key, "cleanup")};
    if (!registry_ask(registry, lock_looked, 1, RC_ARRAY_COUNT(argv), argv)) {
        registry_later(registry, LOCK_POLL_MS, lock_again);
    }
}

/* Another live broker has this id, or has it no more. */
static void registry_say_taken(struct rc_registry *registry)
{
    rc_metric_set(registry->metrics, RC_METRIC_INSTANCE_TAKEN, rc_registry_refused(registry));
}

static void registry_challenge(struct rc_registry *registry, const redisReply *reply)
{
    const struct rc_span nonce = rc_span_text(registry->nonce);
    const bool same = strcmp(registry->rival, reply->str) == 0 && registry->rival[0] != '\0';
    (void)snprintf(registry->rival, sizeof(registry->rival), "%.*s", (int)reply->len, reply->str);
    if (registry->state == RC_REGISTRY_CHALLENGED && !same) {
        /* Written again since: its owner lives. */
        registry->rival[0] = '\0';
        registry_enter(registry, RC_REGISTRY_REFUSED);
        registry_say_taken(registry);
        rc_log_error("instance_id_taken",
                     "instance=%s mode=local-only reason=\"another live broker has this instance id\" "
                     "remedy=\"give each broker an id of its own (server.instance_id or INSTANCE_ID)\"",
                     registry->instance_id);
        rc_metric_add(registry->metrics, RC_METRIC_INSTANCE_REFUSED, 1);
        registry_later(registry, registry->config.heartbeat_interval_ms, claim_again);
        return;
    }
    const bool refused = registry->state == RC_REGISTRY_REFUSED; /* stays local-only while it asks */
    registry_enter(registry, RC_REGISTRY_CHALLENGED);
    registry->was_refused = refused || registry->was_refused;
    registry_say_taken(registry);
    (void)rc_redis_publish(registry->link, rc_span_text(registry->claim_channel), &nonce, 1, RC_REDIS_PUBLISH_FLEETING);
    registry_later(registry, RC_REGISTRY_CHALLENGE_MS, claim_again);
}

static void registry_claimed(void *context, const redisReply *reply)
{
    struct rc_registry *registry = registry_answer(context);
    if (registry == NULL || reply == NULL) {
        return;
    }
    if (reply->type != REDIS_REPLY_STRING || reply->len >= sizeof(registry->rival)) {
        rc_log_limited(RC_LOG_WARN, 1, "instance_claim_failed", "instance=%s reason=\"%s\"", registry->instance_id,
                       reply->type == REDIS_REPLY_ERROR ? reply->str : "no answer of ours");
        registry_later(registry, RC_REGISTRY_CHALLENGE_MS, claim_again);
        return;
    }
    const bool renewed = strcmp(reply->str, "own") == 0;
    if (!renewed && strcmp(reply->str, "new") != 0) {
        registry_challenge(registry, reply);
        return;
    }
    registry->rival[0] = '\0';
    registry->was_refused = false;
    if (registry->state == RC_REGISTRY_OWNED && !renewed) {
        rc_log_warn("instance_lapsed", "instance=%s reason=\"no heartbeat reached Redis for too long\"",
                    registry->instance_id);
        registry_enter(registry, RC_REGISTRY_CLAIMING);
    }
    if (registry->state == RC_REGISTRY_OWNED) {
        registry_advertise(registry);
        if (!registry->enlisted) {
            registry_enlist(registry);
        }
    } else if (registry->state != RC_REGISTRY_WAITING) {
        registry_enter(registry, RC_REGISTRY_WAITING);
        wait_for_lock(registry);
    }
    registry_say_taken(registry);
}

/* In every state but AWAY. While it is OWNED this renews. */
static void registry_claim(struct rc_registry *registry)
{
    char key[RC_REDIS_NAME_MAX];
    char ms[24];
    if (registry->leaving) {
        return;
    }
    (void)snprintf(ms, sizeof(ms), "%llu", (unsigned long long)registry->config.dead_instance_threshold_ms);
    const struct rc_span argv[] = {RC_SPAN("EVAL"),
                                   rc_span_text(claim_script),
                                   RC_SPAN("1"),
                                   registry_key_of(registry, key, "owner"),
                                   rc_span_text(registry->nonce),
                                   rc_span_text(ms),
                                   rc_span_text(registry->rival)};
    if (!registry_ask(registry, registry_claimed, 3, RC_ARRAY_COUNT(argv), argv) &&
        registry->state != RC_REGISTRY_OWNED && registry->state != RC_REGISTRY_WAITING) {
        registry_later(registry, LOCK_POLL_MS, claim_again);
    }
}

void rc_registry_renew(struct rc_registry *registry)
{
    if (registry->state == RC_REGISTRY_OWNED || registry->state == RC_REGISTRY_WAITING) {
        registry_claim(registry);
    }
}

/* Another broker asks whether the owner of this id lives. */
static void claim_heard(void *context, struct rc_span channel, struct rc_span message)
{
    struct rc_registry *registry = context;
    (void)channel;
    if (!rc_span_equal(message, rc_span_text(registry->nonce))) {
        rc_registry_renew(registry);
    }
}

/* --- others ---------------------------------------------------------------------------------------------------------- */

static void registry_set_gauge(struct rc_registry *registry)
{
    rc_metric_set(registry->metrics, RC_METRIC_INSTANCES, registry->instance_count);
}

static struct rc_registry_instance *registry_find(struct rc_registry *registry, struct rc_span id)
{
    for (uint32_t i = 0; i < registry->instance_count; i++) {
        if (rc_span_equal(rc_span_text(registry->instances[i].id), id)) {
            return &registry->instances[i];
        }
    }
    return NULL;
}

static bool id_valid(struct rc_span id)
{
    for (size_t i = 0; i < id.count; i++) {
        const char c = (char)id.bytes[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
              c == '-')) {
            return false;
        }
    }
    return id.count > 0 && id.count <= RC_INSTANCE_ID_MAX;
}

/* Known already, or new; NULL when the id is none, is ours, or there are too many. */
static struct rc_registry_instance *registry_get(struct rc_registry *registry, struct rc_span id)
{
    struct rc_registry_instance *one = registry_find(registry, id);
    if (one != NULL || !id_valid(id) || rc_span_equal(id, rc_span_text(registry->instance_id))) {
        return one;
    }
    if (registry->instance_count == RC_REGISTRY_INSTANCES_MAX) {
        rc_log_limited(RC_LOG_WARN, 1, "instances_too_many", "max=%u", RC_REGISTRY_INSTANCES_MAX);
        return NULL;
    }
    one = &registry->instances[registry->instance_count++];
    *one = (struct rc_registry_instance){.heard_ms = rc_clock_ms()};
    memcpy(one->id, id.bytes, id.count);
    rc_sid_instance(one->sids, one->id);
    registry_set_gauge(registry);
    return one;
}

void rc_registry_heard(struct rc_registry *registry, struct rc_span id, uint64_t client_count)
{
    struct rc_registry_instance *one = registry_get(registry, id);
    if (one != NULL) {
        one->heard_ms = rc_clock_ms();
        one->client_count = client_count;
        ask_address(registry, one);
    }
}

const char *rc_registry_of_socket(const struct rc_registry *registry, const struct rc_sid *sid)
{
    for (uint32_t i = 0; i < registry->instance_count; i++) {
        if (rc_sid_is_of(sid, registry->instances[i].sids)) {
            return registry->instances[i].id;
        }
    }
    return NULL;
}

bool rc_registry_knows(struct rc_registry *registry, const char *id)
{
    return registry_find(registry, rc_span_text(id)) != NULL;
}

bool rc_registry_first(const struct rc_registry *registry)
{
    for (uint32_t i = 0; i < registry->instance_count; i++) {
        if (strcmp(registry->instances[i].id, registry->instance_id) < 0) {
            return false;
        }
    }
    return registry->state == RC_REGISTRY_OWNED;
}

static void registry_forget(struct rc_registry *registry, struct rc_registry_instance *one)
{
    const bool reached = one->address[0] != '\0';
    *one = registry->instances[--registry->instance_count];
    registry_set_gauge(registry);
    if (reached) {
        registry->ops.reachable(registry->ops.context);
    }
}

static bool registry_silent(const struct rc_registry *registry, const struct rc_registry_instance *one, uint64_t now_ms)
{
    return now_ms - one->heard_ms >= registry->config.dead_instance_threshold_ms;
}

/* "nonce:count", where the nonce is 8 digits and the milliseconds of the start, all hexadecimal: see rc_registry_open. */
static void owner_came(void *context, const redisReply *reply)
{
    struct instance_question *asked = context;
    struct rc_registry_instance *one = registry_find(asked->registry, rc_span_text(asked->id));
    if (one != NULL && reply != NULL && reply->type == REDIS_REPLY_STRING && reply->len > 9 &&
        reply->len < RC_REGISTRY_NONCE_MAX + 24) {
        char *end;
        const unsigned long long started_ms = strtoull(reply->str + 8, &end, 16);
        one->started_ms = *end == ':' ? started_ms : 0;
    }
    free(asked);
}

static void ask_instances(struct rc_registry *registry)
{
    for (uint32_t i = 0; i < registry->instance_count && i < INSTANCES_ASKED_MAX; i++) {
        ask_instance(registry, &registry->instances[i], "owner", owner_came);
        ask_address(registry, &registry->instances[i]);
    }
}

static void registry_listed(void *context, const redisReply *reply)
{
    struct rc_registry *registry = registry_answer(context);
    if (registry == NULL || reply == NULL || (reply->type != REDIS_REPLY_ARRAY && reply->type != REDIS_REPLY_SET)) {
        return;
    }
    for (uint32_t i = 0; i < registry->instance_count; i++) {
        registry->instances[i].listed = false;
    }
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *element = reply->element[i];
        struct rc_registry_instance *one =
            element->type == REDIS_REPLY_STRING ? registry_get(registry, rc_span_of(element->str, element->len)) : NULL;
        if (one != NULL) {
            one->listed = true;
        }
    }
    const uint64_t now_ms = rc_clock_ms();
    for (uint32_t i = registry->instance_count; i > 0; i--) {
        struct rc_registry_instance *one = &registry->instances[i - 1];
        if (!one->listed && registry_silent(registry, one, now_ms)) {
            registry_forget(registry, one); /* left politely, or was cleaned up after by another */
        }
    }
    ask_instances(registry);
}

static void read_list(struct rc_registry *registry, uint64_t now_ms)
{
    char key[RC_REDIS_NAME_MAX];
    const struct rc_span argv[] = {RC_SPAN("SMEMBERS"), rc_redis_key(registry->link, key, "ws:instances")};
    if (registry_ask(registry, registry_listed, 1, RC_ARRAY_COUNT(argv), argv)) {
        registry->list_ms = now_ms;
    }
}

/* The one that was silent longest, since it may be dead: who was looked at before, and lives or is cleaned up after by another, comes behind all others. NULL:
 * there is none. */
static const struct rc_registry_instance *registry_longest(const struct rc_registry *registry, uint64_t now_ms)
{
    const struct rc_registry_instance *longest = NULL;
    for (uint32_t i = 0; i < registry->instance_count; i++) {
        const struct rc_registry_instance *one = &registry->instances[i];
        if (one->listed && registry_silent(registry, one, now_ms) &&
            (longest == NULL || now_ms - one->heard_ms > now_ms - longest->heard_ms)) {
            longest = one;
        }
    }
    return longest;
}

static void registry_check(void *context, uint64_t now_ms)
{
    struct rc_registry *registry = context;
    rc_timer_set(registry->timers, &registry->check, now_ms + RC_REGISTRY_CHECK_MS, registry_check, registry);
    if (registry->state != RC_REGISTRY_OWNED || registry->leaving) {
        return;
    }
    const uint64_t interval_ms = registry->config.heartbeat_interval_ms;
    if (now_ms - registry->list_ms >= (interval_ms < 10000 ? interval_ms : 10000)) {
        read_list(registry, now_ms);
    }
    const struct rc_registry_instance *one =
        registry->cleanup.running ? NULL : registry_longest(registry, now_ms); /* one at a time */
    if (one != NULL) {
        (void)rc_cleanup_start(&registry->cleanup, one->id, false);
    }
}

/* --- cleaning up ----------------------------------------------------------------------------------------------------- */

static void cleaned_own(struct rc_registry *registry, enum rc_cleanup_result result)
{
    if (registry->state != RC_REGISTRY_WAITING) {
        return; /* Redis was lost: begun again when it is back */
    }
    if (result == RC_CLEANUP_DONE) {
        registry->inherited = true;
        rc_log_info("instance_inherited", "instance=%s removed=%llu", registry->instance_id,
                    (unsigned long long)registry->cleanup.removed);
    }
    registry_later(registry, result == RC_CLEANUP_DONE ? 0 : LOCK_POLL_MS, lock_again);
}

static void registry_cleaned(void *context, const char *instance, enum rc_cleanup_result result)
{
    struct rc_registry *registry = context;
    if (strcmp(instance, registry->instance_id) == 0) {
        cleaned_own(registry, result);
        return;
    }
    struct rc_registry_instance *one = registry_find(registry, rc_span_text(instance));
    if (one == NULL) {
        return;
    }
    switch (result) {
    case RC_CLEANUP_DONE:
        rc_metric_add(registry->metrics, RC_METRIC_INSTANCE_CLEANUPS, 1);
        rc_log_warn("instance_dead", "instance=%s silent_ms=%llu removed=%llu", instance,
                    (unsigned long long)(rc_clock_ms() - one->heard_ms), (unsigned long long)registry->cleanup.removed);
        registry_forget(registry, one);
        break;
    case RC_CLEANUP_ALIVE: /* only its heartbeats do not come */
    case RC_CLEANUP_BUSY:  /* looked at again soon: whoever cleans up may die as well */
    case RC_CLEANUP_FAILED:
        /* Again after a second, not at once, and after others that may be dead. */
        one->heard_ms = rc_clock_ms() - registry->config.dead_instance_threshold_ms +
                        (result == RC_CLEANUP_ALIVE ? registry->config.heartbeat_interval_ms : RC_REGISTRY_CHECK_MS);
        break;
    }
}

static int registry_clean_user(void *context, struct rc_span user, const char *instance, rc_redis_replied *replied,
                               void *replied_context)
{
    struct rc_registry *registry = context;
    return registry->ops.cleanup.user(registry->ops.cleanup.context, user, instance, replied, replied_context);
}

static void registry_clean_member(void *context, struct rc_span channel, struct rc_span user, bool gone, bool vacated,
                                  uint32_t clients)
{
    const struct rc_registry *registry = context;
    if (registry->ops.cleanup.member != NULL) {
        registry->ops.cleanup.member(registry->ops.cleanup.context, channel, user, gone, vacated, clients);
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

static void link_changed(void *context, bool up)
{
    struct rc_registry *registry = context;
    if (!up) {
        registry_enter(registry, RC_REGISTRY_AWAY);
        return;
    }
    /* Nobody could be heard meanwhile. */
    for (uint32_t i = 0; i < registry->instance_count; i++) {
        registry->instances[i].heard_ms = rc_clock_ms();
    }
    registry->list_ms = 0;
    registry->rival[0] = '\0';
    registry_enter(registry, RC_REGISTRY_CLAIMING);
    registry_claim(registry);
}

void rc_registry_open(struct rc_registry *registry, struct rc_redis_link *link, struct rc_timers *timers,
                      struct rc_metrics *metrics, const char *instance_id, uint64_t boot_wall_ms, uint32_t boot_nonce,
                      const struct rc_config_cluster *config, const struct rc_registry_ops *ops)
{
    *registry = (struct rc_registry){
        .link = link, .timers = timers, .metrics = metrics, .instance_id = instance_id, .config = *config, .ops = *ops};
    (void)snprintf(registry->nonce, sizeof(registry->nonce), "%08x%llx", boot_nonce, (unsigned long long)boot_wall_ms);
    (void)snprintf(registry->claim_channel, sizeof(registry->claim_channel), "ws:instance:%s:claim", instance_id);
    (void)snprintf(registry->address, sizeof(registry->address), "%.*s", (int)sizeof(registry->address) - 1,
                   config->advertise.text);
    const struct rc_cleanup_ops cleanup = {
        .user = registry_clean_user, .member = registry_clean_member, .done = registry_cleaned, .context = registry};
    rc_cleanup_init(&registry->cleanup, link, registry->nonce, &cleanup);
    registry->claims =
        (struct rc_redis_subscription){.name = registry->claim_channel, .message = claim_heard, .context = registry};
    registry->observer = (struct rc_redis_observer){.changed = link_changed, .context = registry};
    rc_redis_subscribe(link, &registry->claims);
    rc_redis_observe(link, &registry->observer);
    registry_check(registry, rc_clock_ms());
    if (rc_redis_up(link)) {
        link_changed(registry, true);
    }
}

void rc_registry_close(struct rc_registry *registry)
{
    rc_timer_cancel(registry->timers, &registry->timer);
    rc_timer_cancel(registry->timers, &registry->check);
    rc_cleanup_close(&registry->cleanup);
}

void rc_registry_configure(struct rc_registry *registry, const struct rc_config_cluster *config)
{
    registry->config = *config;
}

static void registry_left(void *context, const redisReply *reply)
{
    struct rc_registry *registry = context;
    (void)reply;
    registry->left = true;
}

void rc_registry_abandon(struct rc_registry *registry)
{
    registry->leaving = registry->left = true;
}

void rc_registry_leave(struct rc_registry *registry)
{
    char key[RC_REDIS_NAME_MAX];
    RC_ASSERT(registry->state == RC_REGISTRY_OWNED && !registry->leaving);
    registry->leaving = true;
    registry_unadvertise(registry);
    const struct rc_span list[] = {RC_SPAN("SREM"), rc_redis_key(registry->link, key, "ws:instances"),
                                   rc_span_text(registry->instance_id)};
    (void)rc_redis_command(registry->link, NULL, NULL, 1, RC_ARRAY_COUNT(list), list);
    const struct rc_span owner[] = {RC_SPAN("EVAL"), rc_span_text(release_script), RC_SPAN("1"),
                                    registry_key_of(registry, key, "owner"), rc_span_text(registry->nonce)};
    registry->left = rc_redis_command(registry->link, registry_left, registry, 3, RC_ARRAY_COUNT(owner), owner) < 0;
    registry_enter(registry, RC_REGISTRY_AWAY);
}
