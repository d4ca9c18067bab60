/* resume: connections whose process of the application is gone: they wait, go to the next one, or end. See links.h. */
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/link/links.h"
#include "worker/ws/frame.h"

#define RESUME_BACK_MS 3000u  /* a process that has not come back by then is gone, whatever its addresses say */
#define RESUME_FIRST_MS 1000u /* one that dials in has no address here */
#define RESUME_SLOW_MS 2000u  /* a process that hands on nothing for so long is spoken of */
#define RESUME_BATCH 256u     /* connections that are opened in one pass */
#define RESUME_LOOK_MS 20u
#define RESUME_OPENING_MS 10000u /* grace of one that was opened, if that is more: until RESUMED */

/* --- lines without a link -------------------------------------------------------------------------------------------- */

/* May some address still be that of a process whose stream has ended? */
static bool addresses_undecided(const struct rc_links *links)
{
    const struct rc_link_table *table = links->table;
    for (uint32_t i = 0; table != NULL && i < table->target_count; i++) {
        const struct rc_link_target *target = &table->targets[i];
        const struct rc_link *link = target->link == 0 ? NULL : &links->links[target->link - 1];
        if (!target->gone && !target->failing && (link == NULL || link->state != RC_LINK_IS_READY)) {
            return true;
        }
    }
    return false;
}

/* Is its process back, or can it not be? */
static bool line_is_lost(const struct rc_links *links, const struct rc_link_line_own *own, bool undecided)
{
    const uint64_t since = rc_links_now_ms(links) - own->since_ms;
    if (links->table == NULL || links->clients->draining) {
        return true;
    }
    return since >= RESUME_BACK_MS || (!undecided && (links->table->target_count > 0 || since >= RESUME_FIRST_MS));
}

/* How long its process has handed on nothing of what it was sent, milliseconds. */
static uint64_t line_lag(struct rc_links *links, uint32_t index)
{
    const struct rc_link_line *line = rc_truth_link_line(links->clients->truth, index);
    struct rc_link_line_own *own = &links->lines[index];
    const uint64_t now = rc_links_now_ms(links);
    if (line->kept.count == 0 || line->handed != own->handed || own->moved_ms == 0) {
        own->handed = line->handed;
        own->moved_ms = now;
        own->slow = false;
    }
    const uint64_t lag = own->lag_ms = now - own->moved_ms;
    if (lag >= RESUME_SLOW_MS && !own->slow) {
        own->slow = true;
        rc_log_limited(RC_LOG_WARN, 1, "link_slow",
                       "process=\"%s\" unhanded=%u bytes=%llu for_ms=%llu reason=\"it has handed on nothing\"",
                       line->process, line->kept.count, (unsigned long long)line->kept.bytes, (unsigned long long)lag);
    }
    return lag;
}

/* What all lines have that was not handed on. */
static void lines_gauge(struct rc_links *links)
{
    const struct rc_truth *truth = links->clients->truth;
    uint64_t frames = 0;
    uint64_t bytes = 0;
    uint64_t most = 0;
    for (uint32_t i = 1; i < truth->link_lines.high; i++) {
        const struct rc_link_line *line = rc_truth_link_line(truth, i);
        if (line->process[0] != '\0') {
            const uint64_t lag = line_lag(links, i);
            frames += line->kept.count;
            bytes += line->kept.bytes;
            most = lag > most ? lag : most;
        }
    }
    rc_metric_set(links->clients->metrics, RC_METRIC_LINK_UNHANDED, frames);
    rc_metric_set(links->clients->metrics, RC_METRIC_LINK_UNHANDED_BYTES, bytes);
    rc_metric_set(links->clients->metrics, RC_METRIC_LINK_RECEIPT_LAG_MS, most);
}

static void lines_look(struct rc_links *links)
{
    const struct rc_truth *truth = links->clients->truth;
    const bool undecided = addresses_undecided(links);
    for (uint32_t i = 1; i < truth->link_lines.high; i++) {
        if (rc_truth_link_line(truth, i)->process[0] != '\0' && links->lines[i].link == 0 &&
            line_is_lost(links, &links->lines[i], undecided)) {
            rc_line_lost(links, i);
        }
    }
}

/* --- connections of nobody ------------------------------------------------------------------------------------------- */

/* Its grace is over, or it can go to no process. */
static void close_away(struct rc_links *links, uint32_t client)
{
    rc_metric_add(links->clients->metrics, RC_METRIC_LINK_LOST_CONNECTIONS, 1);
    rc_link_recovery_gone(links, client);
    rc_link_conn_forget(links, client);
    if (rc_truth_client(links->clients->truth, client)->state == RC_CLIENT_OPEN) {
        rc_engine_note_end(links->engines, client, RC_ENGINE_WHY_SERVER);
        rc_engine_end(links->engines, client, RC_WS_CLOSE_NORMAL, NULL, false);
    }
}

/* A frame that is too large would end the link, the connections of all with it, and the next one's. */
static void refuse_away(struct rc_links *links, const struct rc_link *link, uint32_t client, uint64_t bytes)
{
    rc_log_limited(RC_LOG_WARN, 1, "link_resume_refused", "process=\"%s\" bytes=%llu reason=\"%s\" effect=\"%s\"",
                   link->ready.process, (unsigned long long)bytes, "its namespaces, rooms and data exceed max_frame",
                   "its client is closed");
    close_away(links, client);
}

/* False: it cannot be, and is closed. */
static bool open_again(struct rc_links *links, struct rc_link *link, uint32_t client)
{
    const struct rc_client *its = rc_truth_client(links->clients->truth, client);
    struct rc_link_bond *bond = rc_link_bond_of(links, client);
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    struct rc_text text = {0};
    char sid[RC_SID_BYTES];
    rc_engine_sid(links->engines, client, sid);
    rc_text_put(&text, "{\"sid\":\"%.*s\",\"transport\":\"%s\",%.*s,\"resume\":", (int)sizeof(sid), sid,
                its->socket == RC_SOCKET_NONE ? "polling" : "websocket", (int)bond->request_bytes,
                (const char *)rc_heap_at(&links->clients->truth->heap, bond->request));
    rc_link_members_write(links, client, &text);
    rc_text_put(&text, "}");
    if (!text.failed && text.count > link->table->config.max_frame_bytes) {
        refuse_away(links, link, client, text.count);
        rc_text_free(&text);
        return false;
    }
    rc_link_conn_give(links, client, link);
    bond->flags = RC_LINK_BOND_OPENING | RC_LINK_BOND_AGAIN; /* at first it is writable */
    bond->line = link->line;
    conn->opened_ms = rc_links_now_ms(links);
    conn->full = false;
    const bool sent = !text.failed && rc_link_tell(links, client, RC_LINK_OPEN, rc_span_of(text.bytes, text.count));
    rc_text_free(&text);
    if (!sent) {
        rc_hub_break(links->clients->hub, client);
        return true;
    }
    rc_metric_add(links->clients->metrics, RC_METRIC_LINK_RESUMED, 1);
    rc_link_count(links, link, RC_LINK_NUMBER_RESUMED, 1);
    rc_link_conn_look(links, client);
    return true;
}

static bool is_away(const struct rc_links *links, uint32_t client)
{
    const struct rc_link_conn *conn = rc_link_conn_of(links, client);
    const struct rc_link_bond *bond = rc_link_bond_of(links, client);
    return conn->id != 0 && conn->link == RC_LINK_NONE && bond != NULL && bond->line == 0;
}

/* Was a process told of it, which has not said RESUMED yet? */
static bool is_opening(const struct rc_links *links, uint32_t client)
{
    const struct rc_link_bond *bond = rc_link_bond_of(links, client);
    return rc_link_conn_of(links, client)->id != 0 && bond != NULL && (bond->flags & RC_LINK_BOND_OPENING) != 0;
}

/* It is kept in links.away: once, whatever the list has of it. */
static void away_keep(struct rc_links *links, uint32_t client, uint32_t *kept)
{
    links->away.items[(*kept)++] = client;
    links->marks[client] = 1;
}

static void away_look(struct rc_links *links)
{
    const uint64_t now = rc_links_now_ms(links);
    const uint64_t grace =
        links->table == NULL ? 0 : links->table->config.grace_ms; /* as it is now: a reload counts for all */
    uint32_t kept = 0;
    uint32_t opened = 0;
    for (uint32_t i = 0; i < links->away.count; i++) {
        const uint32_t client = links->away.items[i];
        const struct rc_link_bond *bond = rc_link_bond_of(links, client);
        if (links->marks[client] != 0) {
            continue;
        }
        if (is_opening(links, client)) {
            if (now - rc_link_conn_of(links, client)->opened_ms <
                (grace > RESUME_OPENING_MS ? grace : RESUME_OPENING_MS)) {
                away_keep(links, client, &kept);
            } else {
                (void)rc_link_tell(links, client, RC_LINK_CLOSED, RC_SPAN("forced close"));
                close_away(links, client);
            }
            continue;
        }
        if (!is_away(links, client)) {
            continue; /* it is gone, or there */
        }
        if ((bond->flags & RC_LINK_BOND_AGAIN) && now - bond->away_ms >= grace) {
            close_away(links,
                       client); /* each process that it came to has ended: it is not given more and more of them */
            continue;
        }
        struct rc_link *link = opened < RESUME_BATCH ? rc_links_choose_for(links, client) : NULL;
        if (link != NULL && link->line != 0) {
            opened++;
            if (open_again(links, link, client)) {
                away_keep(links, client, &kept);
            }
        } else if (opened < RESUME_BATCH && now - bond->away_ms >= grace) {
            close_away(links, client);
        } else {
            away_keep(links, client, &kept);
        }
    }
    for (uint32_t i = 0; i < kept; i++) {
        links->marks[links->away.items[i]] = 0;
    }
    links->due |= opened == RESUME_BATCH;
    links->away.count = kept;
}

/* --- what was held --------------------------------------------------------------------------------------------------- */

/* True: all of it was sent, or its process is gone. */
static bool held_send(struct rc_links *links, uint32_t client)
{
    struct rc_heap *heap = &links->clients->truth->heap;
    struct rc_link_bond *bond = rc_link_bond_of(links, client);
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    struct rc_link *link = conn->id == 0 || bond == NULL ? NULL : rc_link_of(links, client);
    struct rc_chunks_entry entry;
    if (link == NULL || link->detached || (bond->flags & RC_LINK_BOND_OPENING)) {
        return true; /* it is there no more */
    }
    while (rc_chunks_first(heap, &bond->held, &entry)) {
        const struct rc_span frame = entry.bytes;
        if (link->why != NULL || !rc_link_has_room(links, link)) {
            return link->why != NULL;
        }
        const bool sent = rc_link_send(links, link, (enum rc_link_type)frame.bytes[4], 0, conn->id,
                                       rc_span_of(frame.bytes + RC_LINK_HEAD_BYTES, frame.count - RC_LINK_HEAD_BYTES),
                                       (struct rc_span){0});
        if (!sent) {
            return true;
        }
        rc_bond_drop(links, bond);
    }
    conn->holding = false;
    return true;
}

static void holding_look(struct rc_links *links)
{
    uint32_t kept = 0;
    const uint64_t before = links->held_bytes;
    const uint32_t were = links->holding.count;
    for (uint32_t i = 0; i < links->holding.count; i++) {
        const uint32_t client = links->holding.items[i];
        if (!held_send(links, client)) {
            links->holding.items[kept++] = client;
        }
    }
    links->holding.count = kept;
    if (kept < were || links->held_bytes < before) {
        rc_link_conns_wake(links);
    }
}

void rc_resume_resumed(struct rc_links *links, uint32_t client)
{
    struct rc_link_bond *bond = rc_link_bond_of(links, client);
    if (bond == NULL || !(bond->flags & RC_LINK_BOND_OPENING)) {
        return; /* it has said so already, or was not asked */
    }
    bond->flags &= (uint8_t) ~(unsigned)(RC_LINK_BOND_OPENING | RC_LINK_BOND_AGAIN);
    bond->away_ms = 0;
    rc_link_members_leave(links, client, false);
    if (rc_index_list_push(&links->holding, client) < 0) {
        rc_client_failed_memory(links->clients, client);
    }
    links->due = true;
}

void rc_resume_detach(struct rc_links *links, struct rc_link *link, bool hold)
{
    const uint32_t line = link->line;
    if (line == 0) {
        link->detached = true; /* what it has ends with the link */
        return;
    }
    if (hold && rc_truth_link_line(links->clients->truth, line)->draining) {
        return; /* it has said so */
    }
    if (hold) {
        link->detached = true;
        rc_truth_link_line(links->clients->truth, line)->draining = 1;
        for (uint32_t client = link->first; client != 0; client = rc_link_conn_of(links, client)->next) {
            rc_link_conn_of(links, client)->holding = rc_link_conn_of(links, client)->bond != 0;
        }
        return;
    }
    link->detached = true;
    rc_log_info("link_detached", "backend=\"%s\" process=\"%s\" connections=%u", link->table->config.name.text,
                link->ready.process, link->conns);
    rc_link_conns_lost(links, link); /* those of a line are cut off with it */
    rc_line_lost(links, line);
}

/* --- in each pass ---------------------------------------------------------------------------------------------------- */

void rc_resume_work(struct rc_links *links)
{
    if (links->clients->io->parking) {
        return; /* whoever goes on with them finds them as they are */
    }
    lines_look(links);
    if (links->away.count > 0) {
        away_look(links);
    }
    if (links->holding.count > 0) {
        holding_look(links);
    }
    lines_gauge(links);
    rc_link_conns_gauge(links);
    rc_links_rows_gauge(links);
}

uint32_t rc_resume_sleep_ms(const struct rc_links *links, uint32_t wait_ms)
{
    const bool look =
        links->apart > 0 || links->away.count > 0 || links->holding.count > 0 || rc_link_recovery_waits(links);
    return look && wait_ms > RESUME_LOOK_MS ? RESUME_LOOK_MS : wait_ms;
}

void rc_resume_rebuild(struct rc_links *links)
{
    for (uint32_t client = 1; client < links->conn_count && client <= links->clients->hub->clients_high; client++) {
        struct rc_link_conn *conn = rc_link_conn_of(links, client);
        if (conn->id == 0) {
            continue;
        }
        rc_link_rooms_rebuild(links, client);
        const bool waits = (rc_truth_client(links->clients->truth, client)->flags & RC_CLIENT_WAITS_ANSWER) != 0;
        if (waits) {
            rc_link_conn_wait(links, client, &links->unheld);
        }
        if ((conn->full && rc_index_list_push(&links->full, client) < 0) ||
            (conn->holding && rc_index_list_push(&links->holding, client) < 0)) {
            rc_hub_break(links->clients->hub, client);
        }
    }
}
