/* conn: connections: a client here, a `conn` at the application. See links.h. */
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "worker/link/links.h"

#define CONN_PACKET_FRAMES_MAX 1024u
#define CONN_UNIT_KEPT_BYTES 4096u /* of a buffer that is empty */

/* --- who it is ------------------------------------------------------------------------------------------------------- */

uint32_t rc_link_client(const struct rc_links *links, const struct rc_link *link, uint64_t connection)
{
    const uint32_t client = (uint32_t)(connection & ((1u << RC_LINK_SLOT_BITS) - 1));
    if (client == 0 || client >= links->conn_count) {
        return 0;
    }
    const struct rc_link_conn *conn = &links->conns[client];
    return conn->id == connection && conn->link == (uint32_t)(link - links->links) ? client : 0;
}

/* May clients come to it? */
static bool link_takes(const struct rc_links *links, const struct rc_link *link)
{
    return link->state == RC_LINK_IS_READY && link->why == NULL && link->eof_why == NULL && !link->detached &&
           link->table == links->table && rc_link_has_room(links, link);
}

struct rc_link *rc_links_choose(struct rc_links *links)
{
    struct rc_link *best = NULL;
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
        struct rc_link *link = &links->links[i];
        if (link_takes(links, link) && (best == NULL || link->conns < best->conns)) {
            best = link;
        }
    }
    return best;
}

/* How much the process is the user's: the highest has him (rendezvous hashing). The same in every worker and instance; when a process comes or goes,
 * only its own users have another one. */
static uint64_t link_weight(const struct rc_link *link, struct rc_span user)
{
    uint8_t text[RC_LINK_PROCESS_MAX + 1 + RC_CHANNEL_NAME_MAX];
    const size_t process = strlen(link->ready.process) + 1;
    const size_t bytes = user.count < RC_CHANNEL_NAME_MAX ? user.count : RC_CHANNEL_NAME_MAX;
    memcpy(text, link->ready.process, process);
    memcpy(text + process, user.bytes, bytes);
    return rc_hash_public(text, process + bytes);
}

struct rc_link *rc_links_choose_for(struct rc_links *links, uint32_t client)
{
    const struct rc_span user = rc_client_user(links->clients, client);
    struct rc_link *best = NULL;
    uint64_t most = 0;
    if (user.count == 0 || links->table == NULL || links->table->config.balance != RC_BACKEND_BALANCE_USER) {
        return rc_links_choose(links);
    }
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
        struct rc_link *link = &links->links[i];
        const uint64_t weight = link_takes(links, link) ? link_weight(link, user) : 0;
        if (weight > most) {
            best = link;
            most = weight;
        }
    }
    return best;
}

void rc_link_conns_gauge(const struct rc_links *links)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
        count += links->links[i].conns;
    }
    rc_metric_set(links->clients->metrics, RC_METRIC_LINK_CONNECTIONS, count);
    rc_metric_set(links->clients->metrics, RC_METRIC_LINK_APART, links->apart);
}

/* --- packets that have begun ----------------------------------------------------------------------------------------- */

/* Nothing of it is there any more. */
static void unit_empty(struct rc_links *links, struct rc_link_conn *conn)
{
    if (conn->unit_count > 0) { /* a connection whose link is gone has none */
        links->links[conn->link].units -= conn->unit_count;
    }
    conn->unit_count = 0;
    conn->in_packet = conn->dropped = false;
}

/* Half a packet of a process that is gone is none. */
static void unit_forget(struct rc_links *links, struct rc_link_conn *conn)
{
    unit_empty(links, conn);
    free(conn->unit);
    conn->unit = NULL;
    conn->unit_capacity = 0;
}

/* --- whose it is ----------------------------------------------------------------------------------------------------- */

/* Where the list begins that the connection is in, and what counts it; NULL: it is in none. */
static uint32_t *list_of(struct rc_links *links, const struct rc_link_conn *conn, uint32_t **count)
{
    const uint32_t line = conn->bond == 0 ? 0 : rc_truth_link_bond(links->clients->truth, conn->bond)->line;
    struct rc_link *link = conn->link == RC_LINK_NONE ? NULL : &links->links[conn->link];
    *count = link != NULL ? &link->conns : &links->lines[line].conns;
    return link != NULL ? &link->first : line != 0 ? &links->lines[line].first : NULL;
}

static void list_add(struct rc_links *links, uint32_t client)
{
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    uint32_t *count;
    uint32_t *first = list_of(links, conn, &count);
    links->apart += conn->link == RC_LINK_NONE;
    conn->next = conn->previous = 0;
    if (first == NULL) {
        return;
    }
    conn->next = *first;
    if (*first != 0) {
        links->conns[*first].previous = client;
    }
    *first = client;
    (*count)++;
}

static void list_remove(struct rc_links *links, uint32_t client)
{
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    uint32_t *count;
    uint32_t *first = list_of(links, conn, &count);
    links->apart -= conn->link == RC_LINK_NONE;
    if (first == NULL) {
        return;
    }
    *(conn->previous != 0 ? &links->conns[conn->previous].next : first) = conn->next;
    if (conn->next != 0) {
        links->conns[conn->next].previous = conn->previous;
    }
    RC_ASSERT(*count > 0);
    (*count)--;
}

void rc_link_conn_begin(struct rc_links *links, struct rc_link *link, uint32_t client)
{
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    RC_ASSERT(conn->id == 0 && conn->member == 0 && conn->exchange == 0 && client <= RC_SID_SLOT_MAX);
    links->serial = (links->serial + 1) & (RC_LINK_CONNECTION_MAX >> RC_LINK_SLOT_BITS);
    links->serial += links->serial == 0;
    *conn = (struct rc_link_conn){.id = links->serial << RC_LINK_SLOT_BITS | client,
                                  .link = (uint32_t)(link - links->links)};
    list_add(links, client);
    rc_link_conns_gauge(links);
}

void rc_link_conn_forget(struct rc_links *links, uint32_t client)
{
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    rc_link_members_forget(links, client);
    unit_forget(links, conn);
    list_remove(links, client);
    rc_bond_break(links, client);
    *conn = (struct rc_link_conn){0};
    rc_link_conns_gauge(links);
}

void rc_link_conns_move(struct rc_links *links, struct rc_link *link, struct rc_link_line_own *own, bool to_link)
{
    uint32_t *from = to_link ? &own->first : &link->first;
    uint32_t *to = to_link ? &link->first : &own->first;
    RC_ASSERT(*to == 0);
    for (uint32_t client = *from; client != 0; client = links->conns[client].next) {
        struct rc_link_conn *conn = rc_link_conn_of(links, client);
        unit_forget(links, conn);
        conn->link = to_link ? (uint32_t)(link - links->links) : RC_LINK_NONE;
        if (conn->holding && to_link && rc_index_list_push(&links->holding, client) < 0) {
            rc_hub_break(links->clients->hub, client);
        }
    }
    *to = *from;
    *from = 0;
    uint32_t *count = to_link ? &own->conns : &link->conns;
    *(to_link ? &link->conns : &own->conns) = *count;
    links->apart = to_link ? links->apart - *count : links->apart + *count;
    *count = 0;
    rc_link_conns_gauge(links);
}

void rc_link_conn_give(struct rc_links *links, uint32_t client, struct rc_link *link)
{
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    struct rc_link_bond *bond = rc_link_bond_of(links, client);
    list_remove(links, client);
    bond->line = link == NULL ? 0 : link->line;
    conn->link = link == NULL ? RC_LINK_NONE : (uint32_t)(link - links->links);
    conn->holding = true; /* until the next process has said RESUMED, and has what was held */
    list_add(links, client);
    if (link == NULL && rc_index_list_push(&links->away, client) < 0) {
        rc_hub_break(links->clients->hub, client);
    }
    links->due = true;
}

void rc_link_conn_adopt(struct rc_links *links, uint32_t client)
{
    const struct rc_link_bond *bond = rc_link_bond_of(links, client);
    const bool goes = bond->line == 0 || (bond->flags & RC_LINK_BOND_OPENING) != 0;
    rc_link_conn_of(links, client)->opened_ms = rc_links_now_ms(links);
    list_add(links, client);
    if (goes && rc_index_list_push(&links->away, client) < 0) {
        rc_hub_break(links->clients->hub, client);
    }
}

/* --- what the client does -------------------------------------------------------------------------------------------- */

/* The same while no link has it; what it says next waits when there is no room. */
static bool message_held(struct rc_links *links, uint32_t client, enum rc_link_type type, struct rc_span message)
{
    const struct rc_link_conn *conn = rc_link_conn_of(links, client);
    const struct rc_link_bond *bond = rc_link_bond_of(links, client);
    if (conn->holding) {
        return rc_bond_hold(links, client, type, message);
    }
    const uint64_t most = links->table == NULL ? RC_LINK_FULL_BYTES : links->table->config.max_unsent_bytes;
    if (rc_truth_link_line(links->clients->truth, bond->line)->kept.bytes >= most) {
        return false;
    }
    if (!rc_link_tell(links, client, type, message)) {
        rc_client_failed_memory(links->clients, client);
    }
    return true;
}

bool rc_link_conn_message(void *context, uint32_t client, enum rc_part_kind kind, const uint8_t *bytes, size_t count)
{
    struct rc_links *links = context;
    const struct rc_link_conn *conn = rc_link_conn_of(links, client);
    const enum rc_link_type type = kind == RC_PART_TEXT ? RC_LINK_TEXT : RC_LINK_BINARY;
    struct rc_link *link = conn->id == 0 ? NULL : rc_link_of(links, client);
    if (conn->bond != 0 && (conn->holding || link == NULL)) {
        if (!message_held(links, client, type, rc_span_of(bytes, count))) {
            rc_link_conn_wait(links, client, &links->unheld);
            return false;
        }
        return true;
    }
    if (link == NULL || (conn->bond == 0 && (link->why != NULL || link->state != RC_LINK_IS_READY))) {
        return true; /* its end is on its way */
    }
    if (!rc_link_has_room(links, link)) {
        rc_link_conn_wait(links, client, &link->waiting);
        return false;
    }
    return rc_link_tell(links, client, type, rc_span_of(bytes, count)) || true;
}

void rc_link_conn_upgraded(void *context, uint32_t client)
{
    struct rc_links *links = context;
    if (rc_link_conn_of(links, client)->id != 0) {
        (void)rc_link_tell(links, client, RC_LINK_UPGRADED, RC_SPAN("websocket"));
    }
}

void rc_link_conn_gone(void *context, uint32_t client, enum rc_engine_why why)
{
    static const char *const reasons[] = {
        [RC_ENGINE_WHY_CLOSED] = "transport close", [RC_ENGINE_WHY_SILENT] = "ping timeout",
        [RC_ENGINE_WHY_BROKEN] = "parse error",     [RC_ENGINE_WHY_OVERLAP] = "transport error",
        [RC_ENGINE_WHY_SENT_OFF] = "forced close",  [RC_ENGINE_WHY_SERVER] = "forced close",
    };
    struct rc_links *links = context;
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    if (conn->id == 0) {
        return; /* no link was there for it */
    }
    const bool ours = why == RC_ENGINE_WHY_SERVER || why == RC_ENGINE_WHY_SENT_OFF;
    (void)rc_link_tell(links, client, RC_LINK_CLOSED,
                       rc_span_text(ours && links->clients->draining ? "server shutting down" : reasons[why]));
    rc_link_recovery_gone(links, client);
    rc_link_conn_forget(links, client);
}

/* --- what the application says --------------------------------------------------------------------------------------- */

/* Room for `bytes` more of a packet. NULL: no memory. */
static uint8_t *unit_room(struct rc_link_conn *conn, size_t bytes)
{
    const size_t need = (size_t)conn->unit_count + bytes;
    if (need > conn->unit_capacity) {
        size_t capacity = conn->unit_capacity == 0 ? 256 : conn->unit_capacity;
        while (capacity < need) {
            capacity *= 2;
        }
        uint8_t *larger = realloc(conn->unit, capacity);
        if (larger == NULL) {
            return NULL;
        }
        conn->unit = larger;
        conn->unit_capacity = (uint32_t)capacity;
    }
    return conn->unit + conn->unit_count;
}

/* Another frame of the packet is put behind the others. False: no memory. */
static bool unit_put(struct rc_links *links, struct rc_link_conn *conn, enum rc_part_kind kind, struct rc_span message)
{
    const size_t head = (conn->unit_count == 0 ? RC_LINK_MESSAGES_HEAD_BYTES : 0) + RC_LINK_MESSAGE_HEAD_BYTES;
    uint8_t *to = unit_room(conn, head + message.count);
    if (to == NULL) {
        return false;
    }
    if (conn->unit_count == 0) {
        rc_link_put_u16(to, 0);
        to += RC_LINK_MESSAGES_HEAD_BYTES;
    }
    rc_link_put_u16(conn->unit, (uint16_t)(rc_link_u16(conn->unit) + 1));
    rc_link_message_head(to, kind, (uint32_t)message.count);
    if (message.count > 0) {
        memcpy(to + RC_LINK_MESSAGE_HEAD_BYTES, message.bytes, message.count);
    }
    conn->unit_count += (uint32_t)(head + message.count);
    links->links[conn->link].units += head + message.count;
    return true;
}

/* The packet is whole, or was dropped. */
static void unit_over(struct rc_links *links, struct rc_link_conn *conn)
{
    if (conn->unit_capacity > CONN_UNIT_KEPT_BYTES) {
        unit_forget(links, conn);
    } else {
        unit_empty(links, conn);
    }
}

/* Why the frame cannot be put behind those of its packet; NULL: it can. */
static const char *frame_refused(struct rc_links *links, uint32_t client, bool text, struct rc_span payload)
{
    const struct rc_link_conn *conn = rc_link_conn_of(links, client);
    if (conn->unit_count > 0 && rc_link_u16(conn->unit) >= CONN_PACKET_FRAMES_MAX) {
        return "a packet of more than 1,024 frames";
    }
    const struct rc_link *link = rc_link_of(links, client);
    const uint64_t most = link->table->config.max_frame_bytes;
    if (payload.count + conn->unit_count > most) {
        return "a packet larger than max_frame";
    }
    if (payload.count + link->units > most) { /* else each connection could have one, and nobody ends any */
        return "packets that have begun and do not end, larger than max_frame together";
    }
    return text && rc_link_conn_polls(links, client) && rc_link_text_tears(payload) ? RC_LINK_TEARS : NULL;
}

void rc_link_conn_say(struct rc_links *links, uint32_t client, const struct rc_link_head *head, struct rc_span payload)
{
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    struct rc_hub *hub = links->clients->hub;
    const bool more = (head->flags & RC_LINK_MORE) != 0;
    if (conn->exchange != 0) {
        rc_link_broken(links, rc_link_of(links, client), "a message before its handshake was accepted");
        return;
    }
    if (!conn->in_packet) {
        conn->dropped = (head->flags & RC_LINK_VOLATILE) != 0 && !rc_link_conn_takes_volatile(links, client);
    }
    conn->in_packet = more;
    if (!conn->dropped) {
        const bool text = head->type == RC_LINK_TEXT;
        const char *why = frame_refused(links, client, text, payload);
        if (why != NULL) {
            unit_over(links, conn);
            conn->in_packet = conn->dropped = more; /* the rest of it means nothing */
            rc_link_conn_refuse(links, client, why);
            return;
        }
        if (!unit_put(links, conn, text ? RC_PART_TEXT : RC_PART_BINARY, payload)) {
            rc_client_failed_memory(links->clients, client);
            return;
        }
    }
    if (more) {
        return;
    }
    if (!conn->dropped) {
        rc_hub_append_to(hub, client, rc_span_of(conn->unit, conn->unit_count));
    }
    unit_over(links, conn);
    rc_link_conn_look(links, client);
}
