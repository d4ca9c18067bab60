/*
 * member: sockets of connections in namespaces, and what the application has said of them (SESSION). See links.h.
 *
 * They lie in the truth (worker/store/linked.h): by their ids here, which are index, they are found.
 */
#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/text/json_scan.h"
#include "worker/link/links.h"

#define MEMBER_SESSION_MAX 65536u /* bytes of pid, auth and data together */
#define MEMBER_ROOMS_MAX \
    262144u /* of rooms that are noted beside a socket: each that comes or goes writes all of them anew */
/* Of all of these of a connection, whose client chooses how many sockets that are; and how many those may be. */
#define MEMBER_KEPT_MAX (4ull << 20)
#define MEMBER_SOCKETS_MAX 1024u
/* The same while half of what a worker has for all is in use: everybody is to have so much. RC_TRUTH_LINK_MEMBERS has so many for each. */
#define MEMBER_KEPT_LEAST 16384u
#define MEMBER_SOCKETS_LEAST 4u
#define MEMBER_KEPT_PART 2u /* of the memory that a worker has for what outlives it: for all connections */

static struct rc_truth *truth_of(const struct rc_links *links)
{
    return links->clients->truth;
}

static struct rc_link_member *member_at(const struct rc_links *links, uint32_t index)
{
    return rc_truth_link_member(truth_of(links), index);
}

struct rc_span rc_link_member_nsp(const struct rc_links *links, const struct rc_link_member *member)
{
    return rc_span_of(rc_heap_at(&truth_of(links)->heap, member->text), member->nsp_bytes);
}

struct rc_span rc_link_member_sid(const struct rc_links *links, const struct rc_link_member *member)
{
    return rc_span_of((const uint8_t *)rc_heap_at(&truth_of(links)->heap, member->text) + member->nsp_bytes,
                      member->sid_bytes);
}

/* --- found by their ids ---------------------------------------------------------------------------------------------- */

struct member_key {
    const struct rc_links *links;
    struct rc_span nsp;
    struct rc_span sid;
};

static bool member_equal(const void *context, uint32_t index)
{
    const struct member_key *key = context;
    const struct rc_link_member *member = member_at(key->links, index);
    return rc_span_equal(rc_link_member_nsp(key->links, member), key->nsp) &&
           rc_span_equal(rc_link_member_sid(key->links, member), key->sid);
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

uint32_t rc_link_member_find(const struct rc_links *links, struct rc_span nsp, struct rc_span sid)
{
    if (sid.count > RC_LINK_SID_MAX || links->sids.count == 0) {
        return 0;
    }
    const struct member_key key = {.links = links, .nsp = nsp, .sid = sid};
    const uint32_t index = rc_hashmap_find(&links->sids, member_hash(nsp, sid), member_equal, &key);
    return index == RC_HASHMAP_NONE ? 0 : index;
}

static void block_give(struct rc_heap *heap, uint32_t *block)
{
    if (*block != 0) {
        rc_heap_give(heap, block);
    }
}

/* Nobody names it any more. */
static void member_give(struct rc_links *links, uint32_t index)
{
    struct rc_truth *truth = truth_of(links);
    struct rc_link_member *member = member_at(links, index);
    member->client = 0;
    RC_STORE_ORDER();
    member->rooms_bytes = 0;
    block_give(&truth->heap, &member->rooms);
    block_give(&truth->heap, &member->session);
    block_give(&truth->heap, &member->text);
    rc_pool_free(&truth->link_members, index);
}

static uint64_t session_bytes(const struct rc_links *links, const struct rc_link_member *member)
{
    const struct rc_link_session *session =
        member->session == 0 ? NULL : rc_heap_at(&truth_of(links)->heap, member->session);
    return session == NULL
               ? 0
               : sizeof(*session) + session->pid_bytes + session->auth_bytes + (uint64_t)session->data_bytes;
}

/* So many bytes are kept of the client's sockets instead of so many. */
static void kept_change(struct rc_links *links, uint32_t client, uint64_t before, uint64_t after)
{
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    conn->kept_bytes += after - before;
    links->kept_bytes += after - before;
}

/* May they be? */
static bool kept_allowed(const struct rc_links *links, uint32_t client, uint64_t before, uint64_t after)
{
    const uint64_t all = truth_of(links)->layout->heap_bytes / MEMBER_KEPT_PART;
    const uint64_t most = links->kept_bytes < all / 2 ? MEMBER_KEPT_MAX : MEMBER_KEPT_LEAST;
    return after <= before ||
           (links->conns[client].kept_bytes - before + after <= most && links->kept_bytes - before + after <= all);
}

/* May the connection have another socket? Others are to have theirs. */
static bool socket_allowed(const struct rc_links *links, const struct rc_link_conn *conn)
{
    const struct rc_pool *pool = &truth_of(links)->link_members;
    return conn->sockets < (pool->used < pool->count_max / 2 ? MEMBER_SOCKETS_MAX : MEMBER_SOCKETS_LEAST);
}

int rc_link_member_add(struct rc_links *links, uint32_t client, struct rc_span nsp, struct rc_span sid)
{
    struct rc_truth *truth = truth_of(links);
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    const uint32_t known = rc_link_member_find(links, nsp, sid);
    if (known != 0) {
        if (member_at(links, known)->client != client) {
            return -EEXIST;
        }
        member_at(links, known)->joined = 1;
        return 0;
    }
    if (!socket_allowed(links, conn)) {
        return -EDQUOT;
    }
    const uint32_t index = rc_pool_alloc(&truth->link_members);
    if (index == 0) {
        return -ENOMEM;
    }
    struct rc_link_member *member = member_at(links, index);
    member->text = rc_heap_alloc(&truth->heap, nsp.count + sid.count);
    if (member->text == 0 || rc_hashmap_insert(&links->sids, member_hash(nsp, sid), index) < 0) {
        member_give(links, index);
        return -ENOMEM;
    }
    uint8_t *text = rc_heap_at(&truth->heap, member->text);
    memcpy(text, nsp.bytes, nsp.count);
    if (sid.count > 0) {
        memcpy(text + nsp.count, sid.bytes, sid.count);
    }
    member->nsp_bytes = (uint16_t)nsp.count;
    member->sid_bytes = (uint16_t)sid.count;
    member->joined = 1;
    member->next = conn->member;
    RC_STORE_ORDER();
    member->client = client;
    conn->member = index;
    conn->sockets++;
    return 0;
}

bool rc_link_member_remove(struct rc_links *links, uint32_t client, struct rc_span nsp, struct rc_span sid)
{
    const uint32_t index = rc_link_member_find(links, nsp, sid);
    if (index == 0 || member_at(links, index)->client != client) {
        return false;
    }
    uint32_t *link = &rc_link_conn_of(links, client)->member;
    while (*link != index) {
        link = &member_at(links, *link)->next;
    }
    *link = member_at(links, index)->next;
    kept_change(links, client, session_bytes(links, member_at(links, index)) + member_at(links, index)->rooms_bytes, 0);
    const bool removed = rc_hashmap_remove(&links->sids, member_hash(nsp, sid), index);
    RC_ASSERT(removed);
    member_give(links, index);
    rc_link_conn_of(links, client)->sockets--;
    return true;
}

bool rc_link_member_in(const struct rc_links *links, uint32_t client, struct rc_span nsp)
{
    for (uint32_t i = links->conns[client].member; i != 0; i = member_at(links, i)->next) {
        if (rc_span_equal(rc_link_member_nsp(links, member_at(links, i)), nsp)) {
            return true;
        }
    }
    return false;
}

void rc_link_members_forget(struct rc_links *links, uint32_t client)
{
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    while (conn->member != 0) {
        const uint32_t index = conn->member;
        const struct rc_link_member *member = member_at(links, index);
        conn->member = member->next;
        const bool removed = rc_hashmap_remove(
            &links->sids, member_hash(rc_link_member_nsp(links, member), rc_link_member_sid(links, member)), index);
        RC_ASSERT(removed);
        member_give(links, index);
    }
    kept_change(links, client, conn->kept_bytes, 0);
    conn->sockets = 0;
}

void rc_link_members_rebuild(struct rc_links *links)
{
    struct rc_truth *truth = truth_of(links);
    for (uint32_t i = 1; i < truth->link_members.high; i++) {
        struct rc_link_member *member = member_at(links, i);
        if (member->client == 0) {
            continue;
        }
        struct rc_link_conn *conn = rc_link_conn_of(links, member->client);
        const struct rc_span nsp = rc_link_member_nsp(links, member);
        const struct rc_span sid = rc_link_member_sid(links, member);
        if (conn->id == 0 || nsp.count == 0 || rc_link_member_find(links, nsp, sid) != 0 ||
            rc_hashmap_insert(&links->sids, member_hash(nsp, sid), i) < 0) {
            member_give(links, i); /* of a connection that ends */
            continue;
        }
        member->next = conn->member;
        conn->member = i;
        conn->sockets++;
        kept_change(links, member->client, 0, session_bytes(links, member) + member->rooms_bytes);
    }
}

/* --- what is known of them ------------------------------------------------------------------------------------------- */

/* JSON, or nothing. */
static bool json_valid(struct rc_span json)
{
    struct rc_json_value value;
    return json.count == 0 || rc_json_scan(json, 0, &value, NULL) == 0;
}

void rc_link_session(struct rc_links *links, uint32_t client, struct rc_span payload)
{
    struct rc_truth *truth = truth_of(links);
    struct rc_link_reader reader = rc_link_reader_of(payload);
    const struct rc_span nsp = rc_link_read_text(&reader);
    const uint32_t index = rc_link_member_find(links, nsp, rc_link_read_text(&reader));
    const struct rc_span pid = rc_link_read_text(&reader);
    const struct rc_span auth = rc_link_read_bytes(&reader);
    const struct rc_span data = rc_link_read_bytes(&reader);
    if (index == 0 || member_at(links, index)->client != client) {
        return; /* it has left just now */
    }
    if (!json_valid(auth) || !json_valid(data)) {
        rc_link_broken(links, rc_link_of(links, client), "a session whose auth or data is no JSON");
        return;
    }
    struct rc_link_member *member = member_at(links, index);
    const uint64_t bytes = sizeof(struct rc_link_session) + pid.count + auth.count + data.count;
    const uint64_t before = session_bytes(links, member);
    const bool fits = bytes <= MEMBER_SESSION_MAX && kept_allowed(links, client, before, bytes);
    const uint32_t block = fits ? rc_heap_alloc(&truth->heap, bytes) : 0;
    if (block == 0) {
        rc_log_limited(RC_LOG_WARN, 1, "link_session_not_kept",
                       "bytes=%llu reason=\"%s\" effect=\"the next process gets no auth and data of it\"",
                       (unsigned long long)bytes,
                       fits ? "no memory" : "more than 64 KiB, than 4 MiB of a connection, or than there is for all");
    } else {
        struct rc_link_session *session = rc_heap_at(&truth->heap, block);
        *session = (struct rc_link_session){
            .pid_bytes = (uint32_t)pid.count, .auth_bytes = (uint32_t)auth.count, .data_bytes = (uint32_t)data.count};
        uint8_t *out = (uint8_t *)(session + 1);
        const struct rc_span parts[] = {pid, auth, data};
        for (size_t i = 0; i < 3; i++) {
            if (parts[i].count > 0) {
                memcpy(out, parts[i].bytes, parts[i].count);
                out += parts[i].count;
            }
        }
    }
    const uint32_t former = member->session;
    RC_STORE_ORDER();
    member->session = block;
    RC_STORE_ORDER();
    kept_change(links, client, before, block == 0 ? 0 : bytes);
    if (former != 0) {
        rc_heap_free(&truth->heap, former);
    }
}

/* Where the entry begins in the socket's noted rooms; their bytes: it is not there. */
static uint32_t room_find(const uint8_t *rooms, uint32_t bytes, struct rc_span room)
{
    uint32_t at = 0;
    while (at < bytes && !rc_span_equal(rc_span_of(rooms + at + 2, rc_link_u16(rooms + at)), room)) {
        at += 2u + rc_link_u16(rooms + at);
    }
    return at;
}

bool rc_link_member_room(struct rc_links *links, uint32_t client, struct rc_span nsp, struct rc_span room, bool joined)
{
    struct rc_truth *truth = truth_of(links);
    uint32_t index = links->conns[client].member;
    while (index != 0 && !rc_span_equal(rc_link_member_nsp(links, member_at(links, index)), nsp)) {
        index = member_at(links, index)->next;
    }
    if (index == 0 || links->conns[client].bond == 0) {
        return true; /* there is no next process to be told of it */
    }
    struct rc_link_member *member = member_at(links, index);
    const uint8_t *from = member->rooms == 0 ? NULL : rc_heap_at(&truth->heap, member->rooms);
    const uint32_t at = room_find(from, member->rooms_bytes, room);
    const uint32_t entry = (uint32_t)(sizeof(uint16_t) + room.count);
    if ((at < member->rooms_bytes) == joined) {
        return true;
    }
    const uint32_t before = member->rooms_bytes;
    const uint32_t bytes = joined ? before + entry : before - entry;
    const bool fits = bytes <= MEMBER_ROOMS_MAX && kept_allowed(links, client, before, bytes);
    const uint32_t block = fits && bytes > 0 ? rc_heap_alloc(&truth->heap, bytes) : 0;
    if (block == 0 && bytes > 0) {
        rc_metric_add(links->clients->metrics, RC_METRIC_MEMORY_REFUSALS, fits);
        return false;
    }
    uint8_t *out = block == 0 ? NULL : rc_heap_at(&truth->heap, block);
    if (joined) {
        if (at > 0) {
            memcpy(out, from, at);
        }
        rc_link_put_u16(out + at, (uint16_t)room.count);
        memcpy(out + at + 2, room.bytes, room.count);
    } else if (bytes > 0) {
        memcpy(out, from, at);
        memcpy(out + at, from + at + entry, bytes - at);
    }
    const uint32_t former = member->rooms;
    member->rooms_bytes = 0;
    RC_STORE_ORDER();
    member->rooms = block;
    RC_STORE_ORDER();
    member->rooms_bytes = bytes;
    kept_change(links, client, before, bytes);
    if (former != 0) {
        rc_heap_free(&truth->heap, former);
    }
    return true;
}
