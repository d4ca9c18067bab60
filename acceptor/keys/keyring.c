/* keyring: see keyring.h. */
#include "acceptor/keys/keyring.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/log.h"
#include "common/identity/sources.h"

void rc_keyring_open(struct rc_keyring *keyring, struct rc_key_board *board, const struct rc_identity *identity,
                     struct rc_metrics *metrics)
{
    memset(keyring, 0, sizeof(*keyring));
    keyring->board = board;
    keyring->identity = identity;
    keyring->metrics = metrics;
}

void rc_keyring_inherit(struct rc_keyring *keyring, struct rc_key_board *board, const struct rc_identity *identity,
                        struct rc_metrics *metrics, const struct rc_config *config)
{
    struct rc_keyring_row *rows = keyring->rows;
    rc_keyring_open(keyring, board, identity, metrics);
    keyring->rows = rows;
    for (uint32_t i = 0; rows != NULL && i < RC_CONFIG_IDENTITIES_MAX; i++) {
        const bool there = i < config->identity_count && config->identities[i].kind == RC_IDENTITY_JWT;
        rows[i].used &= there;
        if (there) {
            rows[i].jwt = config->identities[i].jwt;
        }
    }
}

static void rows_free(struct rc_keyring_row *rows)
{
    if (rows != NULL) {
        explicit_bzero(rows, RC_CONFIG_IDENTITIES_MAX * sizeof(*rows)); /* secrets */
    }
    free(rows);
}

void rc_keyring_cancel(struct rc_keyring *keyring)
{
    for (uint32_t i = 0; i < RC_CONFIG_IDENTITIES_MAX; i++) {
        rc_fetch_cancel(&keyring->fetches[i]);
    }
}

void rc_keyring_close(struct rc_keyring *keyring)
{
    rc_keyring_cancel(keyring);
    rows_free(keyring->rows);
    keyring->rows = NULL;
}

/* Files and URL together. */
static void row_publish(struct rc_keyring *keyring, uint32_t index)
{
    static struct rc_jwt_material all; /* too large for a stack; wiped below */
    const struct rc_keyring_row *row = &keyring->rows[index];
    struct rc_jwt_key key;
    struct rc_err err;
    uint32_t at = 0;
    all = row->fixed;
    while (rc_jwt_material_next(&row->fetched, &at, &key) == 1) {
        if (rc_jwt_material_append(&all, &key, &err) < 0) {
            rc_log_warn("identity_keys_left_out", "row=%u reason=\"%s\"", index, err.text);
            break;
        }
    }
    (void)rc_key_board_write(keyring->board, keyring->generation, index, &all);
    rc_jwt_material_clear(&all);
}

/* -------------------------------------------------------------------------------------------------------- reloads */

/* What another row has from the same URL already. */
static const struct rc_keyring_row *row_of_url(const struct rc_keyring_row *rows, const struct rc_identity_jwt *jwt)
{
    for (uint32_t i = 0; rows != NULL && i < RC_CONFIG_IDENTITIES_MAX; i++) {
        const struct rc_identity_jwt *its = &rows[i].jwt;
        if (rows[i].used && strcmp(its->jwks_url.text, jwt->jwks_url.text) == 0 &&
            strcmp(its->jwks_ca.text, jwt->jwks_ca.text) == 0 && its->jwks_insecure == jwt->jwks_insecure) {
            return &rows[i];
        }
    }
    return NULL;
}

static int row_configure(struct rc_keyring_row *row, const struct rc_keyring_row *before,
                         const struct rc_config_identity *identity, uint64_t now_ms, struct rc_err *err)
{
    struct rc_err why = {{0}};
    row->used = true;
    row->jwt = identity->jwt;
    row->due_ms = UINT64_MAX;
    const int rc = rc_jwt_sources_load(&row->fixed, &row->jwt, &why);
    if (rc < 0) {
        return rc_err_set(err, rc, "[[identity]] %s: %.400s", identity->name.text, why.text);
    }
    if (row->jwt.jwks_url.text[0] == '\0') {
        return 0;
    }
    const struct rc_keyring_row *old = row_of_url(before, &row->jwt);
    row->due_ms = now_ms;
    if (old != NULL) {
        row->fetched_once = old->fetched_once;
        row->fetched = old->fetched;
        row->tried_ms = old->tried_ms;
        row->failures = old->failures;
        memcpy(row->why, old->why, sizeof(row->why));
        row->missed = old->missed;
        /* A shorter jwks_refresh holds from now on. */
        const uint64_t latest_ms = now_ms + row->jwt.jwks_refresh_ms;
        row->due_ms = old->due_ms < latest_ms ? old->due_ms : latest_ms;
    }
    return 0;
}

int rc_keyring_configure(struct rc_keyring *keyring, uint32_t generation, const struct rc_config *config,
                         uint64_t now_ms, struct rc_err *err)
{
    struct rc_keyring_row *rows = calloc(RC_CONFIG_IDENTITIES_MAX, sizeof(*rows));
    int rc = rows != NULL ? 0 : rc_err_set(err, -ENOMEM, "no memory for the keys of tokens");
    for (uint32_t i = 0; rc == 0 && i < config->identity_count; i++) {
        if (config->identities[i].kind == RC_IDENTITY_JWT) {
            rc = row_configure(&rows[i], keyring->rows, &config->identities[i], now_ms, err);
        }
    }
    if (rc < 0) {
        rows_free(rows);
        return rc;
    }
    /* Rows may be others now; theirs are due again. */
    rc_keyring_cancel(keyring);
    rows_free(keyring->rows);
    keyring->rows = rows;
    keyring->generation = generation;
    for (uint32_t i = 0; i < RC_CONFIG_IDENTITIES_MAX; i++) {
        row_publish(keyring, i); /* an empty set, too: what stood there is of another configuration */
    }
    return 0;
}

/* ---------------------------------------------------------------------------------------------------------- fetches */

/* Up to a part of `delay_ms`, so that many instances do not come at once. */
static uint64_t jitter_of(uint64_t delay_ms, uint32_t part)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random)) {
        random = 0;
    }
    return random % (delay_ms / part + 1);
}

/* The text as terminals and JSON may have it: a part of it may be what a server says. */
static void why_keep(char why[RC_KEYRING_WHY_MAX], const char *reason)
{
    size_t count = 0;
    for (; count < RC_KEYRING_WHY_MAX - 1 && reason[count] != '\0'; count++) {
        why[count] = reason[count] >= ' ' && reason[count] <= '~' ? reason[count] : '?';
    }
    why[count] = '\0';
}

static void row_failed(struct rc_keyring *keyring, uint32_t index, const char *reason, uint64_t now_ms)
{
    struct rc_keyring_row *row = &keyring->rows[index];
    const uint32_t doublings = row->failures < 6 ? row->failures : 6;
    uint64_t delay_ms = (uint64_t)RC_KEYRING_RETRY_MIN_MS << doublings;
    delay_ms = delay_ms < RC_KEYRING_RETRY_MAX_MS ? delay_ms : RC_KEYRING_RETRY_MAX_MS;
    delay_ms += jitter_of(delay_ms, 4);
    row->failures++;
    why_keep(row->why, reason);
    row->due_ms = now_ms + delay_ms;
    rc_metric_add(keyring->metrics, RC_METRIC_JWKS_FAILURES, 1);
    rc_log_warn("jwks_failed", "url=\"%s\" reason=\"%s\" keys=\"%s\" again_ms=%" PRIu64, row->jwt.jwks_url.text, reason,
                row->fetched_once ? "those of before" : "none yet", delay_ms);
}

static void row_fetched(struct rc_keyring *keyring, uint32_t index, const struct rc_fetch_answer *answer,
                        uint64_t now_ms)
{
    struct rc_keyring_row *row = &keyring->rows[index];
    uint64_t age_ms = row->jwt.jwks_refresh_ms;
    if (answer->max_age_s != RC_FETCH_NO_AGE && (uint64_t)answer->max_age_s * 1000 < age_ms) {
        age_ms = (uint64_t)answer->max_age_s * 1000;
    }
    age_ms = age_ms > RC_KEYRING_AGE_MIN_MS ? age_ms : RC_KEYRING_AGE_MIN_MS;
    row->due_ms = now_ms + age_ms - jitter_of(age_ms, 10);
    row->failures = 0;
    rc_metric_add(keyring->metrics, RC_METRIC_JWKS_FETCHES, 1);
    /* The same keys again are no news: what workers remember of tokens stays. */
    const bool changed = !row->fetched_once || !rc_jwt_material_equal(&row->fetched, &answer->material);
    row->fetched_once = true;
    if (changed) {
        row->fetched = answer->material;
        row_publish(keyring, index);
    }
    rc_log_info("jwks_fetched", "url=\"%s\" keys=%u changed=%s again_ms=%" PRIu64, row->jwt.jwks_url.text,
                answer->material.count, changed ? "yes" : "no", row->due_ms - now_ms);
}

/* A child's word: is it a set? */
static bool material_right(const struct rc_jwt_material *material)
{
    struct rc_jwt_key key;
    uint32_t at = 0;
    uint32_t count = 0;
    int got;
    while ((got = rc_jwt_material_next(material, &at, &key)) == 1) {
        if (key.type == RC_JWT_KEY_SECRET) {
            return false;
        }
        count++;
    }
    return got == 0 && count == material->count && count > 0;
}

static void fetch_end(struct rc_keyring *keyring, uint32_t index, uint64_t now_ms)
{
    const struct rc_fetch_answer *answer = &keyring->fetches[index].answer;
    if (answer->rc == 0 && material_right(&answer->material)) {
        row_fetched(keyring, index, answer, now_ms);
    } else {
        row_failed(keyring, index, answer->rc < 0 ? answer->err.text : "what came is no set of keys", now_ms);
    }
}

static void rows_missed(struct rc_keyring *keyring, const uint32_t missed[RC_CONFIG_IDENTITIES_MAX], uint64_t now_ms)
{
    for (uint32_t i = 0; i < RC_CONFIG_IDENTITIES_MAX; i++) {
        struct rc_keyring_row *row = &keyring->rows[i];
        if (row->due_ms == UINT64_MAX || !row->used || missed[i] == row->missed) {
            continue;
        }
        row->missed = missed[i];
        const uint64_t soonest_ms = row->tried_ms + RC_KEYRING_MISSED_MS;
        const uint64_t wanted_ms = soonest_ms > now_ms ? soonest_ms : now_ms;
        row->due_ms = row->due_ms < wanted_ms ? row->due_ms : wanted_ms;
    }
}

/* Each row by itself: a server that does not answer holds up nobody's keys but its own. */
static void row_tick(struct rc_keyring *keyring, uint32_t index, uint64_t now_ms)
{
    struct rc_keyring_row *row = &keyring->rows[index];
    struct rc_fetch *fetch = &keyring->fetches[index];
    struct rc_err err;
    if (fetch->pid != 0) {
        if (!rc_fetch_done(fetch, now_ms)) {
            return;
        }
        fetch_end(keyring, index, now_ms);
    }
    if (row->used && row->due_ms <= now_ms) {
        row->tried_ms = now_ms;
        if (rc_fetch_start(fetch, &row->jwt, keyring->identity, now_ms, &err) < 0) {
            row_failed(keyring, index, err.text, now_ms);
        }
    }
}

void rc_keyring_tick(struct rc_keyring *keyring, const uint32_t missed[RC_CONFIG_IDENTITIES_MAX], uint64_t now_ms)
{
    if (keyring->rows == NULL) {
        return;
    }
    rows_missed(keyring, missed, now_ms);
    for (uint32_t i = 0; i < RC_CONFIG_IDENTITIES_MAX; i++) {
        row_tick(keyring, i, now_ms);
    }
}
