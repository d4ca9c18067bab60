/*
 * line: what a worker and a process of the application have said to each other, which outlives the stream that it went over. See links.h.
 *
 * Each end counts the numbered frames of the other one that it has carried out, or handed on, keeps its own ones until the other one has said so
 * (RECEIPT), and sends what is missing again over the next stream. So neither a cut network nor a worker that is replaced or dies is
 * noticed by anybody: nothing is lost, nothing comes twice.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/link/links.h"

#define LINE_TELL_BYTES \
    65536u /* of frames that were carried out: the other end is told, so that it need not keep them */

static struct rc_link_line *line_at(const struct rc_links *links, uint32_t line)
{
    return rc_truth_link_line(links->clients->truth, line);
}

/* --- how it begins, and goes on -------------------------------------------------------------------------------------- */

static uint32_t line_find(const struct rc_links *links, const char *process)
{
    for (uint32_t i = 1; i < links->clients->truth->link_lines.high; i++) {
        if (strcmp(line_at(links, i)->process, process) == 0) {
            return i;
        }
    }
    return 0;
}

static uint32_t line_new(struct rc_links *links, const char *process)
{
    struct rc_truth *truth = links->clients->truth;
    const uint32_t index = rc_pool_alloc(&truth->link_lines);
    if (index == 0) {
        rc_log_limited(RC_LOG_WARN, 1, "link_line_refused",
                       "process=\"%s\" reason=\"there are too many\" effect=\"its connections end with their link\"",
                       process);
        return 0;
    }
    struct rc_link_line *line = line_at(links, index);
    const size_t bytes = strlen(process);
    memcpy(line->process + 1, process + 1, bytes); /* its end, too */
    RC_STORE_ORDER();
    line->process[0] = process[0]; /* it is there from here on */
    links->lines[index] = (struct rc_link_line_own){0};
    return index;
}

static void line_give(struct rc_links *links, uint32_t index)
{
    struct rc_truth *truth = links->clients->truth;
    struct rc_link_line *line = line_at(links, index);
    line->process[0] = '\0';
    RC_STORE_ORDER();
    rc_chunks_clear(&truth->heap, &line->kept);
    rc_pool_free(&truth->link_lines, index);
    links->lines[index] = (struct rc_link_line_own){0};
}

/* Our frames up to that number were handed on. */
static void line_handed(struct rc_links *links, struct rc_link_line *line, uint64_t frames)
{
    while (line->handed < frames) {
        line->handed++;
        RC_STORE_ORDER();
        rc_chunks_drop(&links->clients->truth->heap, &line->kept);
    }
}

/* What it lacks is sent once more; its connections are the link's again. */
static void line_continue(struct rc_links *links, struct rc_link *link, uint32_t index)
{
    const struct rc_heap *heap = &links->clients->truth->heap;
    struct rc_link_line *line = line_at(links, index);
    struct rc_link_line_own *own = &links->lines[index];
    struct rc_chunks_entry entry;
    line_handed(links, line, link->ready.frames);
    link->line = index;
    link->detached = line->draining != 0;
    own->link = (uint32_t)(link - links->links) + 1;
    own->row = rc_link_row(links, link);
    rc_line_told(links, link, RC_LINK_CONTINUES);
    for (bool more = rc_chunks_first(heap, &line->kept, &entry); more; more = rc_chunks_next(heap, &entry)) {
        (void)rc_link_send_again(links, link, entry.bytes);
    }
    rc_link_conns_move(links, link, own, true);
    rc_metric_add(links->clients->metrics, RC_METRIC_LINK_CONTINUED, link->conns);
    rc_link_count(links, link, RC_LINK_NUMBER_CONTINUED, link->conns);
    rc_log_info("link_continued", "backend=\"%s\" process=\"%s\" connections=%u sent_again=%u",
                link->table->config.name.text, link->ready.process, link->conns, line->kept.count);
    rc_link_conns_wake(links);
}

void rc_line_begin(struct rc_links *links, struct rc_link *link)
{
    if (!link->ready.resume || link->table->config.grace_ms == 0) {
        return;
    }
    const uint32_t known = line_find(links, link->ready.process);
    if (known != 0 && links->lines[known].link == 0) {
        const struct rc_link_line *line = line_at(links, known);
        if (link->ready.continues && link->ready.frames >= line->handed &&
            link->ready.frames - line->handed <= line->kept.count) {
            line_continue(links, link, known);
            return;
        }
        rc_line_lost(links, known);
    }
    link->line = line_new(links, link->ready.process);
    if (link->line != 0) {
        links->lines[link->line].link = (uint32_t)(link - links->links) + 1;
        links->lines[link->line].row = rc_link_row(links, link);
    }
    rc_line_told(links, link, 0);
}

/* --- counting -------------------------------------------------------------------------------------------------------- */

/*
 * Counted before it is carried out: of a worker that dies in the middle of it nobody knows how much of it was done, and what comes twice is worse
 * than what does not come. All frames of a packet are one: its first ones are only put together here.
 */
void rc_line_take(struct rc_links *links, struct rc_link *link, const struct rc_link_head *head)
{
    if (link->line == 0 || !rc_link_is_numbered(head->type)) {
        return;
    }
    link->line_untaken++;
    link->line_bytes += RC_LINK_HEAD_BYTES + head->length;
    if ((head->type == RC_LINK_TEXT || head->type == RC_LINK_BINARY) && (head->flags & RC_LINK_MORE)) {
        return;
    }
    line_at(links, link->line)->taken += link->line_untaken;
    RC_STORE_ORDER();
    link->line_untaken = 0;
}

void rc_line_untake(struct rc_links *links, struct rc_link *link)
{
    if (link->line != 0) { /* only broadcasts are tried again, which are no part of a packet */
        line_at(links, link->line)->taken--;
    }
}

/* Not at once: whoever is told wakes up for it. It goes before what is sent next (rc_link_send), or after a while. */
void rc_line_tell(struct rc_links *links, struct rc_link *link)
{
    const uint64_t now = rc_links_now_ms(links);
    if (!rc_line_tells(links, link)) {
        return;
    }
    if (link->line_due_ms == 0) {
        link->line_due_ms = now;
    }
    if (link->line_bytes >= LINE_TELL_BYTES || now - link->line_due_ms >= RC_LINE_TELL_MS) {
        rc_line_told(links, link, 0);
    } else {
        links->telling = true;
    }
}

void rc_line_receipt(struct rc_links *links, struct rc_link *link, struct rc_span payload)
{
    const uint64_t frames = rc_link_u64(payload.bytes);
    struct rc_link_line *line = link->line == 0 ? NULL : line_at(links, link->line);
    if (line == NULL) {
        return; /* it was not asked for, or comes behind DETACH */
    }
    if (frames < line->handed || frames - line->handed > line->kept.count) {
        rc_link_broken(links, link, "a receipt for frames that it was not sent");
        return;
    }
    line_handed(links, line, frames);
}

/* --- how it ends ----------------------------------------------------------------------------------------------------- */

void rc_line_cut(struct rc_links *links, struct rc_link *link)
{
    struct rc_link_line_own *own = &links->lines[link->line];
    RC_ASSERT(own->link == (uint32_t)(link - links->links) + 1);
    *own = (struct rc_link_line_own){.since_ms = rc_links_now_ms(links), .row = own->row};
    rc_link_conns_move(links, link, own, false);
    link->line = 0;
    links->due = true;
}

/* What clients have said in frames that were not handed on is held before what is held already. */
static uint32_t line_give_back(struct rc_links *links, struct rc_link_line *line)
{
    struct rc_heap *heap = &links->clients->truth->heap;
    struct rc_chunks_entry entry;
    uint32_t count = 0;
    while (rc_chunks_first(heap, &line->kept, &entry)) {
        struct rc_link_head head;
        const char *why;
        const int rc = rc_link_head_read(entry.bytes.bytes, RC_LINK_BROKER, UINT32_MAX, &head, &why);
        RC_ASSERT(rc == 0);
        const uint32_t client = (uint32_t)(head.connection & ((1u << RC_LINK_SLOT_BITS) - 1));
        struct rc_link_bond *bond = client > 0 && client < links->conn_count ? rc_link_bond_of(links, client) : NULL;
        if ((head.type == RC_LINK_TEXT || head.type == RC_LINK_BINARY) && bond != NULL && bond->id == head.connection) {
            count += rc_bond_hold_frame(links, bond, entry.bytes);
        }
        line->handed++;
        RC_STORE_ORDER();
        rc_chunks_drop(heap, &line->kept);
    }
    return count;
}

void rc_line_lost(struct rc_links *links, uint32_t index)
{
    struct rc_heap *heap = &links->clients->truth->heap;
    struct rc_link_line *line = line_at(links, index);
    struct rc_link_line_own *own = &links->lines[index];
    uint32_t conns = 0;
    RC_ASSERT(own->link == 0);
    for (uint32_t client = own->first; client != 0; client = rc_link_conn_of(links, client)->next) {
        struct rc_link_bond *bond = rc_link_bond_of(links, client);
        rc_chunks_join(heap, &bond->held, &bond->rest); /* nothing, unless a predecessor died in here */
        rc_chunks_join(heap, &bond->rest, &bond->held);
    }
    const uint32_t again = line_give_back(links, line);
    while (own->first != 0) {
        const uint32_t client = own->first;
        struct rc_link_bond *bond = rc_link_bond_of(links, client);
        rc_chunks_join(heap, &bond->held, &bond->rest);
        if (!(bond->flags & RC_LINK_BOND_AGAIN)) { /* else no process has had it since it was away first */
            bond->away_ms = own->since_ms != 0 ? own->since_ms : rc_links_now_ms(links);
        }
        bond->flags &= (uint8_t) ~(unsigned)RC_LINK_BOND_OPENING;
        rc_link_conn_give(links, client, NULL);
        conns++;
    }
    rc_metric_add(links->clients->metrics, RC_METRIC_LINK_UNREAD, again);
    rc_link_count_row(links, own->row, RC_LINK_NUMBER_LEFT, conns);
    rc_log_info("link_process_gone", "process=\"%s\" connections=%u unread=%u effect=\"they go to the next one\"",
                line->process, conns, again);
    line_give(links, index);
    links->due = true;
}

/* --- a successor ----------------------------------------------------------------------------------------------------- */

void rc_lines_rebuild(struct rc_links *links)
{
    const struct rc_truth *truth = links->clients->truth;
    for (uint32_t i = 1; i < truth->link_lines.high; i++) {
        links->lines[i] = (struct rc_link_line_own){.since_ms = rc_links_now_ms(links)};
    }
    for (uint32_t i = 1; i < truth->link_bonds.high; i++) {
        const struct rc_link_bond *bond = rc_truth_link_bond(truth, i);
        if (bond->client == 0) {
            continue;
        }
        struct rc_link_conn *conn = rc_link_conn_of(links, bond->client);
        RC_ASSERT(conn->id == 0);
        *conn = (struct rc_link_conn){
            .id = bond->id, .link = RC_LINK_NONE, .bond = i, .full = (bond->flags & RC_LINK_BOND_FULL) != 0};
        links->serial = bond->id >> RC_LINK_SLOT_BITS > links->serial ? bond->id >> RC_LINK_SLOT_BITS : links->serial;
        links->held_bytes += bond->held.bytes + bond->rest.bytes;
        conn->holding = bond->line == 0 || (bond->flags & RC_LINK_BOND_OPENING) || bond->held.count > 0 ||
                        line_at(links, bond->line)->draining;
        rc_link_conn_adopt(links, bond->client);
    }
}
