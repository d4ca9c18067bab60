/* ending: connections end: because the application wants it, or with their link. See links.h. */
#include "worker/link/links.h"
#include "worker/ws/frame.h"

void rc_link_conn_close(struct rc_links *links, uint32_t client, bool now)
{
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    if (conn->exchange != 0) {
        rc_link_opening_lost(links, client);
        return;
    }
    conn->closing = true;
    rc_link_members_leave(links, client, true); /* what is said behind it is not for it */
    rc_engine_note_end(links->engines, client, RC_ENGINE_WHY_SERVER);
    rc_engine_end(links->engines, client, RC_WS_CLOSE_NORMAL, NULL, now);
}

static void conn_lost(struct rc_links *links, uint32_t client)
{
    rc_metric_add(links->clients->metrics, RC_METRIC_LINK_LOST_CONNECTIONS, 1);
    rc_link_count(links, rc_link_of(links, client), RC_LINK_NUMBER_LOST, 1);
    if (rc_link_conn_of(links, client)->exchange != 0) {
        rc_link_opening_lost(links, client);
    }
    if (rc_link_conn_of(links, client)->id == 0) {
        return;
    }
    rc_link_conn_forget(links, client);
    if (rc_truth_client(links->clients->truth, client)->state == RC_CLIENT_OPEN) {
        rc_engine_note_end(links->engines, client, RC_ENGINE_WHY_SERVER);
        rc_engine_end(links->engines, client, RC_WS_CLOSE_NORMAL, NULL, false);
    }
}

void rc_link_conns_lost(struct rc_links *links, struct rc_link *link)
{
    for (uint32_t client = link->first; client != 0;) {
        const uint32_t next = rc_link_conn_of(links, client)->next;
        if (rc_link_conn_of(links, client)->bond == 0) {
            conn_lost(links, client);
        }
        client = next;
    }
    if (link->line != 0) {
        const uint32_t line = link->line;
        rc_line_cut(links, link);
        if (link->told) { /* what broke it would break it again: it begins anew */
            rc_line_lost(links, line);
        }
    }
}
