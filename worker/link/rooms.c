/*
 * rooms: who is in which room of an application's namespaces, and what is said there. See links.h.
 *
 * Everybody in a namespace, and each room, is a channel of this worker alone (worker/hub/here.c): what is said there is encoded once and leaves
 * from the channel's log. A socket's own room costs no channel: its id is found in a table.
 */
#include <errno.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "worker/link/links.h"

#define ROOMS_NSP_LITERAL_MAX 96u /* bytes of a namespace that stand in a channel's name as they are */
#define ROOMS_DIGEST 0x02         /* begins what stands for a longer name, or for one that begins so */
#define ROOMS_DIGEST_BYTES (1u + 2u * SHA256_DIGEST_LENGTH)
_Static_assert(2u + ROOMS_NSP_LITERAL_MAX + ROOMS_DIGEST_BYTES <= RC_CHANNEL_NAME_MAX, "every room has a name");

/* --- names ----------------------------------------------------------------------------------------------------------- */

static size_t digest_write(uint8_t *out, struct rc_span name)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256(name.bytes, name.count, digest);
    out[0] = ROOMS_DIGEST;
    for (size_t i = 0; i < sizeof(digest); i++) {
        out[1 + 2 * i] = (uint8_t) "0123456789abcdef"[digest[i] >> 4];
        out[2 + 2 * i] = (uint8_t) "0123456789abcdef"[digest[i] & 15];
    }
    return ROOMS_DIGEST_BYTES;
}

static size_t name_part(uint8_t *out, struct rc_span name, size_t most)
{
    if (name.count > most || (name.count > 0 && name.bytes[0] == ROOMS_DIGEST)) {
        return digest_write(out, name);
    }
    if (name.count > 0) {
        memcpy(out, name.bytes, name.count);
    }
    return name.count;
}

/* RC_HUB_HERE_BYTE, bytes of the namespace, the namespace, the room: none is everybody's. */
static struct rc_span channel_name(uint8_t out[RC_CHANNEL_NAME_MAX], struct rc_span nsp, struct rc_span room)
{
    out[0] = RC_HUB_HERE_BYTE;
    const size_t nsp_bytes = name_part(out + 2, nsp, ROOMS_NSP_LITERAL_MAX);
    out[1] = (uint8_t)nsp_bytes;
    return rc_span_of(out, 2 + nsp_bytes + name_part(out + 2 + nsp_bytes, room, RC_CHANNEL_NAME_MAX - 2 - nsp_bytes));
}

static uint32_t channel_find(struct rc_links *links, struct rc_span nsp, struct rc_span room)
{
    uint8_t text[RC_CHANNEL_NAME_MAX];
    const struct rc_span name = channel_name(text, nsp, room);
    return rc_hub_find(links->clients->hub, rc_channel_hash((const char *)name.bytes, name.count), name);
}

/* --- sockets --------------------------------------------------------------------------------------------------------- */

struct member_key {
    const struct rc_links *links;
    struct rc_span nsp;
    struct rc_span sid;
};

static bool member_equal(const void *context, uint32_t index)
{
    const struct member_key *key = context;
    const struct rc_link_member *member = &key->links->members[index];
    return rc_span_equal(rc_span_of(member->text, member->nsp_bytes), key->nsp) &&
           rc_span_equal(rc_span_of(member->text + member->nsp_bytes, member->sid_bytes), key->sid);
}

static uint64_t member_hash(struct rc_span nsp, struct rc_span sid)
{
    uint8_t text[RC_LINK_NSP_MAX + RC_LINK_SID_MAX];
    memcpy(text, nsp.bytes, nsp.count);
    if (sid.count > 0) {
        memcpy(text + nsp.count, sid.bytes, sid.count);
    }
    return rc_hash(text, nsp.count + sid.count);
}

/* Index + 1 of the socket; 0: nobody here. */
static uint32_t member_find(const struct rc_links *links, struct rc_span nsp, struct rc_span sid)
{
    if (sid.count > RC_LINK_SID_MAX || links->sids.count == 0) {
        return 0;
    }
    const struct member_key key = {.links = links, .nsp = nsp, .sid = sid};
    const uint32_t index = rc_hashmap_find(&links->sids, member_hash(nsp, sid), member_equal, &key);
    return index == RC_HASHMAP_NONE ? 0 : index + 1;
}

/* The client whose own room that is; 0: none. */
static uint32_t member_of_room(const struct rc_links *links, struct rc_span nsp, struct rc_span room)
{
    if (room.count < 2 || room.bytes[0] != 's') {
        return 0;
    }
    const uint32_t member = member_find(links, nsp, rc_span_of(room.bytes + 1, room.count - 1));
    return member == 0 ? 0 : links->members[member - 1].client;
}

static uint32_t member_alloc(struct rc_links *links)
{
    if (links->member_free != 0) {
        const uint32_t index = links->member_free - 1;
        links->member_free = links->members[index].next;
        return index;
    }
    if (links->member_count == links->member_capacity) {
        const uint32_t capacity = links->member_capacity == 0 ? 64 : links->member_capacity * 2;
        struct rc_link_member *larger = realloc(links->members, capacity * sizeof(*larger));
        if (larger == NULL) {
            return UINT32_MAX;
        }
        links->members = larger;
        links->member_capacity = capacity;
    }
    return links->member_count++;
}

static void member_free(struct rc_links *links, uint32_t index)
{
    free(links->members[index].text);
    links->members[index] = (struct rc_link_member){.next = links->member_free};
    links->member_free = index + 1;
}

/* The socket is found from here on. -ENOMEM; -EEXIST: another one has its id, of which nobody could tell which is meant. */
static int member_add(struct rc_links *links, uint32_t client, struct rc_span nsp, struct rc_span sid)
{
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    const uint32_t known = member_find(links, nsp, sid);
    if (known != 0) {
        return links->members[known - 1].client == client ? 0 : -EEXIST;
    }
    const uint32_t index = member_alloc(links);
    uint8_t *text = index == UINT32_MAX ? NULL : malloc(nsp.count + sid.count);
    if (index == UINT32_MAX) {
        return -ENOMEM;
    }
    links->members[index] = (struct rc_link_member){.text = text};
    const uint64_t hash = member_hash(nsp, sid);
    if (text == NULL || rc_hashmap_insert(&links->sids, hash, index) < 0) {
        member_free(links, index);
        return -ENOMEM;
    }
    memcpy(text, nsp.bytes, nsp.count);
    if (sid.count > 0) {
        memcpy(text + nsp.count, sid.bytes, sid.count);
    }
    links->members[index] = (struct rc_link_member){.hash = hash,
                                                    .client = client,
                                                    .next = conn->member,
                                                    .nsp_bytes = (uint16_t)nsp.count,
                                                    .sid_bytes = (uint16_t)sid.count,
                                                    .text = text};
    conn->member = index + 1;
    return 0;
}

/* It is found no more. False: it was not there. */
static bool member_remove(struct rc_links *links, uint32_t client, struct rc_span nsp, struct rc_span sid)
{
    const uint32_t member = member_find(links, nsp, sid);
    if (member == 0 || links->members[member - 1].client != client) {
        return false;
    }
    uint32_t *link = &rc_link_conn_of(links, client)->member;
    while (*link != member) {
        link = &links->members[*link - 1].next;
    }
    *link = links->members[member - 1].next;
    const bool removed = rc_hashmap_remove(&links->sids, links->members[member - 1].hash, member - 1);
    RC_ASSERT(removed);
    member_free(links, member - 1);
    return true;
}

/* Has the connection another socket in the namespace? */
static bool member_in(const struct rc_links *links, uint32_t client, struct rc_span nsp)
{
    for (uint32_t i = links->conns[client].member; i != 0; i = links->members[i - 1].next) {
        if (rc_span_equal(rc_span_of(links->members[i - 1].text, links->members[i - 1].nsp_bytes), nsp)) {
            return true;
        }
    }
    return false;
}

void rc_link_members_forget(struct rc_links *links, uint32_t client)
{
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    while (conn->member != 0) {
        const uint32_t index = conn->member - 1;
        conn->member = links->members[index].next;
        const bool removed = rc_hashmap_remove(&links->sids, links->members[index].hash, index);
        RC_ASSERT(removed);
        member_free(links, index);
    }
}

/* --- leaving --------------------------------------------------------------------------------------------------------- */

/*
 * What was said in a room before somebody left it is for it, and may not have been sent yet. So the subscription stays until all of that is, and
 * is left out of what is said meanwhile.
 */
static uint32_t leaving_find(const struct rc_links *links, uint32_t client, uint32_t channel)
{
    if (links->conns[client].leaving == 0) {
        return UINT32_MAX;
    }
    for (uint32_t i = 0; i < links->leaving_count; i++) {
        const struct rc_link_leaving *entry = &links->leaving[i];
        if (entry->client == client && entry->channel == channel && entry->id == links->conns[client].id) {
            return i;
        }
    }
    return UINT32_MAX;
}

static void leaving_remove(struct rc_links *links, uint32_t index)
{
    const struct rc_link_leaving *entry = &links->leaving[index];
    struct rc_link_conn *conn = rc_link_conn_of(links, entry->client);
    if (conn->id == entry->id) {
        conn->leaving--;
    }
    links->leaving[index] = links->leaving[--links->leaving_count];
}

/* False: no memory. */
static bool leaving_add(struct rc_links *links, uint32_t client, uint32_t channel)
{
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    if (leaving_find(links, client, channel) != UINT32_MAX) {
        return true;
    }
    if (links->leaving_count == links->leaving_capacity) {
        const uint32_t capacity = links->leaving_capacity == 0 ? 64 : links->leaving_capacity * 2;
        struct rc_link_leaving *larger = realloc(links->leaving, capacity * sizeof(*larger));
        if (larger == NULL) {
            return false;
        }
        links->leaving = larger;
        links->leaving_capacity = capacity;
    }
    links->leaving[links->leaving_count++] =
        (struct rc_link_leaving){.id = conn->id, .client = client, .channel = channel};
    conn->leaving++;
    links->due = true;
    return true;
}

void rc_link_rooms_settle(struct rc_links *links)
{
    struct rc_hub *hub = links->clients->hub;
    for (uint32_t i = links->leaving_count; i > 0; i--) {
        const struct rc_link_leaving entry = links->leaving[i - 1];
        const uint32_t subscription =
            links->conns[entry.client].id == entry.id ? rc_hub_subscription(hub, entry.client, entry.channel) : 0;
        if (subscription == 0 || rc_hub_caught_up(hub, subscription)) {
            leaving_remove(links, i - 1);
        }
        if (subscription != 0 && rc_hub_caught_up(hub, subscription)) {
            rc_hub_unsubscribe(hub, entry.client, subscription);
        }
    }
}

/* --- rooms ----------------------------------------------------------------------------------------------------------- */

/* False: no room for it. */
static bool room_join(struct rc_links *links, uint32_t client, struct rc_span nsp, struct rc_span room)
{
    struct rc_hub *hub = links->clients->hub;
    uint8_t text[RC_CHANNEL_NAME_MAX];
    const uint32_t channel = rc_hub_channel_here(hub, channel_name(text, nsp, room));
    if (channel == 0) {
        return false;
    }
    const uint32_t left = leaving_find(links, client, channel);
    if (left != UINT32_MAX) { /* and comes back before all is sent */
        leaving_remove(links, left);
    }
    if (rc_hub_subscription(hub, client, channel) != 0 || rc_hub_subscribe(hub, client, channel) != 0) {
        return true;
    }
    rc_hub_release(hub, channel);
    return false;
}

static void channel_leave(struct rc_links *links, uint32_t client, uint32_t channel, uint32_t subscription)
{
    struct rc_hub *hub = links->clients->hub;
    if (rc_hub_caught_up(hub, subscription)) {
        rc_hub_unsubscribe(hub, client, subscription);
    } else if (!leaving_add(links, client, channel)) {
        rc_hub_break(hub, client); /* it would miss what is for it */
    }
}

static void room_leave(struct rc_links *links, uint32_t client, struct rc_span nsp, struct rc_span room)
{
    struct rc_hub *hub = links->clients->hub;
    const uint32_t channel = channel_find(links, nsp, room);
    const uint32_t subscription = channel == 0 ? 0 : rc_hub_subscription(hub, client, channel);
    if (subscription != 0) {
        channel_leave(links, client, channel, subscription);
    }
}

static bool room_is_own(struct rc_span room, struct rc_span sid)
{
    return room.bytes[0] == 's' && rc_span_equal(rc_span_of(room.bytes + 1, room.count - 1), sid);
}

void rc_link_join(struct rc_links *links, uint32_t client, struct rc_span payload)
{
    struct rc_link_reader reader = rc_link_reader_of(payload);
    const struct rc_span nsp = rc_link_read_text(&reader);
    const struct rc_span sid = rc_link_read_text(&reader);
    if (!rc_hub_takes(links->clients->hub, client)) {
        return; /* it is on its way out */
    }
    const int rc = member_add(links, client, nsp, sid);
    if (rc == -EEXIST) {
        rc_link_broken(links, &links->links[rc_link_conn_of(links, client)->link],
                       "a socket's id that another connection's has");
        return;
    }
    bool joined = rc == 0 && room_join(links, client, nsp, (struct rc_span){0});
    for (uint32_t left = rc_link_read_list(&reader); joined && left > 0; left--) {
        const struct rc_span room = rc_link_read_text(&reader);
        joined = room_is_own(room, sid) || room_join(links, client, nsp, room);
    }
    if (!joined) { /* it would never hear what it relies on, without a word */
        rc_log_limited(
            RC_LOG_WARN, 1, "link_room_refused",
            "reason=\"no room\" effect=\"its client is closed\" remedy=\"raise limits.max_channels_per_worker\"");
        rc_hub_break(links->clients->hub, client);
    }
}

/* Out of everything in the namespace. */
static void rooms_leave(struct rc_links *links, uint32_t client, struct rc_span nsp)
{
    struct rc_hub *hub = links->clients->hub;
    const struct rc_truth *truth = hub->truth;
    uint8_t text[RC_CHANNEL_NAME_MAX];
    const struct rc_span head = channel_name(text, nsp, (struct rc_span){0});
    for (uint32_t i = rc_truth_client(truth, client)->subscriptions; i != 0;) {
        const struct rc_subscription *subscription = rc_truth_subscription(truth, i);
        const struct rc_channel *channel = rc_truth_channel(truth, rc_truth_group(truth, subscription->group)->channel);
        const uint32_t index = i;
        i = subscription->next;
        if (rc_span_starts_with(rc_hub_name(hub, channel), head)) {
            channel_leave(links, client, rc_truth_group(truth, subscription->group)->channel, index);
        }
    }
}

void rc_link_leave(struct rc_links *links, uint32_t client, bool all, struct rc_span payload)
{
    struct rc_link_reader reader = rc_link_reader_of(payload);
    const struct rc_span nsp = rc_link_read_text(&reader);
    const struct rc_span sid = rc_link_read_text(&reader);
    if (all) {
        if (member_remove(links, client, nsp, sid) && !member_in(links, client, nsp)) {
            rooms_leave(links, client, nsp);
        }
        return;
    }
    for (uint32_t left = rc_link_read_list(&reader); left > 0; left--) {
        room_leave(links, client, nsp, rc_link_read_text(&reader));
    }
}

/* --- broadcasts ------------------------------------------------------------------------------------------------------ */

#define MARK_CHOSEN 1u
#define MARK_LEFT_OUT 2u

struct broadcast {
    struct rc_links *links;
    const struct rc_link *link; /* with LOCAL: whose connections alone; NULL: everybody's */
    struct rc_span nsp;
    struct rc_link_reader rooms;
    struct rc_link_reader except;
    uint32_t room_count;
    uint32_t except_count;
    struct rc_span messages;
    bool is_volatile;
    uint64_t had; /* the same for a channel was begun: encodings whose clients have it */
};

/* Marks a client; the first time it goes into links->chosen. Without memory nobody knows whom it is for: they end. */
static void client_mark(struct rc_links *links, uint32_t client, uint8_t as)
{
    if (links->marks[client] == 0 && rc_index_list_push(&links->chosen, client) < 0) {
        rc_hub_break(links->clients->hub, client);
        return;
    }
    links->marks[client] |= as;
}

static void mark_channel(struct rc_links *links, uint32_t channel, uint8_t as)
{
    uint32_t group = 0;
    uint32_t member = 0;
    uint32_t client;
    while (channel != 0 && (client = rc_hub_member_next(links->clients->hub, channel, &group, &member)) != 0) {
        if (leaving_find(links, client, channel) == UINT32_MAX) {
            client_mark(links, client, as);
        }
    }
}

static void mark_room(struct rc_links *links, struct rc_span nsp, struct rc_span room, uint8_t as)
{
    const uint32_t own = member_of_room(links, nsp, room);
    if (own != 0) {
        client_mark(links, own, as);
    }
    mark_channel(links, channel_find(links, nsp, room), as);
}

static void mark_rooms(struct rc_links *links, struct rc_span nsp, struct rc_link_reader list, uint8_t as)
{
    for (uint32_t left = rc_link_read_list(&list); left > 0; left--) {
        mark_room(links, nsp, rc_link_read_text(&list), as);
    }
}

static void marks_clear(struct rc_links *links)
{
    for (uint32_t i = 0; i < links->chosen.count; i++) {
        links->marks[links->chosen.items[i]] = 0;
    }
    links->chosen.count = 0;
}

/* One by one, each once. */
static void broadcast_each(const struct broadcast *broadcast)
{
    struct rc_links *links = broadcast->links;
    struct rc_hub *hub = links->clients->hub;
    if (broadcast->room_count == 0) {
        mark_channel(links, channel_find(links, broadcast->nsp, (struct rc_span){0}), MARK_CHOSEN);
    } else {
        mark_rooms(links, broadcast->nsp, broadcast->rooms, MARK_CHOSEN);
    }
    mark_rooms(links, broadcast->nsp, broadcast->except, MARK_LEFT_OUT);
    for (uint32_t i = 0; i < links->chosen.count; i++) {
        const uint32_t client = links->chosen.items[i];
        const struct rc_link_conn *conn = rc_link_conn_of(links, client);
        if (links->marks[client] == MARK_CHOSEN && conn->id != 0 &&
            (broadcast->had >> rc_truth_client(hub->truth, client)->encoding & 1) == 0 &&
            (broadcast->link == NULL || &links->links[conn->link] == broadcast->link) &&
            (!broadcast->is_volatile || rc_link_conn_takes_volatile(links, client))) {
            rc_hub_append_to(hub, client, broadcast->messages);
            rc_link_conn_look(links, client);
        }
    }
    marks_clear(links);
}

/* The one channel that it is for; 0: it has to be given one by one, or (`*nobody`) to nobody. */
static uint32_t broadcast_channel(const struct broadcast *broadcast, bool *nobody)
{
    struct rc_links *links = broadcast->links;
    struct rc_link_reader rooms = broadcast->rooms;
    *nobody = false;
    if (broadcast->link != NULL || broadcast->room_count > 1) {
        return 0;
    }
    struct rc_span room = {0};
    if (rc_link_read_list(&rooms) > 0) {
        room = rc_link_read_text(&rooms);
    }
    const uint32_t channel = channel_find(links, broadcast->nsp, room);
    const uint32_t own = member_of_room(links, broadcast->nsp, room);
    *nobody = channel == 0 && own == 0;
    return own == 0 ? channel : 0;
}

/* Who is left out, as many as a record can name; false: there are more. */
static bool broadcast_excludes(const struct broadcast *broadcast, uint32_t channel,
                               struct rc_client_ref refs[RC_EXCLUDE_MAX], uint8_t *count)
{
    struct rc_links *links = broadcast->links;
    *count = 0;
    if (broadcast->except_count == 0 && links->leaving_count == 0) {
        return true;
    }
    mark_rooms(links, broadcast->nsp, broadcast->except, MARK_LEFT_OUT);
    for (uint32_t i = 0; i < links->leaving_count; i++) {
        const struct rc_link_leaving *entry = &links->leaving[i];
        if (entry->channel == channel && links->conns[entry->client].id == entry->id) {
            client_mark(links, entry->client, MARK_LEFT_OUT);
        }
    }
    const bool fits = links->chosen.count <= RC_EXCLUDE_MAX;
    for (uint32_t i = 0; fits && i < links->chosen.count; i++) {
        refs[(*count)++] = rc_client_ref(links->clients, links->chosen.items[i]);
    }
    marks_clear(links);
    return fits;
}

/* Are all connections here that link's? */
static bool link_has_all(const struct rc_links *links, const struct rc_link *link)
{
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
        if (&links->links[i] != link && links->links[i].conns > 0) {
            return false;
        }
    }
    return true;
}

int rc_link_broadcast(struct rc_links *links, struct rc_link *link, uint8_t flags, struct rc_span payload)
{
    struct rc_link_reader reader = rc_link_reader_of(payload);
    struct rc_client_ref refs[RC_EXCLUDE_MAX];
    struct broadcast broadcast = {.links = links,
                                  .link = (flags & RC_LINK_LOCAL) && !link_has_all(links, link) ? link : NULL,
                                  .is_volatile = (flags & RC_LINK_VOLATILE) != 0};
    uint8_t excluded;
    bool nobody;
    broadcast.nsp = rc_link_read_text(&reader);
    broadcast.rooms = rc_link_skip_list(&reader);
    broadcast.except = rc_link_skip_list(&reader);
    broadcast.room_count = rc_link_u16(broadcast.rooms.at);
    broadcast.except_count = rc_link_u16(broadcast.except.at);
    (void)rc_link_read_text(&reader); /* its offset */
    broadcast.messages = rc_link_read_rest(&reader);
    const uint32_t channel = broadcast_channel(&broadcast, &nobody);
    if (link->partial == 0) {
        rc_metric_add(links->clients->metrics, RC_METRIC_LINK_BROADCASTS, 1);
    }
    if (nobody) {
        link->partial = 0;
        return 0;
    }
    if (channel == 0 || !broadcast_excludes(&broadcast, channel, refs, &excluded)) {
        broadcast.had = link->partial; /* it was begun as one for a channel */
        link->partial = 0;
        broadcast_each(&broadcast);
        return 0;
    }
    if (broadcast.is_volatile && link->partial == 0 &&
        (broadcast.had = rc_hub_encodings_behind(links->clients->hub, channel)) != 0) {
        broadcast_each(&broadcast); /* those for whom nothing waits */
        return 0;
    }
    const struct rc_envelope_view view = {
        .head = {.time_ns = links->clients->io->now_ns,
                 .data_bytes = (uint32_t)broadcast.messages.count,
                 .exclude_count = excluded,
                 .flags = (uint16_t)(broadcast.is_volatile ? RC_ENVELOPE_VOLATILE : 0)},
        .excludes = (const uint8_t *)refs,
        .data = broadcast.messages.bytes};
    return rc_hub_append_here(links->clients->hub, channel, &view, &link->partial) == -ENOSPC ? -ENOSPC : 0;
}
