/* presence: clients ask who is in a channel; the relay knows. Each is answered exactly once (worker/uplink/ask.h). See client.h. */
#include "worker/client/client.h"

#include <errno.h>
#include <string.h>

#include "common/records/query.h"

#define PRESENCE_ANSWER_MS 3000u   /* clearly longer than the relay may take (common/records/query.h) */
#define PRESENCE_UNSENT_MAX 65536u /* private bytes of a client beyond which it gets no lists */

static void presence_tell(struct rc_clients *clients, const struct rc_ask *ask, struct rc_event *event)
{
    event->id = rc_span_of(ask->id, ask->id_bytes);
    if (rc_client_is_here(clients, &ask->client) && rc_hub_reply_event(clients->hub, ask->client.slot, event) < 0) {
        rc_hub_close_client(clients->hub, ask->client.slot, RC_CLOSE_TRY_AGAIN_LATER, NULL, 0, true);
    }
}

static void presence_fail(struct rc_clients *clients, const struct rc_ask *ask, enum rc_code code,
                          struct rc_span message)
{
    struct rc_event event = {.type = RC_EVENT_ERROR, .code = code, .message = message};
    presence_tell(clients, ask, &event);
}

/* Whole entries, as many as it says; what another process wrote may be anything. */
static bool read_list(const struct rc_envelope_view *view, struct rc_presence_list *list)
{
    struct rc_query_entry entry;
    uint32_t count = 0;
    if (view->head.data_bytes < sizeof(list->answer)) {
        return false;
    }
    memcpy(&list->answer, view->data, sizeof(list->answer));
    list->entries = rc_span_of(view->data + sizeof(list->answer), view->head.data_bytes - sizeof(list->answer));
    struct rc_span rest = list->entries;
    while (rc_query_entry_next(&rest, &entry)) {
        count++;
    }
    return rest.count == 0 && count == list->answer.count;
}

static void presence_answered(const struct rc_ask *ask, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_clients *clients = ask->context;
    struct rc_presence_list list;
    if (type != RC_DOWN_QUERY || view->head.code != 0 || !read_list(view, &list)) {
        presence_fail(clients, ask, RC_CODE_UNAVAILABLE, RC_SPAN("too many such questions at once: ask again later"));
        return;
    }
    if (rc_client_is_here(clients, &ask->client) &&
        rc_hub_unsent(clients->hub, ask->client.slot) > PRESENCE_UNSENT_MAX) {
        /* A few bytes ask for many: who does not read them is told no more. */
        presence_fail(clients, ask, RC_CODE_LIMITED, RC_SPAN("read the answers that you have before you ask again"));
        return;
    }
    struct rc_event event = {.type = RC_EVENT_PRESENCE,
                             .channel = rc_span_of(view->channel, view->head.channel_bytes),
                             .local = (list.answer.flags & RC_QUERY_LOCAL) != 0,
                             .presence = &list};
    presence_tell(clients, ask, &event);
}

static void presence_unanswered(const struct rc_ask *ask, enum rc_ask_end why)
{
    (void)why;
    presence_fail(ask->context, ask, RC_CODE_UNAVAILABLE, RC_SPAN("there was no answer: ask again"));
}

/* A client that has ended leaves its questions until somebody needs their places. */
static bool presence_wanted(const struct rc_ask *ask)
{
    return rc_client_is_here(ask->context, &ask->client);
}

static const struct rc_asker presence_asker = {.kind = RC_ASK_CLIENT,
                                               .in_ms = PRESENCE_ANSWER_MS,
                                               .once = true,
                                               .of_relay = true,
                                               .answered = presence_answered,
                                               .unanswered = presence_unanswered,
                                               .wanted = presence_wanted};

int rc_client_ask_presence(struct rc_clients *clients, uint32_t client, struct rc_span channel, uint32_t limit,
                           struct rc_span id)
{
    const struct rc_client_ref origin = rc_client_ref(clients, client);
    const struct rc_query_head head = {.kind = RC_QUERY_CHANNEL,
                                       .limit = (uint16_t)(limit < RC_QUERY_LIMIT_MAX ? limit : RC_QUERY_LIMIT_MAX)};
    uint64_t token;
    int rc = rc_asks_begin(clients->asks, &presence_asker, clients, &origin, id, &token);
    if (rc < 0) {
        return rc;
    }
    struct rc_envelope_view view = {
        .head = {.time_ns = clients->io->now_ns,
                 .channel_hash = rc_channel_hash((const char *)channel.bytes, channel.count),
                 .origin = origin,
                 .token = token,
                 .data_bytes = sizeof(head),
                 .channel_bytes = (uint8_t)channel.count,
                 .request_id_bytes = (uint8_t)id.count},
        .channel = (const char *)channel.bytes,
        .request_id = id.bytes,
        .data = (const uint8_t *)&head};
    rc = rc_uplink_write(clients->uplink, RC_UP_QUERY, &view);
    if (rc < 0) {
        rc_asks_end(clients->asks, token);
    }
    return rc;
}
