/* waits: who waits for whom: clients for room on their link, the application for clients that take no more. See links.h. */
#include <stdlib.h>

#include "worker/link/links.h"

void rc_link_conns_go_on(struct rc_links *links, struct rc_link *link)
{
    struct rc_index_list waiting = link->waiting;
    link->waiting = (struct rc_index_list){0};
    for (uint32_t i = 0; i < waiting.count; i++) {
        const uint32_t client = waiting.items[i];
        const struct rc_link_conn *conn = rc_link_conn_of(links, client);
        if (conn->id != 0 && &links->links[conn->link] == link &&
            (rc_truth_client(links->clients->truth, client)->flags & RC_CLIENT_WAITS_ANSWER)) {
            rc_client_answered(links->clients, client); /* it may have to wait again, behind the others */
        }
    }
    free(waiting.items);
}

void rc_link_conn_wait(struct rc_links *links, uint32_t client, struct rc_index_list *list)
{
    if (rc_index_list_push(list, client) < 0) {
        rc_client_failed_memory(links->clients, client);
        return;
    }
    rc_truth_client(links->clients->truth, client)->flags |= RC_CLIENT_WAITS_ANSWER;
    rc_metric_add(links->clients->metrics, RC_METRIC_LINK_WAITS, 1);
}

void rc_link_conns_wake(struct rc_links *links)
{
    struct rc_index_list waiting = links->waiting;
    links->waiting = (struct rc_index_list){0};
    for (uint32_t i = 0; i < waiting.count; i++) {
        const uint32_t client = waiting.items[i];
        if (rc_link_conn_of(links, client)->id != 0 &&
            (rc_truth_client(links->clients->truth, client)->flags & RC_CLIENT_WAITS_ANSWER)) {
            rc_client_answered(links->clients, client); /* it may have to wait again, behind the others */
        }
    }
    free(waiting.items);
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
        if (rc_hub_backlog(links->clients->hub, client) >= RC_LINK_FULL_BYTES / 2) {
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
