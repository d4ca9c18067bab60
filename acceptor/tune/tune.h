/*
 * tune: `ringcast tune`: is the running machine set up for many connections? Compares it with acceptor/tune/tune.def, which holds what
 * deploy/sysctl and deploy/systemd set, and says what is missing and why each matters. Changes nothing.
 *
 * The acceptor's program alone calls, before there is any other process. Nothing here fails: what cannot be read is absent.
 */
#ifndef RC_ACCEPTOR_TUNE_TUNE_H
#define RC_ACCEPTOR_TUNE_TUNE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/config/config.h"

#define RC_TUNE_RESULTS_MAX 64u

/* What is not in files, and where these are. */
struct rc_tune_host {
    const char *root;       /* borrowed: precedes /proc and /sys; "" but in tests */
    const char *release;    /* borrowed: of the kernel, "6.1.0-18-amd64" */
    uint64_t nofile;        /* hard limit, UINT64_MAX = none */
    uint64_t memlock;       /* likewise */
    uint64_t memlock_bytes; /* what the rings may need of it */
    uint32_t cpus;          /* that this process may run on */
};

enum rc_tune_state { RC_TUNE_OK, RC_TUNE_NOTE, RC_TUNE_SHORT };

struct rc_tune_result {
    char name[64];
    char found[96];
    char wanted[64];
    char remedy[160];
    const char *why; /* static */
    enum rc_tune_state state;
};

struct rc_tune_report {
    uint32_t count;
    uint32_t short_count;
    struct rc_tune_result results[RC_TUNE_RESULTS_MAX]; /* more are left out */
};

void rc_tune_check(const struct rc_tune_host *host, struct rc_tune_report *report);

void rc_tune_print(const struct rc_tune_report *report, bool json, FILE *out);

/* Checks this machine for `config` and prints the report: true when nothing is short. */
bool rc_tune_run(const struct rc_config *config, bool json, FILE *out);

#endif
