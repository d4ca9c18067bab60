/*
 * adapter_requests: answers what Socket.IO servers beside this instance ask of its sockets (adapter_request.h).
 *
 *   request (adapter.h)  ──▶  RC_DOWN_CALL to all workers (common/records/sockets.h)  ──▶  RC_UP_REPLY of each  ──▶  rc_adapter_answer
 *
 * The others count the subscribers of the request channel and wait for as many answers: whatever wants one gets exactly one, when all
 * workers have replied, or with what there is after RC_ADAPTER_REQUEST_MS. What wants none (join, leave, disconnect, events of servers) is
 * passed on and forgotten. The channel is subscribed once for each namespace that the configuration names, and for one that it only
 * has a pattern for while a client is there. Requests of ringcast's own instances are not answered: they ask in our own format.
 *
 * A broadcast whose clients are to answer is answered with how many got it; what they answer goes on by itself (adapter_ack.h).
 *
 * Owned by relay/remote; one thread. Bounded: RC_ADAPTER_REQUESTS_MAX at a time, further ones are answered empty at once, except such
 * broadcasts, which are not delivered and not answered: their server hears of it when its time is up. An answer has at most
 * RC_ADAPTER_ANSWER_MAX bytes, what does not fit is left out. All of it is counted.
 */
#ifndef RC_RELAY_BRIDGE_ADAPTER_REQUESTS_H
#define RC_RELAY_BRIDGE_ADAPTER_REQUESTS_H

#include "common/records/call.h"
#include "relay/bridge/adapter.h"
#include "relay/bridge/adapter_request.h"

#define RC_ADAPTER_REQUESTS_MAX 2048u
#define RC_ADAPTER_REQUEST_MS 2000u               /* until all workers have replied: the asker waits 5 s */
#define RC_ADAPTER_ANSWER_MAX (16u * 1024 * 1024) /* bytes of an answer */

struct rc_adapter_served {
    bool used;
    enum rc_adapter_request_type type;
    uint32_t serial;
    uint32_t next;    /* while it is free: the next such place, 0 = end; places are counted from 1 */
    uint32_t entries; /* of the answer */
    uint64_t clients; /* that got the broadcast */
    uint64_t due_ms;
    struct rc_call_asked asked;
    struct rc_call_asked replied;
    uint8_t id_bytes;
    uint8_t uid_bytes;
    uint8_t nsp_bytes;
    char id[RC_ADAPTER_REQUEST_ID_MAX + 2]; /* JSON */
    char uid[RC_ADAPTER_ASKER_MAX];
    char nsp[RC_NSP_MAX];
    uint8_t *text; /* owner: entries with commas between them */
    size_t text_bytes;
    size_t text_room;
};

struct rc_adapter_requests {
    struct rc_adapter_bridge *adapter; /* borrowed */
    uint64_t nonce;                    /* of our calls */
    uint32_t serial;                   /* of the last one */
    struct rc_timer timer;
    struct rc_adapter_served *served; /* owner: RC_ADAPTER_REQUESTS_MAX; NULL = the adapter is off */
    uint32_t served_high;             /* places that have ever been used */
    uint32_t served_free;             /* first of those that are free again; 0 = none */
    struct rc_scratch data;           /* owner: of the call that is being made */
};

/* Behind rc_adapter_open. -ENOMEM. */
int rc_adapter_requests_open(struct rc_adapter_requests *requests, struct rc_adapter_bridge *adapter);
void rc_adapter_requests_close(struct rc_adapter_requests *requests);
/* A worker's reply. False: it is to a call of somebody else. */
bool rc_adapter_requests_replied(struct rc_adapter_requests *requests, uint32_t worker,
                                 const struct rc_envelope_view *view);

#endif
