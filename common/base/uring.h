/*
 * uring: setting up an io_uring the way ringcast uses it, and saying in plain words why it cannot be done.
 *
 * Thin: everything after the set-up is liburing's own interface. The worker and the relay each own one ring, made by
 * the thread that will submit to it (SINGLE_ISSUER). What the kernel can do is tried once at start, never guessed
 * from its version; without DEFER_TASKRUN (Linux 6.1) there is no ringcast. Errors carry the remedy:
 * kernel.io_uring_disabled, a container's seccomp filter, RLIMIT_NOFILE, RLIMIT_MEMLOCK.
 */
#ifndef RC_COMMON_BASE_URING_H
#define RC_COMMON_BASE_URING_H

#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

/* Environment variable: names of features below, with commas between them, that are taken for missing though they are there: how
 * the tests go through what is done without them, and how anybody may see what an older kernel costs. Not no_sqarray, which
 * liburing tries and does without by itself. */
#define RC_URING_WITHOUT "RINGCAST_KERNEL_WITHOUT"

/* What goes beyond Linux 6.1, is used, and has a replacement or can be done without. */
struct rc_uring_features {
    bool no_mmap;    /* 6.5, with 4 KiB pages later: ring memory of the caller's (shared, survives the process) */
    bool no_sqarray; /* 6.6: no indirection between submission queue and entries */
    /* 6.7: SO_PEERNAME by io_uring_prep_cmd_sock, also on direct descriptors. optlen must not exceed the address (16
     * for IPv4, 28 for IPv6): a longer one is -EINVAL. */
    bool socket_getsockopt;
    bool accept_dontwait; /* 6.10: an accept that ends at once when nobody waits (IORING_ACCEPT_DONTWAIT) */
    bool fd_install; /* 6.8: a direct descriptor becomes one of the process's, too (io_uring_prep_fixed_fd_install) */
};

/* Tries every feature on rings of its own, which are gone afterwards. 0; or -EOPNOTSUPP below Linux 6.1, -ENOSYS,
 * -EPERM, -ENOMEM, -EMFILE, … with the reason and the remedy in `err`. */
int rc_uring_probe(struct rc_uring_features *features, struct rc_err *err);

/* Is what RC_URING_WITHOUT calls by this name to be taken for missing? */
bool rc_uring_without(const char *feature);

/* Says what is lost without the missing features ("peer address by ring command (Linux 6.7); …") for the one log line
 * at start; "" when nothing is. Returns how many are missing. */
int rc_uring_lost(const struct rc_uring_features *features, char *text, size_t text_bytes);

struct rc_uring_options {
    uint32_t sq_entries;         /* power of two */
    uint32_t cq_entries;         /* power of two, >= sq_entries, <= 65536 */
    uint32_t direct_descriptors; /* slots of the sparse direct descriptor table, 0 = none */
    void *memory; /* page-aligned, rc_uring_memory_bytes() long, mapped until rc_uring_close; NULL = kernel's */
    uint64_t memory_bytes;
};

/* Bytes of caller memory that a ring of this size needs, whole pages. */
uint64_t rc_uring_memory_bytes(uint32_t sq_entries, uint32_t cq_entries);

/*
 * Makes the ring: SINGLE_ISSUER | DEFER_TASKRUN | SUBMIT_ALL | CQSIZE, NO_SQARRAY where there is, its descriptor
 * registered, close-on-exec, and the direct table. `memory` is zeroed first: who wants to read what a predecessor
 * left there reads before. Where the kernel cannot use it, the ring is made without and *in_memory (may be NULL) is
 * false. 0, or as rc_uring_probe.
 */
int rc_uring_open(struct io_uring *ring, const struct rc_uring_options *options, bool *in_memory, struct rc_err *err);
void rc_uring_close(struct io_uring *ring);

/* For probes: submits the one entry that was prepared and waits for its completion, RC_URING_PROBE_TIMEOUT_S at most. Its result, or a negative
 * errno of the ring (-ETIME: there was no completion). */
#define RC_URING_PROBE_TIMEOUT_S 5
int rc_uring_submit_one(struct io_uring *ring);

/* The sentence and remedy for an error of io_uring set-up or registration; `doing` says what was tried ("creating the
 * ring"). Returns `code`. */
int rc_uring_explain(int code, const char *doing, struct rc_err *err);

#endif
