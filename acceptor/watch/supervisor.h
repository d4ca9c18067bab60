/*
 * supervisor: the acceptor's memory, and the state of the broker. One instance, made and owned by acceptor/watch/loop;
 * the other modules of the acceptor are functions over it.
 *
 * The state (common/shm/layout.h: STARTING -> RUNNING -> DRAINING -> STOPPING) is in the core segment; who may change
 * what:
 *
 *   STARTING --every child READY--> RUNNING --SIGTERM, SIGINT, stop, a child given up--> DRAINING --all gone--> end
 *      |                               |                                                  |
 *      |                               '--stop --now---------. .--second signal, --now----'
 *      |                                                     | |
 *      '--a child fails, SIGTERM-------------------------> STOPPING --all gone--> end
 */
#ifndef RC_ACCEPTOR_WATCH_SUPERVISOR_H
#define RC_ACCEPTOR_WATCH_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "acceptor/start/broker.h"
#include "acceptor/console/console.h"
#include "acceptor/keys/keyring.h"
#include "acceptor/watch/trace.h"
#include "acceptor/watch/recent.h"
#include "acceptor/watch/names.h"
#include "acceptor/watch/sdnotify.h"
#include "acceptor/start/settings.h"

/* Exit codes of `ringcast`. */
#define RC_EXIT_OK 0
#define RC_EXIT_FAILED 1 /* it could not start, or was given up */
#define RC_EXIT_CONFIG 2 /* the configuration is wrong */

/* A child that ends with this could not start for a reason that a restart does not cure (sysexits.h: EX_CONFIG). */
#define RC_EXIT_CHILD_REFUSED 78
/* With this: memory or descriptors are short (rc_err_is_short), which may be there a moment later (EX_TEMPFAIL). */
#define RC_EXIT_CHILD_SHORT 75

struct rc_reload {
    bool wanted;  /* asked for by a signal or the console and not begun */
    bool pending; /* published, not every child has taken it over */
    bool warned;  /* about a child that takes long */
    uint64_t since_ms;
    uint32_t waiter_count;
    uint32_t waiters[RC_CONSOLE_SESSIONS_MAX]; /* console handles of who asked before it was begun */
    uint32_t pending_count;
    uint32_t pending_waiters[RC_CONSOLE_SESSIONS_MAX]; /* of who asked for the one that is pending */
};

/* See acceptor/watch/takeover.h. */
enum rc_takeover_phase {
    RC_TAKEOVER_NONE,
    RC_TAKEOVER_STANDBY,
    RC_TAKEOVER_PARKING,
    RC_TAKEOVER_ADOPTING,
    RC_TAKEOVER_LEAVING,
    RC_TAKEOVER_UNDOING,
    RC_TAKEOVER_GOING_ON, /* of a worker that only stood still */
};
#define RC_TAKEOVER_EVENT (UINT64_C(1) << 32) /* of the set of the loop: a process that rc_takeover_progress looks at */
#define RC_UPGRADE_EVENT (UINT64_C(2) << 32)  /* the same of rc_upgrade_progress */

struct rc_takeover {
    enum rc_takeover_phase phase;
    bool only_park;
    bool well; /* how the last one ended */
    uint32_t worker;
    uint32_t last;                 /* worker */
    uint32_t handle;               /* console handle of who asked */
    pid_t pid;                     /* of the worker when its turn began */
    struct rc_successor successor; /* LEAVING: the predecessor */
    uint64_t due_ms;               /* when the phase takes too long, or is to be looked at */
    uint64_t ending_ms;            /* since when a killed process is waited for; 0 = none is */
    bool ending_told;
    uint64_t began_ns;
    uint64_t ordered_ns;
    uint64_t parked_ns;
    uint64_t taken_ns;
    uint32_t text_bytes;
    char text[16384]; /* for who asked: a line for each worker */
};

/* See acceptor/upgrade/upgrade.h. */
enum rc_upgrade_phase {
    RC_UPGRADE_NONE,
    RC_UPGRADE_CHECKING,
    RC_UPGRADE_SETTLING,
    RC_UPGRADE_RELAY_STANDBY,
    RC_UPGRADE_RELAY_PARKING,
    RC_UPGRADE_RELAY_ADOPTING,
    RC_UPGRADE_RELAY_UNDOING,
    RC_UPGRADE_RELAY_STARTING,
    RC_UPGRADE_WORKERS,
};

struct rc_upgrade {
    enum rc_upgrade_phase phase;
    uint32_t handle;   /* console handle of who asked */
    uint64_t began_ms; /* CLOCK_MONOTONIC */
    uint64_t due_ms;   /* when the phase takes too long, or is to be looked at */
    int program_fd;    /* owned: the new program; -1 = none */
    pid_t check_pid;   /* of the new program that checks; 0 = none */
    int check_pidfd;   /* owned; -1 = none */
    int check_fd;      /* owned: what it says; -1 = none */
    bool refused;      /* what ends is an upgrade that failed */
    struct rc_successor relay;
    pid_t relay_leaves;  /* the former one, which forwards to the new one; 0 = none */
    uint64_t ordered_ns; /* the relay was told to stand still */
    uint32_t text_bytes;
    char text[32768]; /* for who asked */
};

/* See acceptor/watch/workers.h. */
struct rc_workers {
    bool waits;      /* somebody waits for the number to be what it is to be */
    uint32_t handle; /* console handle of who */
    uint64_t since_ms;
    uint64_t due_ms; /* when it is told how far it is */
    uint32_t text_bytes;
    char text[4096]; /* what is told then: who could not be started */
};

struct rc_supervisor {
    struct rc_broker broker;
    struct rc_settings *settings; /* borrowed: main's */
    struct rc_keyring keyring;
    struct rc_sdnotify notify;
    struct rc_console console;
    bool console_open;
    int epoll_fd;  /* owned */
    int signal_fd; /* owned */
    int exit_code;
    uint64_t now_ms; /* of this turn of the loop */
    uint64_t started_ms;
    uint64_t tick_ms;       /* of the last tick */
    uint64_t wall_ahead_ms; /* by how much CLOCK_REALTIME was before CLOCK_MONOTONIC then; 0 = no tick yet */
    bool tick_late;         /* it came so late that heartbeats were not judged */
    uint64_t stop_ms;       /* DRAINING or STOPPING began */
    uint64_t relay_stop_ms; /* SIGTERM went to the relay; 0 = not yet */
    uint32_t stop_waiter_count;
    struct rc_trace trace;
    uint32_t api_worker; /* counts: which worker gets the next caller of the API (acceptor/console/request.c) */
    uint32_t stop_waiters[RC_CONSOLE_SESSIONS_MAX]; /* console handles that are answered by the end itself */
    struct rc_reload reload;
    struct rc_takeover takeover;
    struct rc_workers workers;
    struct rc_upgrade upgrade;
    struct rc_recent recent;
    struct rc_names names;
};

enum rc_broker_state rc_supervisor_state(const struct rc_supervisor *supervisor);
/* Publishes the state and wakes every child. */
void rc_supervisor_enter(struct rc_supervisor *supervisor, enum rc_broker_state state);
/* Sends the clients away, then ends. `exit_code` is kept when it is worse than the one so far. */
void rc_supervisor_drain(struct rc_supervisor *supervisor, int exit_code, const char *reason);
/* Ends without waiting for clients. */
void rc_supervisor_stop(struct rc_supervisor *supervisor, int exit_code, const char *reason);
struct rc_metrics *rc_supervisor_metrics(const struct rc_supervisor *supervisor);
/* Says in the log who may write. At start and after a reload. */
void rc_supervisor_tell_permissions(const struct rc_config *config);

#endif
