/*
 * recovery: clients that come back after their connection was lost (docs/link.md, "When a client comes back"). See links.h.
 *
 * What is needed for it lies with the relay (common/records/link_kept.h), of all workers: sessions that the application keeps, or that end while
 * no process has them, and what is broadcast with an offset. Where it cannot be told of something it is told that something is missing: then
 * who may have missed it is somebody new. Nothing here waits for the relay but the questions.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/records/link_kept.h"
#include "common/records/query.h"
#include "common/records/recovery.h"
#include "worker/link/links.h"
#include "worker/store/order.h"
#include "worker/uplink/ask.h"

#define RECOVERY_ASK_MS 4000u   /* the application waits for five seconds */
#define RECOVERY_LEAST_MS 1000u /* of them: what is asked later is answered to nobody, and the session would be gone */
#define RECOVERY_AGAIN_MS \
    200u /* a session that nobody knows may be on its way, by another link: it is asked for once more */
#define RECOVERY_QUESTIONS_MAX 8192u /* of all processes: each has its part */
#define RECOVERY_ASKED_MAX 16u       /* of one process: answers may be large; the others wait */
#define RECOVERY_MS 120000u          /* socket.io's own, of a session whose process nobody knows any more */
#define RECOVERY_REPLY_HEAD_BYTES 5u

/* What truth.layout->recovery_hole is. Whoever goes on from another one's memory knows of a hole where it is not WHOLE. */
enum { RECOVERY_WHOLE, RECOVERY_HOLE, RECOVERY_SAYING /* this frame, and nothing before it, may be missing */ };

/* A REQUEST. */
struct rc_link_question {
    TAILQ_ENTRY(rc_link_question) in;
    struct rc_links *links;
    uint64_t token; /* of the ask; 0: it is still to be made */
    uint64_t due_ms;
    uint64_t again_ms; /* it is asked once more, and not before that; 0: it was not asked yet */
    uint64_t process;  /* who asks */
    uint8_t *reply;    /* owned: REPLY's payload, as far as it has come */
    size_t count;
    uint8_t nsp_bytes;
    uint8_t pid_bytes;
    uint8_t offset_bytes;
    uint8_t question[4];
    uint8_t text[RC_LINK_NSP_MAX + 2 * RC_LINK_SID_MAX]; /* nsp, pid, offset */
};

/* --- what the relay is told ------------------------------------------------------------------------------------------ */

static int kept_write(struct rc_links *links, enum rc_link_kept what, struct rc_span nsp, struct rc_span offset,
                      uint64_t process, struct rc_span data)
{
    struct rc_envelope_view view = {.head = {.time_ns = links->clients->io->now_ns,
                                             .token = process,
                                             .code = (uint16_t)what,
                                             .channel_bytes = (uint8_t)nsp.count,
                                             .event_bytes = (uint8_t)offset.count,
                                             .data_bytes = (uint32_t)data.count},
                                    .channel = (const char *)nsp.bytes,
                                    .event = (const char *)offset.bytes,
                                    .data = data.bytes};
    return rc_uplink_write_beside(links->clients->uplink, RC_UP_LINK,
                                  &view); /* clients wait for no process that floods */
}

/* What could not be told stands in the way of all, from the next moment on when that can be told. */
static bool hole_told(struct rc_links *links)
{
    uint32_t *hole = &links->clients->truth->layout->recovery_hole;
    if (*hole != RECOVERY_WHOLE) {
        const struct rc_span none = {0};
        *hole = kept_write(links, RC_LINK_KEPT_LOST, none, none, 0, none) < 0 ? RECOVERY_HOLE : RECOVERY_WHOLE;
    }
    return *hole == RECOVERY_WHOLE;
}

/* Is a BROADCAST with these flags told, if it has an offset? */
static bool is_said(uint8_t flags)
{
    return (flags & RC_LINK_PRIMARY) != 0 && (flags & RC_LINK_VOLATILE) == 0;
}

void rc_link_recovery_counts(struct rc_links *links, uint8_t flags)
{
    uint32_t *hole = &links->clients->truth->layout->recovery_hole;
    if (is_said(flags) && *hole == RECOVERY_WHOLE) {
        *hole = RECOVERY_SAYING;
        RC_STORE_ORDER();
    }
}

void rc_link_recovery_said(struct rc_links *links, const struct rc_link *link, uint8_t flags, struct rc_span payload)
{
    struct rc_link_reader reader = rc_link_reader_of(payload);
    const struct rc_span nsp = rc_link_read_text(&reader);
    const uint8_t *lists = reader.at;
    (void)rc_link_skip_list(&reader);
    (void)rc_link_skip_list(&reader);
    const size_t lists_bytes = (size_t)(reader.at - lists);
    const struct rc_span offset = rc_link_read_text(&reader);
    const struct rc_span messages = rc_link_read_rest(&reader);
    uint32_t *hole = &links->clients->truth->layout->recovery_hole;
    const bool counted = *hole == RECOVERY_SAYING;
    if (!is_said(flags)) {
        return;
    }
    if (offset.count == 0) {
        *hole = counted ? RECOVERY_WHOLE : *hole;
        return;
    }
    const uint64_t process = (flags & RC_LINK_LOCAL) ? rc_link_process(link) : 0;
    uint8_t *data = malloc(lists_bytes + messages.count);
    int rc = data == NULL || (!counted && !hole_told(links)) ? -EAGAIN : 0;
    *hole = RECOVERY_HOLE; /* until the relay has been told, whoever goes on from here */
    RC_STORE_ORDER();
    if (rc == 0) {
        memcpy(data, lists, lists_bytes);
        memcpy(data + lists_bytes, messages.bytes, messages.count);
        rc = kept_write(links, RC_LINK_KEPT_SAID, nsp, offset, process, rc_span_of(data, lists_bytes + messages.count));
        rc = rc == -EMSGSIZE ? kept_write(links, RC_LINK_KEPT_LOST, nsp, offset, process, rc_span_of(data, lists_bytes))
                             : rc;
    }
    if (rc < 0) {
        rc_metric_add(links->clients->metrics, RC_METRIC_LINK_UNLOGGED, 1);
    } else {
        RC_STORE_ORDER();
        *hole = RECOVERY_WHOLE;
    }
    free(data);
}

/* --- sessions that end ----------------------------------------------------------------------------------------------- */

static void session_keep(struct rc_links *links, uint64_t process, uint64_t ms, struct rc_span nsp, struct rc_span sid,
                         struct rc_span pid, const struct rc_span *rest, size_t rest_count)
{
    const struct rc_link_kept_session head = {
        .ms = ms, .process = process, .sid_bytes = (uint8_t)sid.count, .pid_bytes = (uint8_t)pid.count};
    struct rc_text text = {0};
    if (pid.count == 0 || ms == 0) {
        return; /* it cannot come back */
    }
    rc_text_put_bytes(&text, &head, sizeof(head));
    rc_text_put_bytes(&text, sid.bytes, sid.count);
    rc_text_put_bytes(&text, pid.bytes, pid.count);
    for (size_t i = 0; i < rest_count; i++) {
        rc_text_put_bytes(&text, rest[i].bytes, rest[i].count);
    }
    const bool fits = !text.failed && text.count <= RC_SIO_SESSION_BYTES_MAX;
    if (!fits ||
        kept_write(links, RC_LINK_KEPT_SESSION, nsp, (struct rc_span){0}, 0, rc_span_of(text.bytes, text.count)) < 0) {
        rc_metric_add(links->clients->metrics, RC_METRIC_LINK_SESSIONS_LOST, 1);
        rc_log_limited(RC_LOG_WARN, 1, "link_session_not_kept", "bytes=%llu reason=\"%s\" effect=\"%s\"",
                       (unsigned long long)text.count, fits ? "no room in the ring" : "more than 60 KiB",
                       "its client comes back as somebody new");
    }
    rc_text_free(&text);
}

void rc_link_recovery_keep(struct rc_links *links, const struct rc_link *link, struct rc_span payload)
{
    struct rc_link_reader reader = rc_link_reader_of(payload);
    const struct rc_span nsp = rc_link_read_text(&reader);
    const struct rc_span sid = rc_link_read_text(&reader);
    const struct rc_span pid = rc_link_read_text(&reader);
    (void)rc_link_read_bytes(&reader); /* what it has said when it came: who comes again says it again */
    const struct rc_span rest = rc_link_read_rest(&reader);
    session_keep(links, rc_link_process(link), link->ready.recovery_ms, nsp, sid, pid, &rest, 1);
}

void rc_link_recovery_gone(struct rc_links *links, uint32_t client)
{
    const struct rc_truth *truth = links->clients->truth;
    const uint64_t ms = links->recovery_ms != 0 ? links->recovery_ms : RECOVERY_MS;
    const struct rc_link_bond *bond = rc_link_bond_of(links, client);
    const bool opening = bond != NULL && (bond->flags & RC_LINK_BOND_OPENING) != 0;
    if (rc_link_of(links, client) != NULL && !opening) {
        return; /* its process is told, and says whether it may come back; of whom it has not said RESUMED it knows nothing */
    }
    for (uint32_t i = links->conns[client].member; i != 0; i = rc_truth_link_member(truth, i)->next) {
        const struct rc_link_member *member = rc_truth_link_member(truth, i);
        const struct rc_link_session *session = member->session == 0 ? NULL : rc_heap_at(&truth->heap, member->session);
        struct rc_text rooms = {0};
        uint8_t bytes[4];
        if (session == NULL) {
            continue;
        }
        const uint8_t *at = (const uint8_t *)(session + 1);
        rc_link_put_u32(bytes, session->data_bytes);
        rc_link_member_rooms(links, client, member, &rooms);
        if (!rooms.failed) {
            const struct rc_span rest[] = {
                rc_span_of(bytes, sizeof(bytes)),
                rc_span_of(at + session->pid_bytes + session->auth_bytes, session->data_bytes),
                rc_span_of(rooms.bytes, rooms.count)};
            session_keep(links, 0, ms, rc_link_member_nsp(links, member), rc_link_member_sid(links, member),
                         rc_span_of(at, session->pid_bytes), rest, RC_ARRAY_COUNT(rest));
        }
        rc_text_free(&rooms);
    }
}

/* --- questions ------------------------------------------------------------------------------------------------------- */

static void question_free(struct rc_link_question *one)
{
    TAILQ_REMOVE(&one->links->questions, one, in);
    one->links->question_count--;
    free(one->reply);
    free(one);
}

/* The link that it has now; NULL: none. */
static struct rc_link *link_of_process(struct rc_links *links, uint64_t process)
{
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
        struct rc_link *link = &links->links[i];
        if (link->state == RC_LINK_IS_READY && rc_link_process(link) == process) {
            return link;
        }
    }
    return NULL;
}

/* What it says is told; or, with nothing of it, that there is no such session. */
static void question_over(struct rc_link_question *one, bool found)
{
    struct rc_links *links = one->links;
    struct rc_link *link = link_of_process(links, one->process);
    struct rc_link_head head = {.type = RC_LINK_REPLY, .length = (uint32_t)one->count};
    const char *why;
    uint8_t nothing[RECOVERY_REPLY_HEAD_BYTES] = {0};
    struct rc_span payload = rc_span_of(nothing, sizeof(nothing));
    memcpy(nothing, one->question, sizeof(one->question));
    if (link == NULL || (!found && !rc_link_has_room(links, link))) {
        question_free(one); /* nobody waits for it; or who asks does not read: no answer is the same one */
        return;
    }
    if (found && one->count <= link->table->config.max_frame_bytes &&
        rc_link_frame_check(&head, RC_LINK_BROKER, rc_span_of(one->reply, one->count), &why) == 0) {
        payload = rc_span_of(one->reply, one->count);
    }
    (void)rc_link_send(links, link, RC_LINK_REPLY, 0, 0, payload, (struct rc_span){0});
    question_free(one);
}

/*
 * Who has lost a connection may be back before its process was told: CLOSED goes by the link of one worker, the new connection by another one's, or
 * to another process; and so may REQUEST come before KEEP.
 */
static bool question_may_come(const struct rc_link_question *one, enum rc_record_type type,
                              const struct rc_envelope_view *view)
{
    return type == RC_DOWN_QUERY && view->head.code == RC_SIO_SESSION_UNKNOWN && one->again_ms == 0;
}

static void question_answered(const struct rc_ask *ask, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_link_question *one = ask->context;
    struct rc_asks *asks = one->links->clients->asks;
    if (question_may_come(one, type, view)) {
        rc_asks_end(asks, one->token);
        one->token = 0;
        one->again_ms = rc_links_now_ms(one->links) + RECOVERY_AGAIN_MS;
        return;
    }
    struct rc_missed_head head;
    const struct rc_span data = rc_span_of(view->data, view->head.data_bytes);
    const bool good = type == RC_DOWN_QUERY && view->head.code == 0 && data.count >= sizeof(head) &&
                      one->count + data.count <= RC_LINK_REPLY_MAX;
    const size_t before = one->count == 0 ? RECOVERY_REPLY_HEAD_BYTES : one->count;
    uint8_t *larger = good ? realloc(one->reply, before + data.count) : NULL;
    if (larger == NULL) {
        rc_asks_end(asks, one->token);
        question_over(one, false);
        return;
    }
    if (one->count == 0) {
        memcpy(larger, one->question, sizeof(one->question));
        larger[sizeof(one->question)] = 1;
    }
    memcpy(&head, data.bytes, sizeof(head));
    memcpy(larger + before, data.bytes + sizeof(head), data.count - sizeof(head));
    one->reply = larger;
    one->count = before + data.count - sizeof(head);
    if (head.flags & RC_MISSED_LAST) {
        rc_asks_end(asks, one->token);
        question_over(one, true);
    }
}

static void question_unanswered(const struct rc_ask *ask, enum rc_ask_end why)
{
    (void)why;
    question_over(ask->context, false);
}

static const struct rc_asker question_asker = {.kind = RC_ASK_LINK,
                                               .in_ms = RECOVERY_ASK_MS,
                                               .once = false,
                                               .of_relay = true,
                                               .answered = question_answered,
                                               .unanswered = question_unanswered};

/* False: there is no room now. */
static bool question_ask(struct rc_link_question *one)
{
    struct rc_clients *clients = one->links->clients;
    const struct rc_query_head head = {.kind = RC_QUERY_LINK, .limit = one->again_ms == 0 ? RC_QUERY_NOT_LAST : 0};
    uint8_t data[sizeof(head) + 2 + 2 * RC_LINK_SID_MAX];
    size_t used = sizeof(head);
    if (rc_asks_begin(clients->asks, &question_asker, one, NULL, (struct rc_span){0}, &one->token) < 0) {
        one->token = 0;
        return false;
    }
    memcpy(data, &head, sizeof(head));
    data[used++] = one->pid_bytes;
    memcpy(data + used, one->text + one->nsp_bytes, one->pid_bytes);
    used += one->pid_bytes;
    data[used++] = one->offset_bytes;
    memcpy(data + used, one->text + one->nsp_bytes + one->pid_bytes, one->offset_bytes);
    used += one->offset_bytes;
    struct rc_envelope_view view = {.head = {.time_ns = clients->io->now_ns,
                                             .token = one->token,
                                             .origin = {.random = one->token, .worker = (uint16_t)clients->worker},
                                             .channel_bytes = one->nsp_bytes,
                                             .data_bytes = (uint32_t)used},
                                    .channel = (const char *)one->text,
                                    .data = data};
    if (rc_uplink_write(clients->uplink, RC_UP_QUERY, &view) < 0) {
        rc_asks_end(clients->asks, one->token);
        one->token = 0;
        return false;
    }
    return true;
}

/* May the process have another one? The others are to have theirs. */
static bool question_allowed(const struct rc_links *links, const struct rc_link *link)
{
    const uint32_t part = RECOVERY_QUESTIONS_MAX / (links->ready > 0 ? links->ready : 1);
    const uint64_t process = rc_link_process(link);
    const struct rc_link_question *one = NULL;
    uint32_t count = 0;
    if (links->question_count < part) {
        return true;
    }
    TAILQ_FOREACH(one, &links->questions, in)
    {
        count += one->process == process;
    }
    return count < part;
}

void rc_link_recovery_asked(struct rc_links *links, const struct rc_link *link, struct rc_span payload)
{
    struct rc_link_reader reader = rc_link_reader_of(payload);
    struct rc_link_question *one = calloc(1, sizeof(*one));
    if (one == NULL) {
        return; /* it gives up after a while */
    }
    *one = (struct rc_link_question){
        .links = links, .process = rc_link_process(link), .due_ms = rc_links_now_ms(links) + RECOVERY_ASK_MS};
    rc_link_put_u32(one->question, rc_link_read_u32(&reader));
    const struct rc_span nsp = rc_link_read_text(&reader);
    const struct rc_span pid = rc_link_read_text(&reader);
    const struct rc_span offset = rc_link_read_text(&reader);
    one->nsp_bytes = (uint8_t)nsp.count;
    one->pid_bytes = (uint8_t)pid.count;
    one->offset_bytes = (uint8_t)offset.count;
    const bool refused = pid.count == 0 || offset.count == 0 || !question_allowed(links, link);
    uint8_t *out = one->text;
    const struct rc_span parts[] = {nsp, pid, offset};
    for (size_t i = 0; i < RC_ARRAY_COUNT(parts); i++) {
        if (parts[i].count > 0) {
            memcpy(out, parts[i].bytes, parts[i].count);
            out += parts[i].count;
        }
    }
    TAILQ_INSERT_TAIL(&links->questions, one, in);
    links->question_count++;
    if (refused) {
        question_over(one, false);
        return;
    }
    /* Asked in this pass, or in one of the next: rc_link_recovery_work. */
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

/* How many questions of each process may be asked now. */
struct askers {
    uint64_t processes[RC_LINKS_MAX];
    uint32_t left[RC_LINKS_MAX];
    uint32_t count;
};

static uint32_t *asker_left(struct askers *askers, uint64_t process)
{
    for (uint32_t i = 0; i < askers->count; i++) {
        if (askers->processes[i] == process) {
            return &askers->left[i];
        }
    }
    return NULL;
}

/* None of a process that is not there, or does not take what it is sent. */
static void askers_look(const struct rc_links *links, struct askers *askers)
{
    const struct rc_link_question *one = NULL;
    askers->count = 0;
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
        const struct rc_link *link = &links->links[i];
        if (link->state == RC_LINK_IS_READY && link->why == NULL && rc_link_has_room(links, link)) {
            askers->processes[askers->count] = rc_link_process(link);
            askers->left[askers->count++] = RECOVERY_ASKED_MAX;
        }
    }
    TAILQ_FOREACH(one, &links->questions, in)
    {
        uint32_t *left = one->token == 0 ? NULL : asker_left(askers, one->process);
        if (left != NULL && *left > 0) {
            (*left)--;
        }
    }
}

void rc_link_recovery_work(struct rc_links *links)
{
    const uint64_t now_ms = rc_links_now_ms(links);
    struct rc_link_question *next;
    struct askers askers;
    bool room = true;
    (void)hole_told(links);
    if (TAILQ_EMPTY(&links->questions)) {
        return;
    }
    askers_look(links, &askers);
    for (struct rc_link_question *one = TAILQ_FIRST(&links->questions); one != NULL; one = next) {
        next = TAILQ_NEXT(one, in);
        if (one->token != 0 || one->again_ms > now_ms) {
            continue;
        }
        uint32_t *left = room ? asker_left(&askers, one->process) : NULL;
        if (now_ms + RECOVERY_LEAST_MS > one->due_ms) {
            question_over(one, false);
        } else if (left != NULL && *left > 0) {
            room = question_ask(one);
            *left -= room ? 1u : 0u;
        }
    }
}

bool rc_link_recovery_waits(const struct rc_links *links)
{
    return links->clients->truth->layout->recovery_hole != RECOVERY_WHOLE || links->question_count > 0;
}

void rc_link_recovery_close(struct rc_links *links)
{
    while (!TAILQ_EMPTY(&links->questions)) {
        question_free(TAILQ_FIRST(&links->questions));
    }
}
