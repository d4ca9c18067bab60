/* moving: see moving.h. */
#include "worker/engine/moving.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/shm/tallies.h"
#include "worker/engine/acks.h"
#include "worker/engine/asked.h"
#include "worker/engine/auth.h"
#include "worker/engine/doing.h"
#include "worker/engine/recoverable.h"
#include "worker/engine/returning.h"
#include "worker/engine/rule_wait.h"
#include "worker/engine/upgrade.h"

#define MOVING_FLAGS                                                                                    \
    (RC_ENGINE_SESSION | RC_ENGINE_ROOT | RC_ENGINE_UPGRADED | RC_ENGINE_PONG_DUE | RC_ENGINE_COUNTED | \
     RC_ENGINE_PLACED | RC_ENGINE_SECURE)
#define MOVING_PARTS 4u
#define MOVING_NSPS_MAX 32u /* what a barrier names is bounded, and each of them is one of it */

struct moving_head {
    uint64_t secret;
    struct rc_address address; /* of one that polls */
    uint32_t ping_ds;
    uint32_t namespaces_bytes;
    uint32_t auth_bytes;
    uint32_t recoverables_bytes;
    uint32_t unread_bytes;
    uint16_t flags; /* enum rc_engine_flags, of MOVING_FLAGS */
    uint8_t left;
    uint8_t root_times;
    uint8_t why;
    uint8_t pad[7];
};

/* --- can it go? ------------------------------------------------------------------------------------------------------- */

static uint32_t namespaces_of(const struct rc_truth *truth, uint32_t client)
{
    uint32_t count = 0;
    uint32_t at = 0;
    uint64_t token;
    while (rc_truth_token_next(truth, client, &at, &token)) {
        count++;
    }
    return count;
}

static bool session_polls(const struct rc_engines *engines, uint32_t client)
{
    return rc_truth_client(engines->clients->truth, client)->socket == RC_SOCKET_NONE;
}

/* Is there room for where it is to be found, which is taken here? It is the last thing to be asked. */
static bool session_placed(struct rc_engines *engines, uint32_t client)
{
    const struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = rc_engine_of(engines, client);
    struct rc_limits_segment *limits = clients->control->limits;
    /* Also of one that has an entry, as its flag says: whoever said so may have died before it was made. */
    if ((engine->flags & RC_ENGINE_PLACED) && limits != NULL &&
        rc_sid_places_find(&limits->sid_places, clients->control->core, engine->secret) == clients->worker) {
        return true;
    }
    engine->flags |= RC_ENGINE_PLACED; /* first: whoever ends it takes it out */
    RC_STORE_ORDER();
    if (limits != NULL &&
        rc_sid_places_put(&limits->sid_places, clients->control->core, engine->secret, clients->worker) == 0) {
        return true;
    }
    engine->flags &= (uint16_t)~RC_ENGINE_PLACED;
    rc_metric_add(clients->metrics, RC_METRIC_SID_PLACES_REFUSED, 1);
    return false;
}

static const char *session_hindrance(struct rc_engines *engines, uint32_t client)
{
    const struct rc_engine *engine = rc_engine_of(engines, client);
    return !(engine->flags & RC_ENGINE_SESSION) || engine->other != 0 ? "it is changing its transport"
           : rc_engine_is_linked(engines, client)                     ? "it is an application's"
           : engine->flags & (RC_ENGINE_GOODBYE | RC_ENGINE_CUT)      ? "it is ending"
           : engine->flags & RC_ENGINE_MOVED                          ? "a socket of it came back from elsewhere"
           : engine->post != 0                                        ? "it is in the middle of a message"
           : engine->deadline_ds != 0                                 ? "it has joined no namespace yet"
           : engine->packet != 0                                      ? "it is in the middle of a message"
           : engine->returning || rc_returning_of(engines, client) != NULL || engines->acks[client] != 0 ||
                   rc_rule_wait_of(engines, client) != NULL || !rc_recoverables_told(engines, client)
               ? "something that it asked for, or was asked, is not answered yet"
           : namespaces_of(engines->clients->truth, client) > MOVING_NSPS_MAX ? "it is in too many namespaces"
                                                                              : NULL;
}

const char *rc_engine_hindrance(void *context, uint32_t client)
{
    struct rc_engines *engines = context;
    const struct rc_client *its = rc_truth_client(engines->clients->truth, client);
    const char *hindrance = rc_encoding_is_engine(its->encoding) ? session_hindrance(engines, client) : NULL;
    if (hindrance == NULL && (rc_asked_is(engines, client) || rc_doing_is(engines, its->random))) {
        hindrance = "something is being done for it";
    }
    if (hindrance == NULL && rc_encoding_is_engine(its->encoding) && session_polls(engines, client) &&
        !session_placed(engines, client)) {
        hindrance = "there is no room for where those are that poll";
    }
    return hindrance;
}

/* --- it goes ---------------------------------------------------------------------------------------------------------- */

/* What one that polls has not got, as a payload behind its separator: all of it is made replies of it, which it keeps until it has gone. False: it has ended by
 * that. */
static bool unread_gather(struct rc_engines *engines, uint32_t client, struct rc_span *unread)
{
    const struct rc_truth *truth = engines->clients->truth;
    *unread = (struct rc_span){0};
    if (!session_polls(engines, client)) {
        return true;
    }
    rc_socket_dies_at("gather");
    if (!rc_engine_gather(engines, client)) {
        return false;
    }
    const uint32_t output = rc_truth_client(truth, client)->output;
    const struct rc_output *its = output == 0 ? NULL : rc_truth_output(truth, output);
    if (its != NULL && its->replies != 0 && its->replies_bytes > its->replies_sent) {
        *unread = rc_span_of((const uint8_t *)rc_heap_at(&truth->heap, its->replies) + its->replies_sent,
                             its->replies_bytes - its->replies_sent);
    }
    return true;
}

uint64_t rc_engine_moving_bytes(void *context, uint32_t client)
{
    const struct rc_engines *engines = context;
    return sizeof(struct moving_head) + (uint64_t)rc_engine_of(engines, client)->namespaces_bytes +
           rc_engine_auth_whole(engines, client).count +
           rc_recoverables_write(engines, client, NULL, RC_RECOVERABLES_NO_ROOM);
}

uint32_t rc_engine_goes(void *context, uint32_t client, uint8_t *out, uint32_t room)
{
    struct rc_engines *engines = context;
    const struct rc_truth *truth = engines->clients->truth;
    struct rc_span unread;
    if (!unread_gather(engines, client, &unread)) {
        return 0;
    }
    const struct rc_engine *engine = rc_engine_of(engines, client);
    const struct rc_span auth = rc_engine_auth_whole(engines, client);
    struct moving_head head = {.secret = engine->secret,
                               .address = engine->address,
                               .unread_bytes = (uint32_t)unread.count,
                               .ping_ds = engine->ping_ds,
                               .namespaces_bytes = engine->namespaces_bytes,
                               .auth_bytes = (uint32_t)auth.count,
                               .flags = engine->flags & MOVING_FLAGS,
                               .left = engine->left,
                               .root_times = engine->root_times,
                               .why = engine->why};
    uint64_t bytes = sizeof(head) + (uint64_t)head.namespaces_bytes + auth.count;
    if (bytes > room) {
        return 0;
    }
    if (head.namespaces_bytes > 0) {
        memcpy(out + sizeof(head), rc_heap_at(&truth->heap, engine->namespaces), head.namespaces_bytes);
    }
    if (auth.count > 0) {
        memcpy(out + sizeof(head) + head.namespaces_bytes, auth.bytes, auth.count);
    }
    const uint32_t more = rc_recoverables_write(engines, client, out + bytes, room - (uint32_t)bytes);
    if (more == RC_RECOVERABLES_NO_ROOM) {
        return 0;
    }
    head.recoverables_bytes = more;
    bytes += more;
    if (unread.count > room - bytes) {
        return 0;
    }
    if (unread.count > 0) {
        memcpy(out + bytes, unread.bytes, unread.count);
    }
    memcpy(out, &head, sizeof(head));
    return (uint32_t)(bytes + unread.count);
}

void rc_engine_went(void *context, uint32_t client, uint32_t worker)
{
    const struct rc_engines *engines = context;
    const struct rc_control *control = engines->clients->control;
    const struct rc_engine *engine = rc_engine_of(engines, client);
    if (engine->flags & RC_ENGINE_PLACED) {
        rc_sid_places_went(&control->limits->sid_places, control->core, engine->secret, engines->clients->worker,
                           worker); /* maybe it has ended there already */
    }
}

/* --- it has come ------------------------------------------------------------------------------------------------------ */

static bool list_is_whole(struct rc_span list)
{
    uint32_t count = 0;
    while (list.count > RC_NSP_ENTRY_HEAD && list.bytes[1] > 0 && list.bytes[1] <= list.count - RC_NSP_ENTRY_HEAD) {
        list =
            rc_span_of(list.bytes + RC_NSP_ENTRY_HEAD + list.bytes[1], list.count - RC_NSP_ENTRY_HEAD - list.bytes[1]);
        count++;
    }
    return list.count == 0 && count <= MOVING_NSPS_MAX;
}

static int parts_read(struct rc_span bytes, struct moving_head *head, struct rc_span parts[MOVING_PARTS])
{
    if (bytes.count < sizeof(*head)) {
        return -EBADMSG;
    }
    memcpy(head, bytes.bytes, sizeof(*head));
    const uint32_t counts[MOVING_PARTS] = {head->namespaces_bytes, head->auth_bytes, head->recoverables_bytes,
                                           head->unread_bytes};
    size_t at = sizeof(*head);
    for (uint32_t i = 0; i < MOVING_PARTS; i++) {
        if (counts[i] > bytes.count - at) {
            return -EBADMSG;
        }
        parts[i] = rc_span_of(bytes.bytes + at, counts[i]);
        at += counts[i];
    }
    const bool right = at == bytes.count && head->secret != 0 && head->secret >> RC_SID_TOKEN_BITS == 0 &&
                       (head->flags & ~MOVING_FLAGS) == 0 && (head->flags & RC_ENGINE_SESSION) != 0 &&
                       head->namespaces_bytes <= UINT16_MAX && head->why <= RC_ENGINE_WHY_SERVER &&
                       list_is_whole(parts[0]) && rc_engine_auth_right(parts[1]);
    return right ? 0 : -EBADMSG;
}

/* A block with these bytes; 0: there are none, or (-ENOMEM) no memory. */
static int block_put(struct rc_engines *engines, uint32_t *block, struct rc_span bytes)
{
    uint32_t capacity = 0;
    if (bytes.count == 0) {
        return 0;
    }
    if (rc_socket_input_grow(engines->clients, block, &capacity, bytes.count, 0) < 0) {
        return -ENOMEM;
    }
    memcpy(rc_heap_at(&engines->clients->truth->heap, *block), bytes.bytes, bytes.count);
    return 0;
}

/* What it has not got, each packet a reply. */
static int unread_put(struct rc_engines *engines, uint32_t client, struct rc_span unread)
{
    if (unread.count == 0) {
        return 0;
    }
    if (unread.bytes[0] != RC_EIO_SEPARATOR || !session_polls(engines, client)) {
        return -EBADMSG;
    }
    uint8_t *bytes = malloc(unread.count); /* base64 is decoded in place */
    if (bytes == NULL) {
        return -ENOMEM;
    }
    memcpy(bytes, unread.bytes, unread.count);
    struct rc_eio_payload rest = rc_eio_payload_of(bytes + 1, unread.count - 1);
    struct rc_eio_packet packet;
    int rc;
    while ((rc = rc_eio_payload_next(&rest, &packet)) > 0) {
        rc = rc_hub_reply_part(engines->clients->hub, client, packet.kind, packet.bytes, (uint32_t)packet.count);
        if (rc < 0) {
            break;
        }
    }
    free(bytes);
    return rc < 0 ? rc : 0;
}

/* One that polls: it is found by its sid, and counts in the limits of its address. */
static int polling_came(struct rc_engines *engines, uint32_t client)
{
    struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = rc_engine_of(engines, client);
    if ((engine->flags & RC_ENGINE_COUNTED) && rc_address_limit_count(&clients->addresses, &engine->address) < 0) {
        engine->flags &= (uint16_t)~RC_ENGINE_COUNTED;
    }
    if (engine->flags & RC_ENGINE_PLACED) { /* who gave it may have died before it said so */
        (void)rc_sid_places_put(&clients->control->limits->sid_places, clients->control->core, engine->secret,
                                clients->worker);
    }
    return rc_truth_client(clients->truth, client)->guest ? rc_hub_alias(clients->hub, engine->secret, client) : 0;
}

void rc_engine_lost(void *context, struct rc_span bytes)
{
    const struct rc_engines *engines = context;
    struct moving_head head;
    struct rc_span parts[MOVING_PARTS];
    if (parts_read(bytes, &head, parts) == 0 && (head.flags & RC_ENGINE_PLACED)) {
        rc_sid_places_remove(&engines->clients->control->limits->sid_places, head.secret);
    }
}

int rc_engine_came(void *context, uint32_t client, struct rc_span bytes)
{
    struct rc_engines *engines = context;
    struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = rc_engine_of(engines, client);
    struct moving_head head;
    struct rc_span parts[MOVING_PARTS];
    uint64_t token;
    uint32_t at = 0;
    int rc = parts_read(bytes, &head, parts);
    if (rc < 0) {
        return rc;
    }
    *engine = (struct rc_engine){.secret = head.secret,
                                 .address = head.address,
                                 .ping_ds = head.ping_ds,
                                 .flags = head.flags, /* from here on its blocks are found, also by who ends it */
                                 .left = head.left,
                                 .root_times = head.root_times,
                                 .why = head.why};
    RC_STORE_ORDER();
    rc = polling_came(engines, client);
    if (rc < 0 || block_put(engines, &engine->namespaces, parts[0]) < 0 ||
        block_put(engines, &engine->auth, parts[1]) < 0) {
        return -ENOMEM;
    }
    RC_STORE_ORDER();
    engine->namespaces_bytes = (uint16_t)head.namespaces_bytes;
    while (rc == 0 && rc_truth_client(clients->truth, client)->guest &&
           rc_truth_token_next(clients->truth, client, &at, &token)) {
        rc = rc_hub_alias(clients->hub, token, client);
    }
    rc_engine_schedule(engines, client);
    rc = rc < 0 ? rc : rc_recoverables_read(engines, client, parts[2]);
    return rc < 0 ? rc : unread_put(engines, client, parts[3]);
}

uint32_t rc_engine_place(const struct rc_engines *engines, const struct rc_sid *sid)
{
    const struct rc_control *control = engines->clients->control;
    const uint32_t worker = control->limits == NULL
                                ? UINT32_MAX
                                : rc_sid_places_find(&control->limits->sid_places, control->core, sid->client.random);
    return worker == UINT32_MAX ? sid->client.worker : worker;
}

/* --- by which sids it is found ---------------------------------------------------------------------------------------- */

static bool token_of(const struct rc_engines *engines, uint32_t client, struct rc_span nsp, struct rc_client_ref *ref)
{
    const struct rc_client *its = rc_truth_client(engines->clients->truth, client);
    if (RC_LIKELY(!its->guest)) {
        return false;
    }
    const uint32_t index = rc_truth_recoverable_of(engines->clients->truth, client, nsp);
    if (index != 0 && (rc_truth_recoverable(engines->clients->truth, index)->flags & RC_RECOVERABLE_MOVED)) {
        return false; /* it came back: the relay knows it as that */
    }
    *ref = rc_client_ref(engines->clients, client);
    ref->random = rc_truth_sid_token(engines->clients->truth, client, nsp);
    return ref->random != 0 && ref->random != its->random; /* that of the client itself is known */
}

static void token_tell(const struct rc_engines *engines, const struct rc_client_ref *ref, bool gone)
{
    const struct rc_move_ops *move = &engines->clients->move;
    if (move->guest != NULL) {
        move->guest(move->context, ref, gone);
    }
}

int rc_engine_token_begins(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    struct rc_client_ref ref;
    if (!token_of(engines, client, nsp, &ref)) {
        return 0;
    }
    if (rc_hub_alias(engines->clients->hub, ref.random, client) < 0) {
        return -ENOMEM;
    }
    token_tell(engines, &ref, false);
    return 0;
}

void rc_engine_token_ends(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    struct rc_client_ref ref;
    if (token_of(engines, client, nsp, &ref)) {
        rc_hub_alias_end(engines->clients->hub, ref.random, client);
        token_tell(engines, &ref, true);
    }
}

void rc_engine_tokens_rebuild(struct rc_engines *engines)
{
    const struct rc_clients *clients = engines->clients;
    for (uint32_t i = 1; i <= clients->hub->clients_high; i++) {
        const struct rc_client *client = rc_truth_client(clients->truth, i);
        const bool session = client->random != 0 && client->guest && rc_encoding_is_engine(client->encoding) &&
                             rc_engine_of(engines, i)->secret != 0;
        int rc = session ? rc_hub_alias(clients->hub, rc_engine_of(engines, i)->secret, i) : 0;
        uint32_t at = 0;
        uint64_t token;
        while (client->random != 0 && client->guest && rc == 0 && rc_truth_token_next(clients->truth, i, &at, &token)) {
            rc = rc_hub_alias(clients->hub, token, i);
        }
        if (rc < 0) {
            rc_client_failed_memory(engines->clients, i);
        }
    }
}

void rc_engine_tokens_went(struct rc_engines *engines, uint32_t client)
{
    const struct rc_truth *truth = engines->clients->truth;
    uint32_t at = 0;
    uint64_t token;
    while (rc_truth_client(truth, client)->guest && rc_truth_token_next(truth, client, &at, &token)) {
        rc_hub_alias_end(engines->clients->hub, token, client);
    }
}
