/* presence: clients ask who is in a channel; the relay knows. See client.h. */
#include "worker/client/question.h"

#include <string.h>

#include "common/records/query.h"
#include "worker/gate/permission.h"

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

bool rc_client_room_is_socket(const struct rc_clients *clients, struct rc_span room)
{
    return rc_permission_socket(room, clients->hub->instance, clients->config->redis.url.text[0] != '\0');
}
