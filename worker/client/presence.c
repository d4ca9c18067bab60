/* presence: clients ask who is in a channel, or follow who comes and goes; the relay knows. See client.h. */
#include "worker/client/question.h"

#include <string.h>

#include "common/base/check.h"
#include "common/records/channel_name.h"
#include "common/records/query.h"

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
    struct rc_presence_list list;
    if (!rc_client_question_good(ask, type, view)) {
        return;
    }
    if (!read_list(view, &list)) {
        rc_client_question_fail(ask);
        return;
    }
    struct rc_event event = {.type = RC_EVENT_PRESENCE,
                             .channel = rc_span_of(view->channel, view->head.channel_bytes),
                             .local = (list.answer.flags & RC_QUERY_LOCAL) != 0,
                             .presence = &list};
    rc_client_question_tell(ask, &event);
}

int rc_client_ask_presence(struct rc_clients *clients, uint32_t client, struct rc_span channel, uint32_t limit,
                           struct rc_span id)
{
    static const struct rc_asker asker = RC_CLIENT_ASKER(presence_answered);
    const struct rc_query_head head = {.kind = RC_QUERY_CHANNEL,
                                       .limit = (uint16_t)(limit < RC_QUERY_LIMIT_MAX ? limit : RC_QUERY_LIMIT_MAX)};
    return rc_client_question(clients, client, &asker, channel, id, rc_span_of(&head, sizeof(head)),
                              (struct rc_client_ref){0});
}

/* --- presence events: a channel of their own, which lives with the other one (relay/cluster/presence_events.h) -------- */

static struct rc_span events_name(char out[RC_CHANNEL_NAME_MAX], struct rc_span channel)
{
    out[0] = RC_CHANNEL_PRESENCE_BYTE;
    memcpy(out + 1, channel.bytes, channel.count);
    return rc_span_of(out, 1 + channel.count);
}

enum rc_subscribed rc_client_presence_begin(struct rc_clients *clients, uint32_t client, struct rc_span channel)
{
    char name[RC_CHANNEL_NAME_MAX];
    RC_ASSERT(channel.count < sizeof(name));
    return rc_hub_subscribe_from(clients->hub, client, events_name(name, channel), RC_SUBSCRIBER_BACKEND,
                                 (struct rc_span){0}, RC_PENDING_RETAINED, NULL);
}

void rc_client_presence_end(struct rc_clients *clients, uint32_t client, struct rc_span channel)
{
    char text[RC_CHANNEL_NAME_MAX];
    uint8_t id[RC_REQUEST_ID_MAX];
    uint8_t id_bytes;
    if (clients->config->presence_namespace == 0 || channel.count >= sizeof(text)) {
        return;
    }
    const struct rc_span name = events_name(text, channel);
    const uint64_t hash = rc_channel_hash(text, name.count);
    uint32_t index;
    while ((index = rc_hub_find(clients->hub, hash, name)) != 0 &&
           rc_hub_wait_cancel(clients->hub, client, index, id, &id_bytes)) {}
    const uint32_t subscription = index == 0 ? 0 : rc_hub_subscription(clients->hub, client, index);
    if (subscription != 0) {
        rc_hub_unsubscribe(clients->hub, client, subscription);
    }
}
