/* park: what was received and cannot be handled yet: an incomplete request or message, and what came behind it. See client.h. */
#include "worker/client/client.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/store/taking.h"

#define PARK_BLOCK_MIN 512u

struct rc_input *rc_socket_input(struct rc_clients *clients, uint32_t index)
{
    struct rc_socket *socket = &clients->truth->sockets[index];
    if (socket->input == 0) {
        socket->input = rc_pool_alloc(&clients->truth->inputs);
        if (socket->input == 0) {
            return NULL;
        }
    }
    return rc_truth_input(clients->truth, socket->input);
}

void rc_socket_input_free(struct rc_clients *clients, uint32_t *block)
{
    if (*block != 0) {
        clients->hub->input_bytes -= rc_heap_block_bytes(&clients->truth->heap, *block);
        rc_metric_set(clients->metrics, RC_METRIC_INPUT_BYTES, clients->hub->input_bytes);
        rc_heap_give(&clients->truth->heap, block);
    }
}

/* A larger block with the first `used` bytes of the old one. -ENOMEM: unchanged. */
int rc_socket_input_grow(struct rc_clients *clients, uint32_t *block, uint32_t *capacity, uint64_t bytes, uint64_t used)
{
    struct rc_heap *heap = &clients->truth->heap;
    uint64_t size = PARK_BLOCK_MIN;
    while (size < bytes) {
        size *= 2;
    }
    if (clients->hub->input_bytes + size > clients->config->limits.worker_log_bytes) {
        return -ENOMEM;
    }
    const uint32_t larger = rc_heap_alloc(heap, size);
    if (larger == 0) {
        return -ENOMEM;
    }
    if (used > 0) {
        memcpy(rc_heap_at(heap, larger), rc_heap_at(heap, *block), used);
    }
    uint32_t old = *block;
    RC_STORE_ORDER();
    *block = larger; /* before it has more room by what is said */
    RC_STORE_ORDER();
    rc_socket_input_free(clients, &old);
    *capacity = (uint32_t)rc_heap_block_bytes(heap, larger);
    clients->hub->input_bytes += *capacity;
    rc_metric_set(clients->metrics, RC_METRIC_INPUT_BYTES, clients->hub->input_bytes);
    return 0;
}

void rc_socket_input_release(struct rc_clients *clients, uint32_t index)
{
    struct rc_socket *socket = &clients->truth->sockets[index];
    if (socket->input != 0) {
        const uint32_t its = socket->input;
        struct rc_input *input = rc_truth_input(clients->truth, its);
        socket->input = 0; /* nobody names it from here on */
        RC_STORE_ORDER();
        rc_socket_input_free(clients, &input->message);
        rc_socket_input_free(clients, &input->parked);
        rc_pool_free(&clients->truth->inputs, its);
    }
}

void rc_socket_history_release(struct rc_clients *clients, uint32_t index)
{
    struct rc_socket *socket = &clients->truth->sockets[index];
    rc_socket_input_free(clients, &socket->history);
    socket->history_bytes = 0;
}

/* The input object goes as soon as nothing of it is needed: an idle connection has none. */
void rc_socket_input_settle(struct rc_clients *clients, uint32_t index)
{
    const struct rc_socket *socket = &clients->truth->sockets[index];
    if (socket->input == 0) {
        return;
    }
    struct rc_input *input = rc_truth_input(clients->truth, socket->input);
    if (!rc_ws_receiver_uses_buffer(&input->receiver) && input->waiting_opcode == 0) {
        rc_socket_input_free(clients, &input->message);
        input->message_capacity = 0;
    }
    if (input->parked_bytes == 0) {
        rc_socket_input_free(clients, &input->parked);
        input->parked_capacity = input->parked_scanned = 0;
        if (input->message == 0 && rc_ws_receiver_idle(&input->receiver)) {
            rc_socket_input_release(clients, index);
        }
    }
}

int rc_socket_park(struct rc_clients *clients, uint32_t index, const uint8_t *bytes, uint32_t count)
{
    struct rc_input *input = rc_socket_input(clients, index);
    if (input == NULL) {
        return -ENOMEM;
    }
    const uint64_t need = (uint64_t)input->parked_bytes + count;
    if (need > input->parked_capacity &&
        rc_socket_input_grow(clients, &input->parked, &input->parked_capacity, need, input->parked_bytes) < 0) {
        return -ENOMEM;
    }
    memcpy((uint8_t *)rc_heap_at(&clients->truth->heap, input->parked) + input->parked_bytes, bytes, count);
    input->parked_bytes += count;
    return 0;
}

void rc_socket_unpark(struct rc_clients *clients, uint32_t index, uint32_t count)
{
    const struct rc_socket *socket = &clients->truth->sockets[index];
    if (socket->input == 0) {
        return;
    }
    struct rc_input *input = rc_truth_input(clients->truth, socket->input);
    RC_ASSERT(count <= input->parked_bytes);
    if (count > 0) {
        rc_taking_over(clients->truth); /* what was there before is not any more */
        uint8_t *parked = rc_heap_at(&clients->truth->heap, input->parked);
        input->parked_bytes -= count;
        input->parked_scanned = 0;
        memmove(parked, parked + count, input->parked_bytes);
    }
    rc_socket_input_settle(clients, index);
}
