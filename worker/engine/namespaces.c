/* namespaces: see namespaces.h. */
#include "worker/engine/namespaces.h"

#include <errno.h>
#include <string.h>

int rc_namespaces_add(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    struct rc_engine *engine = rc_engine_of(engines, client);
    if (rc_namespace_is_root(nsp)) {
        engine->root_times = engine->left;
        RC_STORE_ORDER();
        engine->flags |= RC_ENGINE_ROOT;
        RC_STORE_ORDER();
        return 0;
    }
    struct rc_heap *heap = &engines->clients->truth->heap;
    const uint64_t need = engine->namespaces_bytes + RC_NSP_ENTRY_HEAD + nsp.count;
    uint32_t capacity = engine->namespaces == 0 ? 0 : (uint32_t)rc_heap_block_bytes(heap, engine->namespaces);
    if (need > UINT16_MAX || (need > capacity && rc_socket_input_grow(engines->clients, &engine->namespaces, &capacity,
                                                                      need, engine->namespaces_bytes) < 0)) {
        return -ENOMEM;
    }
    uint8_t *list = rc_heap_at(heap, engine->namespaces);
    list[engine->namespaces_bytes] = engine->left;
    list[engine->namespaces_bytes + 1] = (uint8_t)nsp.count;
    memcpy(list + engine->namespaces_bytes + RC_NSP_ENTRY_HEAD, nsp.bytes, nsp.count);
    RC_STORE_ORDER(); /* it is whole before it is there */
    engine->namespaces_bytes = (uint16_t)need;
    RC_STORE_ORDER();
    return 0;
}

void rc_namespaces_remove(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    struct rc_engine *engine = rc_engine_of(engines, client);
    engine->left = engine->left == UINT8_MAX ? 1 : (uint8_t)(engine->left + 1);
    if (rc_namespace_is_root(nsp)) {
        engine->flags &= (uint16_t)~RC_ENGINE_ROOT;
        return;
    }
    uint8_t *list = rc_heap_at(&engines->clients->truth->heap, engine->namespaces);
    const uint32_t at = rc_truth_find_nsp(engines->clients->truth, engine, nsp);
    const uint32_t bytes = RC_NSP_ENTRY_HEAD + list[at + 1];
    memmove(list + at, list + at + bytes, engine->namespaces_bytes - at - bytes);
    engine->namespaces_bytes -= (uint16_t)bytes;
    if (engine->namespaces_bytes == 0) {
        rc_socket_input_free(engines->clients, &engine->namespaces);
    }
}

void rc_namespaces_each(struct rc_engines *engines, uint32_t client,
                        void (*what)(struct rc_engines *engines, uint32_t client, struct rc_span nsp))
{
    const struct rc_engine *engine = rc_engine_of(engines, client);
    if (engine->flags & RC_ENGINE_ROOT) {
        what(engines, client, RC_SPAN("/"));
    }
    for (uint32_t at = 0; at < engine->namespaces_bytes;) {
        const uint8_t *list = rc_heap_at(&engines->clients->truth->heap, engine->namespaces);
        const uint8_t bytes = list[at + 1];
        what(engines, client, rc_span_of(list + at + RC_NSP_ENTRY_HEAD, bytes));
        at += RC_NSP_ENTRY_HEAD + bytes; /* without the session there is no list any more */
    }
}
