/* gone: backends are told that a client, or its socket in a namespace, is no more (`calls = ["disconnect"]`). See client.h. */
#include "worker/client/client.h"

#include "worker/backend/batch.h"

#define GONE_ROOMS_MAX 256u /* of a client that are told */

static void gone_rooms(const struct rc_clients *clients, uint32_t client, struct rc_span nsp,
                       struct rc_backend_frame *frame)
{
    const struct rc_truth *truth = clients->truth;
    uint32_t told = 0;
    rc_backend_frame_list_begin(frame, "rooms");
    for (uint32_t i = rc_truth_client(truth, client)->subscriptions; i != 0 && told < GONE_ROOMS_MAX;
         i = rc_truth_subscription(truth, i)->next) {
        const uint32_t channel = rc_truth_group(truth, rc_truth_subscription(truth, i)->group)->channel;
        const struct rc_span name = rc_hub_name(clients->hub, rc_truth_channel(truth, channel));
        struct rc_span its = {0};
        struct rc_span room = name;
        if (nsp.count > 0) {
            (void)rc_channel_split(name, &its, &room);
        }
        if (room.count > 0 && (nsp.count == 0 || rc_span_equal(its, nsp))) {
            rc_backend_frame_list_text(frame, room);
            told++;
        }
    }
    rc_backend_frame_list_end(frame);
}

void rc_client_tell_gone(struct rc_clients *clients, uint32_t client, struct rc_span nsp, struct rc_span sid,
                         const char *reason)
{
    char id[RC_CLIENT_ID_BYTES_MAX];
    uint8_t user[RC_CLIENT_USER_JSON_MAX];
    for (uint32_t i = 0; clients->batches != NULL && i < clients->config->backend_count; i++) {
        if (!rc_backend_calls(&clients->config->backends[i], RC_BACKEND_DISCONNECT)) {
            continue;
        }
        if (sid.count == 0) {
            const struct rc_client_ref ref = rc_client_ref(clients, client);
            sid = rc_span_of(id,
                             rc_client_id_write(id, clients->control->instance_id, clients->control->boot_nonce, &ref));
        }
        struct rc_backend_frame frame;
        const struct rc_backend_caller caller = {.nsp = nsp,
                                                 .sid = sid,
                                                 .user = rc_client_user_json(clients, client, user),
                                                 .client = rc_client_set(clients, client)};
        rc_backend_frame_begin(&frame, clients->backends, RC_BACKEND_DISCONNECT, &caller);
        rc_backend_frame_text(&frame, "reason", rc_span_text(reason));
        gone_rooms(clients, client, nsp, &frame);
        rc_batch_add(clients->batches, i, &frame, clients->io->now_ns / 1000000u);
    }
}
