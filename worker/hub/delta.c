/* delta: see delta.h. */
#include "worker/hub/hub_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/proto/codec.h"

#define DELTA_DATA_MIN 64u    /* shorter messages are sent whole */
#define DELTA_MEMORY_SHARE 4u /* bases take at most limits.worker_log divided by it */

/* --- states ---------------------------------------------------------------------------------------------------------- */

struct state_sought {
    const struct rc_deltas *deltas;
    uint32_t channel;
};

static bool state_equal(const void *context, uint32_t index)
{
    const struct state_sought *sought = context;
    return sought->deltas->states[index].channel == sought->channel;
}

static uint64_t state_hash(uint32_t channel)
{
    return channel * UINT64_C(0x9e3779b97f4a7c15);
}

static struct rc_delta_state *state_find(const struct rc_hub *hub, uint32_t channel)
{
    const struct state_sought sought = {.deltas = &hub->deltas, .channel = channel};
    const uint32_t index = rc_hashmap_find(&hub->deltas.by_channel, state_hash(channel), state_equal, &sought);
    return index == RC_HASHMAP_NONE ? NULL : &hub->deltas.states[index];
}

/* NULL: no memory. */
static struct rc_delta_state *state_make(struct rc_hub *hub, uint32_t channel)
{
    struct rc_deltas *deltas = &hub->deltas;
    struct rc_delta_state *state = state_find(hub, channel);
    if (state != NULL) {
        return state;
    }
    if (deltas->free_state == 0) {
        const uint32_t count = deltas->state_count == 0 ? 16 : deltas->state_count * 2;
        struct rc_delta_state *more = realloc(deltas->states, count * sizeof(*more));
        if (more == NULL) {
            return NULL;
        }
        deltas->states = more;
        for (uint32_t i = deltas->state_count; i < count; i++) {
            more[i].channel = 0;
            more[i].next_free = i + 1 < count ? i + 2 : 0;
        }
        deltas->free_state = deltas->state_count + 1;
        deltas->state_count = count;
    }
    const uint32_t index = deltas->free_state - 1;
    if (rc_hashmap_insert(&deltas->by_channel, state_hash(channel), index) != 0) {
        return NULL;
    }
    state = &deltas->states[index];
    deltas->free_state = state->next_free;
    *state = (struct rc_delta_state){.channel = channel};
    return state;
}

/* --- bases ----------------------------------------------------------------------------------------------------------- */

struct base_sought {
    const struct rc_deltas *deltas;
    uint32_t state; /* + 1 */
    uint64_t key;
};

static bool base_equal(const void *context, uint32_t index)
{
    const struct base_sought *sought = context;
    const struct rc_delta_base *base = &sought->deltas->bases[index];
    return base->state == sought->state && base->key == sought->key;
}

static uint64_t base_hash(uint32_t state_plus, uint64_t key)
{
    return (key ^ state_plus) * UINT64_C(0x9e3779b97f4a7c15);
}

static uint32_t state_plus(const struct rc_hub *hub, const struct rc_delta_state *state)
{
    return (uint32_t)(state - hub->deltas.states) + 1;
}

static struct rc_delta_base *base_find(const struct rc_hub *hub, const struct rc_delta_state *state, uint64_t key)
{
    const struct base_sought sought = {.deltas = &hub->deltas, .state = state_plus(hub, state), .key = key};
    const uint32_t index = rc_hashmap_find(&hub->deltas.by_key, base_hash(sought.state, key), base_equal, &sought);
    return index == RC_HASHMAP_NONE ? NULL : &hub->deltas.bases[index];
}

static void base_unlink(struct rc_hub *hub, struct rc_delta_state *state, const struct rc_delta_base *base)
{
    struct rc_delta_base *bases = hub->deltas.bases;
    *(base->older != 0 ? &bases[base->older - 1].newer : &state->oldest) = base->newer;
    *(base->newer != 0 ? &bases[base->newer - 1].older : &state->newest) = base->older;
}

static void base_link(struct rc_hub *hub, struct rc_delta_state *state, struct rc_delta_base *base)
{
    struct rc_delta_base *bases = hub->deltas.bases;
    const uint32_t plus = (uint32_t)(base - bases) + 1;
    base->older = state->newest;
    base->newer = 0;
    *(base->older != 0 ? &bases[base->older - 1].newer : &state->oldest) = plus;
    state->newest = plus;
}

static void base_drop(struct rc_hub *hub, struct rc_delta_state *state, struct rc_delta_base *base)
{
    struct rc_deltas *deltas = &hub->deltas;
    const uint32_t index = (uint32_t)(base - deltas->bases);
    (void)rc_hashmap_remove(&deltas->by_key, base_hash(base->state, base->key), index);
    base_unlink(hub, state, base);
    state->count--;
    deltas->bytes -= base->capacity;
    free(base->bytes);
    *base = (struct rc_delta_base){.older = deltas->free_base};
    deltas->free_base = index + 1;
}

/* A base without a message yet; NULL: no memory. */
static struct rc_delta_base *base_make(struct rc_hub *hub, struct rc_delta_state *state, uint64_t key)
{
    struct rc_deltas *deltas = &hub->deltas;
    if (deltas->free_base == 0) {
        const uint32_t count = deltas->base_count == 0 ? 16 : deltas->base_count * 2;
        struct rc_delta_base *more = realloc(deltas->bases, count * sizeof(*more));
        if (more == NULL) {
            return NULL;
        }
        deltas->bases = more;
        for (uint32_t i = deltas->base_count; i < count; i++) {
            more[i] = (struct rc_delta_base){.older = i + 1 < count ? i + 2 : 0};
        }
        deltas->free_base = deltas->base_count + 1;
        deltas->base_count = count;
    }
    const uint32_t index = deltas->free_base - 1;
    struct rc_delta_base *base = &deltas->bases[index];
    if (rc_hashmap_insert(&deltas->by_key, base_hash(state_plus(hub, state), key), index) != 0) {
        return NULL;
    }
    deltas->free_base = base->older;
    *base = (struct rc_delta_base){.key = key, .state = state_plus(hub, state)};
    base_link(hub, state, base);
    state->count++;
    return base;
}

/* Room for a message of so many bytes in the base, within the budget. */
static bool base_room(struct rc_hub *hub, struct rc_delta_base *base, uint32_t bytes)
{
    struct rc_deltas *deltas = &hub->deltas;
    if (bytes <= base->capacity && base->capacity / 4 <= bytes + RC_HUB_OUTPUT_MIN) {
        return true;
    }
    uint32_t capacity = RC_HUB_OUTPUT_MIN;
    while (capacity < bytes) {
        capacity *= 2;
    }
    if (deltas->bytes - base->capacity + capacity > hub->config->limits.worker_log_bytes / DELTA_MEMORY_SHARE) {
        return false;
    }
    uint8_t *more = realloc(base->bytes, capacity);
    if (more == NULL) {
        return false;
    }
    deltas->bytes = deltas->bytes - base->capacity + capacity;
    base->bytes = more;
    base->capacity = capacity;
    return true;
}

/* --- who lacks what -------------------------------------------------------------------------------------------------- */

static void lacking_remove(struct rc_delta_state *state, uint32_t at)
{
    state->lacking[at] = state->lacking[--state->lacking_count];
}

void rc_delta_lacks(struct rc_hub *hub, uint32_t subscription, bool excluded)
{
    const struct rc_group *group = rc_truth_group(hub->truth, rc_truth_subscription(hub->truth, subscription)->group);
    struct rc_delta_state *state = state_find(hub, group->channel);
    if (state == NULL) {
        return; /* nothing is there to lack */
    }
    /* The message that is being appended, too, if the group has it already. */
    const bool passed = excluded || (state->appending && (hub->kept->partial_mask >> group->encoding & 1) != 0);
    const uint64_t since = state->serial + (passed ? 1 : 0);
    for (uint32_t i = 0; i < state->lacking_count; i++) {
        if (state->lacking[i].subscription == subscription) {
            state->lacking[i].since = since;
            return;
        }
    }
    if (state->lacking_count == RC_DELTA_LACKING_MAX) {
        state->since = since; /* to all whole */
        state->lacking_count = 0;
        return;
    }
    state->lacking[state->lacking_count++] = (struct rc_delta_lacking){.since = since, .subscription = subscription};
}

void rc_delta_left(struct rc_hub *hub, uint32_t channel, uint32_t subscription)
{
    struct rc_delta_state *state = state_find(hub, channel);
    for (uint32_t i = 0; state != NULL && i < state->lacking_count; i++) {
        if (state->lacking[i].subscription == subscription) {
            lacking_remove(state, i);
            return;
        }
    }
}

uint32_t rc_delta_lacking(const struct rc_hub *hub, uint32_t channel, uint32_t *at)
{
    const struct rc_delta_state *state = state_find(hub, channel);
    while (state != NULL && *at < state->lacking_count) {
        const struct rc_delta_lacking *one = &state->lacking[(*at)++];
        if (one->since <= state->serial && state->base_serial <= one->since) {
            return one->subscription;
        }
    }
    return 0;
}

void rc_delta_lost(struct rc_hub *hub, uint32_t channel)
{
    struct rc_delta_state *state = state_find(hub, channel);
    if (state != NULL) {
        state->lost = state->appending;
        state->since = state->serial;
    }
}

/* --- coming and going ------------------------------------------------------------------------------------------------ */

bool rc_delta_wanted(const struct rc_hub *hub, uint32_t channel)
{
    const struct rc_config_namespace *policy =
        &hub->config->namespaces[rc_truth_channel(hub->truth, channel)->namespace];
    return policy->delta == RC_DELTA_FOSSIL && policy->min_interval_ms == 0 &&
           policy->slow_consumer != RC_SLOW_LATEST && channel != hub->everybody;
}

void rc_delta_join(struct rc_hub *hub, uint32_t subscription)
{
    const uint32_t channel =
        rc_truth_group(hub->truth, rc_truth_subscription(hub->truth, subscription)->group)->channel;
    rc_truth_channel(hub->truth, channel)->flags |= RC_CHANNEL_DELTA;
    (void)state_make(hub, channel); /* without it the next message is whole for all */
    rc_delta_lacks(hub, subscription, false);
}

void rc_delta_released(struct rc_hub *hub, uint32_t channel_index)
{
    struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    for (uint32_t group = channel->groups; group != 0; group = rc_truth_group(hub->truth, group)->next) {
        if (rc_encoding_is_delta(rc_truth_group(hub->truth, group)->encoding)) {
            return;
        }
    }
    channel->flags &= (uint16_t)~RC_CHANNEL_DELTA;
    struct rc_deltas *deltas = &hub->deltas;
    struct rc_delta_state *state = state_find(hub, channel_index);
    if (state != NULL) {
        while (state->oldest != 0) {
            base_drop(hub, state, &deltas->bases[state->oldest - 1]);
        }
        const uint32_t plus = state_plus(hub, state);
        (void)rc_hashmap_remove(&deltas->by_channel, state_hash(channel_index), plus - 1);
        state->channel = 0;
        state->next_free = deltas->free_state;
        deltas->free_state = plus;
    }
}

int rc_delta_open(struct rc_hub *hub)
{
    const int rc = rc_hashmap_init(&hub->deltas.by_channel, 1, hub->truth->channels.count_max);
    return rc < 0 ? rc : rc_hashmap_init(&hub->deltas.by_key, 1, RC_HASHMAP_COUNT_MAX);
}

void rc_delta_close(struct rc_hub *hub)
{
    struct rc_deltas *deltas = &hub->deltas;
    for (uint32_t i = 0; i < deltas->base_count; i++) {
        free(deltas->bases[i].bytes);
    }
    free(deltas->bases);
    free(deltas->states);
    free(deltas->scratch);
    rc_fossil_encoder_close(&deltas->encoder);
    rc_hashmap_free(&deltas->by_channel);
    rc_hashmap_free(&deltas->by_key);
}

/* --- a message ------------------------------------------------------------------------------------------------------- */

/* What the data is more than the base's, where that is smaller by a quarter at least. */
static struct rc_span delta_make(struct rc_hub *hub, const struct rc_delta_base *base, struct rc_span data, bool utf8)
{
    struct rc_deltas *deltas = &hub->deltas;
    const size_t room = data.count - data.count / 4;
    if (room > deltas->scratch_bytes) {
        uint8_t *more = realloc(deltas->scratch, 2 * room);
        if (more == NULL) {
            return (struct rc_span){0}; /* whole is always right */
        }
        deltas->scratch = more;
        deltas->scratch_bytes = (uint32_t)(2 * room);
    }
    return rc_span_of(deltas->scratch, rc_fossil_encode(&deltas->encoder, rc_span_of(base->bytes, base->count), data,
                                                        utf8, deltas->scratch, room));
}

/* Is it better for all to get the message whole? For one client alone it is not in order with a critical channel's messages; and what is
 * for those alone who do not read would pile up, where the group's log has a policy for them. */
static bool lacking_alone(const struct rc_hub *hub, uint32_t channel)
{
    uint32_t at = 0;
    uint32_t subscription = rc_delta_lacking(hub, channel, &at);
    const bool critical = subscription != 0 && rc_hub_critical(hub, channel);
    while (subscription != 0 && !critical &&
           !(rc_truth_subscription(hub->truth, subscription)->flags & RC_SUBSCRIPTION_CURSOR)) {
        subscription = rc_delta_lacking(hub, channel, &at);
    }
    return subscription != 0;
}

void rc_delta_prepare(struct rc_hub *hub, uint32_t channel_index, const struct rc_envelope_view *view,
                      struct rc_event *event, struct rc_event_delta *delta)
{
    struct rc_delta_state *state = state_make(hub, channel_index);
    const bool plain = (view->head.flags & (RC_ENVELOPE_ARGS | RC_ENVELOPE_VOLATILE)) != 0;
    if (state == NULL || plain || event->data.count > RC_FOSSIL_BYTES_MAX || !rc_delta_wanted(hub, channel_index)) {
        return; /* as any message: what bases there are stay */
    }
    const struct rc_delta_base *base = base_find(hub, state, rc_hub_key(view));
    state->appending = true;
    state->base_serial = base == NULL ? 0 : base->serial;
    *delta = (struct rc_event_delta){.key = rc_span_of(view->key, view->head.key_bytes), .version = 1};
    event->delta = delta;
    if (base == NULL) {
        return;
    }
    delta->base = base->version;
    delta->version = base->version == UINT32_MAX ? 1 : base->version + 1;
    const bool all = lacking_alone(hub, channel_index);
    if (base->serial > state->since && !all && base->kind == (uint8_t)event->data_kind &&
        event->data.count >= DELTA_DATA_MIN) {
        delta->bytes = delta_make(hub, base, event->data, event->data_kind == RC_DATA_JSON);
    }
}

/* The message is the base of its key. False: there is no room for it, and the key has none. */
static bool base_set(struct rc_hub *hub, struct rc_delta_state *state, uint64_t key, const struct rc_event *event)
{
    struct rc_delta_base *base = base_find(hub, state, key);
    if (base == NULL) {
        base = base_make(hub, state, key);
    }
    if (base == NULL) {
        return false;
    }
    if (!base_room(hub, base, (uint32_t)event->data.count)) {
        base_drop(hub, state, base);
        return false;
    }
    if (event->data.count > 0) {
        memcpy(base->bytes, event->data.bytes, event->data.count);
    }
    base->count = (uint32_t)event->data.count;
    base->kind = (uint8_t)event->data_kind;
    base->version = event->delta->version;
    base->serial = state->serial;
    base_unlink(hub, state, base);
    base_link(hub, state, base);
    return true;
}

void rc_delta_commit(struct rc_hub *hub, uint32_t channel_index, const struct rc_envelope_view *view,
                     const struct rc_event *event)
{
    struct rc_delta_state *state = state_find(hub, channel_index);
    if (state == NULL || !state->appending || event->delta == NULL) {
        return;
    }
    const uint32_t keys_max = hub->config->namespaces[rc_truth_channel(hub->truth, channel_index)->namespace].max_keys;
    state->appending = false;
    state->serial++;
    if (!base_set(hub, state, rc_hub_key(view), event)) {
        rc_metric_add(hub->metrics, RC_METRIC_DELTA_REFUSED, 1);
    }
    while (state->count > keys_max) {
        base_drop(hub, state, &hub->deltas.bases[state->oldest - 1]);
    }
    if (state->lost) {
        state->lost = false;
        state->since = state->serial;
    }
    /* Who has all bases that there are lacks none. */
    const uint64_t oldest = state->oldest == 0 ? UINT64_MAX : hub->deltas.bases[state->oldest - 1].serial;
    for (uint32_t i = state->lacking_count; i > 0; i--) {
        if (state->lacking[i - 1].since < oldest) {
            lacking_remove(state, i - 1);
        }
    }
}
