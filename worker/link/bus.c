/*
 * bus: what processes of an application tell each other, and who is there. See links.h.
 *
 * Every process has a link with every worker, and says ENTER on each: so each worker knows all of them, and what one of them says on one of its
 * links (CLUSTER) goes to the others by their links with the same worker: in order, once, and without anybody else.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "worker/link/links.h"

#define BUS_UNSENT_FACTOR \
    16u /* of max_unsent: so much of what others say may wait for a process, of each of them its part */
#define BUS_OF_NSP_MAX 16u /* adapters of one process in one namespace: each change of them is told everybody there */
#define BUS_NONE UINT32_MAX
#define BUS_WINDOW_PART 8u /* of max_unsent: what a process may say to each other one beyond what that has taken */
/* However many there are, a window is within each one's part of what may wait. */
_Static_assert(BUS_WINDOW_PART *BUS_UNSENT_FACTOR >= RC_LINKS_MAX, "who keeps to its window is never dropped");

static struct rc_span nsp_of(const struct rc_link_adapter *adapter)
{
    return rc_span_of(adapter->nsp, adapter->nsp_bytes);
}

struct nsp_key {
    const struct rc_links *links;
    struct rc_span nsp;
};

static bool nsp_equal(const void *context, uint32_t index)
{
    const struct nsp_key *key = context;
    return rc_span_equal(nsp_of(&key->links->adapters[index]), key->nsp);
}

static uint64_t nsp_hash(struct rc_span nsp)
{
    return rc_hash(nsp.bytes, nsp.count);
}

/* The first adapter of the namespace, by whose `next` the others are found; BUS_NONE: nobody is there. */
static uint32_t nsp_first(const struct rc_links *links, struct rc_span nsp)
{
    const struct nsp_key key = {.links = links, .nsp = nsp};
    return links->nsps.count == 0 ? BUS_NONE : rc_hashmap_find(&links->nsps, nsp_hash(nsp), nsp_equal, &key);
}
_Static_assert(BUS_NONE == RC_HASHMAP_NONE, "what is not found ends a chain");

/* Index of the adapter; BUS_NONE: it is not there. */
static uint32_t entry_find(const struct rc_links *links, struct rc_span nsp, struct rc_span uid)
{
    for (uint32_t i = nsp_first(links, nsp); i != BUS_NONE; i = links->adapters[i].next) {
        if (rc_span_equal(rc_span_of(links->adapters[i].uid, links->adapters[i].uid_bytes), uid)) {
            return i;
        }
    }
    return BUS_NONE;
}

/* Is that an adapter of another process than the link's? Nobody speaks for it but that one. Of one that nobody has ENTERed it is not: what a process
 * sends again over its next link comes before that. */
static bool entry_is_others(const struct rc_links *links, const struct rc_link *link, struct rc_span nsp,
                            struct rc_span uid)
{
    const uint32_t index = entry_find(links, nsp, uid);
    return index != BUS_NONE && &links->links[links->adapters[index].link] != link;
}

/* How many adapters of the namespace the link has. */
static uint32_t link_has(const struct rc_links *links, uint32_t link, struct rc_span nsp)
{
    uint32_t count = 0;
    for (uint32_t i = nsp_first(links, nsp); i != BUS_NONE; i = links->adapters[i].next) {
        count += links->adapters[i].link == link;
    }
    return count;
}

/* Bytes that wait for it: it has not taken them, or not said that it has handed them on. */
static uint64_t bus_waits(const struct rc_links *links, const struct rc_link *link)
{
    const uint64_t kept = link->line == 0 ? 0 : rc_truth_link_line(links->clients->truth, link->line)->kept.bytes;
    const uint64_t unsent = rc_link_unsent(links, link);
    return kept > unsent ? kept : unsent;
}

static bool bus_has_room(const struct rc_links *links, const struct rc_link *link)
{
    return bus_waits(links, link) < link->table->config.max_unsent_bytes;
}

static bool bus_is_there(const struct rc_link *link)
{
    return link->state == RC_LINK_IS_READY && link->why == NULL;
}

/*
 * May it be told so many bytes more of what `from`, a link's index, says? While it takes what it is told there is no limit. What waits for one that
 * does not is bounded, and each of the others has its part of that, and what it says last beside it: whoever says more than is taken neither ends a
 * process that stands still for a while nor uses up what others may say to it. Who keeps to its window (taken_tell) never does.
 */
static bool bus_takes(struct rc_links *links, struct rc_link *link, uint32_t from, uint64_t bytes)
{
    const uint64_t most = link->table->config.max_unsent_bytes;
    if (bus_has_room(links, link)) {
        memset(link->said, 0, sizeof(link->said));
        link->said[from] = bytes;
        return true;
    }
    const uint64_t others = links->ready > 1 ? links->ready - 1 : 1;
    const uint64_t part = most * BUS_UNSENT_FACTOR / others;
    /* Who is linked anew has a part anew: however often that is, all of it together has a bound, too: of two links of each, and the last frame of each,
     * which may be much larger than its part. */
    const uint64_t all = 2 * (most * BUS_UNSENT_FACTOR + others * link->table->config.max_frame_bytes);
    if (link->said[from] > part || bus_waits(links, link) >= all) {
        return false;
    }
    link->said[from] += bytes;
    return true;
}

/* The first adapter of the link in the namespace; BUS_NONE: it has none. */
static uint32_t link_first(const struct rc_links *links, uint32_t link, struct rc_span nsp)
{
    uint32_t i = nsp_first(links, nsp);
    while (i != BUS_NONE && links->adapters[i].link != link) {
        i = links->adapters[i].next;
    }
    return i;
}

/* False: it takes nothing now, and is told when it does, once, whatever has changed by then (rc_link_bus_work). */
static bool peers_may_go(struct rc_links *links, uint32_t to, struct rc_span nsp)
{
    struct rc_link *link = &links->links[to];
    if (bus_has_room(links, link)) {
        return true;
    }
    struct rc_link_adapter *adapter = &links->adapters[link_first(links, to, nsp)];
    link->peers_due += !adapter->peers_due;
    adapter->peers_due = true;
    links->bus_due = true;
    return false;
}

/* PEERS of the namespace for a link: everybody's but its own process's. */
static void peers_send(struct rc_links *links, uint32_t to, struct rc_span nsp)
{
    size_t bytes = 2 + nsp.count + 2;
    uint32_t count = 0;
    if (!bus_is_there(&links->links[to]) || !peers_may_go(links, to, nsp)) {
        return;
    }
    const uint32_t first = nsp_first(links, nsp);
    for (uint32_t i = first; i != BUS_NONE; i = links->adapters[i].next) {
        const struct rc_link_adapter *adapter = &links->adapters[i];
        if (adapter->link != to) {
            bytes += 2u + adapter->uid_bytes;
            count++;
        }
    }
    uint8_t *out = malloc(bytes);
    if (out == NULL) {
        rc_link_end(links, &links->links[to], "no memory for whom it is to know");
        return;
    }
    size_t at = 0;
    rc_link_put_u16(out, (uint16_t)nsp.count);
    memcpy(out + 2, nsp.bytes, nsp.count);
    at = 2 + nsp.count;
    rc_link_put_u16(out + at, (uint16_t)(count < RC_LINK_ROOMS_MAX ? count : RC_LINK_ROOMS_MAX));
    at += 2;
    for (uint32_t i = first, left = RC_LINK_ROOMS_MAX; i != BUS_NONE && left > 0; i = links->adapters[i].next) {
        const struct rc_link_adapter *adapter = &links->adapters[i];
        if (adapter->link != to) {
            rc_link_put_u16(out + at, adapter->uid_bytes);
            memcpy(out + at + 2, adapter->uid, adapter->uid_bytes);
            at += 2u + adapter->uid_bytes;
            left--;
        }
    }
    (void)rc_link_send(links, &links->links[to], RC_LINK_PEERS, 0, 0, rc_span_of(out, at), (struct rc_span){0});
    free(out);
}

/* Has the link an adapter of the namespace? */
static bool link_is_in(const struct rc_links *links, uint32_t link, struct rc_span nsp)
{
    return link_first(links, link, nsp) != BUS_NONE;
}

/* Who is in the namespace has changed, by what `link` did. */
static void peers_changed(struct rc_links *links, uint32_t link, struct rc_span nsp)
{
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
        if (i != link && links->links[i].state == RC_LINK_IS_READY && link_is_in(links, i, nsp)) {
            peers_send(links, i, nsp);
        }
    }
}

/* A place in the table, which is in no namespace yet; BUS_NONE: no memory. */
static uint32_t entry_new(struct rc_links *links)
{
    if (links->adapters_free == 0) {
        const uint32_t capacity = links->adapter_capacity == 0 ? 16 : links->adapter_capacity * 2;
        struct rc_link_adapter *larger = realloc(links->adapters, capacity * sizeof(*larger));
        if (larger == NULL) {
            return BUS_NONE;
        }
        for (uint32_t i = links->adapter_capacity; i < capacity; i++) {
            larger[i] = (struct rc_link_adapter){.link = RC_LINK_NONE, .next = i + 1 < capacity ? i + 2 : 0};
        }
        links->adapters_free = links->adapter_capacity + 1;
        links->adapters = larger;
        links->adapter_capacity = capacity;
    }
    const uint32_t index = links->adapters_free - 1;
    links->adapters_free = links->adapters[index].next;
    return index;
}

static void entry_give(struct rc_links *links, uint32_t index)
{
    links->adapters[index] = (struct rc_link_adapter){.link = RC_LINK_NONE, .next = links->adapters_free};
    links->adapters_free = index + 1;
}

/* False: no memory. */
static bool entry_add(struct rc_links *links, uint32_t link, struct rc_span nsp, struct rc_span uid)
{
    const uint32_t index = entry_new(links);
    if (index == BUS_NONE) {
        return false;
    }
    const uint32_t first = nsp_first(links, nsp);
    struct rc_link_adapter *adapter = &links->adapters[index];
    *adapter = (struct rc_link_adapter){
        .link = link, .next = BUS_NONE, .nsp_bytes = (uint16_t)nsp.count, .uid_bytes = (uint16_t)uid.count};
    memcpy(adapter->nsp, nsp.bytes, nsp.count);
    memcpy(adapter->uid, uid.bytes, uid.count);
    if (first != BUS_NONE) {
        adapter->next = links->adapters[first].next;
        links->adapters[first].next = index;
    } else if (rc_hashmap_insert(&links->nsps, nsp_hash(nsp), index) < 0) {
        entry_give(links, index);
        return false;
    }
    links->links[link].adapters++;
    links->adapter_count++;
    rc_metric_set(links->clients->metrics, RC_METRIC_LINK_ADAPTERS, links->adapter_count);
    return true;
}

/* The process has its share of the table, and the others are to have theirs: this adapter hears nothing of them. */
static void enter_refuse(const struct rc_links *links, const struct rc_link *link, const char *why)
{
    rc_metric_add(links->clients->metrics, RC_METRIC_LINK_ADAPTERS_REFUSED, 1);
    rc_log_limited(
        RC_LOG_WARN, 1, "link_adapter_refused",
        "backend=\"%s\" url=\"%s\" process=\"%s\" reason=\"%s\" effect=\"there it hears "
        "nothing of the other processes; broadcasts reach everybody\" remedy=\"let namespaces end that nobody "
        "is in: cleanupEmptyChildNamespaces of Socket.IO\"",
        link->table->config.name.text, rc_link_url(link), link->ready.process, why);
}

/* Its process is there from here on. Another one may not have been told that it was gone, and waits for what it said to be taken: it is told so, for
 * nothing of that is on its way any more. */
static void taken_anew(struct rc_links *links, uint32_t to)
{
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
        struct rc_link *other = &links->links[i];
        if (i != to && bus_is_there(other) && other->ready.paced) {
            other->cluster_taken[to] = 0;
            other->taken_due = links->bus_due = true;
        }
    }
}

void rc_link_bus_enter(struct rc_links *links, struct rc_link *link, struct rc_span payload)
{
    struct rc_link_reader reader = rc_link_reader_of(payload);
    const uint32_t index = (uint32_t)(link - links->links);
    const struct rc_span nsp = rc_link_read_text(&reader);
    const struct rc_span uid = rc_link_read_text(&reader);
    if (entry_is_others(links, link, nsp, uid)) {
        enter_refuse(links, link,
                     "the uid of another process's adapter"); /* which of them had no right to it nobody knows */
        return;
    }
    if (entry_find(links, nsp, uid) != BUS_NONE) {
        return; /* it said so before */
    }
    if (link->adapters >= RC_LINK_ADAPTERS_MAX) {
        enter_refuse(links, link, "it is in too many namespaces");
        return;
    }
    if (link_has(links, index, nsp) >= BUS_OF_NSP_MAX) {
        enter_refuse(links, link, "it has too many adapters there");
        return;
    }
    const bool is_first = link->adapters == 0;
    if (!entry_add(links, index, nsp, uid)) {
        rc_link_end(links, link, "no memory for its adapters");
        return;
    }
    if (is_first) {
        taken_anew(links, index);
    }
    peers_send(links, index, nsp);
    peers_changed(links, index, nsp);
}

/* The others are told. */
static void entry_remove(struct rc_links *links, uint32_t index)
{
    const struct rc_link_adapter gone = links->adapters[index];
    const struct rc_span nsp = nsp_of(&gone);
    const uint32_t first = nsp_first(links, nsp);
    RC_ASSERT(first != BUS_NONE);
    if (first == index) {
        const bool removed = rc_hashmap_remove(&links->nsps, nsp_hash(nsp), index);
        const int rc = gone.next == BUS_NONE ? 0 : rc_hashmap_insert(&links->nsps, nsp_hash(nsp), gone.next);
        RC_ASSERT(removed && rc == 0); /* there is room: one has just been taken out */
    } else {
        uint32_t before = first;
        while (links->adapters[before].next != index) {
            before = links->adapters[before].next;
        }
        links->adapters[before].next = gone.next;
    }
    entry_give(links, index);
    links->links[gone.link].adapters--;
    links->adapter_count--;
    rc_metric_set(links->clients->metrics, RC_METRIC_LINK_ADAPTERS, links->adapter_count);
    if (gone.peers_due) {
        links->links[gone.link].peers_due--;
        if (link_is_in(links, gone.link, nsp)) { /* by another one */
            peers_send(links, gone.link, nsp);
        }
    }
    peers_changed(links, gone.link, nsp);
}

void rc_link_bus_exit(struct rc_links *links, const struct rc_link *link, struct rc_span payload)
{
    struct rc_link_reader reader = rc_link_reader_of(payload);
    const struct rc_span nsp = rc_link_read_text(&reader);
    const uint32_t index = entry_find(links, nsp, rc_link_read_text(&reader));
    if (index != BUS_NONE && &links->links[links->adapters[index].link] == link) {
        entry_remove(links, index);
    }
}

void rc_link_bus_left(struct rc_links *links, const struct rc_link *link)
{
    const uint32_t index = (uint32_t)(link - links->links);
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) { /* whoever has its place begins anew */
        links->links[i].said[index] = 0;
        links->links[i].cluster_taken[index] = 0;
    }
    for (uint32_t i = 0; i < links->adapter_capacity && link->adapters > 0; i++) {
        if (links->adapters[i].link != RC_LINK_NONE && &links->links[links->adapters[i].link] == link) {
            entry_remove(links, i);
        }
    }
}

uint64_t rc_link_bus_window(const struct rc_config_backend *backend)
{
    return backend->max_unsent_bytes / BUS_WINDOW_PART;
}

/* Is `from` to be told that `to` has taken what it said to it? Once in half a window: so nobody waits for it for nothing, for who has said a window to one
 * of them has said at least half of one since it was told so. */
static bool taken_is_due(const struct rc_links *links, const struct rc_link *from, uint32_t to)
{
    return from != &links->links[to] && bus_is_there(&links->links[to]) &&
           from->cluster_bytes - from->cluster_taken[to] >= rc_link_bus_window(&from->table->config) / 2;
}

/* TAKEN: how many CLUSTERs of the process's, and which others have taken nearly all of what was for them. */
static void taken_tell(struct rc_links *links, uint32_t from)
{
    struct rc_link *link = &links->links[from];
    uint8_t out[8 + 2 + RC_LINKS_MAX * (2 + RC_LINK_PROCESS_MAX)];
    uint16_t count = 0;
    size_t at = 8 + 2;
    link->taken_due = false;
    link->cluster_looked = link->cluster_bytes;
    for (uint32_t to = 0; to < RC_LINKS_MAX; to++) {
        struct rc_link *other = &links->links[to];
        if (!taken_is_due(links, link, to)) {
            continue;
        }
        if (!bus_has_room(links, other)) {
            link->taken_due = true;
            continue;
        }
        const size_t bytes = strlen(other->ready.process);
        rc_link_put_u16(out + at, (uint16_t)bytes);
        memcpy(out + at + 2, other->ready.process, bytes);
        at += 2 + bytes;
        count++;
        other->said[from] = 0;
        link->cluster_taken[to] = link->cluster_bytes;
    }
    if (count > 0) {
        rc_link_put_u64(out, link->cluster_frames);
        rc_link_put_u16(out + 8, count);
        (void)rc_link_send(links, link, RC_LINK_TAKEN, 0, 0, rc_span_of(out, at), (struct rc_span){0});
    }
}

static void peers_tell(struct rc_links *links, uint32_t to)
{
    struct rc_link *link = &links->links[to];
    for (uint32_t i = 0; i < links->adapter_capacity && link->peers_due > 0 && bus_is_there(link); i++) {
        struct rc_link_adapter *adapter = &links->adapters[i];
        if (adapter->link == to && adapter->peers_due) {
            if (!bus_has_room(links, link)) {
                return;
            }
            adapter->peers_due = false;
            link->peers_due--;
            peers_send(links, to, nsp_of(adapter));
        }
    }
}

void rc_link_bus_work(struct rc_links *links)
{
    if (!links->bus_due) {
        return;
    }
    links->bus_due = false;
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
        struct rc_link *link = &links->links[i];
        if (!bus_is_there(link)) {
            continue;
        }
        peers_tell(links, i);
        if (link->taken_due) {
            taken_tell(links, i);
        }
        links->bus_due |= link->taken_due || link->peers_due > 0;
    }
}

bool rc_link_bus_ready(const struct rc_links *links)
{
    for (uint32_t i = 0; links->bus_due && i < RC_LINKS_MAX; i++) {
        const struct rc_link *link = &links->links[i];
        if (!bus_is_there(link)) {
            continue;
        }
        if (link->peers_due > 0 && bus_has_room(links, link)) {
            return true;
        }
        for (uint32_t to = 0; link->taken_due && to < RC_LINKS_MAX; to++) {
            if (taken_is_due(links, link, to) && bus_has_room(links, &links->links[to])) {
                return true;
            }
        }
    }
    return false;
}

/* Nobody hears it. `to`: who would have; NULL: nobody would. */
static void bus_drop(const struct rc_links *links, const struct rc_link *from, const struct rc_link *to,
                     struct rc_span payload, const char *why)
{
    rc_metric_add(links->clients->metrics, RC_METRIC_LINK_CLUSTER_DROPPED, 1);
    rc_log_limited(
        RC_LOG_WARN, 1, "link_cluster_dropped",
        "backend=\"%s\" process=\"%s\" to=\"%s\" bytes=%zu reason=\"%s\" effect=\"what it asks there is not answered\"",
        from->table->config.name.text, from->ready.process, to == NULL ? "" : to->ready.process, payload.count, why);
}

static void bus_hand_on(struct rc_links *links, uint32_t to, const struct rc_link *from, struct rc_span payload)
{
    struct rc_link *link = &links->links[to];
    if (!bus_is_there(link)) {
        return;
    }
    if (!bus_takes(links, link, (uint32_t)(from - links->links), RC_LINK_HEAD_BYTES + payload.count)) {
        bus_drop(links, from, link, payload, "it says more than that one takes");
        return;
    }
    (void)rc_link_send(links, link, RC_LINK_CLUSTER, 0, 0, payload, (struct rc_span){0});
}

/* A CLUSTER has come: whoever says many waits for what the others take. */
static void taken_count(struct rc_links *links, struct rc_link *link, struct rc_span payload)
{
    link->cluster_frames++;
    link->cluster_bytes += RC_LINK_HEAD_BYTES + payload.count;
    if (link->ready.paced &&
        link->cluster_bytes - link->cluster_looked >= rc_link_bus_window(&link->table->config) / 4) {
        link->taken_due = links->bus_due = true;
    }
}

void rc_link_bus_say(struct rc_links *links, struct rc_link *link, struct rc_span payload)
{
    taken_count(links, link, payload);
    struct rc_link_reader reader = rc_link_reader_of(payload);
    const struct rc_span nsp = rc_link_read_text(&reader);
    const struct rc_span from = rc_link_read_text(&reader);
    const struct rc_span to = rc_link_read_text(&reader);
    if (entry_is_others(links, link, nsp, from)) {
        bus_drop(links, link, NULL, payload, "from another process's adapter");
        return;
    }
    if (to.count > 0) {
        const uint32_t index = entry_find(links, nsp, to);
        if (index == BUS_NONE) {
            bus_drop(links, link, NULL, payload, "that adapter is not there"); /* any more, or not yet: PEERS says so */
        } else if (&links->links[links->adapters[index].link] != link) {
            bus_hand_on(links, links->adapters[index].link, link, payload);
        }
        return;
    }
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
        if (&links->links[i] != link && links->links[i].state == RC_LINK_IS_READY && link_is_in(links, i, nsp)) {
            bus_hand_on(links, i, link, payload);
        }
    }
}
