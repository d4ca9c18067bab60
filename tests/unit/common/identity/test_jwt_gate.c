/* jwt_gate: tokens by keys that come, change and go on the board. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/identity/jwt_gate.h"
#include "tests/support/jwt_maker.h"

#define NOW 1000000

static struct rc_key_board *board;
static struct rc_jwt_gate gate;
static struct rc_identity_jwt row;
static struct rc_jwt_material material;
static struct rc_jwt_result result;

static void set_up(void)
{
    board = calloc(1, sizeof(*board));
    rc_jwt_gate_open(&gate, board);
    cr_assert(gate.cache != NULL);
    row = (struct rc_identity_jwt){.leeway_ms = 60000};
}

static void tear_down(void)
{
    rc_jwt_gate_close(&gate);
    free(board);
}

TestSuite(jwt_gate, .init = set_up, .fini = tear_down);

static void put(uint32_t generation, uint32_t index, enum rc_jwt_key_type type, const char *kid)
{
    rc_jwt_material_clear(&material);
    if (type < RC_JWT_KEY_TYPE_COUNT) {
        jwt_maker_add(&material, type, kid);
    }
    rc_key_board_write(board, generation, index, &material);
}

static enum rc_jwt_refusal verify(uint32_t index, const char *token, int64_t now_s)
{
    (void)rc_jwt_gate_verify(&gate, index, rc_span_text(token), now_s, &result);
    return result.refusal;
}

static const char *es(const char *claims)
{
    return jwt_maker_token(RC_JWT_ES256, NULL, claims);
}

Test(jwt_gate, keys_that_come_later)
{
    rc_jwt_gate_configure(&gate, 1);
    rc_jwt_gate_row(&gate, 2, &row);
    cr_assert_eq(verify(2, es("{}"), NOW), RC_JWT_NO_KEYS);
    put(1, 2, RC_JWT_KEY_P256, NULL);
    cr_assert_eq(verify(2, es("{}"), NOW), RC_JWT_GOOD);
    put(1, 2, RC_JWT_KEY_ED25519, NULL);
    cr_assert_eq(verify(2, es("{}"), NOW), RC_JWT_KEY_MISSING);
}

/* Also what is in the cache is good under the keys of now only. */
Test(jwt_gate, a_key_that_was_taken_back_ends_the_cache)
{
    char token[512];
    put(1, 0, RC_JWT_KEY_P256, NULL);
    rc_jwt_gate_configure(&gate, 1);
    rc_jwt_gate_row(&gate, 0, &row);
    (void)snprintf(token, sizeof(token), "%s", es("{\"exp\":1000100}"));
    cr_assert_eq(verify(0, token, NOW), RC_JWT_GOOD);
    cr_assert_eq(verify(0, token, NOW), RC_JWT_GOOD);
    cr_assert_eq(result.exp_s, 1000100);
    cr_assert_eq(verify(0, token, 1000160), RC_JWT_EXPIRED);
    put(1, 0, RC_JWT_KEY_TYPE_COUNT, NULL);
    cr_assert_eq(verify(0, token, NOW), RC_JWT_NO_KEYS);
}

Test(jwt_gate, a_stricter_policy_ends_the_cache)
{
    char token[512];
    put(1, 0, RC_JWT_KEY_P256, NULL);
    put(2, 0, RC_JWT_KEY_P256, NULL);
    rc_jwt_gate_configure(&gate, 1);
    rc_jwt_gate_row(&gate, 0, &row);
    (void)snprintf(token, sizeof(token), "%s", es("{}"));
    cr_assert_eq(verify(0, token, NOW), RC_JWT_GOOD);
    row.require_exp = true;
    rc_jwt_gate_configure(&gate, 2);
    rc_jwt_gate_row(&gate, 0, &row);
    cr_assert_eq(verify(0, token, NOW), RC_JWT_EXP_MISSING);
}

/* A reload puts another row in the place of this one: its keys are in the other bank. */
Test(jwt_gate, rows_meet_keys_of_their_own_configuration)
{
    put(1, 0, RC_JWT_KEY_P256, NULL);
    rc_jwt_gate_configure(&gate, 1);
    rc_jwt_gate_row(&gate, 0, &row);
    put(2, 0, RC_JWT_KEY_ED25519, NULL);
    cr_assert_eq(verify(0, es("{}"), NOW), RC_JWT_GOOD);
    rc_jwt_gate_configure(&gate, 2);
    rc_jwt_gate_row(&gate, 0, &row);
    cr_assert_eq(verify(0, es("{}"), NOW), RC_JWT_KEY_MISSING);
}

Test(jwt_gate, old_keys_stay_while_new_ones_cannot_be_had)
{
    put(1, 0, RC_JWT_KEY_P256, NULL);
    rc_jwt_gate_configure(&gate, 1);
    rc_jwt_gate_row(&gate, 0, &row);
    material.count = 7; /* no set */
    rc_key_board_write(board, 1, 0, &material);
    cr_assert_eq(verify(0, es("{}"), NOW), RC_JWT_GOOD);
    atomic_fetch_add(&board->rows[1][0].revision, 1); /* being written */
    cr_assert_eq(verify(0, es("{}"), NOW), RC_JWT_GOOD);
}

Test(jwt_gate, an_unknown_kid_is_told_each_time)
{
    put(1, 0, RC_JWT_KEY_P256, "new");
    rc_jwt_gate_configure(&gate, 1);
    rc_jwt_gate_row(&gate, 0, &row);
    const char *token = jwt_maker_token(RC_JWT_ES256, "{\"alg\":\"ES256\",\"kid\":\"other\"}", "{}");
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(verify(0, token, NOW), RC_JWT_KID_UNKNOWN);
        cr_assert(result.kid_unknown);
    }
}

Test(jwt_gate, without_a_cache)
{
    rc_jwt_cache_close(gate.cache);
    gate.cache = NULL;
    put(1, 0, RC_JWT_KEY_P256, NULL);
    rc_jwt_gate_configure(&gate, 1);
    rc_jwt_gate_row(&gate, 0, &row);
    cr_assert_eq(verify(0, es("{}"), NOW), RC_JWT_GOOD);
}
