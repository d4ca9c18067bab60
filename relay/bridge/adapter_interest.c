/* adapter_interest: see adapter_interest.h. */
#include "relay/bridge/adapter_interest.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "relay/bridge/adapter_name.h"

struct nsp_search {
    const struct rc_adapter_bridge *adapter;
    struct rc_span name;
};

static bool nsp_equal(const void *context, uint32_t index)
{
    const struct nsp_search *search = context;
    const struct rc_adapter_nsp *nsp = &search->adapter->nsps[index];
    return rc_span_equal(rc_span_of(nsp->name, nsp->name_bytes), search->name);
}

/* A place for a namespace; NULL: no memory. */
static struct rc_adapter_nsp *nsp_add(struct rc_adapter_bridge *adapter, uint64_t hash, struct rc_span name)
{
    const bool again = adapter->nsp_free != 0;
    const uint32_t index = again ? adapter->nsp_free - 1 : adapter->nsp_count;
    if (index == adapter->nsp_room) {
        const uint32_t more = adapter->nsp_room == 0 ? 8 : 2 * adapter->nsp_room;
        struct rc_adapter_nsp *grown = realloc(adapter->nsps, more * sizeof(*grown));
        if (grown == NULL) {
            return NULL;
        }
        adapter->nsps = grown;
        adapter->nsp_room = more;
    }
    char *copy = malloc(name.count);
    if (copy == NULL || rc_hashmap_insert(&adapter->nsp_map, hash, index) != 0) {
        free(copy);
        return NULL;
    }
    memcpy(copy, name.bytes, name.count);
    if (again) {
        adapter->nsp_free = adapter->nsps[index].next_free;
    } else {
        adapter->nsp_count++;
    }
    adapter->nsps[index] = (struct rc_adapter_nsp){.name = copy, .name_bytes = (uint32_t)name.count};
    return &adapter->nsps[index];
}

/* What is asked in a namespace that the configuration names is heard for good: servers' events need no client. */
static bool nsp_is_named(const struct rc_adapter_bridge *adapter, struct rc_span name)
{
    for (uint32_t i = 0; i < adapter->config.namespace_count; i++) {
        if (rc_span_equal(rc_span_text(adapter->config.namespaces[i].text), name)) {
            return true;
        }
    }
    return false;
}

static void adapter_want(struct rc_adapter_bridge *adapter, struct rc_span name, bool wanted)
{
    if (wanted) {
        rc_redis_foreign_want(adapter->bridge->link, name);
    } else {
        rc_redis_foreign_unwant(adapter->bridge->link, name);
    }
}

/* The channels of a namespace of which a first client is, or the last one was. */
static void nsp_channels(struct rc_adapter_bridge *adapter, struct rc_span name, bool wanted)
{
    char text[RC_REDIS_NAME_MAX];
    for (uint32_t i = 0; i < RC_ADAPTER_MARKS_MAX && adapter->kind->marks[i].mark != NULL; i++) {
        const struct rc_adapter_mark *mark = &adapter->kind->marks[i];
        if (!mark->lasting || (adapter->requested != NULL && !nsp_is_named(adapter, name))) {
            adapter_want(adapter, rc_adapter_channel(adapter, mark->mark, name, text), wanted);
        }
    }
}

void rc_adapter_set_requests(struct rc_adapter_bridge *adapter, rc_adapter_requested *requested, void *context)
{
    char text[RC_REDIS_NAME_MAX];
    adapter->requested = requested;
    adapter->requested_context = context;
    for (uint32_t i = 0; i < adapter->config.namespace_count; i++) {
        const struct rc_span name = rc_span_text(adapter->config.namespaces[i].text);
        for (uint32_t j = 0; j < RC_ADAPTER_MARKS_MAX && name.bytes[name.count - 1] != '*'; j++) {
            const struct rc_adapter_mark *mark = &adapter->kind->marks[j];
            if (mark->lasting) {
                adapter_want(adapter, rc_adapter_channel(adapter, mark->mark, name, text), true);
            }
        }
    }
}

static void nsp_interest(struct rc_adapter_bridge *adapter, struct rc_span name, bool wanted)
{
    const uint64_t hash = rc_channel_hash((const char *)name.bytes, name.count);
    const struct nsp_search search = {.adapter = adapter, .name = name};
    const uint32_t index = rc_hashmap_find(&adapter->nsp_map, hash, nsp_equal, &search);
    struct rc_adapter_nsp *nsp = index != RC_HASHMAP_NONE ? &adapter->nsps[index] : NULL;
    if (wanted) {
        nsp = nsp != NULL ? nsp : nsp_add(adapter, hash, name);
        if (nsp == NULL) {
            rc_log_limited(RC_LOG_ERROR, 1, "adapter_namespace_refused", "namespaces=%u reason=\"no memory\"",
                           adapter->nsp_count);
        } else if (nsp->channels++ == 0) {
            nsp_channels(adapter, name, true);
        }
    } else if (nsp != NULL && --nsp->channels == 0) {
        nsp_channels(adapter, name, false);
        (void)rc_hashmap_remove(&adapter->nsp_map, hash, index);
        free(nsp->name);
        *nsp = (struct rc_adapter_nsp){.next_free = adapter->nsp_free};
        adapter->nsp_free = index + 1;
    }
}

/* The name of a room's own channel; empty: it has none, for its clients have the pattern, or the base channel. */
static struct rc_span room_channel(const struct rc_adapter_bridge *adapter, struct rc_span nsp, struct rc_span room,
                                   char text[RC_ADAPTER_NAME_MAX])
{
    struct rc_sid sid;
    return adapter->kind->rooms && room.count > 0 && !rc_targets_is_own(adapter->emission.instance, room, &sid)
               ? rc_adapter_name(adapter, nsp, room, text)
               : (struct rc_span){0};
}

bool rc_adapter_hears(const struct rc_adapter_bridge *adapter, struct rc_span channel)
{
    struct rc_span nsp;
    struct rc_span room;
    char text[RC_ADAPTER_NAME_MAX];
    char base[RC_REDIS_NAME_MAX];
    if (rc_adapter_off(adapter) || !adapter->kind->sharded || rc_span_equal(channel, RC_SPAN("*"))) {
        return true;
    }
    (void)rc_channel_split(channel, &nsp, &room);
    if (nsp.count > RC_NSP_MAX) {
        return true;
    }
    const struct rc_span own = room_channel(adapter, nsp, room, text);
    bool heard = own.count == 0 || rc_redis_foreign_heard(adapter->bridge->link, own);
    for (uint32_t i = 0; heard && i < RC_ADAPTER_MARKS_MAX && adapter->kind->marks[i].mark != NULL; i++) {
        heard = rc_redis_foreign_heard(adapter->bridge->link,
                                       rc_adapter_channel(adapter, adapter->kind->marks[i].mark, nsp, base));
    }
    return heard;
}

void rc_adapter_interest(struct rc_adapter_bridge *adapter, struct rc_span channel, bool wanted)
{
    struct rc_span nsp;
    struct rc_span room;
    char text[RC_ADAPTER_NAME_MAX];
    if (rc_adapter_off(adapter) || rc_span_equal(channel, RC_SPAN("*"))) {
        return;
    }
    (void)rc_channel_split(channel, &nsp, &room);
    if (nsp.count > RC_NSP_MAX) {
        return;
    }
    const struct rc_span own = room_channel(adapter, nsp, room, text);
    if (own.count > 0) {
        adapter_want(adapter, own, wanted);
    }
    nsp_interest(adapter, nsp, wanted);
}
