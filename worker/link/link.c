/* link: one link: what it is sent, and that it is to end. See links.h. */
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/metrics/backend_health.h"
#include "worker/link/links.h"

#define LINK_BROKEN_MS 1000u /* whose frames were broken is dialled after so long at least */
/* Frames of clients may be sent again when so much of max_unsent is free. */
#define LINK_ROOM_PART 2u

struct rc_link_target *rc_link_target_of(const struct rc_link *link)
{
    return link->target == RC_LINK_NO_TARGET ? NULL : &link->table->targets[link->target];
}

const char *rc_link_url(const struct rc_link *link)
{
    const struct rc_link_target *target = rc_link_target_of(link);
    return target == NULL ? link->from : link->table->config.urls[target->url].text;
}

void rc_link_note(const struct rc_links *links, const struct rc_link_table *table, bool answered)
{
    if (!table->retired) {
        rc_backend_health_note(links->control->own, table->index, answered);
    }
}

void rc_link_end(struct rc_links *links, struct rc_link *link, const char *why)
{
    if (link->state != RC_LINK_FREE && link->why == NULL) {
        link->why = why;
        links->due = true;
    }
}

bool rc_link_send(struct rc_links *links, struct rc_link *link, enum rc_link_type type, uint8_t flags,
                  uint64_t connection, struct rc_span first, struct rc_span second)
{
    struct rc_hub *hub = links->clients->hub;
    uint8_t bytes[RC_LINK_HEAD_BYTES];
    const struct rc_link_head head = {.length = (uint32_t)(first.count + second.count),
                                      .type = (uint8_t)type,
                                      .flags = flags,
                                      .connection = connection};
    if (link->why != NULL || link->socket == RC_SOCKET_NONE) {
        return false;
    }
    rc_link_head_write(bytes, &head);
    int rc = rc_hub_answer(hub, link->socket, bytes, sizeof(bytes));
    rc = rc < 0 || first.count == 0 ? rc : rc_hub_answer(hub, link->socket, first.bytes, (uint32_t)first.count);
    rc = rc < 0 || second.count == 0 ? rc : rc_hub_answer(hub, link->socket, second.bytes, (uint32_t)second.count);
    if (rc < 0) { /* half a frame may be there */
        rc_link_end(links, link, "no memory for what it is sent");
        return false;
    }
    link->frames_out++;
    rc_metric_add(links->clients->metrics, RC_METRIC_LINK_FRAMES_OUT, 1);
    return true;
}

bool rc_link_has_room(const struct rc_links *links, const struct rc_link *link)
{
    const uint64_t most = link->table->config.max_unsent_bytes / (link->waiting.count > 0 ? LINK_ROOM_PART : 1);
    return rc_hub_unsent_on(links->clients->hub, link->socket) < most;
}

bool rc_link_tell(struct rc_links *links, uint32_t client, enum rc_link_type type, struct rc_span text)
{
    const struct rc_link_conn *conn = rc_link_conn_of(links, client);
    RC_ASSERT(conn->id != 0);
    return rc_link_send(links, &links->links[conn->link], type, 0, conn->id, text, (struct rc_span){0});
}

void rc_link_broken(struct rc_links *links, struct rc_link *link, const char *why)
{
    struct rc_link_target *target = rc_link_target_of(link);
    if (link->why != NULL) {
        return;
    }
    if (target != NULL && target->wait_ms < LINK_BROKEN_MS) {
        target->wait_ms = LINK_BROKEN_MS;
    }
    link->told = true;
    rc_metric_add(links->clients->metrics, RC_METRIC_LINK_BROKEN, 1);
    rc_log_limited(RC_LOG_WARN, 1, "link_broken", "backend=\"%s\" url=\"%s\" process=\"%s\" reason=\"%s\"",
                   link->table->config.name.text, rc_link_url(link), link->ready.process, why);
    (void)rc_link_send(links, link, RC_LINK_ERROR, 0, 0, rc_span_text(why), (struct rc_span){0});
    rc_link_end(links, link, why);
}

void rc_links_gauge(const struct rc_links *links)
{
    rc_metric_set(links->clients->metrics, RC_METRIC_LINKS, links->ready);
}
