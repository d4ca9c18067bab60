/* carry: what frames of the application ask for. See links.h. */
#include "common/base/check.h"
#include "worker/link/links.h"

/* A frame of one connection; of one that is no more it means nothing. */
static void carry_connection(struct rc_links *links, struct rc_link *link, const struct rc_link_head *head,
                             struct rc_span payload)
{
    const uint32_t client = rc_link_client(links, link, head->connection);
    const bool now = head->type == RC_LINK_CLOSE && (head->flags & RC_LINK_DISCARD) != 0;
    if (client == 0 || (rc_link_conn_of(links, client)->closing && !now)) {
        return; /* its process has ended it: only how fast that goes may still be said */
    }
    switch ((enum rc_link_type)head->type) {
    case RC_LINK_ACCEPT:
        rc_link_opening_accepted(links, client, payload);
        return;
    case RC_LINK_REJECT:
        rc_link_opening_rejected(links, client, payload);
        return;
    case RC_LINK_TEXT:
    case RC_LINK_BINARY:
        rc_link_conn_say(links, client, head, payload);
        return;
    case RC_LINK_CLOSE:
        rc_link_conn_close(links, client, (head->flags & RC_LINK_DISCARD) != 0);
        return;
    case RC_LINK_JOIN:
        rc_link_join(links, client, payload);
        return;
    case RC_LINK_LEAVE:
        rc_link_leave(links, client, (head->flags & RC_LINK_ALL) != 0, payload);
        return;
    case RC_LINK_SESSION:
        rc_link_session(links, client, payload);
        return;
    case RC_LINK_RESUMED:
        rc_resume_resumed(links, client);
        return;
    default:
        return;
    }
}

bool rc_link_carry_out(struct rc_links *links, struct rc_link *link, const struct rc_link_head *head,
                       struct rc_span payload)
{
    if (head->connection != 0) {
        carry_connection(links, link, head, payload);
        return true;
    }
    switch ((enum rc_link_type)head->type) {
    case RC_LINK_ASKS:
        link->ready.asks = payload.bytes[0] != 0;
        return true;
    case RC_LINK_BROADCAST:
        if (!link->stalled) {
            rc_link_recovery_said(links, link, head->flags, payload);
        }
        return rc_link_broadcast(links, link, head->flags, payload) == 0;
    case RC_LINK_ENTER:
        rc_link_bus_enter(links, link, payload);
        return true;
    case RC_LINK_EXIT:
        rc_link_bus_exit(links, link, payload);
        return true;
    case RC_LINK_CLUSTER:
        rc_link_bus_say(links, link, payload);
        return true;
    case RC_LINK_RECEIPT:
        rc_line_receipt(links, link, payload);
        return true;
    case RC_LINK_DETACH:
        rc_resume_detach(links, link, (head->flags & RC_LINK_HOLD) != 0);
        return true;
    case RC_LINK_KEEP:
        rc_link_recovery_keep(links, link, payload);
        return true;
    case RC_LINK_REQUEST:
        rc_link_recovery_asked(links, link, payload);
        return true;
    default:
        return true; /* of parts that HELLO did not offer */
    }
}
