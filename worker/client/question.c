/* question: see question.h. */
#include "worker/client/question.h"

#define QUESTION_UNSENT_MAX 65536u /* private bytes of a client beyond which it gets no answers */

void rc_client_question_tell(const struct rc_ask *ask, struct rc_event *event)
{
    struct rc_clients *clients = ask->context;
    event->id = rc_span_of(ask->id, ask->id_bytes);
    const uint32_t client = rc_client_here(clients, &ask->client);
    if (client != 0 && rc_hub_reply_event(clients->hub, client, event) < 0) {
        rc_hub_close_client(clients->hub, client, RC_CLOSE_TRY_AGAIN_LATER, NULL, 0, true);
    }
}

static void question_refuse(const struct rc_ask *ask, enum rc_code code, struct rc_span message)
{
    struct rc_event event = {.type = RC_EVENT_ERROR, .code = code, .message = message};
    rc_client_question_tell(ask, &event);
}

void rc_client_question_fail(const struct rc_ask *ask)
{
    question_refuse(ask, RC_CODE_UNAVAILABLE, RC_SPAN("too many such questions at once: ask again later"));
}

bool rc_client_question_good(const struct rc_ask *ask, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_clients *clients = ask->context;
    if (type != RC_DOWN_QUERY || view->head.code != 0) {
        rc_client_question_fail(ask);
        return false;
    }
    const uint32_t client = rc_client_here(clients, &ask->client);
    if (client != 0 && rc_hub_unsent(clients->hub, client) > QUESTION_UNSENT_MAX) {
        question_refuse(ask, RC_CODE_LIMITED, RC_SPAN("read the answers that you have before you ask again"));
        return false;
    }
    return true;
}

void rc_client_question_unanswered(const struct rc_ask *ask, enum rc_ask_end why)
{
    (void)why;
    question_refuse(ask, RC_CODE_UNAVAILABLE, RC_SPAN("there was no answer: ask again"));
}

/* A client that has ended leaves its questions until somebody needs their places. */
bool rc_client_question_wanted(const struct rc_ask *ask)
{
    return rc_client_is_here(ask->context, &ask->client);
}

struct rc_client_ref rc_client_former(const struct rc_clients *clients, const struct rc_operation *operation)
{
    struct rc_client_ref former = {0};
    const bool local =
        operation->former.count > 0 &&
        rc_client_id_read((const char *)operation->former.bytes, operation->former.count, clients->control->instance_id,
                          clients->control->boot_nonce, &former) == RC_CLIENT_ID_LOCAL;
    return local ? former : (struct rc_client_ref){0};
}

int rc_client_question(struct rc_clients *clients, uint32_t client, const struct rc_asker *asker,
                       struct rc_span channel, struct rc_span id, struct rc_span data, struct rc_client_ref former)
{
    const struct rc_client_ref origin = rc_client_ref(clients, client);
    uint64_t token;
    int rc = rc_asks_begin(clients->asks, asker, clients, &origin, id, &token);
    if (rc < 0) {
        return rc;
    }
    struct rc_envelope_view view = {
        .head = {.time_ns = clients->io->now_ns,
                 .channel_hash = rc_channel_hash((const char *)channel.bytes, channel.count),
                 .origin = origin,
                 .target = former,
                 .token = token,
                 .data_bytes = (uint32_t)data.count,
                 .channel_bytes = (uint8_t)channel.count,
                 .request_id_bytes = (uint8_t)id.count},
        .channel = (const char *)channel.bytes,
        .request_id = id.bytes,
        .data = data.bytes};
    rc = rc_uplink_write(clients->uplink, RC_UP_QUERY, &view);
    if (rc < 0) {
        rc_asks_end(clients->asks, token);
    }
    return rc;
}
