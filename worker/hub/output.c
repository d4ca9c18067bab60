/*
 * output: what is for one client alone (the rest of a cut frame, replies, the close frame), or the answers of a socket that carries
 * none; and what becomes of it when a client changes its socket. See hub.h.
 */
#include "worker/hub/hub_internal.h"
#include "worker/hub/turn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/proto/codec.h"
#include "worker/store/named.h"
#include "worker/ws/frame.h"

struct rc_output *rc_hub_output_of(struct rc_hub *hub, uint32_t *link)
{
    if (*link == 0) {
        *link = rc_pool_alloc(&hub->truth->outputs);
        if (*link == 0) {
            return NULL;
        }
    }
    return rc_truth_output(hub->truth, *link);
}

/* A heap block for output within its budget, or 0. */
static uint32_t output_alloc(struct rc_hub *hub, uint64_t bytes)
{
    if (hub->output_bytes + bytes > hub->config->limits.worker_log_bytes) {
        return 0;
    }
    const uint32_t block = rc_heap_alloc(&hub->truth->heap, bytes);
    if (block != 0) {
        hub->output_bytes += rc_heap_block_bytes(&hub->truth->heap, block);
        rc_metric_set(hub->metrics, RC_METRIC_REPLY_BYTES, hub->output_bytes);
    }
    return block;
}

static void output_free(struct rc_hub *hub, uint32_t *block)
{
    if (*block != 0) {
        hub->output_bytes -= rc_heap_block_bytes(&hub->truth->heap, *block);
        rc_metric_set(hub->metrics, RC_METRIC_REPLY_BYTES, hub->output_bytes);
        rc_heap_give(&hub->truth->heap, block);
    }
}

/* Between these two an output's words do not say together what they say alone. */
static void output_fragile(struct rc_hub *hub, const struct rc_output *output)
{
    hub->kept->fragile_output = (uint32_t)(output - (const struct rc_output *)(const void *)hub->truth->outputs.base);
    RC_STORE_ORDER();
}

static void output_whole(struct rc_hub *hub)
{
    RC_STORE_ORDER();
    hub->kept->fragile_output = 0;
}

/* Where the frame that holds `position` of the replies begins; `position` itself among an HTTP answer's bytes. */
static uint32_t output_frame_start(const struct rc_heap *heap, const struct rc_output *output, uint32_t position)
{
    const uint8_t *bytes = output->replies == 0 ? NULL : rc_heap_at(heap, output->replies);
    uint32_t start = output->replies_frames;
    if (position < start) {
        return position;
    }
    while (start < position) {
        struct rc_ws_header header;
        const char *why;
        const int header_bytes = rc_ws_header_read(bytes + start, output->replies_bytes - start, &header, &why);
        RC_ASSERT(header_bytes > 0); /* they were written here */
        const uint64_t end = start + (uint32_t)header_bytes + header.payload_bytes;
        if (end > position) {
            break;
        }
        start = (uint32_t)end;
    }
    return start;
}

/* The words of its replies when these lie in another block, from `start` on. */
static void output_moved(const struct rc_heap *heap, struct rc_output *output, uint32_t block, uint32_t start)
{
    output->replies = block;
    output->replies_capacity = (uint32_t)rc_heap_block_bytes(heap, block);
    output->replies_bytes -= start;
    output->replies_sent -= start;
    output->replies_mark = output->replies_mark > start ? output->replies_mark - start : 0;
    output->replies_frames = output->replies_frames > start ? output->replies_frames - start : 0;
}

/*
 * Moves the replies from the frame that is being sent on into a block with room for `count` bytes behind them. What is said of them is made beside,
 * in another object, which one store puts in the place of the old one; if there is none the words change one by one.
 */
static int output_grow(struct rc_hub *hub, uint32_t *link, uint32_t count)
{
    struct rc_heap *heap = &hub->truth->heap;
    struct rc_output *output = rc_truth_output(hub->truth, *link);
    const uint32_t start = output_frame_start(heap, output, output->replies_sent);
    const uint32_t kept = output->replies_bytes - start;
    uint64_t bytes = RC_HUB_OUTPUT_MIN;
    while (bytes < (uint64_t)kept + count) {
        bytes *= 2;
    }
    const uint32_t block = output_alloc(hub, bytes);
    if (block == 0) {
        return -ENOMEM;
    }
    if (output->replies != 0) {
        memcpy(rc_heap_at(heap, block), (uint8_t *)rc_heap_at(heap, output->replies) + start, kept);
    }
    const uint32_t beside = rc_pool_alloc(&hub->truth->outputs);
    if (beside == 0) {
        output_fragile(hub, output);
        output_free(hub, &output->replies);
        output_moved(heap, output, block, start);
        output_whole(hub);
        return 0;
    }
    struct rc_output *moved = rc_truth_output(hub->truth, beside);
    const uint32_t old = *link;
    uint32_t replies = output->replies;
    *moved = *output;
    output_moved(heap, moved, block, start);
    RC_STORE_ORDER();
    *link = beside;
    RC_STORE_ORDER();
    rc_pool_free(&hub->truth->outputs, old);
    output_free(hub, &replies);
    return 0;
}

/* All replies have left. Without bytes the other words mean nothing. */
static void output_emptied(struct rc_output *output)
{
    output->replies_bytes = 0;
    RC_STORE_ORDER();
    output->replies_sent = output->replies_frames = 0;
    RC_STORE_ORDER();
}

/* Room for `count` more bytes of replies. NULL when the budget is used up. */
static uint8_t *output_reserve(struct rc_hub *hub, uint32_t *link, uint32_t count)
{
    struct rc_output *output = rc_hub_output_of(hub, link);
    if (output == NULL) {
        return NULL;
    }
    if (output->replies_sent == output->replies_bytes) {
        output_emptied(output);
    }
    if ((uint64_t)output->replies_bytes + count > output->replies_capacity) {
        if (output_grow(hub, link, count) < 0) {
            return NULL;
        }
        output = rc_truth_output(hub->truth, *link);
    }
    return (uint8_t *)rc_heap_at(&hub->truth->heap, output->replies) + output->replies_bytes;
}

static int output_refused(struct rc_hub *hub, uint32_t socket_index, uint32_t client_index)
{
    rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
    struct rc_named who; /* its caller ends it */
    rc_log_limited(RC_LOG_WARN, 1, "reply_memory_full", "slot=%d address=%s user=\"%s\" bytes=%llu budget=%llu",
                   (int)socket_index, rc_named_address(hub->truth, socket_index, &who),
                   rc_named_user(hub->truth, client_index, &who), (unsigned long long)hub->output_bytes,
                   (unsigned long long)hub->config->limits.worker_log_bytes);
    return -ENOMEM;
}

bool rc_hub_silent(const struct rc_hub *hub, const struct rc_client *client)
{
    return client->state == RC_CLIENT_FREE || (client->flags & RC_CLIENT_CLOSE_SENT) != 0 ||
           (client->output != 0 && rc_truth_output(hub->truth, client->output)->close_sent > 0);
}

/* What is added to the replies from here on is of the unit that runs. */
static void output_of_unit(const struct rc_hub *hub, struct rc_output *output)
{
    if (output->unit != hub->kept->unit) {
        output->replies_mark = output->replies_bytes;
        RC_STORE_ORDER();
        output->unit = hub->kept->unit;
        RC_STORE_ORDER();
    }
}

int rc_hub_answer(struct rc_hub *hub, uint32_t socket_index, const void *bytes, uint32_t count)
{
    struct rc_socket *socket = &hub->truth->sockets[socket_index];
    RC_ASSERT(socket->client == 0); /* a client's bytes are frames */
    if (!rc_turn_socket_lives(socket)) {
        return 0;
    }
    uint8_t *to = output_reserve(hub, &socket->output, count);
    if (to == NULL) {
        return output_refused(hub, socket_index, 0);
    }
    memcpy(to, bytes, count);
    struct rc_output *output = rc_truth_output(hub->truth, socket->output);
    if (hub->truth->layout->receiving.socket == socket_index + 1) {
        output_of_unit(hub, output); /* half an answer is taken back, and written anew with its request */
    }
    output->replies_bytes += count;
    output->replies_frames = output->replies_bytes;
    rc_hub_touch_socket(hub, socket_index);
    return 0;
}

/* Room for a unit of at most `bytes_max`; NULL: there is nobody to tell, or no memory (*rc). */
static uint8_t *output_unit(struct rc_hub *hub, uint32_t client_index, size_t bytes_max, int *rc)
{
    *rc = 0;
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    if (rc_hub_silent(hub, client)) {
        return NULL;
    }
    uint8_t *to = output_reserve(hub, &client->output, (uint32_t)bytes_max);
    if (to == NULL) {
        *rc = output_refused(hub, client->socket, client_index);
    }
    return to;
}

static void output_unit_done(struct rc_hub *hub, uint32_t client_index, size_t bytes)
{
    const struct rc_client *client = rc_truth_client(hub->truth, client_index);
    struct rc_output *output = rc_truth_output(hub->truth, client->output);
    output_of_unit(hub, output);
    output->replies_bytes += (uint32_t)bytes;
    if (RC_UNLIKELY(rc_encoding_is_stream(client->encoding))) {
        output->replies_frames = output->replies_bytes; /* its wire is its only one: nothing of it begins anew */
    }
    rc_hub_touch(hub, client_index);
}

int rc_hub_reply_frame(struct rc_hub *hub, uint32_t client_index, uint8_t opcode, const uint8_t *payload,
                       uint32_t count)
{
    int rc;
    uint8_t *to = output_unit(hub, client_index, (size_t)count + RC_WS_SERVER_HEADER_BYTES_MAX, &rc);
    if (to != NULL) {
        const size_t header = rc_ws_header_write(to, true, opcode, 0, count);
        if (count > 0) {
            memcpy(to + header, payload, count);
        }
        output_unit_done(hub, client_index, header + count);
    }
    return rc;
}

int rc_hub_reply_part(struct rc_hub *hub, uint32_t client_index, enum rc_part_kind kind, const void *bytes,
                      uint32_t count)
{
    const uint8_t encoding = rc_truth_client(hub->truth, client_index)->encoding;
    int rc;
    uint8_t *to = output_unit(hub, client_index, rc_unit_bytes_max(encoding, 1, count), &rc);
    if (to != NULL) {
        struct rc_unit unit = rc_unit_of(encoding, NULL, to);
        memcpy(rc_unit_part(&unit, count), bytes, count);
        rc_unit_part_end(&unit, kind, count);
        output_unit_done(hub, client_index, unit.bytes);
    }
    return rc;
}

int rc_hub_reply_event(struct rc_hub *hub, uint32_t client_index, const struct rc_event *event)
{
    const uint8_t encoding = rc_truth_client(hub->truth, client_index)->encoding;
    if (event->type == RC_EVENT_ERROR) {
        rc_metric_add(hub->metrics, RC_METRIC_REQUEST_ERRORS, 1); /* also of who has no words for it */
        if (rc_encoding_is_stream(encoding) && hub->handlers.refused != NULL) {
            hub->handlers.refused(hub->handlers.context, client_index, event->code, event->message);
        }
    }
    if (!rc_codec_says(encoding, event->type)) {
        return 0;
    }
    int rc;
    const size_t bytes_max = rc_event_unit_bytes_max(encoding, event);
    uint8_t *to = output_unit(hub, client_index, bytes_max, &rc);
    if (to != NULL) {
        /* What is for one client alone is compressed for it alone, if it agreed to compression. */
        output_unit_done(hub, client_index, rc_event_unit_write(encoding, &hub->compressor, event, bytes_max, to));
        /* No answer but a message, as those that come by way of a log: a rule's emit to who sent the event, or a backend's. */
        rc_metric_add(hub->metrics, RC_METRIC_DELIVERIES, event->type == RC_EVENT_DIRECT ? 1 : 0);
    }
    return rc;
}

int rc_hub_heartbeat(struct rc_hub *hub, uint32_t client_index)
{
    const uint8_t encoding = rc_truth_client(hub->truth, client_index)->encoding;
    int rc;
    uint8_t *to = output_unit(hub, client_index, rc_unit_bytes_max(encoding, 1, RC_HEARTBEAT_BYTES_MAX), &rc);
    if (to != NULL) {
        struct rc_unit unit = rc_unit_of(encoding, NULL, to);
        rc_encoding_codec_of(encoding)->heartbeat(&unit);
        output_unit_done(hub, client_index, unit.bytes);
    }
    return rc;
}

static uint32_t output_unsent(const struct rc_hub *hub, uint32_t index)
{
    if (index == 0) {
        return 0;
    }
    const struct rc_output *output = rc_truth_output(hub->truth, index);
    return output->replies_bytes - output->replies_sent + output->cut_bytes - output->cut_sent;
}

uint32_t rc_hub_unsent(const struct rc_hub *hub, uint32_t client)
{
    return output_unsent(hub, rc_truth_client(hub->truth, client)->output);
}

uint32_t rc_hub_unsent_on(const struct rc_hub *hub, uint32_t socket_index)
{
    const struct rc_socket *socket = &hub->truth->sockets[socket_index];
    return socket->client != 0 ? rc_hub_unsent(hub, socket->client) : output_unsent(hub, socket->output);
}

int rc_hub_keep_cut(struct rc_hub *hub, uint32_t client_index)
{
    struct rc_truth *truth = hub->truth;
    struct rc_client *client = rc_truth_client(truth, client_index);
    if (client->cut == 0 || client->cut == RC_CUT_DIRECT) {
        return 0;
    }
    const uint32_t index = client->cut;
    const struct rc_subscription *subscription = rc_truth_subscription(truth, index);
    const struct rc_group *group = rc_truth_group(truth, subscription->group);
    const struct rc_channel_log *log = rc_truth_log(truth, group->log);
    const uint32_t frame = rc_channel_log_find(log, &truth->heap, subscription->cursor);
    /* Whole: on another wire it begins anew. */
    const uint64_t start = rc_channel_log_frame_position(log, &truth->heap, frame);
    const uint64_t end = rc_channel_log_frame_position(log, &truth->heap, frame + 1);
    const uint32_t bytes = (uint32_t)(end - start);
    struct rc_output *output = rc_hub_output_of(hub, &client->output);
    const uint32_t block = output == NULL ? 0 : output_alloc(hub, bytes);
    if (block == 0) {
        return -ENOMEM;
    }
    if (output->cut_block != 0) {
        RC_ASSERT(output->cut_sent == output->cut_bytes); /* an earlier one, not settled yet */
        output_free(hub, &output->cut_block);
    }
    memcpy(rc_heap_at(&truth->heap, block), rc_channel_log_at(log, &truth->heap, start), bytes);
    output_fragile(hub, output);
    output->cut_block = block;
    output->cut_bytes = bytes;
    output->cut_sent = (uint32_t)(subscription->cursor - start);
    client->cut = 0;
    rc_hub_set_cursor(hub, index, end);
    output_whole(hub);
    return 0;
}

void rc_hub_keep_cut_or_break(struct rc_hub *hub, uint32_t index)
{
    const uint32_t client_index = rc_truth_subscription(hub->truth, index)->client;
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    if (client->cut == index && rc_hub_keep_cut(hub, client_index) < 0) {
        client->cut = 0;
        rc_hub_break(hub, client_index);
    }
}

/* Gives back the replies when all have left. True: there are none. */
static bool output_settle_replies(struct rc_hub *hub, struct rc_output *output)
{
    if (output->replies != 0 && output->replies_sent == output->replies_bytes) {
        output_emptied(output);
        output_free(hub, &output->replies);
        output->replies_capacity = 0;
    }
    return output->replies == 0;
}

bool rc_hub_output_left(struct rc_hub *hub, struct rc_client *client)
{
    struct rc_output *output = rc_truth_output(hub->truth, client->output);
    if (output->cut_block != 0 && output->cut_sent == output->cut_bytes) {
        output_free(hub, &output->cut_block);
        output->cut_bytes = output->cut_sent = 0;
    }
    const bool replied = output_settle_replies(hub, output);
    if (output->cut_block != 0 || !replied || (output->close_bytes != 0 && !(client->flags & RC_CLIENT_CLOSE_SENT))) {
        return false;
    }
    rc_pool_give(&hub->truth->outputs, &client->output);
    return true;
}

void rc_hub_answers_settle(struct rc_hub *hub, uint32_t socket_index)
{
    struct rc_socket *socket = &hub->truth->sockets[socket_index];
    if (socket->output != 0 && output_settle_replies(hub, rc_truth_output(hub->truth, socket->output))) {
        rc_pool_give(&hub->truth->outputs, &socket->output);
        hub->handlers.answered(hub->handlers.context, socket_index);
    }
}

static void output_release(struct rc_hub *hub, uint32_t *link)
{
    if (*link != 0) {
        const uint32_t index = *link;
        struct rc_output *output = rc_truth_output(hub->truth, index);
        *link = 0; /* nobody names it from here on */
        RC_STORE_ORDER();
        output_free(hub, &output->cut_block);
        output_free(hub, &output->replies);
        rc_pool_free(&hub->truth->outputs, index);
    }
}

void rc_hub_answers_release(struct rc_hub *hub, uint32_t socket)
{
    output_release(hub, &hub->truth->sockets[socket].output);
}

void rc_hub_output_release(struct rc_hub *hub, uint32_t client_index)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    output_release(hub, &client->output);
    if (client->direct_log != 0) {
        rc_hub_log_free(hub, &client->direct_log);
    }
}

/* --- another wire --- */

/* What was begun and not finished begins anew. */
static void output_rewind(struct rc_hub *hub, struct rc_client *client)
{
    const struct rc_truth *truth = hub->truth;
    const struct rc_heap *heap = &truth->heap;
    if (client->cut == RC_CUT_DIRECT) {
        struct rc_channel_log *log = rc_truth_log(truth, client->direct_log);
        log->base = rc_channel_log_frame_position(log, heap, rc_channel_log_find(log, heap, log->base));
    } else if (client->cut != 0) {
        struct rc_subscription *subscription = rc_truth_subscription(truth, client->cut);
        const struct rc_channel_log *log = rc_truth_log(truth, rc_truth_group(truth, subscription->group)->log);
        subscription->cursor =
            rc_channel_log_frame_position(log, heap, rc_channel_log_find(log, heap, subscription->cursor));
    }
    client->cut = 0;
    if (client->output == 0) {
        return;
    }
    struct rc_output *output = rc_truth_output(truth, client->output);
    if (output->cut_sent < output->cut_bytes) {
        output->cut_sent = 0;
    }
    if (output->replies_sent < output->replies_frames) {
        output->replies_sent = output->replies_frames; /* the rest of an HTTP answer means nothing elsewhere */
    } else if (output->replies_sent < output->replies_bytes) {
        output->replies_sent = output_frame_start(heap, output, output->replies_sent);
    }
    if (!(client->flags & RC_CLIENT_CLOSE_SENT)) {
        output->close_sent = 0;
    }
}

void rc_hub_detach(struct rc_hub *hub, uint32_t client_index)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    struct rc_socket *socket = &hub->truth->sockets[client->socket];
    RC_ASSERT(socket->client == client_index);
    socket->client = 0;
    client->socket = RC_SOCKET_NONE;
    output_rewind(hub, client);
}

void rc_hub_move(struct rc_hub *hub, uint32_t from_index, uint32_t to_index)
{
    struct rc_client *from = rc_truth_client(hub->truth, from_index);
    struct rc_client *to = rc_truth_client(hub->truth, to_index);
    struct rc_socket *socket = rc_truth_socket_of(hub->truth, from);
    RC_ASSERT(!hub->in_turn && socket != NULL && to->socket == RC_SOCKET_NONE && from->cut == 0);
    RC_ASSERT(to->output == 0 && to->direct_log == 0 && to->cut == 0);
    to->output = from->output;
    from->output = 0;
    to->socket = from->socket;
    from->socket = RC_SOCKET_NONE;
    socket->client = to_index;
    if (to->output != 0) {
        rc_hub_touch(hub, to_index);
    }
}

/* Puts what `first` still holds before what the client's output holds, whose wire is a new one. -ENOMEM: unchanged. */
static int output_prepend(struct rc_hub *hub, struct rc_client *client, uint32_t *first)
{
    struct rc_heap *heap = &hub->truth->heap;
    struct rc_output *answers = rc_truth_output(hub->truth, *first);
    struct rc_output *output = rc_truth_output(hub->truth, client->output);
    const uint32_t answers_bytes = answers->replies_bytes - answers->replies_sent;
    const uint32_t cut_bytes = output->cut_bytes - output->cut_sent;
    const uint32_t replies_bytes = output->replies_bytes - output->replies_sent;
    const uint64_t bytes = (uint64_t)answers_bytes + cut_bytes + replies_bytes;
    if (answers_bytes > 0) {
        const uint32_t block = output_alloc(hub, bytes);
        if (block == 0) {
            return -ENOMEM;
        }
        uint8_t *to = rc_heap_at(heap, block);
        memcpy(to, (uint8_t *)rc_heap_at(heap, answers->replies) + answers->replies_sent, answers_bytes);
        if (cut_bytes > 0) {
            memcpy(to + answers_bytes, (uint8_t *)rc_heap_at(heap, output->cut_block) + output->cut_sent, cut_bytes);
        }
        if (replies_bytes > 0) {
            memcpy(to + answers_bytes + cut_bytes, (uint8_t *)rc_heap_at(heap, output->replies) + output->replies_sent,
                   replies_bytes);
        }
        output_free(hub, &output->cut_block);
        output_free(hub, &output->replies);
        output->cut_bytes = output->cut_sent = 0;
        output->replies = block;
        output->replies_capacity = (uint32_t)rc_heap_block_bytes(heap, block);
        output->replies_bytes = (uint32_t)bytes;
        output->replies_sent = 0;
        output->replies_frames = rc_encoding_is_stream(client->encoding) ? (uint32_t)bytes : answers_bytes;
    }
    output_release(hub, first);
    return 0;
}

int rc_hub_attach(struct rc_hub *hub, uint32_t client_index, uint32_t socket_index)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    struct rc_socket *socket = &hub->truth->sockets[socket_index];
    RC_ASSERT(client->socket == RC_SOCKET_NONE && socket->client == 0);
    if (socket->output != 0 && client->output == 0) {
        client->output = socket->output;
        socket->output = 0;
    } else if (socket->output != 0 && output_prepend(hub, client, &socket->output) < 0) {
        rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        return -ENOMEM;
    }
    client->socket = socket_index;
    socket->client = client_index;
    rc_hub_touch(hub, client_index);
    return 0;
}
