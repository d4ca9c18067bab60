/*
 * worker: a worker's memory, and its rooms as main.c wires them. One instance, made and owned by main(); one thread, no locks.
 *
 *   rooms.c   opens the rooms, in an order that is checked, and hands on what one room tells another
 *   park.c    standing still
 *   succeed.c taking over from one that does
 *   main.c    the start, and the loop
 */
#ifndef RC_WORKER_WORKER_H
#define RC_WORKER_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/shm/control.h"
#include "common/shm/spawn_args.h"
#include "worker/api/api.h"
#include "worker/adopt/crash.h"
#include "worker/carrier/handover.h"
#include "worker/carrier/polling.h"
#include "worker/carrier/websocket.h"
#include "worker/client/client.h"
#include "worker/client/overload.h"
#include "worker/engine/engine.h"
#include "worker/http/client_files.h"
#include "worker/limits/limits.h"
#include "worker/pusher/pusher.h"
#include "worker/store/truth_check.h"
#include "worker/uplink/ask.h"
#include "worker/uplink/interests.h"
#include "worker/move/move.h"
#include "worker/uplink/memberships.h"

/* See park.c. */
enum rc_park_phase { RC_PARK_RUNNING, RC_PARK_ANSWERING, RC_PARK_STILL };

struct rc_park {
    enum rc_park_phase phase;
    bool refused;       /* the order could not be followed, and stands still */
    uint32_t sent_away; /* clients of TLS 1.2, for this order */
    uint64_t since_ms;
};

/* See leave.c. */
struct rc_leave {
    uint64_t look_ms; /* CLOCK_MONOTONIC: when it is looked at again */
    uint64_t told_ms; /* when it was told last who stays */
    uint64_t away_ms; /* since when nobody is waited for (SENDING_AWAY); 0 = not yet */
    bool rebalancing; /* it has too many, and goes on until it has hardly more than others */
    bool over;        /* nobody is here any more, and nobody comes */
};

struct rc_worker {
    struct rc_spawn_args args;
    struct rc_control control;
    struct rc_process *process;
    uint32_t state; /* enum rc_process_state */
    bool owns;      /* the words of its report about itself are its own: not those of a predecessor that runs */
    struct rc_port_view port;
    const struct rc_config *config;
    uint32_t config_generation;
    struct rc_truth truth;
    struct rc_io io;
    struct rc_hub hub;
    struct rc_uplink uplink;
    struct rc_interests interests;
    struct rc_asks asks;
    struct rc_memberships memberships;
    struct rc_limits limits;
    struct rc_backends *backends;
    struct rc_batches *batches;
    struct rc_identities identities;
    struct rc_clients clients;
    struct rc_handovers handovers;
    struct rc_moves moves;
    struct rc_engines engines;
    struct rc_polling polling;
    struct rc_links *links;
    struct rc_websockets websockets;
    struct rc_pushers pushers;
    struct rc_api api;
    struct rc_client_files client_files;
    struct rc_overload overload;
    struct rc_park park;
    struct rc_leave leave;
    struct rc_crash crash; /* of a dead predecessor */
    struct rc_metrics *metrics;
    struct rc_truth_watch watch; /* debug builds */
    bool parent_gone;
    bool more; /* the down ring had more than one batch, or a step of the API is to be continued */
    uint64_t trim_ms;
};

/* Opens all rooms; negative errno with `err`, then the process is to end. */
int rc_worker_open(struct rc_worker *w, struct rc_err *err);
void rc_worker_close(struct rc_worker *w);

/* From now on what it logs, and who ends, is kept in its report. */
void rc_worker_record(struct rc_worker *w);
/* Says that it lives. Between rounds of a turn, too. */
void rc_worker_beat(struct rc_worker *w);
/* The same without how many connections it has. */
void rc_worker_alive(struct rc_worker *w);
void rc_worker_tell_relay(struct rc_worker *w);
/* A word was stored that the acceptor waits for. */
void rc_worker_tell_acceptor(const struct rc_worker *w);

/* Instead of opening it: takes over from a worker that runs, when that one stands still. 0: it is to run the loop. Negative errno with `err`:
 * it is to end, and nothing of the other's was touched; -ECANCELED: it was not wanted. */
int rc_worker_succeed(struct rc_worker *w, struct rc_err *err);

/* The same of one that is dead: it is to end, and the next process may try. */
int rc_worker_adopt(struct rc_worker *w, struct rc_err *err);

/* Is its place to be empty, and it is not over yet? Then what there is to do for it now and then, at the end of a pass. */
/* Of one that is to end: the relay has taken its last words, and what it makes of them was read: of the last member of a channel that is whom this host's
 * server is told of. A relay that does not run is not waited for. */
bool rc_leave_told(struct rc_worker *w);
bool rc_leave_wanted(const struct rc_worker *w);
void rc_leave_pass(struct rc_worker *w);
/* How long the loop may sleep, at most `most_ms`. */
uint32_t rc_leave_sleep_ms(const struct rc_worker *w, uint32_t most_ms);

/* Is there an order to stand still, or to go on, that was not followed yet? */
bool rc_park_due(const struct rc_worker *w);
/* Follows it, at the end of a pass; parked, it returns only when it is to go on. */
void rc_park_pass(struct rc_worker *w);

#endif
