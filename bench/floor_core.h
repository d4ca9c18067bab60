/*
 * floor_core: what the floor's io_uring and epoll loops have in common: upgrades, frames, channels.
 *
 * Lives in the floor server's process. The loop hands in what it has received and provides `send` and `flush`; bytes
 * given to `send` stay as they are until `flush` returns. A connection is named by a number below `conn_max`.
 */
#ifndef RC_BENCH_FLOOR_CORE_H
#define RC_BENCH_FLOOR_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RC_BENCH_FLOOR_BATCH 256u
#define RC_BENCH_FLOOR_ECHO_MAX 18000u
#define RC_BENCH_FLOOR_EPOLL_MAX 19800u /* normal descriptors, where RLIMIT_NOFILE is 20,000 */

enum rc_bench_floor_kind {
    RC_BENCH_FLOOR_ACCEPT, /* answer the upgrade, nothing else: connect and idle */
    RC_BENCH_FLOOR_ECHO,
    RC_BENCH_FLOOR_FANOUT,
    RC_BENCH_FLOOR_ROOMS, /* the same, and subscribers publish */
    RC_BENCH_FLOOR_TCP,   /* bytes back as they are */
    RC_BENCH_FLOOR_HOST,  /* the same through the processes of a host: floor_chain.h */
    RC_BENCH_FLOOR_HOSTS, /* and of two hosts */
};

enum rc_bench_floor_state {
    RC_BENCH_FLOOR_NEW,
    RC_BENCH_FLOOR_QUIET,   /* is not expected to send: subscribers, idle ones */
    RC_BENCH_FLOOR_TALKING, /* publishers, echo */
};

struct rc_bench_floor_conn {
    uint8_t *carry; /* owned: a cut frame */
    uint32_t carry_count;
    uint32_t carry_room;
    uint32_t channel;
    uint32_t member; /* index in the channel's members */
    uint8_t state;   /* enum rc_bench_floor_state */
    bool subscribed;
};

struct rc_bench_floor_channel {
    uint32_t *members; /* owned: connection numbers */
    uint32_t member_count;
    uint32_t member_room;
    uint8_t *pending; /* owned: frames that wait for company */
    uint32_t pending_bytes;
    uint32_t pending_frames;
};

struct rc_bench_floor_core {
    enum rc_bench_floor_kind kind;
    uint32_t coalesce;
    uint32_t stride; /* 1: members in the order in which they came */
    uint32_t payload_bytes;
    uint32_t channel_count;
    uint32_t pending; /* frames that wait for company, over all channels */
    uint32_t conn_max;
    struct rc_bench_floor_conn *conns;
    struct rc_bench_floor_channel *channels;
    uint8_t *arena; /* answers and echoes until the next flush */
    uint32_t arena_used;
    void *loop;
    void (*send)(void *loop, uint32_t conn, const uint8_t *bytes, uint32_t count);
    void (*flush)(void *loop);
};

/* Aborts when there is no memory: a floor server has nothing to save. */
void rc_bench_floor_core_init(struct rc_bench_floor_core *core, uint32_t conn_max);
void rc_bench_floor_core_opened(struct rc_bench_floor_core *core, uint32_t conn);

/* False: the connection is to be closed. */
bool rc_bench_floor_core_take(struct rc_bench_floor_core *core, uint32_t conn, uint8_t *bytes, uint32_t count);
void rc_bench_floor_core_closed(struct rc_bench_floor_core *core, uint32_t conn);

/* Sends what waits for company that does not come. */
void rc_bench_floor_core_send_pending(struct rc_bench_floor_core *core);

/* The loops; never return. `listener` is a listening socket. */
__attribute__((noreturn)) void rc_bench_floor_uring(struct rc_bench_floor_core *core, int listener,
                                                    uint32_t connections);
__attribute__((noreturn)) void rc_bench_floor_epoll(struct rc_bench_floor_core *core, int listener);

#endif
