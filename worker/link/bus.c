/*
 * bus: what processes of an application tell each other, and who is there. See links.h.
 *
 * Every process has a link with every worker, and says ENTER on each: so each worker knows all of them, and what one of them says on one of its
 * links (CLUSTER) goes to the others by their links with the same worker: in order, once, and without anybody else.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/link/links.h"

#define BUS_ENTRIES_MAX 65536u
#define BUS_UNSENT_FACTOR 16u /* of max_unsent: who takes so little of what others say is ended */

/* Index of the adapter; UINT32_MAX: it is not there. */
static uint32_t entry_find(const struct rc_links *links, struct rc_span nsp, struct rc_span uid)
{
    for (uint32_t i = 0; i < links->adapter_count; i++) {
        const struct rc_link_adapter *adapter = &links->adapters[i];
        if (rc_span_equal(rc_span_of(adapter->nsp, adapter->nsp_bytes), nsp) &&
            rc_span_equal(rc_span_of(adapter->uid, adapter->uid_bytes), uid)) {
            return i;
        }
    }
    return UINT32_MAX;
}

static bool entry_is_in(const struct rc_link_adapter *adapter, struct rc_span nsp)
{
    return rc_span_equal(rc_span_of(adapter->nsp, adapter->nsp_bytes), nsp);
}

/* Has the link an adapter of the namespace? */
static bool link_is_in(const struct rc_links *links, uint32_t link, struct rc_span nsp)
{
    for (uint32_t i = 0; i < links->adapter_count; i++) {
        if (links->adapters[i].link == link && entry_is_in(&links->adapters[i], nsp)) {
            return true;
        }
    }
    return false;
}

/* May it be told more of others? Who takes too little of that is ended, and what is kept of it goes with its line. */
static bool bus_takes(struct rc_links *links, struct rc_link *link)
{
    const uint64_t most = link->table->config.max_unsent_bytes * BUS_UNSENT_FACTOR;
    const uint64_t kept = link->line == 0 ? 0 : rc_truth_link_line(links->clients->truth, link->line)->kept.bytes;
    if (link->state != RC_LINK_IS_READY || link->why != NULL) {
        return false;
    }
    if (kept > most || rc_hub_unsent_on(links->clients->hub, link->socket) > most) {
        rc_link_broken(links, link, "it does not take what other processes say");
        return false;
    }
    return true;
}

/* PEERS of the namespace for a link: everybody's but its own process's. */
static void peers_send(struct rc_links *links, uint32_t to, struct rc_span nsp)
{
    size_t bytes = 2 + nsp.count + 2;
    uint32_t count = 0;
    if (!bus_takes(links, &links->links[to])) {
        return;
    }
    for (uint32_t i = 0; i < links->adapter_count; i++) {
        const struct rc_link_adapter *adapter = &links->adapters[i];
        if (adapter->link != to && entry_is_in(adapter, nsp)) {
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
    for (uint32_t i = 0, left = RC_LINK_ROOMS_MAX; i < links->adapter_count && left > 0; i++) {
        const struct rc_link_adapter *adapter = &links->adapters[i];
        if (adapter->link != to && entry_is_in(adapter, nsp)) {
            rc_link_put_u16(out + at, adapter->uid_bytes);
            memcpy(out + at + 2, adapter->uid, adapter->uid_bytes);
            at += 2u + adapter->uid_bytes;
            left--;
        }
    }
    (void)rc_link_send(links, &links->links[to], RC_LINK_PEERS, 0, 0, rc_span_of(out, at), (struct rc_span){0});
    free(out);
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

void rc_link_bus_enter(struct rc_links *links, struct rc_link *link, struct rc_span payload)
{
    struct rc_link_reader reader = rc_link_reader_of(payload);
    const uint32_t index = (uint32_t)(link - links->links);
    const struct rc_span nsp = rc_link_read_text(&reader);
    const struct rc_span uid = rc_link_read_text(&reader);
    const uint32_t known = entry_find(links, nsp, uid);
    if (known != UINT32_MAX) {
        if (links->adapters[known].link != index) {
            rc_link_broken(links, link, "the uid of another process's adapter");
        }
        return;
    }
    if (links->adapter_count == links->adapter_capacity) {
        const uint32_t capacity = links->adapter_capacity == 0 ? 16 : links->adapter_capacity * 2;
        struct rc_link_adapter *larger =
            capacity > BUS_ENTRIES_MAX ? NULL : realloc(links->adapters, capacity * sizeof(*larger));
        if (larger == NULL) {
            rc_link_end(links, link, "too many adapters, or no memory for them");
            return;
        }
        links->adapters = larger;
        links->adapter_capacity = capacity;
    }
    struct rc_link_adapter *adapter = &links->adapters[links->adapter_count++];
    *adapter =
        (struct rc_link_adapter){.link = index, .nsp_bytes = (uint16_t)nsp.count, .uid_bytes = (uint16_t)uid.count};
    memcpy(adapter->nsp, nsp.bytes, nsp.count);
    memcpy(adapter->uid, uid.bytes, uid.count);
    peers_send(links, index, nsp);
    peers_changed(links, index, nsp);
}

/* The others are told. */
static void entry_remove(struct rc_links *links, uint32_t index)
{
    const struct rc_link_adapter gone = links->adapters[index];
    links->adapters[index] = links->adapters[--links->adapter_count];
    peers_changed(links, gone.link, rc_span_of(gone.nsp, gone.nsp_bytes));
}

void rc_link_bus_exit(struct rc_links *links, const struct rc_link *link, struct rc_span payload)
{
    struct rc_link_reader reader = rc_link_reader_of(payload);
    const struct rc_span nsp = rc_link_read_text(&reader);
    const uint32_t index = entry_find(links, nsp, rc_link_read_text(&reader));
    if (index != UINT32_MAX && &links->links[links->adapters[index].link] == link) {
        entry_remove(links, index);
    }
}

void rc_link_bus_left(struct rc_links *links, const struct rc_link *link)
{
    for (uint32_t i = links->adapter_count; i > 0; i--) {
        if (i <= links->adapter_count && &links->links[links->adapters[i - 1].link] == link) {
            entry_remove(links, i - 1);
        }
    }
}

static void bus_hand_on(struct rc_links *links, uint32_t to, struct rc_span payload)
{
    struct rc_link *link = &links->links[to];
    if (bus_takes(links, link)) {
        (void)rc_link_send(links, link, RC_LINK_CLUSTER, 0, 0, payload, (struct rc_span){0});
    }
}

void rc_link_bus_say(struct rc_links *links, const struct rc_link *link, struct rc_span payload)
{
    struct rc_link_reader reader = rc_link_reader_of(payload);
    const struct rc_span nsp = rc_link_read_text(&reader);
    (void)rc_link_read_text(&reader);
    const struct rc_span to = rc_link_read_text(&reader);
    if (to.count > 0) {
        const uint32_t index = entry_find(links, nsp, to);
        if (index != UINT32_MAX && &links->links[links->adapters[index].link] != link) {
            bus_hand_on(links, links->adapters[index].link, payload);
        }
        return;
    }
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
        if (&links->links[i] != link && links->links[i].state == RC_LINK_IS_READY && link_is_in(links, i, nsp)) {
            bus_hand_on(links, i, payload);
        }
    }
}
