/*
 * hub_rig: the hub and io of a worker in the test's own process: a real ring, real sockets in its descriptor table, and the
 * far ends in the test's hands.
 *
 * One rig per test; single thread. Everything that fails here fails the test (RC_ASSERT). What goes up to the session in a
 * worker goes to the rig's small handlers: a connection ends when its peer does, and what comes in is thrown away unless
 * `received` is set.
 */
#ifndef RC_TESTS_SUPPORT_HUB_RIG_H
#define RC_TESTS_SUPPORT_HUB_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/shm/layout.h"
#include "common/base/span.h"
#include "worker/backend/backend.h"
#include "worker/hub/hub.h"

struct hub_rig_peer {
    int fd;         /* owned: the far end; -1 = none */
    uint8_t *bytes; /* in `block`: what was read and not taken by hub_rig_frame */
    size_t count;
    uint8_t *block; /* owned */
    size_t capacity;
    uint64_t total; /* bytes read since it was connected */
    bool ended;     /* end of file or reset was read */
    bool stays;     /* the client stays when its socket ends */
};

/* What lies in segments where there are other processes. */
struct hub_rig_shared {
    struct rc_control control;
    struct rc_core core;
    struct rc_config_segment configs;
    struct rc_relay_report relay;
    struct rc_report acceptor;
    struct rc_report worker;
};

struct hub_rig {
    struct hub_rig_shared *shared; /* owned */
    struct rc_control *control;    /* in shared */
    struct rc_config *config;      /* in shared */
    struct rc_truth truth;
    struct rc_io io;
    struct rc_hub hub;
    struct rc_metrics *metrics; /* in shared */
    int truth_fd, bell_fd, life_fd;
    int io_fd;
    int vault_fd; /* as the acceptor has it */
    uint32_t slots;
    struct hub_rig_peer *peers; /* owned, by client */
    uint64_t sequence;          /* of the last message */
    uint32_t flushed;           /* calls of the handler */
    uint32_t rounds;
    uint32_t joined; /* calls of the handler */
    uint32_t ready;
    uint64_t now_ns;        /* the hub's clock: stands still unless the test moves it */
    uint64_t time_ns;       /* origin time of what is published; 0 = not told */
    uint16_t message_flags; /* enum rc_envelope_flags of what is published */
    uint64_t offset;        /* in a history, of what was published last; 0 = there is none */
    /* Called for bytes of a client, in the middle of a turn too. NULL = they are thrown away. */
    void (*received)(void *context, uint32_t client, const uint8_t *bytes, uint32_t count);
    void (*round)(void *context);
    /* Of sockets that leave and come; NULL = whoever leaves ends, whoever comes is read. */
    void (*given)(void *context, uint32_t socket, int fd);
    void (*placed)(void *context, const struct rc_io_place *place, uint32_t socket);
    void (*connected)(void *context, const struct rc_io_connect *connect, int fd, int error);
    void *context;                /* borrowed: of all four */
    struct rc_backends *backends; /* borrowed: what is told of sockets that are made here; NULL = none are */
};

struct hub_rig_options {
    uint32_t slots;
    uint64_t channel_log_bytes; /* 0 = default */
    uint32_t channel_log_messages;
    uint64_t worker_log_bytes; /* 0 = default */
    uint32_t receive_buffers;  /* 0 = 64 */
    enum rc_slow_policy slow_consumer;
    int listen_fd; /* borrowed: connections are accepted from it, in state HTTP; 0 = none */
    int inbox_fd;  /* borrowed: connections are taken out of it; 0 = none */
};

enum hub_rig_socket { HUB_RIG_UNIX, HUB_RIG_TCP };

void hub_rig_open(struct hub_rig *rig, const struct hub_rig_options *options);
/* The worker stands still, and another one, with a ring of its own, takes its sockets over out of the vault: how many. The truth and its
 * index stay as they are. */
uint32_t hub_rig_hand_over(struct hub_rig *rig);
/* A second rig goes on with a copy of the first one's truth, as a successor of the worker does: its hub's index is rebuilt, each socket is
 * a new Unix one, of which nothing was read. All sockets of the first are a client's. */
void hub_rig_adopt(struct hub_rig *rig, const struct hub_rig *from, const struct hub_rig_options *options,
                   int send_bytes);
/* The same in steps, for rigs with more rooms: all is open, and nothing rebuilt; the far end of the socket that has this number from here
 * on. */
void hub_rig_succeed(struct hub_rig *rig, const struct hub_rig *from, const struct hub_rig_options *options);
int hub_rig_take_socket(struct hub_rig *rig, uint32_t socket, int send_bytes);
/* Ends every connection, checks that nothing is left of them, and gives everything back. */
void hub_rig_close(struct hub_rig *rig);

/* An open client on a new socket, messages not compressed; the client. `send_bytes` is the socket's SO_SNDBUF, 0 = the kernel's. */
uint32_t hub_rig_connect(struct hub_rig *rig, enum hub_rig_socket kind, enum rc_codec_id codec, bool everybody,
                         int send_bytes);
/* The peer closes; the worker's end follows with the next hub_rig_run. */
void hub_rig_hang_up(struct hub_rig *rig, uint32_t client);
struct rc_client_ref hub_rig_ref(const struct hub_rig *rig, uint32_t client);
/* What carries the client: its number; itself (one in state FREE when nothing does). */
uint32_t hub_rig_socket_of(const struct hub_rig *rig, uint32_t client);
struct rc_socket *hub_rig_its_socket(const struct hub_rig *rig, uint32_t client);

/* Ends the client's socket; the client stays. */
void hub_rig_detach(struct hub_rig *rig, uint32_t client);
/* A socket that carries nobody: its number, and its far end in *fd. */
uint32_t hub_rig_socket(struct hub_rig *rig, enum hub_rig_socket kind, int send_bytes, int *fd);
/* It carries the client from here on, whose far end is `fd`; what was read and not taken is forgotten. */
void hub_rig_attach_to(struct hub_rig *rig, uint32_t client, uint32_t socket, int fd);

/* What the uplink would do. The result of rc_hub_message or rc_hub_direct; the sequence is used up when it is 0. */
int hub_rig_publish(struct hub_rig *rig, const char *channel, struct rc_span data, const struct rc_client_ref *excludes,
                    uint32_t exclude_count);
/* The same with a key, NULL = none. */
int hub_rig_publish_key(struct hub_rig *rig, const char *channel, const char *key, struct rc_span data,
                        const struct rc_client_ref *excludes, uint32_t exclude_count);
int hub_rig_direct(struct hub_rig *rig, const struct rc_client_ref *target, struct rc_span data);
/* Subscribes at once, as for a channel that the relay knows; the subscription. */
uint32_t hub_rig_subscribe(struct hub_rig *rig, uint32_t client, const char *channel);
void hub_rig_unsubscribe(struct hub_rig *rig, uint32_t client, const char *channel);

/* One turn of the worker's loop: completions, then a hub turn if something is pending. */
void hub_rig_run(struct hub_rig *rig);
/* Runs and reads all peers until nothing is pending and all that was sent has arrived. */
void hub_rig_drain(struct hub_rig *rig);

/* Reads what is there on the far end, at most `most` bytes (0 = all). The bytes read. */
size_t hub_rig_read(struct hub_rig *rig, uint32_t client, size_t most);
/* Has everything that the worker gave to the socket arrived? */
bool hub_rig_arrived(const struct hub_rig *rig, uint32_t client);
/* Takes the first whole frame that was read: its opcode and payload (valid until the next read), or false. */
bool hub_rig_frame(struct hub_rig *rig, uint32_t client, uint8_t *opcode, struct rc_span *payload);

/* Checks every number that hub, sockets, clients, groups, logs and heap keep against what is really there. Between turns only. */
void hub_rig_check(const struct hub_rig *rig);

#endif
