/* link_rig: see link_rig.h. */
#include "tests/support/link_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "worker/link/link_io.h"

static struct rc_links *kept_for; /* the hub's handlers have another context */

static void on_here_gone(void *context, uint64_t token)
{
    (void)context;
    rc_links_share_gave(kept_for, token);
}

static uint32_t on_here_kept(void *context)
{
    (void)context;
    return rc_links_share_kept(kept_for);
}

void link_rig_open(struct link_rig *rig)
{
    memset(rig, 0, sizeof(*rig));
    client_rig_open(&rig->c, 32);
    rig->links = rc_links_open(&rig->c.clients, &rig->engines, rig->c.rig.config);
    RC_ASSERT(rig->links != NULL);
    rig->table.config = (struct rc_config_backend){.max_frame_bytes = 65536,
                                                   .max_unsent_bytes = 4096,
                                                   .grace_ms = 10000,
                                                   .max_held_bytes = 1024,
                                                   .max_held_all_bytes = 2048};
    (void)snprintf(rig->table.config.name.text, sizeof(rig->table.config.name.text), "app");
    rig->links->table = &rig->table;
    kept_for = rig->links;
    rig->c.rig.hub.handlers.here_gone = on_here_gone;
    rig->c.rig.hub.handlers.here_kept = on_here_kept;
}

void link_rig_close(struct link_rig *rig)
{
    for (uint32_t i = 1; i < rig->links->conn_count; i++) {
        if (rc_link_conn_of(rig->links, i)->id != 0) {
            rc_link_conn_forget(rig->links, i);
        }
    }
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
        if (rig->fds[i] != 0) {
            (void)close(rig->fds[i]);
        }
    }
    struct rc_truth *truth = &rig->c.rig.truth;
    for (uint32_t i = 1; i < truth->link_lines.high; i++) {
        rc_chunks_clear(&truth->heap, &rc_truth_link_line(truth, i)->kept);
    }
    rig->links->table = NULL;
    rc_links_close(rig->links);
    kept_for = NULL;
    client_rig_close(&rig->c);
}

struct rc_link *link_rig_link(struct link_rig *rig, const char *process, uint64_t frames)
{
    struct rc_link *link = rig->links->links;
    while (link->state != RC_LINK_FREE) {
        link++;
    }
    *link = (struct rc_link){.state = RC_LINK_IS_READY,
                             .generation = link->generation + 1,
                             .table = &rig->table,
                             .target = RC_LINK_NO_TARGET,
                             .heard_ms = rc_links_now_ms(rig->links)};
    (void)snprintf(link->ready.process, sizeof(link->ready.process), "%s", process);
    link->ready.resume = true;
    link->ready.recovery_ms = 60000;
    link->ready.continues = frames != UINT64_MAX;
    link->ready.frames = link->ready.continues ? frames : 0;
    link->socket = hub_rig_socket(&rig->c.rig, HUB_RIG_UNIX, 0, &rig->fds[link - rig->links->links]);
    rig->links->ready++;
    rc_line_begin(rig->links, link);
    return link;
}

void link_rig_cut(struct link_rig *rig, struct rc_link *link)
{
    int *fd = &rig->fds[link - rig->links->links];
    (void)close(*fd);
    *fd = 0;
    rc_link_conns_lost(rig->links, link);
    link->state = RC_LINK_FREE;
    link->socket = RC_SOCKET_NONE;
    rig->links->ready--;
    hub_rig_run(&rig->c.rig);
}

uint32_t link_rig_client(struct link_rig *rig, struct rc_link *link)
{
    const uint32_t client = hub_rig_connect(&rig->c.rig, HUB_RIG_UNIX, RC_CODEC_LINK, false, 0);
    rc_link_conn_begin(rig->links, link, client);
    rc_bond_make(rig->links, client, RC_SPAN("\"url\":\"/\""));
    return client;
}

const char *link_rig_sent(struct link_rig *rig, const struct rc_link *link)
{
    static uint8_t bytes[1 << 18];
    static char text[1 << 18];
    size_t used = 0;
    size_t at = 0;
    ssize_t count = 0;
    for (int i = 0; i < 4; i++) {
        hub_rig_run(&rig->c.rig);
        const ssize_t got =
            recv(rig->fds[link - rig->links->links], bytes + count, sizeof(bytes) - (size_t)count, MSG_DONTWAIT);
        count += got > 0 ? got : 0;
    }
    text[0] = '\0';
    while (at < (size_t)count) {
        struct rc_link_head head;
        const char *why;
        RC_ASSERT(rc_link_head_read(bytes + at, RC_LINK_BROKER, UINT32_MAX, &head, &why) == 0);
        const struct rc_span payload = rc_span_of(bytes + at + RC_LINK_HEAD_BYTES, head.length);
        RC_ASSERT(at + RC_LINK_HEAD_BYTES + head.length <= (size_t)count);
        RC_ASSERT(rc_link_frame_check(&head, RC_LINK_BROKER, payload, &why) == 0);
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", used == 0 ? "" : ", ",
                                 rc_link_type_name(head.type));
        if (head.type == RC_LINK_RECEIPT) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s %llu", head.flags != 0 ? "!" : "",
                                     (unsigned long long)rc_link_u64(payload.bytes));
        } else if (head.type == RC_LINK_TEXT || head.type == RC_LINK_ERROR) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, " %.*s", (int)payload.count,
                                     (const char *)payload.bytes);
        }
        at += RC_LINK_HEAD_BYTES + head.length;
    }
    return text;
}
