/* auth: see auth.h. */
#include "worker/engine/auth.h"

#include <errno.h>
#include <string.h>

/* How engine->auth begins; behind it an entry for each namespace: this, its name, its JSON. */
struct auth_head {
    uint32_t bytes; /* used of the block, this head included */
};

struct auth_entry {
    uint16_t json_bytes;
    uint16_t nsp_bytes;
};

static struct auth_head *auth_block(const struct rc_engines *engines, uint32_t client)
{
    const uint32_t block = rc_engine_of(engines, client)->auth;
    return block == 0 ? NULL : rc_heap_at(&engines->clients->truth->heap, block);
}

static uint32_t entry_bytes(const struct auth_entry *entry)
{
    return (uint32_t)sizeof(*entry) + entry->nsp_bytes + entry->json_bytes;
}

/* Where the namespace's entry is in the block, and what it says; 0: it has none. */
static uint32_t auth_find(const struct rc_engines *engines, uint32_t client, struct rc_span nsp,
                          struct auth_entry *entry)
{
    const struct auth_head *head = auth_block(engines, client);
    for (uint32_t at = sizeof(*head); head != NULL && at < head->bytes; at += entry_bytes(entry)) {
        const uint8_t *bytes = (const uint8_t *)head + at;
        memcpy(entry, bytes, sizeof(*entry));
        if (rc_span_equal(rc_span_of(bytes + sizeof(*entry), entry->nsp_bytes), nsp)) {
            return at;
        }
    }
    return 0;
}

bool rc_engine_auth_fits(const struct rc_engines *engines, uint32_t client, struct rc_span nsp, struct rc_span auth)
{
    const struct auth_head *head = auth_block(engines, client);
    return !engines->keeps_auth || auth.count == 0 ||
           (head == NULL ? sizeof(*head) : head->bytes) + sizeof(struct auth_entry) + nsp.count + auth.count <=
               RC_ENGINE_AUTH_BYTES_MAX;
}

int rc_engine_auth_keep(struct rc_engines *engines, uint32_t client, struct rc_span nsp, struct rc_span auth)
{
    struct rc_engine *engine = rc_engine_of(engines, client);
    struct rc_heap *heap = &engines->clients->truth->heap;
    struct auth_entry former;
    if (!engines->keeps_auth || auth.count == 0 || auth_find(engines, client, nsp, &former) != 0) {
        return 0; /* or a killed worker has kept it */
    }
    /* It was looked at when the CONNECT came, and a reload may have come between. */
    if (!rc_engine_auth_fits(engines, client, nsp, auth)) {
        return -EMSGSIZE;
    }
    const struct auth_entry entry = {.json_bytes = (uint16_t)auth.count, .nsp_bytes = (uint16_t)nsp.count};
    const uint32_t used = engine->auth == 0 ? (uint32_t)sizeof(struct auth_head) : auth_block(engines, client)->bytes;
    const uint32_t need = used + entry_bytes(&entry);
    uint32_t first = 0; /* named when it says how much of it there is */
    uint32_t *block = engine->auth == 0 ? &first : &engine->auth;
    uint32_t capacity = *block == 0 ? 0 : (uint32_t)rc_heap_block_bytes(heap, *block);
    if (need > capacity && rc_socket_input_grow(engines->clients, block, &capacity, need, *block == 0 ? 0 : used) < 0) {
        return -ENOMEM;
    }
    struct auth_head *head = rc_heap_at(heap, *block);
    uint8_t *to = (uint8_t *)head + used;
    memcpy(to, &entry, sizeof(entry));
    memcpy(to + sizeof(entry), nsp.bytes, nsp.count);
    memcpy(to + sizeof(entry) + nsp.count, auth.bytes, auth.count);
    RC_STORE_ORDER();
    head->bytes = need;
    RC_STORE_ORDER();
    engine->auth = *block;
    return 0;
}

struct rc_span rc_engine_auth(const struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    struct auth_entry entry;
    const uint32_t at = auth_find(engines, client, nsp, &entry);
    if (at == 0) {
        return (struct rc_span){0};
    }
    const uint8_t *bytes = (const uint8_t *)auth_block(engines, client) + at;
    return rc_span_of(bytes + sizeof(entry) + entry.nsp_bytes, entry.json_bytes);
}

struct rc_span rc_engine_auth_whole(const struct rc_engines *engines, uint32_t client)
{
    const struct auth_head *head = auth_block(engines, client);
    return head == NULL ? rc_span_of(NULL, 0) : rc_span_of(head, head->bytes);
}

bool rc_engine_auth_right(struct rc_span bytes)
{
    struct auth_head head;
    struct auth_entry entry;
    size_t at = sizeof(head);
    if (bytes.count == 0) {
        return true;
    }
    if (bytes.count <= sizeof(head) || bytes.count > RC_ENGINE_AUTH_BYTES_MAX) {
        return false;
    }
    memcpy(&head, bytes.bytes, sizeof(head));
    while (bytes.count - at >= sizeof(entry)) {
        memcpy(&entry, bytes.bytes + at, sizeof(entry));
        if (entry_bytes(&entry) > bytes.count - at) {
            return false;
        }
        at += entry_bytes(&entry);
    }
    return at == bytes.count && head.bytes == bytes.count;
}

void rc_engine_auth_forget(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    struct auth_entry entry;
    const uint32_t at = auth_find(engines, client, nsp, &entry);
    if (at == 0) {
        return;
    }
    struct auth_head *head = auth_block(engines, client);
    uint8_t *bytes = (uint8_t *)head;
    const uint32_t end = at + entry_bytes(&entry);
    memmove(bytes + at, bytes + end, head->bytes - end);
    head->bytes -= entry_bytes(&entry);
    if (head->bytes == sizeof(*head)) {
        rc_socket_input_free(engines->clients, &rc_engine_of(engines, client)->auth);
    }
}
