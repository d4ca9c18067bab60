/* asked_table: see asked_table.h. */
#include "worker/engine/asked_table.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/engine/doing.h"

_Static_assert(RC_HOOK_CALL_BYTES == RC_BACKEND_ID_MAX && RC_REQUEST_ID_MAX == RC_REQUEST_ID_TOKEN_BYTES_MAX &&
                   RC_CONFIG_BACKENDS_MAX <= UINT8_MAX,
               "a struct rc_hook has room for them");

bool rc_asked_waits(const struct rc_asked *asked)
{
    return asked->lost || (asked->its->reply != 0 && !rc_asked_flag(asked, RC_HOOK_EARLY));
}

uint32_t rc_asked_index(const struct rc_asked *asked)
{
    return rc_backend_marked(asked->engines->clients->config, asked->its->backend_name);
}

const struct rc_config_backend *rc_asked_settings(const struct rc_asked *asked)
{
    const uint32_t index = rc_asked_index(asked);
    return index < RC_CONFIG_BACKENDS_MAX ? &asked->engines->clients->config->backends[index] : NULL;
}

struct rc_span rc_asked_backend(const struct rc_asked *asked)
{
    const struct rc_config_backend *settings = rc_asked_settings(asked);
    return settings != NULL ? rc_span_text(settings->name.text) : rc_span_of(NULL, 0);
}

uint32_t rc_asked_count_of(const struct rc_engines *engines, uint32_t client, uint64_t random)
{
    uint32_t count = 0;
    for (const struct rc_asked *asked = engines->asked_of[client]; asked != NULL; asked = asked->next_of_client) {
        count += asked->its->random == random;
    }
    return count;
}

static void asked_link(struct rc_asked *asked)
{
    struct rc_engines *engines = asked->engines;
    struct rc_asked **of_client = &engines->asked_of[asked->its->client];
    asked->next = engines->asked;
    if (engines->asked != NULL) {
        engines->asked->previous = asked;
    }
    engines->asked = asked;
    asked->next_of_client = *of_client;
    if (*of_client != NULL) {
        (*of_client)->previous_of_client = asked;
    }
    *of_client = asked;
}

void rc_asked_hook_free(struct rc_clients *clients, uint32_t index)
{
    struct rc_hook *hook = rc_truth_hook(clients->truth, index);
    hook->attempt = 0; /* nobody names its blocks any more */
    RC_STORE_ORDER();
    rc_socket_input_free(clients, &hook->request);
    rc_socket_input_free(clients, &hook->reply);
    rc_pool_free(&clients->truth->hooks, index);
}

/* A copy of the bytes in the truth, of which the last link is to be made, while all input and the like has no more than `most` bytes. 0: there is no
 * room. */
static uint32_t hook_copy(const struct rc_clients *clients, struct rc_span bytes, uint64_t most)
{
    struct rc_heap *heap = &clients->truth->heap;
    const uint32_t block =
        clients->hub->input_bytes + bytes.count > most ? 0 : rc_heap_alloc(heap, bytes.count > 0 ? bytes.count : 1);
    if (block != 0) {
        clients->hub->input_bytes += rc_heap_block_bytes(heap, block);
        rc_metric_set(clients->metrics, RC_METRIC_INPUT_BYTES, clients->hub->input_bytes);
        memcpy(rc_heap_at(heap, block), bytes.bytes, bytes.count);
    }
    return block;
}

bool rc_asked_keep_reply(struct rc_asked *asked, struct rc_span body)
{
    const struct rc_clients *clients = asked->engines->clients;
    /* The last quarter is for what clients send, and who they are. */
    const uint32_t block = hook_copy(clients, body, clients->config->limits.worker_log_bytes / 4 * 3);
    if (block == 0) {
        return false;
    }
    asked->its->reply_bytes = (uint32_t)body.count;
    RC_STORE_ORDER();
    asked->its->reply = block;
    return true;
}

void rc_asked_keep_request(struct rc_asked *asked, struct rc_span body)
{
    const struct rc_clients *clients = asked->engines->clients;
    const struct rc_config_backend *settings = rc_asked_settings(asked);
    if (settings == NULL || !settings->ask_again) {
        return;
    }
    const uint32_t block = hook_copy(clients, body, clients->config->limits.worker_log_bytes / 2);
    asked->its->request_bytes = block == 0 ? 0 : (uint32_t)body.count;
    RC_STORE_ORDER();
    asked->its->request = block;
}

struct rc_span rc_asked_reply(const struct rc_asked *asked)
{
    return asked->its->reply == 0 ? rc_span_of(NULL, 0)
                                  : rc_span_of(rc_heap_at(&asked->engines->clients->truth->heap, asked->its->reply),
                                               asked->its->reply_bytes);
}

void rc_asked_drop(struct rc_asked *asked)
{
    struct rc_asked **of_client = &asked->engines->asked_of[asked->its->client];
    *(asked->previous != NULL ? &asked->previous->next : &asked->engines->asked) = asked->next;
    if (asked->next != NULL) {
        asked->next->previous = asked->previous;
    }
    *(asked->previous_of_client != NULL ? &asked->previous_of_client->next_of_client : of_client) =
        asked->next_of_client;
    if (asked->next_of_client != NULL) {
        asked->next_of_client->previous_of_client = asked->previous_of_client;
    }
    if (asked->engines->asked_next == asked) {
        asked->engines->asked_next = asked->next;
    }
    free(asked->event);
    free(asked);
}

void rc_asked_free(struct rc_asked *asked)
{
    struct rc_engines *engines = asked->engines;
    const uint32_t index = asked->index;
    engines->asked_waiting -= rc_asked_waits(asked);
    engines->asked_early -= rc_asked_flag(asked, RC_HOOK_EARLY);
    rc_asked_drop(asked);
    rc_asked_hook_free(engines->clients, index);
}

struct rc_asked *rc_asked_new(struct rc_engines *engines, uint32_t client, uint32_t backend,
                              enum rc_backend_call_kind kind, const struct rc_operation *operation, uint8_t flags)
{
    struct rc_truth *truth = engines->clients->truth;
    struct rc_asked *asked = calloc(1, sizeof(*asked));
    const uint32_t index = asked == NULL ? 0 : rc_pool_alloc(&truth->hooks);
    if (index == 0) {
        free(asked);
        return NULL;
    }
    struct rc_hook *its = rc_truth_hook(truth, index);
    RC_ASSERT(operation->nsp.count <= sizeof(its->nsp) && operation->id.count <= sizeof(its->id));
    its->client = client;
    its->random = client == 0 ? 0 : rc_truth_client(truth, client)->random;
    its->backend_name = rc_backend_mark(engines->clients->config, backend);
    its->kind = (uint8_t)kind;
    its->flags = flags | (client == 0 ? (uint8_t)RC_HOOK_ELSEWHERE : 0);
    its->nsp_bytes = (uint8_t)operation->nsp.count;
    if (operation->nsp.count > 0) {
        memcpy(its->nsp, operation->nsp.bytes, operation->nsp.count);
    }
    if (operation->id.count > 0) {
        its->id_bytes = (uint8_t)operation->id.count;
        memcpy(its->id, operation->id.bytes, operation->id.count);
    }
    if (operation->nsp.count > 0 && client != 0) {
        rc_engine_nsp_sid(engines, client, operation->nsp, its->sid);
    }
    *asked = (struct rc_asked){.engines = engines, .its = its, .index = index};
    asked_link(asked);
    return asked;
}

struct rc_asked *rc_asked_take(struct rc_engines *engines, uint32_t index)
{
    struct rc_asked *asked = calloc(1, sizeof(*asked));
    if (asked != NULL) {
        struct rc_hook *its = rc_truth_hook(engines->clients->truth, index);
        *asked = (struct rc_asked){.engines = engines, .its = its, .index = index, .lost = its->reply == 0};
        asked_link(asked);
    }
    return asked;
}

void rc_asked_begin(struct rc_asked *asked)
{
    RC_STORE_ORDER();
    asked->its->attempt = 1;
    RC_STORE_ORDER();
}
