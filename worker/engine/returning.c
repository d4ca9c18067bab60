/* returning: see returning.h. */
#include "worker/engine/returning.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/records/query.h"
#include "common/text/json_scan.h"
#include "worker/engine/recoverable.h"

#define ANSWER_MS 3000u
#define CONNECTED_MS 2000u /* clients come back before their server knows that they were lost */
#define MISSED_MIN 4096u

struct rc_returning *rc_returning_of(const struct rc_engines *engines, uint32_t client)
{
    return engines->returning == NULL ? NULL : engines->returning[client];
}

/* Is it looked at with every pass? Not while it waits for an answer. */
static void set_due(struct rc_returning *one, bool due)
{
    if (due && !one->due) {
        TAILQ_INSERT_TAIL(&one->engines->returnings_due, one, in_due);
    } else if (!due && one->due) {
        TAILQ_REMOVE(&one->engines->returnings_due, one, in_due);
    }
    one->due = due;
}

static struct rc_span nsp_of(const struct rc_returning *one)
{
    return rc_span_of(one->nsp, one->nsp_bytes);
}

/* --- what it says ------------------------------------------------------------------------------------------------------- */

bool rc_returning_read(struct rc_span auth, struct rc_sio_session_claim *claim, uint8_t offset[UINT8_MAX])
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    uint8_t scratch[UINT8_MAX];
    struct rc_span text;
    bool found = false;
    *claim = (struct rc_sio_session_claim){0};
    int got = auth.count == 0 ? 0 : rc_json_object_begin(&cursor, auth, 0);
    while (got >= 0 && auth.count > 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        if (rc_json_string_is(&name, RC_SPAN("pid"))) {
            found = value.type == RC_JSON_STRING &&
                    rc_json_string_decode(&value, scratch, sizeof(scratch), &text) == 0 && text.count == RC_PID_BYTES;
            if (found) {
                memcpy(claim->pid, text.bytes, RC_PID_BYTES);
            }
        } else if (rc_json_string_is(&name, RC_SPAN("offset"))) {
            if (value.type != RC_JSON_STRING || rc_json_string_decode(&value, scratch, sizeof(scratch), &text) != 0 ||
                text.count == 0) {
                return false; /* as a Node server: an offset that is none is no session */
            }
            memcpy(offset, text.bytes, text.count);
            claim->offset_bytes = (uint8_t)text.count;
        }
    }
    return found && got >= 0;
}

/* --- holding the client ---------------------------------------------------------------------------------------------------- */

/* Nothing leaves towards it until it is let go. */
static void client_hold(struct rc_returning *one)
{
    struct rc_clients *clients = one->engines->clients;
    struct rc_client *client = rc_truth_client(clients->truth, one->client);
    rc_engine_of(one->engines, one->client)->returning = 1;
    client->flags |= RC_CLIENT_WAITS_JOIN;
    one->holds = true;
    clients->hub->returning++;
    rc_client_await_join(clients, one->client);
}

static void client_release(struct rc_returning *one)
{
    struct rc_clients *clients = one->engines->clients;
    struct rc_client *client = rc_truth_client(clients->truth, one->client);
    if (!one->holds) {
        return;
    }
    one->holds = false;
    clients->hub->returning--;
    rc_engine_of(one->engines, one->client)->returning = 0;
    if (client->pending_count == 0) {
        client->flags &= (uint16_t)~RC_CLIENT_WAITS_JOIN;
        rc_hub_touch(clients->hub, one->client);
    }
}

/* How it ended: its CONNECT goes on. */
static void returning_over(struct rc_returning *one, enum rc_returning_state state)
{
    one->state = state;
    set_due(one, false);
    client_release(one);
    rc_client_answered(one->engines->clients, one->client);
}

/* --- asking -------------------------------------------------------------------------------------------------------------------- */

static void returning_answered(const struct rc_ask *ask, enum rc_record_type type, const struct rc_envelope_view *view);

static void returning_unanswered(const struct rc_ask *ask, enum rc_ask_end why)
{
    struct rc_returning *one = ask->context;
    (void)why;
    one->token = 0;
    returning_over(one, RC_RETURNING_FAILED);
}

static const struct rc_asker returning_asker = {.kind = RC_ASK_CLIENT,
                                                .in_ms = ANSWER_MS,
                                                .once = false,
                                                .of_relay = true,
                                                .answered = returning_answered,
                                                .unanswered = returning_unanswered};

/* 0; -EAGAIN: there is no room in the up ring; else too many such questions wait. */
static int returning_ask(struct rc_returning *one, enum rc_query_kind kind)
{
    struct rc_clients *clients = one->engines->clients;
    const struct rc_client_ref origin = rc_client_ref(clients, one->client);
    const struct rc_query_head head = {.kind = (uint8_t)kind};
    const struct rc_span user = rc_client_user(clients, one->client);
    uint8_t question[sizeof(head) + sizeof(one->claim) + 2 * UINT8_MAX];
    char everybody[RC_CHANNEL_NAME_MAX];
    size_t used = 0;
    one->claim.user_bytes = (uint8_t)user.count;
    const struct rc_span parts[] = {rc_span_of(&head, sizeof(head)), rc_span_of(&one->claim, sizeof(one->claim)), user,
                                    rc_span_of(one->offset, one->claim.offset_bytes)};
    for (size_t i = 0; i < RC_ARRAY_COUNT(parts); i++) {
        if (parts[i].count > 0) {
            memcpy(question + used, parts[i].bytes, parts[i].count);
            used += parts[i].count;
        }
    }
    int rc = rc_asks_begin(clients->asks, &returning_asker, one, &origin, (struct rc_span){0}, &one->token);
    if (rc < 0) {
        one->token = 0;
        return rc;
    }
    struct rc_envelope_view view = {.head = {.time_ns = clients->io->now_ns,
                                             .origin = origin,
                                             .token = one->token,
                                             .channel_bytes = (uint8_t)rc_channel_of_room(
                                                 everybody, sizeof(everybody), nsp_of(one), (struct rc_span){0}),
                                             .data_bytes = (uint32_t)used},
                                    .channel = everybody,
                                    .data = question};
    rc = rc_uplink_write(clients->uplink, RC_UP_QUERY, &view);
    if (rc < 0) {
        rc_asks_end(clients->asks, one->token);
        one->token = 0;
    }
    return rc;
}

/* --- answers ---------------------------------------------------------------------------------------------------------------------- */

static void ask_over(struct rc_returning *one)
{
    rc_asks_end(one->engines->clients->asks, one->token);
    one->token = 0;
}

/* There is such a session: its rooms are joined. */
static void session_came(struct rc_returning *one, struct rc_span data)
{
    struct rc_sio_session_head head;
    struct rc_sio_session_parts parts;
    struct rc_span room;
    one->session = data.count > RC_SIO_SESSION_BYTES_MAX ? NULL : malloc(data.count);
    if (one->session == NULL || rc_sio_session_read(data, &head, &parts) < 0) {
        returning_over(one, RC_RETURNING_FAILED);
        return;
    }
    memcpy(one->session, data.bytes, data.count);
    one->session_bytes = data.count;
    rc_returning_session(one, &head, &parts);
    one->state = RC_RETURNING_JOINING;
    set_due(one, true);
    client_hold(one);
    while (rc_sio_session_room_next(&parts.rooms, &room)) {
        rc_client_join(one->engines->clients, one->client, room);
    }
}

static bool missed_add(struct rc_returning *one, struct rc_span entries)
{
    if (one->missed_bytes + entries.count > one->missed_capacity) {
        const size_t capacity = MISSED_MIN + 2 * (one->missed_bytes + entries.count);
        uint8_t *larger = realloc(one->missed, capacity);
        if (larger == NULL) {
            return false;
        }
        one->missed = larger;
        one->missed_capacity = capacity;
    }
    if (entries.count > 0) {
        memcpy(one->missed + one->missed_bytes, entries.bytes, entries.count);
        one->missed_bytes += entries.count;
    }
    return true;
}

static void returning_answered(const struct rc_ask *ask, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_returning *one = ask->context;
    const struct rc_span data = rc_span_of(view->data, view->head.data_bytes);
    struct rc_missed_head head = {0};
    const uint64_t now_ms = one->engines->clients->io->now_ns / 1000000u;
    if (type == RC_DOWN_QUERY && view->head.code == RC_SIO_SESSION_CONNECTED && !one->takes && now_ms < one->until_ms) {
        ask_over(one);
        one->again_ms = now_ms + RC_RETURNING_AGAIN_MS;
        set_due(one, true);
        return;
    }
    if (type != RC_DOWN_QUERY || view->head.code != 0) {
        ask_over(one);
        returning_over(one, RC_RETURNING_FAILED);
        return;
    }
    if (!one->takes) {
        ask_over(one);
        session_came(one, data);
        return;
    }
    const bool whole =
        data.count >= sizeof(head) && missed_add(one, rc_span_of(data.bytes + sizeof(head), data.count - sizeof(head)));
    if (whole) {
        memcpy(&head, data.bytes, sizeof(head));
    }
    if (!whole) {
        ask_over(one);
        returning_over(one, RC_RETURNING_FAILED);
    } else if (head.flags & RC_MISSED_LAST) {
        struct rc_engines *engines = one->engines;
        const uint32_t client = one->client;
        ask_over(one);
        engines->came_back(engines, client, one);
        if (rc_returning_of(engines, client) == one) { /* else it ended for want of memory */
            returning_over(one, RC_RETURNING_CAME);
        }
    }
}

/* --- steps ---------------------------------------------------------------------------------------------------------------------------- */

void rc_returnings_work(struct rc_engines *engines)
{
    struct rc_returning *next;
    struct rc_returning *one = engines->returning == NULL ? NULL : TAILQ_FIRST(&engines->returnings_due);
    for (; one != NULL; one = next) {
        const struct rc_client *client = rc_truth_client(engines->clients->truth, one->client);
        struct rc_sio_session_head head;
        struct rc_sio_session_parts parts;
        next = TAILQ_NEXT(one, in_due);
        if (one->state == RC_RETURNING_ASKED && engines->clients->io->now_ns / 1000000u >= one->again_ms) {
            set_due(one, returning_ask(one, RC_QUERY_SESSION) != 0);
        }
        if (one->state != RC_RETURNING_JOINING || one->takes || client->pending_count > 0) {
            continue;
        }
        const int rc = returning_ask(one, RC_QUERY_MISSED);
        if (rc == 0) {
            one->takes = true;
            set_due(one, false);
            rc_returning_session(one, &head, &parts);
            rc_recoverable_begin(engines, one->client, nsp_of(one),
                                 &head); /* should its client end before it is there */
        } else if (rc != -EAGAIN && rc != -ENOBUFS) {
            returning_over(one, RC_RETURNING_FAILED);
        }
    }
}

void rc_returning_session(const struct rc_returning *one, struct rc_sio_session_head *head,
                          struct rc_sio_session_parts *parts)
{
    const int rc = rc_sio_session_read(rc_span_of(one->session, one->session_bytes), head, parts);
    RC_ASSERT(rc == 0); /* it was read when it came */
}

void rc_returning_write(const struct rc_returning *one)
{
    struct rc_engines *engines = one->engines;
    struct rc_hub *hub = engines->clients->hub;
    struct rc_span rest = rc_span_of(one->missed, one->missed_bytes);
    struct rc_missed_entry entry;
    struct rc_missed_parts parts;
    char offset[RC_OFFSET_BYTES_MAX];
    while (rc_missed_next(&rest, &entry, &parts)) {
        const struct rc_event event = {
            .type = RC_EVENT_MESSAGE,
            .data_kind = (entry.flags & RC_ENVELOPE_ARGS)     ? RC_DATA_ARGS
                         : (entry.flags & RC_ENVELOPE_BINARY) ? RC_DATA_BINARY
                                                              : RC_DATA_JSON,
            .unnamed = hub->unnamed,
            .channel = parts.channel,
            .event = parts.event,
            .data = parts.data,
            .standing = rc_span_of(offset, rc_offset_write(offset, hub->offsets, entry.sequence)),
        };
        if (rc_hub_reply_event(hub, one->client, &event) < 0) {
            rc_client_failed_memory(engines->clients, one->client);
            return;
        }
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------------------------ */

int rc_returnings_open(struct rc_engines *engines)
{
    TAILQ_INIT(&engines->returnings_due);
    if (rc_engine_settings(engines)->recovery_ms == 0) {
        return 0;
    }
    engines->returning = calloc((size_t)engines->clients->truth->clients.count_max + 1, sizeof(struct rc_returning *));
    return engines->returning == NULL ? -ENOMEM : 0;
}

bool rc_returning_begin(struct rc_engines *engines, uint32_t client, struct rc_span nsp, struct rc_span auth,
                        struct rc_span reply, uint32_t backend)
{
    struct rc_sio_session_claim claim;
    uint8_t offset[UINT8_MAX];
    if (engines->returning == NULL || !rc_returning_read(auth, &claim, offset)) {
        return false;
    }
    struct rc_returning *one = calloc(1, sizeof(*one));
    if (one == NULL) {
        return false;
    }
    *one = (struct rc_returning){.engines = engines,
                                 .client = client,
                                 .random = rc_truth_client(engines->clients->truth, client)->random,
                                 .claim = claim,
                                 .until_ms = engines->clients->io->now_ns / 1000000u + CONNECTED_MS,
                                 .nsp_bytes = (uint8_t)nsp.count,
                                 .backend = rc_backend_mark(engines->clients->config, backend)};
    memcpy(one->offset, offset, claim.offset_bytes);
    memcpy(one->nsp, nsp.bytes, nsp.count);
    one->reply = reply.count > 0 ? malloc(reply.count) : NULL;
    if (reply.count > 0 && one->reply == NULL) {
        free(one);
        return false;
    }
    set_due(one, returning_ask(one, RC_QUERY_SESSION) != 0); /* else with the next pass */
    if (reply.count > 0) {
        memcpy(one->reply, reply.bytes, reply.count);
        one->reply_bytes = reply.count;
    }
    engines->returning[client] = one;
    rc_truth_client(engines->clients->truth, client)->flags |= RC_CLIENT_WAITS_ANSWER;
    return true;
}

static void returning_free(struct rc_returning *one)
{
    free(one->session);
    free(one->missed);
    free(one->reply);
    free(one);
}

void rc_returning_end(struct rc_engines *engines, uint32_t client)
{
    struct rc_returning *one = rc_returning_of(engines, client);
    if (one == NULL) {
        return;
    }
    if (one->token != 0) {
        ask_over(one);
    }
    client_release(one);
    set_due(one, false);
    engines->returning[client] = NULL;
    returning_free(one);
}

void rc_returnings_close(struct rc_engines *engines)
{
    for (uint32_t i = 0; engines->returning != NULL && i <= engines->clients->truth->clients.count_max; i++) {
        if (engines->returning[i] != NULL) {
            returning_free(engines->returning[i]);
        }
    }
    free(engines->returning);
    engines->returning = NULL;
}
