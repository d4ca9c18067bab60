/*
 * traffic: publishing and checking, shared by the scenarios that have publishers and subscribers.
 *
 * One instance per client process, on client->state. Process 0 publishes: in an open loop at the times the rate gives,
 * whatever the server does, in a closed loop a pause after the last subscriber has a message, each of those in flight for itself
 * (pace.h). Every process checks what its subscribers get.
 */
#ifndef RC_BENCH_TRAFFIC_H
#define RC_BENCH_TRAFFIC_H

#include "bench/client.h"
#include "bench/pace.h"
#include "bench/track.h"

struct rc_bench_traffic {
    struct rc_bench_track *tracks; /* [subscribers of this process * streams_per_channel] */
    uint8_t *excused;              /* [subscribers] or NULL: 1 for those whose losses are expected */
    uint32_t *counts;          /* [streams * window_slots]: subscribers here that have a number; NULL in an open loop */
    uint32_t *here;            /* [channels]: subscribers of this process */
    uint32_t *processes_on;    /* [channels]: processes with subscribers */
    struct rc_bench_pace pace; /* closed loop, process 0 only, as are the next two */
    uint64_t *turns;           /* [window]: messages of each talker so far */
    uint32_t *talkers;         /* [streams * window_slots]: 1 + whose message it is; 0: nobody's */
    uint64_t completed_before; /* completions that were acted on, and when there last was one */
    uint64_t moved_ns;
    uint64_t extra;            /* published beyond the window to reveal what was lost */
    uint64_t blocked_since_ns; /* 0: not blocked */
    double due_ns;             /* open loop: when the next message is due; 0: not begun */
    uint32_t *returning;       /* --reconnect: slots that come back, not before return_ns; NULL until there is one */
    uint32_t returning_count;
    uint64_t return_ns;
    uint32_t next_stream;
    uint32_t stalls_in_a_row;
    void *own; /* the scenario's own, owned by it */
};

/* Makes client->state. 0 or -ENOMEM. */
int rc_bench_traffic_start(struct rc_bench_client *client);
void rc_bench_traffic_ready(struct rc_bench_client *client, uint32_t slot, uint64_t now_ns);
void rc_bench_traffic_payload(struct rc_bench_client *client, uint32_t slot, struct rc_span payload, uint64_t now_ns);
void rc_bench_traffic_closed(struct rc_bench_client *client, uint32_t slot);
uint64_t rc_bench_traffic_turn(struct rc_bench_client *client, uint64_t now_ns, enum rc_bench_phase phase);

/* Adds what never came to the tally. */
void rc_bench_traffic_finish(struct rc_bench_client *client);

/* Excuses a subscriber: what it misses from now on is counted apart. */
void rc_bench_traffic_excuse(struct rc_bench_client *client, uint32_t slot);

#endif
