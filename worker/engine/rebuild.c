/*
 * rebuild: timers of Engine.IO sessions, and of whom answers are waited for, made from a truth that another process has written. See engine.h.
 *
 * Rows that wait, and what rooms are asked for them, are of the process: their clients go on with the same packet, and what it asks is asked
 * anew. Nothing of the truth changes that a predecessor which stopped would miss.
 */
#include "worker/engine/engine.h"

#include "common/base/check.h"
#include "worker/engine/acks.h"
#include "worker/engine/asked.h"
#include "worker/engine/moving.h"
#include "worker/engine/recoverable.h"
#include "worker/engine/unjoined.h"

/* A session that has joined no namespace yet has a deadline for that; so have those that only say good-bye. */
static bool rebuild_unjoined(const struct rc_engine *engine)
{
    return (engine->flags & (RC_ENGINE_SESSION | RC_ENGINE_GOODBYE)) == RC_ENGINE_SESSION && engine->deadline_ds != 0;
}

/* Requests of a session are the former process's: those that it kept are begun anew, others are answered, or their connections end. */
static void forget_requests(const struct rc_truth *truth, uint32_t client)
{
    struct rc_engine *engine = rc_truth_engine(truth, client);
    if (engine->poll != 0) {
        rc_truth_client(truth, client)->flags &= (uint16_t)~RC_CLIENT_POLLED;
    }
    engine->poll = engine->post = 0;
    if (engine->returning && rc_truth_client(truth, client)->pending_count == 0) {
        rc_truth_client(truth, client)->flags &= (uint16_t)~RC_CLIENT_WAITS_JOIN; /* it says its CONNECT again */
    }
    engine->returning = 0;
}

void rc_engines_taken(struct rc_engines *engines)
{
    const struct rc_clients *clients = engines->clients;
    for (uint32_t i = 1; i <= clients->hub->clients_high; i++) {
        const struct rc_client *client = rc_truth_client(clients->truth, i);
        if (client->random != 0 && rc_encoding_is_engine(client->encoding) && rc_engine_is(engines, i)) {
            forget_requests(clients->truth, i);
        }
    }
    rc_acks_taken(engines); /* before whoever gave it ends */
    rc_asked_taken(engines);
}

void rc_engines_rebuild(struct rc_engines *engines, const struct rc_truth_found *found)
{
    const struct rc_clients *clients = engines->clients;
    const struct rc_truth *truth = clients->truth;
    RC_ASSERT(truth->adopted);
    for (uint32_t i = 1; i <= clients->hub->clients_high; i++) {
        const struct rc_client *client = rc_truth_client(truth, i);
        if (client->random == 0 || !rc_encoding_is_engine(client->encoding) || !rc_engine_is(engines, i)) {
            continue;
        }
        rc_engine_schedule(engines, i);
        if (rebuild_unjoined(rc_engine_of(engines, i))) {
            const struct rc_address address = rc_engine_address(engines, i);
            rc_unjoined_add(engines, i, &address);
        }
    }
    rc_acks_rebuild(engines, found);
    rc_recoverable_rebuild(engines, found);
    rc_engine_tokens_rebuild(engines);
}
