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

static bool room_of(const struct rc_links *links, uint32_t subscription, struct rc_span nsp, struct rc_span *room)
{
    const struct rc_truth *truth = links->clients->truth;
    const struct rc_subscription *its = rc_truth_subscription(truth, subscription);
    const struct rc_channel *channel = rc_truth_channel(truth, rc_truth_group(truth, its->group)->channel);
    const struct rc_span name = rc_truth_channel_name(truth, channel);
    uint8_t text[RC_CHANNEL_NAME_MAX];
    const struct rc_span head = channel_name(text, nsp, (struct rc_span){0});
    if ((its->flags & RC_SUBSCRIPTION_LEAVING) || !rc_span_starts_with(name, head) || name.count == head.count ||
        name.bytes[head.count] == ROOMS_DIGEST) {
        return false;
    }
    *room = rc_span_of(name.bytes + head.count, name.count - head.count);
    return true;
}

/* Has its channel another name, by which nobody could tell which room it is? */
static bool room_is_digest(struct rc_span nsp, struct rc_span room)
{
    uint8_t text[RC_CHANNEL_NAME_MAX];
    const struct rc_span head = channel_name(text, nsp, (struct rc_span){0});
    return room.count > RC_CHANNEL_NAME_MAX - head.count || (room.count > 0 && room.bytes[0] == ROOMS_DIGEST);
}

/* The client whose own room that is; 0: none. */
static uint32_t member_of_room(const struct rc_links *links, struct rc_span nsp, struct rc_span room)
{
    if (room.count < 2 || room.bytes[0] != 's') {
        return 0;
    }
    const uint32_t member = rc_link_member_find(links, nsp, rc_span_of(room.bytes + 1, room.count - 1));
    return member == 0 ? 0 : rc_truth_link_member(links->clients->truth, member)->client;
}

static uint32_t channel_find(struct rc_links *links, struct rc_span nsp, struct rc_span room)
{
    uint8_t text[RC_CHANNEL_NAME_MAX];
    const struct rc_span name = channel_name(text, nsp, room);
    return rc_hub_find(links->clients->hub, rc_channel_hash((const char *)name.bytes, name.count), name);
}

/* --- leaving --------------------------------------------------------------------------------------------------------- */

/*
 * What was said in a room before somebody left it is for it, and may not have been sent yet. So the subscription stays until all of that is, and
 * is left out of what is said meanwhile. That is for a pass or two, but with a client that does not read, and each broadcast looks at those that leave
 * its room: so one client has its part of them, and all together have a bound. Who would be in more is closed: it is far behind.
 */
#define LEAVING_OF_ONE_MAX 1024u
#define LEAVING_OF_ALL_LEAST 4096u
#define LEAVING_OF_ALL_PART 4u /* more for each connection that there may be */

static uint32_t *leaving_of(struct rc_links *links, uint32_t channel)
{
    return &links->leaving_by[channel % RC_ARRAY_COUNT(links->leaving_by)];
}

static bool is_leaving(const struct rc_links *links, uint32_t client, uint32_t channel)
{
    const uint32_t subscription =
        links->conns[client].leaving == 0 ? 0 : rc_hub_subscription(links->clients->hub, client, channel);
    return subscription != 0 &&
           (rc_truth_subscription(links->clients->truth, subscription)->flags & RC_SUBSCRIPTION_LEAVING) != 0;
}

/* Its entry; there is one. */
static uint32_t leaving_find(const struct rc_links *links, uint32_t client, uint32_t channel)
{
    uint32_t i = links->leaving_count;
    do {
        RC_ASSERT(i > 0);
        i--;
    } while (links->leaving[i].client != client || links->leaving[i].channel != channel ||
             links->leaving[i].id != links->conns[client].id);
    return i;
}

static void leaving_remove(struct rc_links *links, uint32_t index)
{
    const struct rc_link_leaving *entry = &links->leaving[index];
    struct rc_link_conn *conn = rc_link_conn_of(links, entry->client);
    if (conn->id == entry->id) {
        conn->leaving--;
        const uint32_t subscription = rc_hub_subscription(links->clients->hub, entry->client, entry->channel);
        if (subscription != 0) {
            rc_truth_subscription(links->clients->truth, subscription)->flags &= ~(uint32_t)RC_SUBSCRIPTION_LEAVING;
        }
    }
    --*leaving_of(links, entry->channel);
    links->leaving[index] = links->leaving[--links->leaving_count];
}

static bool leaving_room(struct rc_links *links)
{
    if (links->leaving_count == links->leaving_capacity) {
        const uint32_t capacity = links->leaving_capacity == 0 ? 64 : links->leaving_capacity * 2;
        struct rc_link_leaving *larger = realloc(links->leaving, capacity * sizeof(*larger));
        if (larger == NULL) {
            return false;
        }
        links->leaving = larger;
        links->leaving_capacity = capacity;
    }
    return true;
}

/* False: it leaves too many, or no memory. */
static bool leaving_add(struct rc_links *links, uint32_t client, uint32_t channel)
{
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    if (conn->leaving >= LEAVING_OF_ONE_MAX ||
        links->leaving_count >= LEAVING_OF_ALL_LEAST + links->conn_count * LEAVING_OF_ALL_PART ||
        !leaving_room(links)) {
        rc_metric_add(links->clients->metrics, RC_METRIC_LINK_LEAVING_REFUSED, 1);
        rc_log_limited(RC_LOG_WARN, 1, "link_leaving_refused", "leaving=%u of_all=%u reason=\"%s\" effect=\"%s\"",
                       conn->leaving, links->leaving_count,
                       "it has left rooms of which too much is still to be sent to it", "it is closed");
        return false;
    }
    links->leaving[links->leaving_count++] =
        (struct rc_link_leaving){.id = conn->id, .client = client, .channel = channel};
    conn->leaving++;
    ++*leaving_of(links, channel);
    links->due = true;
    return true;
}

void rc_link_rooms_rebuild(struct rc_links *links, uint32_t client)
{
    const struct rc_truth *truth = links->clients->truth;
    for (uint32_t i = rc_truth_client(truth, client)->subscriptions; i != 0;
         i = rc_truth_subscription(truth, i)->next) {
        const struct rc_subscription *its = rc_truth_subscription(truth, i);
        if ((its->flags & RC_SUBSCRIPTION_LEAVING) &&
            !leaving_add(links, client, rc_truth_group(truth, its->group)->channel)) {
            rc_truth_subscription(truth, i)->flags &= ~(uint32_t)RC_SUBSCRIPTION_LEAVING;
            rc_hub_break(links->clients->hub, client);
        }
    }
}

void rc_link_rooms_settle(struct rc_links *links)
{
    struct rc_hub *hub = links->clients->hub;
    for (uint32_t i = links->leaving_count; i > 0; i--) {
        const struct rc_link_leaving entry = links->leaving[i - 1];
        const bool there = links->conns[entry.client].id == entry.id && is_leaving(links, entry.client, entry.channel);
        const uint32_t subscription = there ? rc_hub_subscription(hub, entry.client, entry.channel) : 0;
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
    uint32_t channel = channel_find(links, nsp, room);
    if (channel == 0) {
        const struct rc_link *link = rc_link_of(links, client);
        channel = rc_link_share_allows(links, link) ? rc_hub_channel_here(hub, channel_name(text, nsp, room)) : 0;
        if (channel == 0) {
            return false;
        }
        rc_link_share_took(links, link, channel);
    }
    if (is_leaving(links, client, channel)) { /* and comes back before all is sent */
        leaving_remove(links, leaving_find(links, client, channel));
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
    uint32_t *flags = &rc_truth_subscription(links->clients->truth, subscription)->flags;
    if (rc_hub_caught_up(hub, subscription)) {
        if (*flags & RC_SUBSCRIPTION_LEAVING) { /* it has left before, and that was not settled yet */
            leaving_remove(links, leaving_find(links, client, channel));
        }
        rc_hub_unsubscribe(hub, client, subscription);
    } else if (!(*flags & RC_SUBSCRIPTION_LEAVING)) {
        *flags |= RC_SUBSCRIPTION_LEAVING;
        if (!leaving_add(links, client, channel)) {
            *flags &= ~(uint32_t)RC_SUBSCRIPTION_LEAVING;
            rc_hub_break(hub, client); /* it would miss what is for it */
        }
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

/* It cannot be where its application wants it. */
static void room_refuse(struct rc_links *links, uint32_t client, bool namespaces)
{
    rc_log_limited(RC_LOG_WARN, 1, "link_room_refused",
                   "process=\"%s\" reason=\"%s\" effect=\"its client is closed\" remedy=\"%s\"",
                   rc_link_of(links, client)->ready.process,
                   namespaces ? "it is in more namespaces than a connection may be"
                              : "no room, or more than 256 KiB of long names",
                   namespaces ? "let applications refuse who wants so many" : "raise limits.max_channels_per_worker");
    rc_metric_add(links->clients->metrics, RC_METRIC_LINK_ROOMS_REFUSED, 1);
    rc_hub_break(links->clients->hub, client);
}

void rc_link_join(struct rc_links *links, uint32_t client, struct rc_span payload)
{
    struct rc_link_reader reader = rc_link_reader_of(payload);
    const struct rc_span nsp = rc_link_read_text(&reader);
    const struct rc_span sid = rc_link_read_text(&reader);
    if (!rc_hub_takes(links->clients->hub, client)) {
        return; /* it is on its way out */
    }
    const int rc = rc_link_member_add(links, client, nsp, sid);
    if (rc == -EEXIST) { /* which of them had no right to it nobody knows */
        rc_link_conn_refuse(links, client, "a socket's id that another connection's has");
        return;
    }
    bool joined = rc == 0 && room_join(links, client, nsp, (struct rc_span){0});
    for (uint32_t left = rc_link_read_list(&reader); joined && left > 0; left--) {
        const struct rc_span room = rc_link_read_text(&reader);
        joined = room_is_own(room, sid) || room_join(links, client, nsp, room);
        joined = joined && (!room_is_digest(nsp, room) || rc_link_member_room(links, client, nsp, room, true));
    }
    if (!joined) { /* it would never hear what it relies on, without a word */
        room_refuse(links, client, rc == -EDQUOT);
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

void rc_link_leave_all(struct rc_links *links, uint32_t client, struct rc_span nsp, struct rc_span sid)
{
    uint8_t text[RC_LINK_NSP_MAX]; /* what it is called goes with it */
    const struct rc_span its = rc_span_of(text, nsp.count);
    memcpy(text, nsp.bytes, nsp.count);
    if (rc_link_member_remove(links, client, nsp, sid) && !rc_link_member_in(links, client, its)) {
        rooms_leave(links, client, its);
    }
}

void rc_link_leave(struct rc_links *links, uint32_t client, bool all, struct rc_span payload)
{
    struct rc_link_reader reader = rc_link_reader_of(payload);
    const struct rc_span nsp = rc_link_read_text(&reader);
    const struct rc_span sid = rc_link_read_text(&reader);
    if (all) {
        rc_link_leave_all(links, client, nsp, sid);
        return;
    }
    const uint32_t member = rc_link_member_find(links, nsp, sid);
    if (member == 0 || rc_truth_link_member(links->clients->truth, member)->client != client) {
        return; /* it has left already, or is another connection's */
    }
    for (uint32_t left = rc_link_read_list(&reader); left > 0; left--) {
        const struct rc_span room = rc_link_read_text(&reader);
        room_leave(links, client, nsp, room);
        if (room_is_digest(nsp, room)) {
            (void)rc_link_member_room(links, client, nsp, room,
                                      false); /* without memory the next process hears of it */
        }
    }
}

/* --- what the next process is told of them --------------------------------------------------------------------------- */

static void put_json(struct rc_text *text, const char *name, const uint8_t *json, uint32_t bytes)
{
    rc_text_put(text, ",\"%s\":", name);
    if (bytes == 0) {
        rc_text_put(text, "null");
    } else {
        rc_text_put_bytes(text, json, bytes);
    }
}

static void put_session(struct rc_links *links, const struct rc_link_member *member, struct rc_text *text)
{
    static const struct rc_link_session nothing;
    const struct rc_link_session *session =
        member->session == 0 ? &nothing : rc_heap_at(&links->clients->truth->heap, member->session);
    const uint8_t *at = (const uint8_t *)(session + 1);
    rc_text_put(text, ",\"pid\":");
    rc_text_put_json(text, rc_span_of(session->pid_bytes == 0 ? NULL : at, session->pid_bytes));
    put_json(text, "auth", at + session->pid_bytes, session->auth_bytes);
    put_json(text, "data", at + session->pid_bytes + session->auth_bytes, session->data_bytes);
}

static void put_room(struct rc_text *text, struct rc_span room, bool *some)
{
    rc_text_put(text, *some ? "," : "");
    rc_text_put_json(text, room);
    *some = true;
}

static void put_rooms(struct rc_links *links, uint32_t client, const struct rc_link_member *member,
                      struct rc_text *text)
{
    const struct rc_truth *truth = links->clients->truth;
    const uint8_t *rooms = member->rooms == 0 ? NULL : rc_heap_at(&truth->heap, member->rooms);
    bool some = false;
    rc_text_put(text, ",\"rooms\":[");
    for (uint32_t i = rc_truth_client(truth, client)->subscriptions; i != 0;
         i = rc_truth_subscription(truth, i)->next) {
        struct rc_span room;
        if (room_of(links, i, rc_link_member_nsp(links, member), &room)) {
            put_room(text, room, &some);
        }
    }
    for (uint32_t at = 0; at < member->rooms_bytes;) {
        const struct rc_span room = rc_span_of(rooms + at + 2, rc_link_u16(rooms + at));
        put_room(text, room, &some);
        at += 2 + (uint32_t)room.count;
    }
    rc_text_put(text, "]}");
}

void rc_link_member_rooms(struct rc_links *links, uint32_t client, const struct rc_link_member *member,
                          struct rc_text *list)
{
    const struct rc_truth *truth = links->clients->truth;
    uint8_t bytes[2] = {0};
    uint32_t count = 0;
    rc_text_put_bytes(list, bytes, sizeof(bytes));
    for (uint32_t i = rc_truth_client(truth, client)->subscriptions; i != 0 && count < RC_LINK_ROOMS_MAX;
         i = rc_truth_subscription(truth, i)->next) {
        struct rc_span room;
        if (room_of(links, i, rc_link_member_nsp(links, member), &room)) {
            rc_link_put_u16(bytes, (uint16_t)room.count);
            rc_text_put_bytes(list, bytes, sizeof(bytes));
            rc_text_put_bytes(list, room.bytes, room.count);
            count++;
        }
    }
    if (member->rooms != 0) { /* they stand there as in a list */
        const uint8_t *rooms = rc_heap_at(&truth->heap, member->rooms);
        rc_text_put_bytes(list, rooms, member->rooms_bytes);
        for (uint32_t at = 0; at < member->rooms_bytes; at += 2u + rc_link_u16(rooms + at)) {
            count++;
        }
    }
    if (!list->failed) {
        rc_link_put_u16((uint8_t *)list->bytes, (uint16_t)count);
    }
}

void rc_link_members_write(struct rc_links *links, uint32_t client, struct rc_text *text)
{
    rc_text_put(text, "[");
    for (uint32_t i = links->conns[client].member; i != 0; i = rc_truth_link_member(links->clients->truth, i)->next) {
        struct rc_link_member *member = rc_truth_link_member(links->clients->truth, i);
        member->joined = 0;
        rc_text_put(text, i == links->conns[client].member ? "{\"nsp\":" : ",{\"nsp\":");
        rc_text_put_json(text, rc_link_member_nsp(links, member));
        rc_text_put(text, ",\"sid\":");
        rc_text_put_json(text, rc_link_member_sid(links, member));
        put_session(links, member, text);
        put_rooms(links, client, member, text);
    }
    rc_text_put(text, "]");
}

void rc_link_members_leave(struct rc_links *links, uint32_t client, bool all)
{
    for (uint32_t i = links->conns[client].member; i != 0;) {
        const struct rc_link_member *member = rc_truth_link_member(links->clients->truth, i);
        i = member->next;
        if (all || !member->joined) {
            rc_link_leave_all(links, client, rc_link_member_nsp(links, member), rc_link_member_sid(links, member));
        }
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
    bool tears;   /* not for clients that poll: rc_link_messages_tear */
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
        if (!is_leaving(links, client, channel)) {
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
            (broadcast->link == NULL || rc_link_of(links, client) == broadcast->link) &&
            (!broadcast->is_volatile || rc_link_conn_takes_volatile(links, client))) {
            if (broadcast->tears && conn->exchange == 0 && rc_link_conn_polls(links, client)) {
                rc_link_conn_refuse(links, client, RC_LINK_TEARS);
                continue;
            }
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
    const bool some_leave = *leaving_of(links, channel) > 0;
    if (broadcast->except_count == 0 && !some_leave) {
        return true;
    }
    mark_rooms(links, broadcast->nsp, broadcast->except, MARK_LEFT_OUT);
    for (uint32_t i = 0; some_leave && i < links->leaving_count; i++) {
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
    if (links->apart > 0) {
        return false;
    }
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
    uint64_t *partial = rc_line_partial(links, link);
    uint8_t excluded;
    bool nobody;
    broadcast.nsp = rc_link_read_text(&reader);
    broadcast.rooms = rc_link_skip_list(&reader);
    broadcast.except = rc_link_skip_list(&reader);
    broadcast.room_count = rc_link_u16(broadcast.rooms.at);
    broadcast.except_count = rc_link_u16(broadcast.except.at);
    (void)rc_link_read_text(&reader); /* its offset */
    broadcast.messages = rc_link_read_rest(&reader);
    broadcast.tears = rc_link_messages_tear(broadcast.messages);
    const uint32_t channel = broadcast_channel(&broadcast, &nobody);
    if (*partial == 0) {
        rc_metric_add(links->clients->metrics, RC_METRIC_LINK_BROADCASTS, 1);
    }
    if (nobody) {
        *partial = 0;
        return 0;
    }
    if (channel == 0 || broadcast.tears || !broadcast_excludes(&broadcast, channel, refs, &excluded)) {
        broadcast.had = *partial; /* it was begun as one for a channel */
        *partial = 0;
        broadcast_each(&broadcast);
        return 0;
    }
    if (broadcast.is_volatile && *partial == 0 &&
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
    return rc_hub_append_here(links->clients->hub, channel, &view, partial) == -ENOSPC ? -ENOSPC : 0;
}
