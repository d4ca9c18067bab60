/*
 * keyring: what tokens are verified with, for every [[identity]] row of kind "jwt": read from files and fetched from URLs, put where
 * workers see it (common/identity/key_board.h).
 *
 * Keys of a URL are fetched at once, again when they are old, and when workers meet a token that names a key which is not there; each row by
 * itself, in a child of its own (acceptor/keys/fetch.h). While fetching fails, the keys of before stay, and it is tried again, later each
 * time:
 *
 *   due --fetched--> due again after jwks_refresh, or max-age (a minute at least), and a little less
 *    |  '-failed---> due again after 5 s, 10 s ... 5 min, and a little more
 *    '--a key is missed--> due at once, but not within 30 s of the last one
 *
 * One instance, owned by the supervisor, called from its loop alone.
 */
#ifndef RC_ACCEPTOR_KEYS_KEYRING_H
#define RC_ACCEPTOR_KEYS_KEYRING_H

#include <stdint.h>

#include "acceptor/keys/fetch.h"
#include "acceptor/start/identity.h"
#include "common/base/err.h"
#include "common/config/values.h"
#include "common/identity/key_board.h"
#include "common/metrics/metrics.h"

#define RC_KEYRING_AGE_MIN_MS 60000u
#define RC_KEYRING_RETRY_MIN_MS 5000u
#define RC_KEYRING_RETRY_MAX_MS 300000u
#define RC_KEYRING_MISSED_MS 30000u
#define RC_KEYRING_WHY_MAX 192u

struct rc_keyring_row {
    bool used;                      /* of kind "jwt" */
    bool fetched_once;              /* `fetched` is of its URL */
    uint32_t failures;              /* since the last success */
    char why[RC_KEYRING_WHY_MAX];   /* the last of them; printable ASCII. "" = not known any more */
    uint32_t missed;                /* as far as it was looked at */
    uint64_t tried_ms;              /* when the last fetch began; 0 = never */
    uint64_t due_ms;                /* of the next one; UINT64_MAX = it has no URL */
    struct rc_identity_jwt jwt;     /* a copy */
    struct rc_jwt_material fixed;   /* of its files */
    struct rc_jwt_material fetched; /* of its URL */
};

struct rc_keyring {
    struct rc_key_board *board;                        /* borrowed */
    const struct rc_identity *identity;                /* borrowed: as whom children run; NULL = as this process */
    struct rc_metrics *metrics;                        /* borrowed */
    uint32_t generation;                               /* of the configuration whose bank is written */
    struct rc_keyring_row *rows;                       /* owned: RC_CONFIG_IDENTITIES_MAX; NULL = none yet */
    struct rc_fetch fetches[RC_CONFIG_IDENTITIES_MAX]; /* of the row of the same index */
};

void rc_keyring_open(struct rc_keyring *keyring, struct rc_key_board *board, const struct rc_identity *identity,
                     struct rc_metrics *metrics);
/* Instead of opening one whose `rows` another program of ours has left: what it had fetched for the rows of `config` is known. */
void rc_keyring_inherit(struct rc_keyring *keyring, struct rc_key_board *board, const struct rc_identity *identity,
                        struct rc_metrics *metrics, const struct rc_config *config);
void rc_keyring_close(struct rc_keyring *keyring);
/* Ends the fetches that run, and their children; they are due again. */
void rc_keyring_cancel(struct rc_keyring *keyring);

/* Reads the files of all rows and writes the bank of configuration `generation`, before that is in force. What was fetched from URLs that
 * are still named is kept. Negative with `err`: nothing has changed. */
int rc_keyring_configure(struct rc_keyring *keyring, uint32_t generation, const struct rc_config *config,
                         uint64_t now_ms, struct rc_err *err);

/* Once a second: ends and begins fetches. `missed`: how many tokens of each row named a key that is not there, a count that changes. */
void rc_keyring_tick(struct rc_keyring *keyring, const uint32_t missed[RC_CONFIG_IDENTITIES_MAX], uint64_t now_ms);

#endif
