/* bond: what of a connection outlives its process of the application: its request, and what the client says while none has it. See links.h. */
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/link/links.h"

void rc_bond_make(struct rc_links *links, uint32_t client, struct rc_span request)
{
    struct rc_truth *truth = links->clients->truth;
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    const struct rc_link *link = rc_link_of(links, client);
    if (link == NULL || link->line == 0) {
        return; /* it ends with its link */
    }
    uint32_t index = rc_pool_alloc(&truth->link_bonds);
    struct rc_link_bond *bond = index == 0 ? NULL : rc_truth_link_bond(truth, index);
    if (bond == NULL || (bond->request = rc_heap_alloc(&truth->heap, request.count)) == 0) {
        if (bond != NULL) {
            rc_pool_free(&truth->link_bonds, index);
        }
        rc_metric_add(links->clients->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        return;
    }
    memcpy(rc_heap_at(&truth->heap, bond->request), request.bytes, request.count);
    bond->request_bytes = (uint32_t)request.count;
    bond->id = conn->id;
    bond->line = link->line;
    RC_STORE_ORDER();
    bond->client = client;
    conn->bond = index;
}

void rc_bond_break(struct rc_links *links, uint32_t client)
{
    struct rc_truth *truth = links->clients->truth;
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    struct rc_link_bond *bond = rc_link_bond_of(links, client);
    if (bond == NULL) {
        return;
    }
    bond->client = 0;
    RC_STORE_ORDER();
    links->held_bytes -= bond->held.bytes + bond->rest.bytes;
    rc_chunks_clear(&truth->heap, &bond->held);
    rc_chunks_clear(&truth->heap, &bond->rest);
    bond->request_bytes = 0;
    rc_heap_give(&truth->heap, &bond->request);
    rc_pool_give(&truth->link_bonds, &conn->bond);
}

/* Bytes that were there before are those that are there now, and more or less. */
static void held_changed(struct rc_links *links, uint64_t before, const struct rc_link_bond *bond)
{
    links->held_bytes = links->held_bytes - before + bond->held.bytes;
    rc_metric_set(links->clients->metrics, RC_METRIC_LINK_HELD_BYTES, links->held_bytes);
}

bool rc_bond_hold(struct rc_links *links, uint32_t client, enum rc_link_type type, struct rc_span message)
{
    struct rc_link_bond *bond = rc_link_bond_of(links, client);
    const struct rc_config_backend *config = links->table == NULL ? NULL : &links->table->config;
    const uint64_t bytes = RC_LINK_HEAD_BYTES + RC_CHUNKS_ENTRY_HEAD + message.count;
    uint8_t head[RC_LINK_HEAD_BYTES];
    const struct rc_span parts[] = {rc_span_of(head, sizeof(head)), message};
    const uint64_t before = bond->held.bytes;
    if (config != NULL && ((before > 0 && before + bytes > config->max_held_bytes) ||
                           links->held_bytes + bytes > config->max_held_all_bytes)) {
        return false;
    }
    rc_link_head_write(
        head, &(struct rc_link_head){.length = (uint32_t)message.count, .type = (uint8_t)type, .connection = bond->id});
    if (!rc_chunks_put(&links->clients->truth->heap, &bond->held, 0, parts, 2)) {
        rc_client_failed_memory(links->clients, client);
        return true;
    }
    rc_metric_add(links->clients->metrics, RC_METRIC_LINK_HELD, 1);
    held_changed(links, before, bond);
    return true;
}

bool rc_bond_hold_frame(struct rc_links *links, struct rc_link_bond *bond, struct rc_span frame)
{
    const uint64_t before = bond->held.bytes;
    const bool held = rc_chunks_put(&links->clients->truth->heap, &bond->held, 0, &frame, 1);
    if (!held) {
        rc_hub_break(links->clients->hub, bond->client); /* it would miss that, and nobody would know */
    }
    held_changed(links, before, bond);
    return held;
}

void rc_bond_drop(struct rc_links *links, struct rc_link_bond *bond)
{
    const uint64_t before = bond->held.bytes;
    rc_chunks_drop(&links->clients->truth->heap, &bond->held);
    if (bond->held.count == 0) {
        rc_chunks_clear(&links->clients->truth->heap, &bond->held);
    }
    held_changed(links, before, bond);
}
