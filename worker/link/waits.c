/* waits: who waits for whom: clients for room on their link, the application for clients that take no more. See links.h. */
#include <stdlib.h>

#include "common/base/log.h"
#include "worker/link/links.h"
#include "worker/ws/frame.h"

/* Those of the list try again: each may have to wait once more, behind the others. */
static void list_wake(struct rc_links *links, struct rc_index_list *list)
{
    const struct rc_index_list waiting = *list;
    *list = (struct rc_index_list){0};
    links->waiting -= waiting.count;
    rc_metric_set(links->clients->metrics, RC_METRIC_LINK_WAITING, links->waiting);
    for (uint32_t i = 0; i < waiting.count; i++) {
        const uint32_t client = waiting.items[i];
        if (rc_link_conn_of(links, client)->id != 0 &&
            (rc_truth_client(links->clients->truth, client)->flags & RC_CLIENT_WAITS_ANSWER)) {
            rc_client_answered(links->clients, client);
        }
    }
    free(waiting.items);
}

void rc_link_conns_go_on(struct rc_links *links, struct rc_link *link)
{
    list_wake(links, &link->waiting);
}

void rc_link_conns_wake(struct rc_links *links)
{
    list_wake(links, &links->unheld);
}

void rc_link_conn_wait(struct rc_links *links, uint32_t client, struct rc_index_list *list)
{
    if (rc_index_list_push(list, client) < 0) {
        rc_client_failed_memory(links->clients, client);
        return;
    }
    links->waiting++;
    rc_metric_set(links->clients->metrics, RC_METRIC_LINK_WAITING, links->waiting);
    rc_truth_client(links->clients->truth, client)->flags |= RC_CLIENT_WAITS_ANSWER;
    rc_metric_add(links->clients->metrics, RC_METRIC_LINK_WAITS, 1);
}

bool rc_link_conn_takes_volatile(struct rc_links *links, uint32_t client)
{
    struct rc_hub *hub = links->clients->hub;
    return rc_hub_backlog(hub, client) == 0 && rc_hub_takes_volatile(hub, client);
}

void rc_link_conn_look(struct rc_links *links, uint32_t client)
{
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    static const uint8_t no = 0;
    if (conn->id == 0 || conn->full || rc_hub_backlog(links->clients->hub, client) < RC_LINK_FULL_BYTES ||
        rc_index_list_push(&links->full, client) < 0) {
        return;
    }
    conn->full = true;
    if (conn->bond != 0) {
        rc_link_bond_of(links, client)->flags |= RC_LINK_BOND_FULL;
    }
    (void)rc_link_tell(links, client, RC_LINK_WRITABLE, rc_span_of(&no, 1));
}

/* Is its application to be told that the client takes more again? Not while that takes nothing itself: what others broadcast would make such frames
 * without end. */
static bool conn_takes_more(const struct rc_links *links, uint32_t client)
{
    const uint32_t link = links->conns[client].link;
    return link != RC_LINK_NONE && rc_link_has_room(links, &links->links[link]) &&
           rc_hub_backlog(links->clients->hub, client) < RC_LINK_FULL_BYTES / 2;
}

void rc_link_conns_writable(struct rc_links *links)
{
    static const uint8_t yes = 1;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < links->full.count; i++) {
        const uint32_t client = links->full.items[i];
        struct rc_link_conn *conn = rc_link_conn_of(links, client);
        if (!conn->full) {
            continue; /* it is gone, or another one */
        }
        if (!conn_takes_more(links, client)) {
            links->full.items[kept++] = client;
            continue;
        }
        conn->full = false;
        if (conn->bond != 0) {
            rc_link_bond_of(links, client)->flags &= (uint8_t) ~(unsigned)RC_LINK_BOND_FULL;
        }
        (void)rc_link_tell(links, client, RC_LINK_WRITABLE, rc_span_of(&yes, 1));
    }
    links->full.count = kept;
}

bool rc_link_conns_ready(const struct rc_links *links)
{
    for (uint32_t i = 0; links->waiting > 0 && i < RC_LINKS_MAX; i++) {
        const struct rc_link *link = &links->links[i];
        if (link->waiting.count > 0 && link->why == NULL && rc_link_has_room(links, link)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < links->full.count; i++) {
        if (conn_takes_more(links, links->full.items[i])) {
            return true;
        }
    }
    return false;
}

/* --- what cannot be carried to a client ------------------------------------------------------------------------------ */

bool rc_link_conn_polls(const struct rc_links *links, uint32_t client)
{
    const uint8_t encoding = rc_truth_client(links->clients->truth, client)->encoding;
    return rc_encoding_framing(encoding) == RC_FRAMING_POLLING;
}

void rc_link_conn_refuse(struct rc_links *links, uint32_t client, const char *why)
{
    const struct rc_link *link = rc_link_of(links, client);
    rc_log_limited(RC_LOG_WARN, 1, "link_message_refused", "process=\"%s\" reason=\"%s\" effect=\"%s\"",
                   link == NULL ? "" : link->ready.process, why, "its client is closed");
    rc_engine_note_end(links->engines, client, RC_ENGINE_WHY_SERVER);
    rc_engine_end(links->engines, client, RC_WS_CLOSE_NORMAL, NULL, true);
}
