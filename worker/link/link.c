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

/* Bytes leave, or the link ends. */
static bool link_write(struct rc_links *links, struct rc_link *link, const struct rc_span *parts, size_t count)
{
    if (link->why != NULL || link->socket == RC_SOCKET_NONE) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (parts[i].count > 0 && rc_hub_answer(links->clients->hub, link->socket, parts[i].bytes,
                                                (uint32_t)parts[i].count) < 0) { /* half a frame may be there */
            rc_link_end(links, link, "no memory for what it is sent");
            return false;
        }
    }
    link->frames_out++;
    rc_metric_add(links->clients->metrics, RC_METRIC_LINK_FRAMES_OUT, 1);
    rc_link_count(links, link, RC_LINK_NUMBER_FRAMES_OUT, 1);
    return true;
}

bool rc_line_keep(struct rc_links *links, uint32_t line, const struct rc_link_head *head, struct rc_span first,
                  struct rc_span second)
{
    struct rc_truth *truth = links->clients->truth;
    struct rc_link_line *its = rc_truth_link_line(truth, line);
    uint8_t bytes[RC_LINK_HEAD_BYTES];
    const struct rc_span parts[] = {rc_span_of(bytes, sizeof(bytes)), first, second};
    rc_link_head_write(bytes, head);
    if (rc_chunks_put(&truth->heap, &its->kept, (uint32_t)(its->handed + its->kept.count + 1), parts, 3)) {
        return true;
    }
    rc_metric_add(links->clients->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
    return false;
}

uint64_t *rc_line_partial(struct rc_links *links, struct rc_link *link)
{
    return link->line == 0 ? &link->partial : &rc_truth_link_line(links->clients->truth, link->line)->partial;
}

bool rc_line_tells(const struct rc_links *links, const struct rc_link *link)
{
    return link->line != 0 && link->why == NULL && !link->carrying &&
           rc_truth_link_line(links->clients->truth, link->line)->taken != link->line_told &&
           rc_link_unsent(links, link) < link->table->config.max_unsent_bytes;
}

void rc_line_told(struct rc_links *links, struct rc_link *link, uint8_t flags)
{
    uint8_t bytes[8];
    const uint64_t taken = link->line == 0 ? 0 : rc_truth_link_line(links->clients->truth, link->line)->taken;
    rc_link_put_u64(bytes, taken);
    link->line_told = taken;
    link->line_bytes = link->line_due_ms = 0;
    (void)rc_link_send(links, link, RC_LINK_RECEIPT, flags, 0, rc_span_of(bytes, sizeof(bytes)), (struct rc_span){0});
}

bool rc_link_send(struct rc_links *links, struct rc_link *link, enum rc_link_type type, uint8_t flags,
                  uint64_t connection, struct rc_span first, struct rc_span second)
{
    uint8_t bytes[RC_LINK_HEAD_BYTES];
    const struct rc_link_head head = {.length = (uint32_t)(first.count + second.count),
                                      .type = (uint8_t)type,
                                      .flags = flags,
                                      .connection = connection};
    const struct rc_span parts[] = {rc_span_of(bytes, sizeof(bytes)), first, second};
    const bool kept = link->line != 0 && rc_link_is_numbered((uint8_t)type);
    if (kept && !rc_line_keep(links, link->line, &head, first, second)) {
        rc_link_end(links, link, "no memory for what it is sent");
        return false;
    }
    rc_link_head_write(bytes, &head);
    if (kept && link->line_due_ms != 0 && rc_line_tells(links, link)) {
        rc_line_told(links, link, 0); /* it wakes up for this frame anyway */
    }
    return link_write(links, link, parts, 3) || kept;
}

bool rc_link_send_again(struct rc_links *links, struct rc_link *link, struct rc_span frame)
{
    return link_write(links, link, &frame, 1);
}

uint64_t rc_link_unsent(const struct rc_links *links, const struct rc_link *link)
{
    /* None: its stream has just ended, rc_links_work has not looked yet. */
    return link->socket == RC_SOCKET_NONE ? 0 : rc_hub_unsent_on(links->clients->hub, link->socket);
}

bool rc_link_has_room(const struct rc_links *links, const struct rc_link *link)
{
    const uint64_t most = link->table->config.max_unsent_bytes / (link->waiting.count > 0 ? LINK_ROOM_PART : 1);
    const uint64_t kept = link->line == 0 ? 0 : rc_truth_link_line(links->clients->truth, link->line)->kept.bytes;
    return kept < most && rc_link_unsent(links, link) < most;
}

bool rc_link_tell(struct rc_links *links, uint32_t client, enum rc_link_type type, struct rc_span text)
{
    const struct rc_link_conn *conn = rc_link_conn_of(links, client);
    struct rc_link *link = rc_link_of(links, client);
    const struct rc_link_bond *bond = rc_link_bond_of(links, client);
    RC_ASSERT(conn->id != 0);
    if (link != NULL) {
        return rc_link_send(links, link, type, 0, conn->id, text, (struct rc_span){0});
    }
    const struct rc_link_head head = {.length = (uint32_t)text.count, .type = (uint8_t)type, .connection = conn->id};
    return bond != NULL && bond->line != 0 && rc_line_keep(links, bond->line, &head, text, (struct rc_span){0});
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
    rc_link_count(links, link, RC_LINK_NUMBER_BROKEN, 1);
    rc_log_limited(RC_LOG_WARN, 1, "link_broken", "backend=\"%s\" url=\"%s\" process=\"%s\" reason=\"%s\"",
                   link->table->config.name.text, rc_link_url(link), link->ready.process, why);
    (void)rc_link_send(links, link, RC_LINK_ERROR, 0, 0, rc_span_text(why), (struct rc_span){0});
    rc_link_end(links, link, why);
}

void rc_links_gauge(const struct rc_links *links)
{
    rc_metric_set(links->clients->metrics, RC_METRIC_LINKS, links->ready);
}
