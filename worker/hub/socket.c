/* socket: which client has a socket of Socket.IO, by its id, also when it came back to another place than that names. See hub.h. */
#include "worker/hub/hub_internal.h"

static bool is_named(const struct rc_hub *hub, uint32_t client, uint64_t token, struct rc_span nsp)
{
    const struct rc_truth *truth = hub->truth;
    return client > 0 && client < truth->clients.high && rc_truth_client(truth, client)->random != 0 &&
           rc_truth_sid_token(truth, client, nsp) == token;
}

struct alias_sought {
    const struct rc_hub *hub;
    uint64_t token;
    struct rc_span nsp;
};

static bool alias_equal(const void *context, uint32_t client)
{
    const struct alias_sought *sought = context;
    return is_named(sought->hub, client, sought->token, sought->nsp);
}

uint32_t rc_hub_socket(const struct rc_hub *hub, const struct rc_client_ref *socket, struct rc_span nsp)
{
    if (socket->worker == hub->worker && is_named(hub, socket->slot, socket->random, nsp)) {
        return socket->slot;
    }
    if (RC_LIKELY(hub->aliases.count == 0)) {
        return 0;
    }
    const struct alias_sought sought = {.hub = hub, .token = socket->random, .nsp = nsp};
    const uint32_t client =
        rc_hashmap_find(&hub->aliases, rc_hash(&socket->random, sizeof(socket->random)), alias_equal, &sought);
    return client == RC_HASHMAP_NONE ? 0 : client;
}

static bool guest_equal(const void *context, uint32_t client)
{
    const struct alias_sought *sought = context;
    const struct rc_client *its = rc_truth_client(sought->hub->truth, client);
    return its->guest && its->random == sought->token;
}

uint32_t rc_hub_guest(const struct rc_hub *hub, const struct rc_client_ref *ref)
{
    const struct alias_sought sought = {.hub = hub, .token = ref->random};
    const uint32_t client =
        rc_hashmap_find(&hub->aliases, rc_hash(&ref->random, sizeof(ref->random)), guest_equal, &sought);
    return client == RC_HASHMAP_NONE ? 0 : client;
}

static bool session_equal(const void *context, uint32_t client)
{
    const struct alias_sought *sought = context;
    return rc_truth_client(sought->hub->truth, client)->random != 0 &&
           rc_truth_engine(sought->hub->truth, client)->secret == sought->token;
}

uint32_t rc_hub_session(const struct rc_hub *hub, uint64_t secret)
{
    const struct alias_sought sought = {.hub = hub, .token = secret};
    const uint32_t client =
        RC_LIKELY(hub->aliases.count == 0)
            ? RC_HASHMAP_NONE
            : rc_hashmap_find(&hub->aliases, rc_hash(&secret, sizeof(secret)), session_equal, &sought);
    return client == RC_HASHMAP_NONE ? 0 : client;
}

int rc_hub_alias(struct rc_hub *hub, uint64_t token, uint32_t client)
{
    return rc_hashmap_insert(&hub->aliases, rc_hash(&token, sizeof(token)), client);
}

void rc_hub_alias_end(struct rc_hub *hub, uint64_t token, uint32_t client)
{
    (void)rc_hashmap_remove(&hub->aliases, rc_hash(&token, sizeof(token)), client);
}
