/* unjoined: see unjoined.h. */
#include "worker/engine/unjoined.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "worker/store/named.h"
#include "worker/ws/frame.h"

#define ENDED_AT_ONCE_MAX 256u /* in a pass: each may be a send */

struct unjoined_entry {
    uint32_t next; /* client, the next older one's newer; 0 = none */
    uint32_t previous;
    bool listed;
    bool counted; /* `address` is, in `addresses` */
    struct rc_address address;
};

struct rc_unjoined {
    struct unjoined_entry *entries; /* owned: by client */
    uint32_t oldest;
    uint32_t newest;
    uint32_t count;
    struct rc_address_limit addresses;
};

int rc_unjoined_open(struct rc_engines *engines)
{
    const struct rc_address_limits none = {0};
    const uint32_t clients = engines->clients->truth->clients.count_max;
    struct rc_unjoined *unjoined = calloc(1, sizeof(*unjoined));
    engines->unjoined = unjoined;
    if (unjoined == NULL) {
        return -ENOMEM;
    }
    unjoined->entries = calloc((size_t)clients + 1, sizeof(*unjoined->entries));
    return unjoined->entries == NULL ? -ENOMEM : rc_address_limit_open(&unjoined->addresses, &none, clients);
}

void rc_unjoined_close(struct rc_engines *engines)
{
    if (engines->unjoined != NULL) {
        rc_address_limit_close(&engines->unjoined->addresses);
        free(engines->unjoined->entries);
        free(engines->unjoined);
        engines->unjoined = NULL;
    }
}

static void unjoined_count(const struct rc_engines *engines)
{
    rc_metric_set(engines->clients->metrics, RC_METRIC_ENGINE_UNJOINED, engines->unjoined->count);
}

bool rc_unjoined_admits(struct rc_engines *engines, const struct rc_address *address)
{
    const uint32_t most = rc_engine_settings(engines)->max_unjoined_per_address;
    if (most == 0 || rc_address_limit_of_address(&engines->unjoined->addresses, address) < most) {
        return true;
    }
    char text[RC_ADDRESS_TEXT_MAX];
    (void)rc_address_format(text, address);
    rc_metric_add(engines->clients->metrics, RC_METRIC_ENGINE_UNJOINED_REFUSED, 1);
    rc_log_limited(RC_LOG_INFO, 1, "unjoined_refused", "address=%s sessions=%u", text, most);
    return false;
}

void rc_unjoined_add(struct rc_engines *engines, uint32_t client, const struct rc_address *address)
{
    struct rc_unjoined *unjoined = engines->unjoined;
    struct unjoined_entry *entry = &unjoined->entries[client];
    if (rc_engine_of(engines, client)->deadline_ds == 0) {
        return;
    }
    *entry = (struct unjoined_entry){.previous = unjoined->newest, .listed = true, .address = *address};
    entry->counted = rc_engine_settings(engines)->max_unjoined_per_address != 0 &&
                     rc_address_limit_count(&unjoined->addresses, address) == 0;
    *(unjoined->newest == 0 ? &unjoined->oldest : &unjoined->entries[unjoined->newest].next) = client;
    unjoined->newest = client;
    unjoined->count++;
    unjoined_count(engines);
}

void rc_unjoined_remove(struct rc_engines *engines, uint32_t client)
{
    struct rc_unjoined *unjoined = engines->unjoined;
    struct unjoined_entry *entry = &unjoined->entries[client];
    if (!entry->listed) {
        return;
    }
    *(entry->previous == 0 ? &unjoined->oldest : &unjoined->entries[entry->previous].next) = entry->next;
    *(entry->next == 0 ? &unjoined->newest : &unjoined->entries[entry->next].previous) = entry->previous;
    if (entry->counted) {
        rc_address_limit_remove(&unjoined->addresses, &entry->address);
    }
    entry->listed = false;
    unjoined->count--;
    unjoined_count(engines);
}

void rc_unjoined_work(struct rc_engines *engines)
{
    const struct rc_unjoined *unjoined = engines->unjoined;
    const uint32_t most = rc_engine_settings(engines)->max_unjoined;
    for (uint32_t i = 0; i < ENDED_AT_ONCE_MAX && most != 0 && unjoined->count > most; i++) {
        const uint32_t client = unjoined->oldest;
        rc_metric_add(engines->clients->metrics, RC_METRIC_ENGINE_UNJOINED_ENDED, 1);
        rc_named_log_client("unjoined_ended", engines->clients->truth, client,
                            "more sessions without a namespace than socketio.max_unjoined", "");
        rc_unjoined_remove(engines, client);
        rc_engine_end(engines, client, RC_WS_CLOSE_NORMAL, NULL, true);
    }
}
