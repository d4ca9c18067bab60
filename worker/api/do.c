/*
 * api_do: POST /api/do: the operations of docs/hook.md for clients by id, user or room, and emits to rooms. See api.h.
 *
 *   operations in their order ─▶ a run of those for the clients: RC_CALL_DO to workers and instances, their replies ─▶ the next
 *                             ─▶ a retain, or an emit with `to`: sent from here, once, when what is before it is done ─▶ the next
 */
#include "worker/api/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/socketio.h"
#include "common/records/sid.h"
#include "worker/backend/reply.h"

#define DO_TARGETS_MAX 64u
#define DO_STAGE_AT 8u /* in a tag's item: the operation at which its run began, and the target */

enum do_kind { DO_CLIENT, DO_USER, DO_ROOM };

/* One of those whom it is for. Texts lie in the call's arena or body. */
struct do_target {
    enum do_kind kind;
    struct rc_span text;
    struct rc_client_ref client; /* random 0: by `foreign`, user or channel */
    struct rc_span foreign;      /* id of another instance's client */
    uint32_t channel_bytes;      /* of a room, or a socket's id as one */
    char channel[RC_CHANNEL_NAME_MAX];
    bool unknown; /* there can be no such client */
    /* of the run that is asked now */
    bool asked_known;
    bool others_done;
    bool settled;
    struct rc_call_asked asked;
    struct rc_call_asked replied;
    uint32_t count;
    /* of all */
    uint32_t connections;
    bool partly;
};

struct rc_api_do {
    struct rc_reply reply;
    struct rc_span nsp;
    struct rc_span backend;
    uint32_t next;  /* operation */
    uint32_t rooms; /* of an emit that waits for room */
    uint32_t end;   /* of the run that is asked */
    uint32_t emitted;
    uint32_t retained;
    bool waits; /* for replies */
    uint32_t target_count;
    struct do_target targets[DO_TARGETS_MAX];
};

static bool do_posts(const struct rc_reply_operation *operation)
{
    return operation->type == RC_REPLY_RETAIN ||
           (operation->type == RC_REPLY_EMIT && operation->to.type != RC_JSON_NONE);
}

/* --- whom it is for -------------------------------------------------------------------------------------------------- */

static int target_room(struct rc_api_call *call, struct do_target *target, struct rc_span room,
                       struct rc_api_fault *fault)
{
    if (rc_span_equal(room, RC_SPAN("*"))) { /* everybody in the namespace */
        room = (struct rc_span){0};
    }
    target->channel_bytes =
        (uint32_t)rc_channel_of_room(target->channel, sizeof(target->channel), call->does->nsp, room);
    return target->channel_bytes > 0 ? 0 : rc_api_fault(fault, 400, "a room's name is too long");
}

static int target_client(struct rc_api_call *call, struct do_target *target, struct rc_api_fault *fault)
{
    const struct rc_control *control = call->api->clients->control;
    struct rc_sid sid;
    switch (rc_client_id_read((const char *)target->text.bytes, target->text.count, control->instance_id,
                              control->boot_nonce, &target->client)) {
    case RC_CLIENT_ID_LOCAL:
        return 0;
    case RC_CLIENT_ID_FOREIGN:
        target->unknown = call->api->clients->config->redis.url.text[0] == '\0';
        target->client = (struct rc_client_ref){.random = 1, .worker = RC_WORKER_FOREIGN};
        target->foreign = target->text;
        return 0;
    case RC_CLIENT_ID_STALE:
    case RC_CLIENT_ID_INVALID:
        break;
    }
    target->client = (struct rc_client_ref){0};
    if (rc_sid_read(&sid, target->text)) { /* a socket's id: a room of one, wherever it is */
        return target_room(call, target, target->text, fault);
    }
    target->unknown = true;
    return 0;
}

static int target_add(struct rc_api_call *call, enum do_kind kind, const struct rc_json_value *value,
                      struct rc_api_fault *fault)
{
    static const char *const names[] = {"client", "user", "room"};
    static const size_t most[] = {RC_CLIENT_ID_BYTES_MAX, RC_CHANNEL_NAME_MAX - RC_USER_CHANNEL_HEAD_BYTES,
                                  RC_CHANNEL_NAME_MAX};
    struct rc_api_do *does = call->does;
    uint64_t number;
    if (does->target_count == DO_TARGETS_MAX) {
        return rc_api_fault(fault, 413, "more than %u clients, users and rooms", DO_TARGETS_MAX);
    }
    struct do_target *target = &does->targets[does->target_count++];
    *target = (struct do_target){.kind = kind};
    if (kind == DO_USER && value->type == RC_JSON_NUMBER && rc_json_uint64(value, &number) == 0) {
        target->text = value->raw;
        return 0;
    }
    if (rc_api_string(call, value, names[kind], most[kind], &target->text, fault) < 0) {
        return -EINVAL;
    }
    return kind == DO_CLIENT ? target_client(call, target, fault)
           : kind == DO_ROOM ? target_room(call, target, target->text, fault)
                             : 0;
}

/* One, or a list of them. */
static int targets_add(struct rc_api_call *call, enum do_kind kind, const struct rc_json_value *value,
                       struct rc_api_fault *fault)
{
    struct rc_json_cursor cursor;
    struct rc_json_value one;
    if (value->type == RC_JSON_NONE) {
        return 0;
    }
    if (value->type != RC_JSON_ARRAY) {
        return target_add(call, kind, value, fault);
    }
    int rc = rc_json_array_begin(&cursor, value->raw, 0);
    while (rc >= 0 && (rc = rc_json_array_next(&cursor, &one)) == 1) {
        rc = target_add(call, kind, &one, fault);
    }
    return rc;
}

/* --- what is to be done ---------------------------------------------------------------------------------------------- */

static int operations_check(const struct rc_api_call *call, struct rc_api_fault *fault)
{
    const struct rc_api_do *does = call->does;
    for (uint32_t i = 0; i < does->reply.count; i++) {
        const struct rc_reply_operation *operation = &does->reply.operations[i];
        if (operation->type == RC_REPLY_ACK) {
            return rc_api_fault(fault, 400, "ack answers an event: here is none");
        }
        if (operation->type == RC_REPLY_EMIT && operation->others) {
            return rc_api_fault(fault, 400, "others: nobody has sent an event here; say whom in except");
        }
        if (operation->type == RC_REPLY_EMIT && operation->ack.type != RC_JSON_NONE && does->backend.count == 0) {
            return rc_api_fault(fault, 400, "ack of an emit needs backend: the name of the [[backend]] that is told");
        }
        if (!do_posts(operation) && does->target_count == 0) {
            return rc_api_fault(fault, 400, "for whom? name a client, a user or a room, or `to` of each emit");
        }
    }
    return does->reply.count > 0 ? 0 : rc_api_fault(fault, 400, "there is nothing to be done in it");
}

static int do_read(struct rc_api_call *call, struct rc_api_fault *fault)
{
    struct rc_api_do *does = call->does;
    const struct rc_config *config = call->api->clients->config;
    struct rc_reply_aim aim;
    struct rc_err err;
    if (rc_reply_read_aimed(&does->reply, &aim, rc_span_of(call->exchange->bytes, call->exchange->byte_count), &err) <
        0) {
        return rc_api_fault(fault, 400, "%s", err.text);
    }
    does->nsp = RC_SPAN("/");
    if (aim.nsp.type != RC_JSON_NONE && rc_api_string(call, &aim.nsp, "nsp", RC_NSP_MAX, &does->nsp, fault) < 0) {
        return -EINVAL;
    }
    if (!rc_config_nsp_valid(does->nsp)) {
        return rc_api_fault(fault, 400, "nsp is no namespace");
    }
    if (aim.backend.type != RC_JSON_NONE &&
        (rc_api_string(call, &aim.backend, "backend", 64, &does->backend, fault) < 0 ||
         rc_backend_find(config, does->backend) < 0)) {
        return rc_api_fault(fault, 400, "backend is not the name of a [[backend]]");
    }
    if (does->backend.count == 0 && config->backend_count == 1) {
        does->backend = rc_span_text(config->backends[0].name.text);
    }
    if (targets_add(call, DO_CLIENT, &aim.client, fault) < 0 || targets_add(call, DO_USER, &aim.user, fault) < 0 ||
        targets_add(call, DO_ROOM, &aim.room, fault) < 0) {
        return -EINVAL;
    }
    return operations_check(call, fault);
}

/* --- asking ---------------------------------------------------------------------------------------------------------- */

static int target_ask(struct rc_api_call *call, uint32_t index, struct rc_api_fault *fault)
{
    struct rc_api_do *does = call->does;
    struct do_target *target = &does->targets[index];
    const struct rc_clients *clients = call->api->clients;
    const struct rc_span user = target->kind == DO_USER ? target->text : rc_span_of(NULL, 0);
    const struct rc_call_head head = {.operation = RC_CALL_DO,
                                      .user_bytes = (uint8_t)user.count,
                                      .text_bytes = (uint8_t)does->nsp.count,
                                      .client_bytes = (uint8_t)target->foreign.count,
                                      .close_code = (uint16_t)does->next,
                                      .limit = (uint16_t)(does->end - does->next)};
    const struct rc_span parts[] = {rc_span_of(&head, sizeof(head)), user, does->nsp, target->foreign,
                                    rc_span_of(call->exchange->bytes, call->exchange->byte_count)};
    const struct rc_call_tag tag = rc_api_tag(call, does->next << DO_STAGE_AT | index);
    size_t bytes = 0;
    for (size_t i = 0; i < RC_ARRAY_COUNT(parts); i++) {
        bytes += parts[i].count;
    }
    uint8_t *data = malloc(bytes);
    if (data == NULL) {
        return rc_api_fault(fault, 503, "no memory for this call: try again");
    }
    bytes = 0;
    for (size_t i = 0; i < RC_ARRAY_COUNT(parts); i++) {
        if (parts[i].count > 0) {
            memcpy(data + bytes, parts[i].bytes, parts[i].count);
            bytes += parts[i].count;
        }
    }
    struct rc_envelope_view view = {.head = {.time_ns = clients->io->now_ns,
                                             .origin = {.worker = (uint16_t)clients->worker},
                                             .target = target->client,
                                             .flags = RC_ENVELOPE_API,
                                             .data_bytes = (uint32_t)bytes,
                                             .channel_bytes = (uint8_t)target->channel_bytes,
                                             .request_id_bytes = sizeof(tag)},
                                    .channel = target->channel,
                                    .request_id = (const uint8_t *)&tag,
                                    .data = data};
    const int rc = rc_api_pass_on(call, RC_UP_CALL, &view, fault);
    free(data);
    return rc;
}

/* The operations from does->next up to the next emit with `to`, for all that it is for. */
static int run_ask(struct rc_api_call *call, struct rc_api_fault *fault)
{
    struct rc_api_do *does = call->does;
    does->end = does->next;
    while (does->end < does->reply.count && !do_posts(&does->reply.operations[does->end])) {
        does->end++;
    }
    does->waits = true;
    for (uint32_t i = 0; i < does->target_count; i++) {
        struct do_target *target = &does->targets[i];
        target->asked_known = target->others_done = false;
        target->settled = target->unknown;
        target->asked = target->replied = (struct rc_call_asked){0};
        target->count = 0;
        if (!target->unknown && target_ask(call, i, fault) < 0) {
            return -EINVAL;
        }
    }
    return 0;
}

/* --- the answer ------------------------------------------------------------------------------------------------------ */

static void do_finish(struct rc_api_call *call)
{
    static const char *const names[] = {"client", "user", "room"};
    const struct rc_api_do *does = call->does;
    struct rc_text text = {0};
    rc_text_put(&text, "{\"targets\":[");
    for (uint32_t i = 0; i < does->target_count; i++) {
        const struct do_target *target = &does->targets[i];
        rc_text_put(&text, "%s{\"%s\":", i == 0 ? "" : ",", names[target->kind]);
        rc_text_put_json(&text, target->text);
        rc_text_put(&text, ",\"connections\":%u%s}", target->connections, target->partly ? ",\"partly\":true" : "");
    }
    rc_text_put(&text, "],\"emitted\":%u,\"retained\":%u%s%s}\n", does->emitted, does->retained,
                call->local ? ",\"scope\":\"local\"" : "", call->incomplete ? ",\"incomplete\":true" : "");
    rc_api_finish(call, &text);
}

/* A single client that is not there: nothing else is done either. */
static bool do_not_found(const struct rc_api_do *does)
{
    return does->target_count == 1 && does->targets[0].kind == DO_CLIENT && does->targets[0].connections == 0 &&
           !does->targets[0].partly;
}

static void do_done(struct rc_api_call *call);

static void do_go_on(struct rc_api_call *call)
{
    struct rc_api_do *does = call->does;
    struct rc_clients *clients = call->api->clients;
    struct rc_api_fault fault;
    while (does->next < does->reply.count) {
        const struct rc_reply_operation *operation = &does->reply.operations[does->next];
        if (!do_posts(operation)) {
            if (run_ask(call, &fault) < 0) {
                rc_api_fail(call, &fault);
                return;
            }
            call->state = RC_API_WAITING;
            do_done(call); /* nobody may have been asked */
            return;
        }
        if (!clients->engine.post(clients->engine.context, operation, does->nsp, does->backend, &does->rooms)) {
            rc_waiters_add(&clients->uplink->waiters, call->exchange->connection);
            call->state = RC_API_SENDING;
            return;
        }
        call->sent = 1; /* a part of it is done: no answer in time does not mean that nothing was */
        does->rooms = 0;
        does->emitted += operation->type == RC_REPLY_EMIT;
        does->retained += operation->type == RC_REPLY_RETAIN;
        does->next++;
    }
    do_finish(call);
}

/* Is the run over with? Then what is behind it is done. */
static void do_done(struct rc_api_call *call)
{
    struct rc_api_do *does = call->does;
    for (uint32_t i = 0; i < does->target_count; i++) {
        if (!does->targets[i].settled) {
            return;
        }
    }
    does->waits = false;
    does->next = does->end;
    if (do_not_found(does)) {
        rc_api_absent(call);
        return;
    }
    do_go_on(call);
}

int rc_api_do(struct rc_api_call *call, struct rc_api_fault *fault)
{
    if (call->exchange->byte_count == 0) {
        return rc_api_fault(fault, 400, "there is no body: send a JSON object");
    }
    call->does = calloc(1, sizeof(*call->does));
    if (call->does == NULL) {
        return rc_api_fault(fault, 503, "no memory for this call: try again");
    }
    if (rc_api_arena(call, fault) < 0 || do_read(call, fault) < 0 || rc_api_ask(call, fault) < 0) {
        return -EINVAL;
    }
    do_go_on(call);
    return 0;
}

void rc_api_do_room(struct rc_api_call *call)
{
    do_go_on(call);
}

/* --- what comes ------------------------------------------------------------------------------------------------------ */

static void target_settle(struct rc_api_call *call, struct do_target *target)
{
    if (!target->asked_known || (target->asked.scope == RC_CALL_SCOPE_ALL && !target->others_done) ||
        (target->asked.bits[0] & ~target->replied.bits[0]) != 0 ||
        (target->asked.bits[1] & ~target->replied.bits[1]) != 0) {
        return;
    }
    target->settled = true;
    target->connections = target->count > target->connections ? target->count : target->connections;
    do_done(call);
}

static void target_replied(struct rc_api_call *call, struct do_target *target, const struct rc_envelope_view *view)
{
    const uint32_t worker = view->head.origin.worker;
    struct rc_reply_head head;
    memcpy(&head, view->data, sizeof(head));
    if (worker == RC_WORKER_FOREIGN) {
        target->others_done |= (head.flags & RC_REPLY_LAST) != 0;
        call->local |= (head.flags & RC_REPLY_LOCAL) != 0;
        call->incomplete |= (head.flags & RC_REPLY_INCOMPLETE) != 0;
    } else if (worker >= call->api->clients->control->worker_count ||
               (target->replied.bits[worker / 64] >> (worker % 64) & 1) != 0) {
        return; /* a relay that was started in between asks twice */
    } else {
        target->replied.bits[worker / 64] |= UINT64_C(1) << (worker % 64);
    }
    target->count += head.count;
    target->partly |= (head.flags & (RC_REPLY_PARTLY | RC_REPLY_BUSY)) != 0;
    target_settle(call, target);
}

static void target_asked(struct rc_api_call *call, struct do_target *target, const struct rc_envelope_view *view)
{
    struct rc_api_fault fault;
    if (view->head.data_bytes != sizeof(target->asked)) {
        rc_metric_add(call->api->clients->metrics, RC_METRIC_RING_CORRUPT, 1);
        return;
    }
    if (view->head.code != 0 && view->head.code != RC_CODE_NOT_FOUND) {
        rc_api_fault(&fault, 503, "not everybody could be asked: try again");
        rc_api_fail(call, &fault);
        return;
    }
    memcpy(&target->asked, view->data, sizeof(target->asked));
    if (view->head.code == RC_CODE_NOT_FOUND) {
        target->asked = (struct rc_call_asked){0};
    }
    call->local |= target->asked.scope == RC_CALL_SCOPE_LOCAL;
    target->asked_known = true;
    target_settle(call, target);
}

void rc_api_do_record(struct rc_api_call *call, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_api_do *does = call->does;
    struct rc_call_tag tag;
    if (does == NULL || !does->waits || !rc_call_tag_read(view, &tag) || tag.item >> DO_STAGE_AT != does->next ||
        (tag.item & ((1u << DO_STAGE_AT) - 1)) >= does->target_count) {
        return; /* of a run that is over with */
    }
    struct do_target *target = &does->targets[tag.item & ((1u << DO_STAGE_AT) - 1)];
    if (type == RC_DOWN_REPLY) {
        target_replied(call, target, view);
    } else if (type == RC_DOWN_ANSWER) {
        target_asked(call, target, view);
    }
}
