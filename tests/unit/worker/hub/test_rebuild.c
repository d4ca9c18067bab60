/*
 * White-box tests of worker/hub/rebuild.c: a hub whose index is made from another one's truth is the same hub. Random traffic of all
 * policies first; then the index of both is compared; then both get the same traffic, and their clients the same bytes.
 */
#include <criterion/criterion.h>

#include <errno.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/select.h"
#include "tests/support/history_rig.h"
#include "tests/support/hub_rig.h"
#include "worker/hub/hub_internal.h"
#include "worker/store/truth_check.h"

#define SLOTS 32u
#define CLIENTS 24u
#define SEND_BYTES 4608 /* the least SO_SNDBUF that Linux grants */
#define STEPS 1500u
#define INTERVAL_MS 40u

static struct hub_rig first;
static struct hub_rig second;

static const char *const names[] = {"plain",   "skip:a", "latest:a", "latest:b", "alarm:a",
                                    "alarm:b", "slow:a", "slow:b",   "*"};
#define NAMES RC_ARRAY_COUNT(names)

static const struct hub_rig_options options = {
    .slots = SLOTS, .channel_log_bytes = 16384, .channel_log_messages = 16, .worker_log_bytes = 1u << 20};

static void namespaces(struct hub_rig *rig)
{
    struct rc_config *config = rig->config;
    static const struct {
        const char *name;
        enum rc_slow_policy policy;
        enum rc_priority priority;
        uint64_t interval_ms;
    } rows[] = {{"skip", RC_SLOW_SKIP, RC_PRIORITY_NORMAL, 0},
                {"latest", RC_SLOW_LATEST, RC_PRIORITY_NORMAL, 0},
                {"alarm", RC_SLOW_SKIP, RC_PRIORITY_CRITICAL, 0},
                {"slow", RC_SLOW_LATEST, RC_PRIORITY_NORMAL, INTERVAL_MS}};
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(rows); i++) {
        struct rc_config_namespace *its = &config->namespaces[i + 1];
        *its = config->namespaces[0];
        (void)strcpy(its->name, rows[i].name);
        its->name_bytes = (uint8_t)strlen(rows[i].name);
        its->slow_consumer = rows[i].policy;
        its->priority = rows[i].priority;
        its->min_interval_ms = rows[i].interval_ms;
    }
    config->namespace_count = RC_ARRAY_COUNT(rows) + 1;
    rc_hub_reconfigure(&rig->hub, config);
}

/* --- traffic --------------------------------------------------------------------------------------------------------- */

/* What happens next is drawn from here alone, so that two rigs can be given the same. */
struct script {
    uint64_t state;
};

static uint32_t below(struct script *script, uint32_t n)
{
    script->state = script->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(script->state >> 33) % n;
}

static bool here(const struct hub_rig *rig, uint32_t client)
{
    return client < rig->truth.clients.high && rc_truth_client(&rig->truth, client)->state == RC_CLIENT_OPEN;
}

static struct rc_span bytes_of(struct script *script, uint8_t *data, uint32_t most)
{
    const uint32_t count = 8 + below(script, most);
    const uint32_t number = below(script, 1u << 30);
    memset(data, 'a' + (int)(number % 26), count);
    memcpy(data, &number, sizeof(number));
    return rc_span_of(data, count);
}

static void publish(struct hub_rig *rig, struct script *script)
{
    static uint8_t data[4096];
    struct rc_client_ref excludes[2];
    char key[8];
    const char *name = names[below(script, NAMES)];
    const uint32_t number = below(script, 6);
    (void)snprintf(key, sizeof(key), "k%u", number);
    const uint32_t client = 1 + below(script, CLIENTS);
    const uint32_t count = below(script, 4) == 0 && here(rig, client) ? 1 : 0;
    excludes[0] = hub_rig_ref(rig, here(rig, client) ? client : 1);
    rig->message_flags = below(script, 8) == 0 ? RC_ENVELOPE_VOLATILE : 0;
    const struct rc_span span = bytes_of(script, data, below(script, 3) == 0 ? 3000 : 200);
    if (strcmp(name, "*") == 0) {
        (void)rc_hub_gap(&rig->hub, rc_span_of(NULL, 0));
        return;
    }
    for (uint32_t tries = 0; hub_rig_publish_key(rig, name, number < 4 ? key : NULL, span, excludes, count) != 0;
         tries++) {
        cr_assert_lt(tries, 8);
        rc_hub_turn(&rig->hub);
    }
}

static void direct(struct hub_rig *rig, struct script *script)
{
    static uint8_t data[1024];
    const uint32_t client = 1 + below(script, CLIENTS);
    const struct rc_span span = bytes_of(script, data, 600);
    rig->message_flags = 0;
    if (here(rig, client)) {
        const struct rc_client_ref ref = hub_rig_ref(rig, client);
        cr_assert_eq(hub_rig_direct(rig, &ref, span), 0);
    }
}

/* To rooms of "/", of which Socket.IO clients are members as others are. */
static void selected(struct hub_rig *rig, struct script *script)
{
    char text[RC_EXCLUDE_TEXT_MAX];
    struct rc_select select = {.text = text};
    rc_select_put(&select, RC_SPAN("/"), rc_span_text(names[below(script, 4)]));
    rc_select_except(&select);
    rc_select_put(&select, RC_SPAN("/"), rc_span_text(names[below(script, 4)]));
    const struct rc_envelope_view view = {
        .head = {.sequence = ++rig->sequence, .channel_bytes = 2, .exclude_text_bytes = select.bytes, .data_bytes = 3},
        .channel = "/#",
        .exclude_text = text,
        .data = (const uint8_t *)"[1]"};
    cr_assert_eq(rc_hub_select(&rig->hub, &view), 0);
}

static void subscribe(struct hub_rig *rig, struct script *script)
{
    const uint32_t client = 1 + below(script, CLIENTS);
    const char *name = names[below(script, NAMES - 1)];
    const bool out = below(script, 3) == 0;
    if (!here(rig, client)) {
        return;
    }
    if (out) {
        hub_rig_unsubscribe(rig, client, name);
    } else {
        (void)hub_rig_subscribe(rig, client, name);
    }
}

/* Requests that wait for the relay; some of them are registered. */
static void wait_for(struct hub_rig *rig, struct script *script)
{
    const uint32_t client = 1 + below(script, CLIENTS);
    char name[16];
    (void)snprintf(name, sizeof(name), "wait%u", below(script, 5));
    const bool settled = below(script, 2) == 0;
    if (!here(rig, client)) {
        return;
    }
    const uint32_t channel = rc_hub_channel(&rig->hub, rc_span_text(name));
    cr_assert_neq(channel, 0);
    if (rc_truth_client(&rig->truth, client)->pending_count < 4) {
        cr_assert_eq(rc_hub_wait(&rig->hub, client, channel, RC_SPAN("id")), 0);
    }
    if (settled) {
        const struct rc_hub_acknowledgement said = {.code = 0};
        rc_hub_acknowledged(&rig->hub, channel, &said);
    }
}

static void step(struct hub_rig *rig, struct script *script)
{
    const uint32_t what = below(script, 20);
    if (what < 9) {
        publish(rig, script);
    } else if (what < 11) {
        direct(rig, script);
    } else if (what < 12) {
        selected(rig, script);
    } else if (what < 14) {
        subscribe(rig, script);
    } else if (what < 15) {
        wait_for(rig, script);
    } else if (what < 17) {
        const uint32_t client = 1 + below(script, CLIENTS);
        (void)hub_rig_read(rig, client, 1 + below(script, 4000));
    } else if (what < 18) {
        rig->now_ns += below(script, 2 * INTERVAL_MS) * 1000000u;
        (void)rc_hub_timers(&rig->hub);
    } else {
        hub_rig_run(rig);
    }
}

static void connect_all(struct hub_rig *rig)
{
    static const enum rc_codec_id codecs[] = {RC_CODEC_RAW, RC_CODEC_JSON, RC_CODEC_BINARY, RC_CODEC_SOCKETIO,
                                              RC_CODEC_SOCKETIO_MSGPACK};
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const enum rc_codec_id codec = codecs[i % RC_ARRAY_COUNT(codecs)];
        const uint32_t client = hub_rig_connect(rig, HUB_RIG_UNIX, codec, i % 4 != 0, SEND_BYTES);
        rig->truth.engines[client] = (struct rc_engine){0};
        if (codec >= RC_CODEC_ENGINEIO) {
            rig->truth.engines[client].flags = RC_ENGINE_SESSION | RC_ENGINE_ROOT;
            rig->truth.engines[client].secret = client;
        }
        for (uint32_t n = 0; n < NAMES - 1; n++) {
            if ((i + n) % 3 != 0) {
                (void)hub_rig_subscribe(rig, client, names[n]);
            }
        }
    }
}

/* --- comparison ------------------------------------------------------------------------------------------------------ */

static int ascending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a;
    const uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* The same indexes, in no order and each once. */
static void same_set(struct rc_index_list *a, struct rc_index_list *b, const char *what)
{
    cr_assert_eq(a->count, b->count, "%s: %u and %u", what, a->count, b->count);
    if (a->count > 1) {
        qsort(a->items, a->count, sizeof(*a->items), ascending);
        qsort(b->items, b->count, sizeof(*b->items), ascending);
    }
    for (uint32_t i = 0; i < a->count; i++) {
        cr_assert_eq(a->items[i], b->items[i], "%s", what);
    }
}

static void same_groups(struct rc_hub *a, struct rc_hub *b)
{
    const struct rc_truth *truth = a->truth;
    for (uint32_t c = 1; c < truth->channels.high; c++) {
        const struct rc_channel *channel = rc_truth_channel(truth, c);
        if (channel->name == 0) {
            continue;
        }
        cr_assert_eq(rc_hub_find(b, channel->hash, rc_hub_name(a, channel)), c);
        for (uint32_t g = channel->groups; g != 0; g = rc_truth_group(truth, g)->next) {
            struct rc_members *x = &a->members[g];
            struct rc_members *y = &b->members[g];
            cr_assert_eq(x->count, y->count, "group %u", g);
            cr_assert(x->count == 0 ||
                      memcmp(rc_members_items(x), rc_members_items(y), x->count * sizeof(uint32_t)) == 0);
        }
        for (uint32_t t = channel->throttles; t != 0; t = rc_truth_throttle(truth, t)->next_of_channel) {
            cr_assert_eq(rc_hold_find(b, c, rc_truth_throttle(truth, t)->key), t);
        }
    }
}

static void same_pools(struct rc_truth *a, struct rc_truth *b)
{
    for (uint32_t i = 0; i < RC_TRUTH_POOL_COUNT; i++) {
        const struct rc_pool *x = rc_truth_pool(a, (enum rc_truth_pool_id)i);
        const struct rc_pool *y = rc_truth_pool(b, (enum rc_truth_pool_id)i);
        cr_assert(x->used == y->used && x->high == y->high, "pool %u: %u of %u, and %u of %u", i, x->used, x->high,
                  y->used, y->high);
    }
    cr_assert_eq(a->heap.used, b->heap.used);
}

/* No group twice, and none of those that were freed meanwhile. */
static void tidy(const struct rc_hub *hub, struct rc_index_list *list)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const uint32_t g = list->items[i];
        const uint32_t log = rc_truth_group(hub->truth, g)->log;
        bool keep = log != 0 && rc_truth_log(hub->truth, log)->head != rc_truth_log(hub->truth, log)->served;
        for (uint32_t j = 0; j < count; j++) {
            keep = keep && list->items[j] != g;
        }
        list->items[count] = g;
        count += keep;
    }
    list->count = count;
}

static void same_index(struct rc_hub *a, struct rc_hub *b)
{
    same_pools(a->truth, b->truth);
    same_groups(a, b);
    cr_assert_eq(a->names.count, b->names.count);
    cr_assert_eq(a->throttles.count, b->throttles.count);
    cr_assert_eq(a->everybody, b->everybody);
    cr_assert_eq(memcmp(a->everybody_groups, b->everybody_groups, sizeof(a->everybody_groups)), 0);
    cr_assert_eq(memcmp(a->everybody_counts, b->everybody_counts, sizeof(a->everybody_counts)), 0);
    cr_assert_eq(memcmp(a->throttled, b->throttled, sizeof(a->throttled)), 0);
    cr_assert_eq(memcmp(a->waiting, b->waiting, a->truth->clients.count_max * sizeof(*a->waiting)), 0);
    cr_assert_eq(memcmp(a->replays, b->replays, a->truth->clients.count_max * sizeof(*a->replays)), 0);
    same_set(&a->replays_due, &b->replays_due, "who reads a history");
    cr_assert(a->clients_high == b->clients_high && a->turn == b->turn && !a->in_turn && !b->in_turn);
    cr_assert(a->log_bytes == b->log_bytes && a->output_bytes == b->output_bytes && a->held_bytes == b->held_bytes &&
              a->input_bytes == b->input_bytes);
    cr_assert_leq(b->order, a->order);
    cr_assert(a->has_critical == b->has_critical);
    tidy(a, &a->dirty_groups);
    tidy(a, &a->dirty_critical);
    /* In their order: that of critical ones is the order of their messages. */
    for (uint32_t i = 0; i < a->dirty_critical.count; i++) {
        cr_assert(i < b->dirty_critical.count && a->dirty_critical.items[i] == b->dirty_critical.items[i]);
    }
    same_set(&a->dirty_groups, &b->dirty_groups, "dirty groups");
    same_set(&a->dirty_critical, &b->dirty_critical, "critical groups");
    same_set(&a->dirty_clients, &b->dirty_clients, "dirty clients");
    same_set(&a->dirty_sockets, &b->dirty_sockets, "dirty sockets");
    same_set(&a->ready, &b->ready, "ready");
    same_set(&a->ending, &b->ending, "ending");
    for (uint32_t i = 0; i < b->owing_groups.count; i++) {
        cr_assert(rc_truth_group(b->truth, b->owing_groups.items[i])->owes_gap);
    }
}

/* Is as much on its way to each far end? How much a socket takes at a time is the kernel's to say, and of what is conflated behind it something else is
 * left then. */
static bool as_many_bytes(const size_t before[CLIENTS + 1])
{
    for (uint32_t i = 1; i <= CLIENTS; i++) {
        if (first.peers[i].count - before[i] != second.peers[i].count) {
            return false;
        }
    }
    return true;
}

/* What has come to the far ends since then. */
static void same_bytes(const size_t before[CLIENTS + 1])
{
    for (uint32_t i = 1; i <= CLIENTS; i++) {
        const struct hub_rig_peer *a = &first.peers[i];
        const struct hub_rig_peer *b = &second.peers[i];
        cr_assert_eq(a->count - before[i], b->count, "client %u got %zu and %zu bytes", i, a->count - before[i],
                     b->count);
        cr_assert(b->count == 0 || memcmp(a->bytes + before[i], b->bytes, b->count) == 0, "client %u", i);
        cr_assert_eq(a->ended, b->ended, "client %u", i);
    }
}

/* What there was to be made anew, of all runs: a comparison of nothing shows nothing. */
static struct {
    uint32_t clients, behind, latest, cut, direct, excluded, held, pending, dirty, critical, blocked, replies;
    size_t bytes;
} seen;

static void note(const struct hub_rig *rig)
{
    const struct rc_truth *truth = &rig->truth;
    for (uint32_t i = 1; i < truth->clients.high; i++) {
        const struct rc_client *client = rc_truth_client(truth, i);
        if (client->random != 0) {
            seen.clients++;
            seen.cut += client->cut != 0;
            seen.direct += client->direct_log != 0;
            seen.excluded += (client->flags & RC_CLIENT_EXCLUDED) != 0;
            seen.pending += client->pending_count;
            seen.replies += client->output != 0;
            seen.blocked += (rc_truth_socket_of(truth, client)->flags & RC_SOCKET_BLOCKED) != 0;
            for (uint32_t s = client->subscriptions; s != 0; s = rc_truth_subscription(truth, s)->next) {
                seen.behind += (rc_truth_subscription(truth, s)->flags & RC_SUBSCRIPTION_CURSOR) != 0;
                seen.latest += (rc_truth_subscription(truth, s)->flags & RC_SUBSCRIPTION_LATEST) != 0;
            }
        }
    }
    for (uint32_t i = 1; i < truth->throttles.high; i++) {
        seen.held += rc_truth_throttle(truth, i)->channel != 0 && rc_truth_throttle(truth, i)->held != 0;
    }
    seen.dirty += rig->hub.dirty_groups.count;
    seen.critical += rig->hub.dirty_critical.count;
}

/* False: another time sockets may take as much of both of them. `last`: then they must. */
static bool successor_is_the_same(uint64_t seed, bool last)
{
    struct script script = {.state = seed};
    size_t before[CLIENTS + 1];
    hub_rig_open(&first, &options);
    namespaces(&first);
    connect_all(&first);
    for (uint32_t i = 0; i < STEPS; i++) {
        step(&first, &script);
    }
    /* Whoever was closed meanwhile is gone, and every socket's way is empty: those of the second rig are new. */
    while (rc_hub_pending(&first.hub)) {
        hub_rig_run(&first);
    }
    for (uint32_t i = 0; i < 40; i++) { /* and something is on its way again that no turn has seen */
        publish(&first, &script);
        wait_for(&first, &script);
    }
    for (uint32_t i = 1; i <= CLIENTS; i++) {
        (void)hub_rig_read(&first, i, 0);
        before[i] = first.peers[i].count;
    }
    hub_rig_adopt(&second, &first, &options, SEND_BYTES);
    note(&second);
    hub_rig_check(&second);
    same_index(&first.hub, &second.hub);
    struct script again = script;
    for (uint32_t i = 0; i < STEPS; i++) {
        step(&first, &script);
        step(&second, &again);
    }
    cr_assert_eq(script.state, again.state);
    hub_rig_drain(&first);
    hub_rig_drain(&second);
    const bool same = as_many_bytes(before);
    if (same || last) {
        same_bytes(before);
    }
    for (uint32_t i = 1; i <= CLIENTS; i++) {
        seen.bytes += second.peers[i].count;
    }
    hub_rig_check(&first);
    hub_rig_check(&second);
    hub_rig_close(&first);
    hub_rig_close(&second);
    return same;
}

Test(rebuild, successor_is_the_same_hub)
{
    for (uint64_t seed = 1; seed <= 16; seed++) {
        (void)(successor_is_the_same(seed, false) || successor_is_the_same(seed, false) ||
               successor_is_the_same(seed, true));
    }
    cr_assert(seen.clients > 0 && seen.behind > 0 && seen.latest > 0 && seen.cut > 0 && seen.direct > 0 &&
              seen.excluded > 0 && seen.held > 0 && seen.pending > 0 && seen.dirty > 0 && seen.critical > 0 &&
              seen.blocked > 0 && seen.replies > 0 && seen.bytes > 0);
}

/* Of two channels it reads what is in their histories, a piece at a time: the successor goes on behind the piece that was the last. */
Test(rebuild, who_reads_a_history_reads_on)
{
    static const char *const channels[] = {"h1", "h2"};
    static struct history_rig kept;
    char data[600];
    size_t before[CLIENTS + 1] = {0};
    hub_rig_open(&first, &options);
    history_rig_open(&kept, 1u << 20);
    first.config->namespaces[0].history = 100;
    first.control->history = kept.view;
    const uint32_t client = hub_rig_connect(&first, HUB_RIG_UNIX, RC_CODEC_JSON, false, SEND_BYTES);
    for (uint32_t c = 0; c < RC_ARRAY_COUNT(channels); c++) {
        const struct rc_span name = rc_span_text(channels[c]);
        const uint64_t hash = rc_channel_hash(channels[c], name.count);
        const uint32_t slot = rc_history_begin(&kept.store, hash, name, kept.now_ms);
        for (uint32_t i = 0; i < 60; i++) {
            const int count = snprintf(data, sizeof(data), "\"%s %u %0500u\"", channels[c], i, i);
            struct rc_envelope_view view = history_rig_record(&kept, channels[c], "", data, (uint32_t)count);
            (void)rc_history_append(&kept.store, &view, rc_history_policy(&kept.store, name), kept.now_ms);
        }
        const struct rc_hub_from from = {.last = 60};
        cr_assert_eq(rc_hub_subscribe_from(&first.hub, client, name, RC_SUBSCRIBER_CLIENT, RC_SPAN("id"), 0, &from),
                     RC_SUBSCRIBE_WAITS);
        const struct rc_history_state state = rc_history_state(&kept.view, slot);
        const struct rc_hub_acknowledgement said = {
            .placed = true, .slot = slot, .epoch = state.epoch, .position = state.last};
        rc_hub_acknowledged(&first.hub, rc_hub_channel(&first.hub, name), &said);
    }
    hub_rig_run(&first);
    cr_assert_neq(first.hub.replays[client], 0);
    (void)hub_rig_read(&first, client, 0);
    before[client] = first.peers[client].count;
    hub_rig_adopt(&second, &first, &options, SEND_BYTES);
    second.control->history = kept.view;
    hub_rig_check(&second);
    same_index(&first.hub, &second.hub);
    hub_rig_drain(&first);
    hub_rig_drain(&second);
    cr_assert_eq(second.hub.replays[client], 0);
    cr_assert_gt(second.peers[client].count, 60 * 500);
    same_bytes(before);
    hub_rig_close(&first);
    hub_rig_close(&second);
    history_rig_close(&kept);
}

Test(rebuild, truth_that_is_damaged_is_refused)
{
    struct rc_err err = {0};
    hub_rig_open(&first, &options);
    const uint32_t client = hub_rig_connect(&first, HUB_RIG_UNIX, RC_CODEC_RAW, true, 0);
    const uint32_t subscription = hub_rig_subscribe(&first, client, "plain");
    const uint32_t group = rc_truth_subscription(&first.truth, subscription)->group;
    rc_truth_subscription(&first.truth, subscription)->group = 999;
    struct rc_truth truth;
    cr_assert_eq(rc_truth_attach(&truth, first.truth_fd, &err), 0);
    struct rc_truth_found found;
    cr_assert_eq(rc_truth_check(&truth, &found, &err), -EBADMSG);
    cr_assert(strstr(err.text, "group 999") != NULL, "%s", err.text);
    rc_truth_found_close(&found);
    rc_truth_detach(&truth);
    rc_truth_subscription(&first.truth, subscription)->group = group;
    hub_rig_close(&first);
}
