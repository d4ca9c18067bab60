/* doing: see doing.h. */
#include "worker/engine/doing.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/records/call.h"
#include "worker/engine/does.h"

#define DOING_RETRY_MS 2u
#define DOING_MS 900u       /* all of it: other instances wait for a second */
#define DOING_CLIENTS 4096u /* looked at in one pass */

struct doing_item {
    uint64_t random; /* of the client; 0: it is over with */
    uint32_t client;
    uint32_t step;
    bool failed;
};

struct rc_doing {
    struct rc_doing *next;
    struct rc_call_tag tag;
    uint64_t due_ms;
    uint32_t asker; /* worker */
    uint32_t first; /* of its operations */
    uint32_t end;
    uint32_t open; /* items that are not over with */
    uint32_t at;   /* where the next pass goes on */
    uint32_t count;
    uint32_t done;
    bool partly;
    uint32_t body_bytes;
    uint8_t nsp_bytes;
    uint8_t backend_bytes;
    char nsp[RC_NSP_MAX];
    char backend[64];
    uint8_t *body; /* owned */
    struct doing_item items[];
};

bool rc_doing_mine(const struct rc_envelope_view *view)
{
    return view->head.data_bytes >= sizeof(struct rc_call_head) && view->data[0] == RC_CALL_DO;
}

static void doing_reply(struct rc_engines *engines, uint32_t asker, const struct rc_call_tag *tag, uint32_t flags,
                        uint32_t count)
{
    const struct rc_reply_head head = {.flags = flags, .count = count};
    struct rc_envelope_view up = {.head = {.target = {.worker = (uint16_t)asker},
                                           .flags = RC_ENVELOPE_API,
                                           .data_bytes = sizeof(head),
                                           .request_id_bytes = sizeof(*tag)},
                                  .request_id = (const uint8_t *)tag,
                                  .data = (const uint8_t *)&head};
    if (rc_uplink_write(engines->clients->uplink, RC_UP_REPLY, &up) < 0) {
        rc_metric_add(engines->clients->metrics, RC_METRIC_API_REPLIES_DROPPED, 1);
    }
}

/* --- who is meant ---------------------------------------------------------------------------------------------------- */

/* A call as it came. */
struct doing_call {
    struct rc_call_head head;
    struct rc_call_tag tag;
    struct rc_span user;
    struct rc_span nsp;
    struct rc_span body;
};

static bool call_read(const struct rc_envelope_view *view, struct doing_call *call)
{
    memcpy(&call->head, view->data, sizeof(call->head));
    const uint64_t before =
        sizeof(call->head) + (uint64_t)call->head.user_bytes + call->head.text_bytes + call->head.client_bytes;
    if (!rc_call_tag_read(view, &call->tag) || before >= view->head.data_bytes || call->head.text_bytes == 0 ||
        call->head.text_bytes > RC_NSP_MAX) {
        return false;
    }
    call->user = rc_span_of(view->data + sizeof(call->head), call->head.user_bytes);
    call->nsp = rc_span_of(call->user.bytes + call->user.count, call->head.text_bytes);
    call->body = rc_span_of(view->data + before, view->head.data_bytes - (size_t)before);
    return true;
}

/* Is it there, and in the namespace? Clients of other protocols are in "/". */
static bool is_meant(const struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    const struct rc_client *its = rc_truth_client(engines->clients->truth, client);
    if (its->state != RC_CLIENT_OPEN || its->random == 0 || (its->flags & RC_CLIENT_CLOSE_QUEUED) != 0) {
        return false;
    }
    return rc_codec_says(its->encoding, RC_EVENT_ACK) ? rc_engine_has_joined(engines, client, nsp) : nsp.count == 1;
}

/* Members of a room's channel; a session id is the socket that has it. -ENOMEM. */
static int room_clients(struct rc_engines *engines, struct rc_span channel, struct rc_index_list *found)
{
    const struct rc_clients *clients = engines->clients;
    const struct rc_truth *truth = clients->truth;
    struct rc_span nsp;
    struct rc_span room;
    struct rc_sid sid;
    (void)rc_channel_split(channel, &nsp, &room);
    if (rc_sid_read(&sid, room) && (clients->hub->aliases.count > 0 || rc_sid_is_of(&sid, engines->instance))) {
        const uint32_t socket = rc_hub_socket(clients->hub, &sid.client, nsp);
        if (socket != 0 || rc_sid_is_of(&sid, engines->instance)) {
            return socket != 0 ? rc_index_list_push(found, socket) : 0;
        }
    }
    const uint32_t index =
        rc_hub_find(clients->hub, rc_channel_hash((const char *)channel.bytes, channel.count), channel);
    for (uint32_t group = index == 0 ? 0 : rc_truth_channel(truth, index)->groups; group != 0;
         group = rc_truth_group(truth, group)->next) {
        struct rc_members *members = &clients->hub->members[group];
        for (uint32_t i = 0; i < members->count; i++) {
            const uint32_t subscription = rc_members_items(members)[i];
            if (rc_index_list_push(found, rc_truth_subscription(truth, subscription)->client) < 0) {
                return -ENOMEM;
            }
        }
    }
    return 0;
}

static int call_clients(struct rc_engines *engines, const struct rc_envelope_view *view, const struct doing_call *call,
                        struct rc_index_list *found)
{
    struct rc_clients *clients = engines->clients;
    if (view->head.target.random != 0) {
        const uint32_t client = rc_client_here(clients, &view->head.target);
        return client != 0 ? rc_index_list_push(found, client) : 0;
    }
    return call->user.count > 0 ? rc_clients_of_user(clients, call->user, found)
                                : room_clients(engines, rc_span_of(view->channel, view->head.channel_bytes), found);
}

/* --- doing it -------------------------------------------------------------------------------------------------------- */

/* One client's operations, as far as they go now. False: it has to wait. */
static bool item_does(struct rc_engines *engines, const struct rc_doing *doing, struct doing_item *item)
{
    const struct rc_span nsp = rc_span_of(doing->nsp, doing->nsp_bytes);
    const struct rc_does does = {.engines = engines,
                                 .client = item->client,
                                 .random = item->random,
                                 .nsp = nsp,
                                 .backend = rc_span_of(doing->backend, doing->backend_bytes),
                                 .failed = &item->failed};
    if (!rc_engine_lives(engines, item->client, item->random) ||
        (item->step >> 16 == doing->first && !is_meant(engines, item->client, nsp))) {
        item->failed = true;
        return true;
    }
    return rc_does(&does, engines->reply, &item->step) &&
           (!rc_engine_lives(engines, item->client, item->random) ||
            rc_truth_client(engines->clients->truth, item->client)->pending_count == 0); /* the promise of a join */
}

/* False: the body is no list of operations, or there is no memory. */
static bool doing_read(struct rc_engines *engines, const struct rc_doing *doing)
{
    struct rc_reply_aim aim;
    struct rc_err err;
    if (engines->reply == NULL) {
        engines->reply = malloc(sizeof(*engines->reply));
    }
    if (engines->reply == NULL ||
        rc_reply_read_aimed(engines->reply, &aim, rc_span_of(doing->body, doing->body_bytes), &err) < 0 ||
        doing->end > engines->reply->count) {
        return false;
    }
    engines->reply->count = doing->end;
    return true;
}

/* A pass over those that are not over with. True: all are. */
static bool doing_go_on(struct rc_engines *engines, struct rc_doing *doing)
{
    uint32_t looked = 0;
    if (!doing_read(engines, doing)) {
        doing->partly = true;
        return true;
    }
    for (uint32_t i = 0; i < doing->count && looked < DOING_CLIENTS; i++) {
        struct doing_item *item = &doing->items[doing->at];
        doing->at = doing->at + 1 == doing->count ? 0 : doing->at + 1;
        if (item->random == 0) {
            continue;
        }
        looked++;
        if (item_does(engines, doing, item)) {
            item->random = 0;
            doing->open--;
            doing->done += !item->failed;
            doing->partly |= item->failed;
        }
    }
    return doing->open == 0;
}

static void doing_end(struct rc_engines *engines, struct rc_doing *doing)
{
    struct rc_doing **at = &engines->doing;
    while (*at != doing) {
        at = &(*at)->next;
    }
    *at = doing->next;
    engines->doing_count--;
    doing_reply(engines, doing->asker, &doing->tag,
                (doing->count > 0 ? (uint32_t)RC_REPLY_FOUND : 0u) |
                    (doing->partly || doing->open > 0 ? (uint32_t)RC_REPLY_PARTLY : 0u),
                doing->done);
    free(doing->body);
    free(doing);
}

bool rc_doing_is(const struct rc_engines *engines, uint64_t random)
{
    for (const struct rc_doing *doing = engines->doing; doing != NULL; doing = doing->next) {
        for (uint32_t i = 0; i < doing->count; i++) {
            if (doing->items[i].random == random) {
                return true;
            }
        }
    }
    return false;
}

static uint64_t doing_now_ms(const struct rc_engines *engines)
{
    return engines->clients->io->now_ns / 1000000u;
}

static struct rc_doing *doing_new(struct rc_engines *engines, const struct rc_envelope_view *view,
                                  const struct doing_call *call, const struct rc_index_list *found)
{
    struct rc_doing *doing = calloc(1, sizeof(*doing) + found->count * sizeof(doing->items[0]));
    uint8_t *body = doing == NULL ? NULL : malloc(call->body.count);
    if (body == NULL) {
        free(doing);
        return NULL;
    }
    memcpy(body, call->body.bytes, call->body.count);
    doing->body = body;
    doing->body_bytes = (uint32_t)call->body.count;
    doing->tag = call->tag;
    doing->due_ms = doing_now_ms(engines) + DOING_MS;
    doing->asker = view->head.origin.worker;
    doing->first = call->head.close_code;
    doing->end = (uint32_t)call->head.close_code + call->head.limit;
    doing->nsp_bytes = (uint8_t)call->nsp.count;
    memcpy(doing->nsp, call->nsp.bytes, call->nsp.count);
    for (uint32_t i = 0; i < found->count; i++) {
        if (is_meant(engines, found->items[i], call->nsp)) {
            doing->items[doing->count++] =
                (struct doing_item){.client = found->items[i],
                                    .random = rc_truth_client(engines->clients->truth, found->items[i])->random,
                                    .step = doing->first << 16};
        }
    }
    doing->open = doing->count;
    return doing;
}

/* Whose emits with `ack` are told: as the body says, or the only one there is. */
static void doing_backend(struct rc_engines *engines, struct rc_doing *doing)
{
    struct rc_reply_aim aim;
    struct rc_err err;
    uint8_t scratch[sizeof(doing->backend)];
    const struct rc_config *config = engines->clients->config;
    if (engines->reply == NULL ||
        rc_reply_read_aimed(engines->reply, &aim, rc_span_of(doing->body, doing->body_bytes), &err) < 0) {
        return;
    }
    const struct rc_span name = aim.backend.type == RC_JSON_STRING
                                    ? rc_reply_text(&aim.backend, scratch, sizeof(scratch))
                                : config->backend_count == 1 ? rc_span_text(config->backends[0].name.text)
                                                             : rc_span_of(NULL, 0);
    doing->backend_bytes = (uint8_t)(name.count <= sizeof(doing->backend) ? name.count : 0);
    if (doing->backend_bytes > 0) {
        memcpy(doing->backend, name.bytes, name.count);
    }
}

void rc_doing_serve(struct rc_engines *engines, const struct rc_envelope_view *view)
{
    struct doing_call call;
    struct rc_index_list found = {0};
    if (!call_read(view, &call)) {
        rc_metric_add(engines->clients->metrics, RC_METRIC_RING_CORRUPT, 1);
        return;
    }
    struct rc_doing *doing = NULL;
    if (engines->doing_count < RC_DOING_MAX && call_clients(engines, view, &call, &found) == 0) {
        doing = doing_new(engines, view, &call, &found);
    }
    free(found.items);
    if (doing == NULL) {
        doing_reply(engines, view->head.origin.worker, &call.tag, RC_REPLY_BUSY, 0);
        return;
    }
    doing->next = engines->doing;
    engines->doing = doing;
    engines->doing_count++;
    if (doing_read(engines, doing)) {
        doing_backend(engines, doing);
    }
    if (doing->count == 0 || doing_go_on(engines, doing)) {
        doing_end(engines, doing);
    }
}

void rc_doing_work(struct rc_engines *engines)
{
    struct rc_doing *next;
    for (struct rc_doing *doing = engines->doing; doing != NULL; doing = next) {
        next = doing->next;
        if (doing_go_on(engines, doing) || doing->due_ms <= doing_now_ms(engines)) {
            doing_end(engines, doing);
        }
    }
}

uint32_t rc_doing_sleep_ms(const struct rc_engines *engines, uint32_t most_ms)
{
    return engines->doing != NULL && most_ms > DOING_RETRY_MS ? DOING_RETRY_MS : most_ms;
}

void rc_doing_close(struct rc_engines *engines)
{
    while (engines->doing != NULL) {
        struct rc_doing *doing = engines->doing;
        engines->doing = doing->next;
        free(doing->body);
        free(doing);
    }
}
