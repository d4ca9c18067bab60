/* jwt_gate: see jwt_gate.h. */
#include "common/identity/jwt_gate.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"

void rc_jwt_gate_open(struct rc_jwt_gate *gate, const struct rc_key_board *board)
{
    memset(gate, 0, sizeof(*gate));
    gate->board = board;
    gate->cache = rc_jwt_cache_open(RC_JWT_GATE_CACHE_ENTRIES);
}

static void row_close(struct rc_jwt_gate_row *row)
{
    rc_jwt_keys_close(row->keys);
    *row = (struct rc_jwt_gate_row){0};
}

void rc_jwt_gate_close(struct rc_jwt_gate *gate)
{
    for (uint32_t i = 0; i < RC_CONFIG_IDENTITIES_MAX; i++) {
        row_close(&gate->rows[i]);
    }
    rc_jwt_cache_close(gate->cache);
    gate->cache = NULL;
}

void rc_jwt_gate_configure(struct rc_jwt_gate *gate, uint32_t generation)
{
    for (uint32_t i = 0; i < RC_CONFIG_IDENTITIES_MAX; i++) {
        row_close(&gate->rows[i]);
    }
    gate->generation = generation;
}

/* Takes the keys of the board over when there are others; those that are here stay when that fails. */
static void row_refresh(struct rc_jwt_gate *gate, uint32_t index)
{
    struct rc_jwt_gate_row *row = &gate->rows[index];
    struct rc_jwt_keys *keys = NULL;
    struct rc_err err;
    uint32_t revision = rc_key_board_revision(gate->board, gate->generation, index);
    if (revision == row->revision && row->keys != NULL) {
        return;
    }
    if (rc_key_board_read(gate->board, gate->generation, index, &gate->material, &revision) < 0) {
        return;
    }
    if (rc_jwt_keys_open(&keys, &gate->material, &err) == 0) {
        rc_jwt_keys_close(row->keys);
        row->keys = keys;
    } else {
        rc_log_error("identity_keys_refused", "row=%u reason=\"%s\"", index, err.text);
    }
    row->revision = revision;
    rc_jwt_material_clear(&gate->material);
}

void rc_jwt_gate_row(struct rc_jwt_gate *gate, uint32_t index, const struct rc_identity_jwt *jwt)
{
    RC_ASSERT(index < RC_CONFIG_IDENTITIES_MAX);
    gate->rows[index].used = true;
    gate->rows[index].policy = rc_jwt_policy_of(jwt);
    row_refresh(gate, index);
}

int rc_jwt_gate_verify(struct rc_jwt_gate *gate, uint32_t index, struct rc_span token, int64_t now_s,
                       struct rc_jwt_result *result)
{
    RC_ASSERT(index < RC_CONFIG_IDENTITIES_MAX && gate->rows[index].used);
    struct rc_jwt_gate_row *row = &gate->rows[index];
    row_refresh(gate, index);
    if (row->keys == NULL) {
        result->refusal = RC_JWT_NO_KEYS;
        result->kid_unknown = false;
        result->claims_bytes = 0;
        return -EACCES;
    }
    const uint64_t generation = (uint64_t)gate->generation << 32 | row->revision;
    if (gate->cache != NULL && token.count <= RC_JWT_TOKEN_BYTES_MAX &&
        rc_jwt_cache_find(gate->cache, index, generation, token, now_s, result)) {
        return 0;
    }
    const int rc = rc_jwt_verify(&row->policy, row->keys, token, now_s, result);
    if (rc == 0 && gate->cache != NULL) {
        rc_jwt_cache_keep(gate->cache, index, generation, token, now_s, row->policy.leeway_s, result);
    }
    return rc;
}
