/*
 * jwt_gate: a worker's way to verify tokens: for each row its policy and its keys as they are now, and one cache for all.
 *
 * One instance for each worker, owned by it. It looks at the key board with every token (one load), and takes new keys over by itself; old
 * ones stay while that fails.
 */
#ifndef RC_COMMON_IDENTITY_JWT_GATE_H
#define RC_COMMON_IDENTITY_JWT_GATE_H

#include <stdint.h>

#include "common/identity/jwt.h"
#include "common/identity/jwt_cache.h"
#include "common/identity/key_board.h"

#define RC_JWT_GATE_CACHE_ENTRIES 4096u

struct rc_jwt_gate_row {
    bool used;
    uint32_t revision; /* of `keys` */
    struct rc_jwt_policy policy;
    struct rc_jwt_keys *keys; /* owned, NULL = none yet */
};

struct rc_jwt_gate {
    const struct rc_key_board *board; /* borrowed */
    uint32_t generation;              /* of the configuration */
    struct rc_jwt_cache *cache;       /* owned, NULL = none could be made: every token is verified */
    struct rc_jwt_gate_row rows[RC_CONFIG_IDENTITIES_MAX];
    struct rc_jwt_material material; /* scratch */
};

void rc_jwt_gate_open(struct rc_jwt_gate *gate, const struct rc_key_board *board);
void rc_jwt_gate_close(struct rc_jwt_gate *gate);

/* At start and with every new configuration: first _configure, then _row for each row of kind "jwt", which is borrowed until the next
 * _configure. */
void rc_jwt_gate_configure(struct rc_jwt_gate *gate, uint32_t generation);
void rc_jwt_gate_row(struct rc_jwt_gate *gate, uint32_t row, const struct rc_identity_jwt *jwt);

/* As rc_jwt_verify, for a row that was configured. result->kid_unknown: the caller asks the acceptor for newer keys
 * (control.own->process.keys_missed[row]++). */
int rc_jwt_gate_verify(struct rc_jwt_gate *gate, uint32_t row, struct rc_span token, int64_t now_s,
                       struct rc_jwt_result *result);

#endif
