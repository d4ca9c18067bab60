/*
 * webhook: what an app's server is told by HTTP (pusher.com/docs/channels, "Webhooks"): {"time_ms":1,"events":[{…},{…}]}, signed.
 *
 *   added ─▶ 100 of them, or 50 ms ─▶ sent, one request of an app at a time ─┬─ 2xx: over with
 *                                             ▲                              └─ else: again after 1 s, 2 s, … 16 s, for 5 minutes
 *                                             └──────────────────────────────────┘
 *
 * They go to the url of the app's [[backend]], by its connections, with its time-outs and its breaker. Bounded: RC_WEBHOOK_BYTES_MAX of
 * events for an app; what comes beyond is dropped, as is what is too old. All that is dropped is counted. They lie in the truth
 * (worker/backend/telling.h): who succeeds a worker goes on, and tells again what was not answered. Owned by struct rc_pushers; one thread.
 */
#ifndef RC_WORKER_PUSHER_WEBHOOK_H
#define RC_WORKER_PUSHER_WEBHOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/pusher.h"
#include "worker/backend/telling.h"
#include "worker/client/client.h"

#define RC_WEBHOOK_EVENTS_MAX 100u
#define RC_WEBHOOK_WAIT_MS 50u
#define RC_WEBHOOK_AGAIN_MS 1000u
#define RC_WEBHOOK_AGAIN_MAX_MS 16000u
#define RC_WEBHOOK_KEEP_MS 300000u
#define RC_WEBHOOK_BYTES_MAX (4u << 20)

/* Of one app. */
struct rc_webhook_queue {
    struct rc_webhooks *all;      /* borrowed */
    struct rc_telling_queue told; /* those that are being told are the first `sent` */
    uint32_t sent;
    uint64_t serial; /* token of its calls: counts how often what was sent was given up */
    uint64_t due_ms; /* not before that: the last try failed */
    uint32_t again_ms;
};

struct rc_webhooks {
    struct rc_clients *clients; /* borrowed */
    struct rc_webhook_queue of[RC_CONFIG_PUSHER_APPS_MAX];
};

/* An event of a client. Spans are borrowed for the call. */
struct rc_webhook_event {
    uint32_t app;           /* index in config->pusher_apps */
    struct rc_span channel; /* as the broker has it */
    struct rc_span event;
    struct rc_span data; /* JSON */
    struct rc_span socket_id;
    struct rc_span user; /* of a presence channel; empty = none */
};

void rc_webhooks_open(struct rc_webhooks *webhooks, struct rc_clients *clients);
/* What a former process has left is this one's. */
void rc_webhooks_taken(struct rc_webhooks *webhooks);
/* Apps keep their places; what waits for one that has no backend any more is dropped. */
void rc_webhooks_reconfigure(struct rc_webhooks *webhooks);
/* Each does nothing unless the app's `webhooks` have it. */
void rc_webhook_client_event(struct rc_webhooks *webhooks, const struct rc_webhook_event *event);
void rc_webhook_cache_miss(struct rc_webhooks *webhooks, uint32_t app, struct rc_span channel);
/* OCCUPIED or VACATED; a member's, with its user; how many are subscribed. */
void rc_webhook_channel(struct rc_webhooks *webhooks, uint32_t app, enum rc_pusher_webhook what,
                        struct rc_span channel);
void rc_webhook_member(struct rc_webhooks *webhooks, uint32_t app, enum rc_pusher_webhook what, struct rc_span channel,
                       struct rc_span user);
void rc_webhook_count(struct rc_webhooks *webhooks, uint32_t app, struct rc_span channel, uint64_t count);
/* Sends what is due. */
void rc_webhooks_work(struct rc_webhooks *webhooks);
/* Milliseconds until something is, at most `most_ms`. */
uint32_t rc_webhooks_sleep_ms(const struct rc_webhooks *webhooks, uint32_t most_ms);
/* Something waits for an app that took what it was told last: a draining worker stays for it. */
/* What is being told was left (rc_backends_leave): a successor tells it, or this process again if it goes on. */
void rc_webhooks_leave(struct rc_webhooks *webhooks);
bool rc_webhooks_busy(const struct rc_webhooks *webhooks);

#endif
