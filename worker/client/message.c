/* message: what a client sends, read operation by operation. See client.h. */
#include "worker/client/client.h"
#include "worker/store/receiving.h"

/* All that it does is one record in the up ring, or an answer. */
#define REPEATABLE                                                                           \
    (1u << RC_OPERATION_PUBLISH | 1u << RC_OPERATION_RETAIN | 1u << RC_OPERATION_BROADCAST | \
     1u << RC_OPERATION_DIRECT | 1u << RC_OPERATION_PING | 1u << RC_OPERATION_ECHO)

/* Of a message, or a packet of a request, its steps are the low half of what is done. */
static uint64_t step_of(const struct rc_clients *clients, uint32_t step)
{
    return (clients->truth->layout->receiving.done >> 32) << 32 | step;
}

void rc_client_step(const struct rc_clients *clients, uint32_t step)
{
    rc_receiving_step(clients->truth, step_of(clients, step), clients->uplink->up.position);
}

void rc_client_repeats(const struct rc_clients *clients, uint32_t step)
{
    rc_receiving_repeats(clients->truth, step == 0 ? 0 : step_of(clients, step));
}

void rc_client_stepped(const struct rc_clients *clients, uint32_t step)
{
    rc_receiving_done(clients->truth, step_of(clients, step));
}

bool rc_client_operations(struct rc_clients *clients, uint32_t client, enum rc_part_kind kind, const uint8_t *bytes,
                          size_t count, uint32_t *done)
{
    const struct rc_client *its = rc_truth_client(clients->truth, client);
    const struct rc_config_endpoint *endpoint =
        its->endpoint == RC_ENDPOINT_PATH ? NULL : &clients->config->endpoints[its->endpoint];
    struct rc_reader reader;
    struct rc_operation operation;
    struct rc_operation_error error;
    uint32_t seen = 0;
    rc_reader_begin(&reader, rc_encoding_codec_of(its->encoding), kind, rc_span_of(bytes, count), &clients->scratch,
                    endpoint);
    if (rc_client_lend_room(clients, &reader, count) < 0) {
        rc_client_failed_memory(clients, client);
        return true;
    }
    int rc;
    while (its->state == RC_CLIENT_OPEN && (rc = rc_reader_next(&reader, &operation, &error)) != 0) {
        if (seen++ < *done) {
            continue;
        }
        if (rc < 0) {
            rc_client_repeats(clients, 0);
            const struct rc_event event = {
                .type = RC_EVENT_ERROR, .code = error.code, .id = error.id, .message = rc_span_text(error.message)};
            if (rc_hub_reply_event(clients->hub, client, &event) < 0) {
                rc_client_failed_memory(clients, client);
            }
        } else {
            rc_receiving_operation(clients->truth, (REPEATABLE >> operation.type & 1) != 0);
            rc_client_step(clients, seen);
            if (rc_client_carry_out(clients, client, RC_AUTHOR_CLIENT, &operation) == RC_CARRIED_LATER) {
                return false;
            }
        }
        *done = seen;
        rc_client_stepped(clients, seen);
    }
    return true;
}

bool rc_client_message(struct rc_clients *clients, uint32_t client, uint8_t opcode, uint8_t *bytes, size_t count,
                       uint32_t *done)
{
    const enum rc_part_kind kind = opcode == RC_WS_BINARY ? RC_PART_BINARY : RC_PART_TEXT;
    if (rc_encoding_is_pusher(rc_truth_client(clients->truth, client)->encoding)) {
        return clients->pusher.message(clients->pusher.context, client, kind, bytes, count);
    }
    return rc_encoding_is_engine(rc_truth_client(clients->truth, client)->encoding)
               ? clients->engine.message(clients->engine.context, client, kind, bytes, count, done)
               : rc_client_operations(clients, client, kind, bytes, count, done);
}
