/*
 * steer.bpf: which worker's listener gets a connection.
 *
 * Attached to one SO_REUSEPORT group (one address and port). Runs when a SYN arrives, and (section "migrate") for
 * every connection that waits at a listener when that listener is closed. The choice is one of the least-loaded live
 * workers, at random, so that several CPUs that see the same loads do not all choose the same worker. The load is
 * counted here, at selection: workers that counted at accept would lag behind in a burst. They subtract at close, and
 * correct what never became a connection.
 */
#include <linux/bpf.h>
#include <linux/tcp.h>

#include <bpf/bpf_helpers.h>

#include "acceptor/steer/steer_map.h"

#define NOBODY 0xffffffffu

/* Shared with the acceptor and all workers, and by the programs of all listeners. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, RC_STEER_WORKERS_MAX);
    __type(key, __u32);
    __type(value, struct rc_steer_entry);
} steer_workers SEC(".maps");

/* This listener's sockets by worker. An entry vanishes when its socket is closed by everybody. */
struct {
    __uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
    __uint(max_entries, RC_STEER_WORKERS_MAX);
    __type(key, __u32);
    __type(value, __u64);
} steer_sockets SEC(".maps");

/* A counter per reason, of all listeners together. A map and not an array variable: without CAP_PERFMON the
 * verifier refuses arithmetic with a variable on a pointer, but not a lookup. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, RC_STEER_REASONS);
    __type(key, __u32);
    __type(value, __u64);
} steer_reasons SEC(".maps");

__u32 steer_worker_count; /* written by the loader before the program is attached */
/* 0, which the verifier does not know. Before Linux 6.7 it takes a loop's callback for called once: with what it knows of the state before,
 * it would take the comparisons with other workers for decided, and cut them out. */
__u32 steer_zero;

struct pick {
    __u64 least;
    __u32 choice;
    __u32 ties;
    __u32 skip;
    __u32 reserved;
};

static long candidate_consider(__u32 index, void *context)
{
    struct pick *pick = context;
    const struct rc_steer_entry *worker = bpf_map_lookup_elem(&steer_workers, &index);
    if (!worker) {
        return 1;
    }
    if (!worker->live || index == pick->skip) {
        return 0;
    }
    __u64 load = worker->load;
    if ((__s64)load < 0) {
        load = 0; /* two corrections met; the next one puts it right */
    }
    if (worker->busy) {
        load += 1ull << 40; /* overloaded: only when all are */
    }
    if (load < pick->least) {
        pick->least = load;
        pick->choice = index;
        pick->ties = 1;
    } else if (load == pick->least) {
        pick->ties++;
        if (bpf_get_prandom_u32() % pick->ties == 0) {
            pick->choice = index;
        }
    }
    return 0;
}

/* A loop helper, not an open loop: the verifier would walk every path through 128 workers and give up. */
static __u32 worker_choose(__u32 skip)
{
    struct pick pick = {.least = ~0ull - steer_zero, .choice = NOBODY - steer_zero, .ties = steer_zero, .skip = skip};
    bpf_loop(steer_worker_count, candidate_consider, &pick, 0);
    return pick.choice;
}

static void reason_count(__u32 reason)
{
    __u64 *counter = bpf_map_lookup_elem(&steer_reasons, &reason);
    if (counter) {
        __sync_fetch_and_add(counter, 1);
    }
}

/* Only what becomes a connection is load: strays of connections that died with their worker are not. */
static int packet_opens(const struct sk_reuseport_md *md)
{
    const struct tcphdr *tcp = md->data;
    if ((const void *)(tcp + 1) > md->data_end) {
        return 0;
    }
    return tcp->syn && !tcp->ack;
}

SEC("sk_reuseport/migrate")
int steer_select(struct sk_reuseport_md *md)
{
    const __u32 reason = md->migrating_sk ? RC_STEER_MIGRATED : packet_opens(md) ? RC_STEER_SELECTED : RC_STEER_STRAY;
    __u32 index = worker_choose(NOBODY);
    if (index == NOBODY) {
        reason_count(RC_STEER_NO_LIVE);
        return SK_PASS;
    }
    if (bpf_sk_select_reuseport(md, &steer_sockets, &index, 0) != 0) {
        reason_count(RC_STEER_MISSING);
        index = worker_choose(index);
        if (index == NOBODY || bpf_sk_select_reuseport(md, &steer_sockets, &index, 0) != 0) {
            reason_count(RC_STEER_FAILED);
            return SK_PASS;
        }
    }
    reason_count(reason);
    if (reason != RC_STEER_STRAY) {
        struct rc_steer_entry *worker = bpf_map_lookup_elem(&steer_workers, &index);
        if (worker) {
            __sync_fetch_and_add(&worker->load, 1);
        }
    }
    return SK_PASS;
}

/* None of the helpers used asks for a licence compatible with the GPL. */
char steer_license[] SEC("license") = "unspecified";
