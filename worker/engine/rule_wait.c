/* rule_wait: see rule_wait.h. */
#include "worker/engine/rule_wait.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

#define SOURCES_THAT_CHANGE                                                                    \
    (RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_USER) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_CLIENT) | \
     RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_NOW) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_NOW_MS) |  \
     RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_UUID) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_ADDRESS))

static struct rc_rule_wait **bucket_of(struct rc_engines *engines, uint32_t client)
{
    return &engines->waits[client % RC_RULE_WAIT_BUCKETS];
}

struct rc_rule_wait *rc_rule_wait_of(const struct rc_engines *engines, uint32_t client)
{
    struct rc_rule_wait *wait = client == 0 ? NULL : engines->waits[client % RC_RULE_WAIT_BUCKETS];
    while (wait != NULL && wait->client != client) {
        wait = wait->next;
    }
    return wait;
}

bool rc_rule_wait_needed(const struct rc_config_event *row)
{
    return row->question_count > 0 || (row->uses & SOURCES_THAT_CHANGE) != 0;
}

/* Moves a span to memory that stays. */
static void span_keep(struct rc_span *span, uint8_t **at)
{
    if (span->count > 0) {
        memcpy(*at, span->bytes, span->count);
        span->bytes = *at;
        *at += span->count;
    }
}

/* Copies what the run knows: documents, and, `whole`, the rest. */
static bool wait_fill(struct rc_rule_wait *wait, const struct rc_rule_run *run, bool whole)
{
    struct rc_rule_input *input = &wait->input;
    *input = run->values.input;
    input->index = NULL; /* that of the run: it ends with it */
    wait->args = run->args;
    struct rc_span *const spans[] = {&wait->args, &input->sid, &input->nsp, &input->room, &input->room_part};
    size_t bytes = 1;
    for (uint32_t i = 0; i < RC_EVENT_DOCUMENTS; i++) {
        bytes += input->documents[i].count;
    }
    for (size_t i = 0; whole && i < RC_ARRAY_COUNT(spans); i++) {
        bytes += spans[i]->count;
    }
    uint8_t *memory = malloc(bytes);
    if (memory == NULL) {
        return false;
    }
    uint8_t *at = memory;
    for (uint32_t i = 0; i < RC_EVENT_DOCUMENTS; i++) {
        span_keep(&input->documents[i], &at);
    }
    for (size_t i = 0; whole && i < RC_ARRAY_COUNT(spans); i++) {
        span_keep(spans[i], &at);
    }
    free(wait->memory);
    wait->memory = memory;
    wait->row = (uint32_t)(run->row - run->clients->config->events);
    wait->rules = run->engines->rules;
    return true;
}

/* What the run knows is what was kept: it may go on at once. */
static void run_borrow(struct rc_rule_run *run, const struct rc_rule_wait *wait)
{
    memcpy(run->input.documents, wait->input.documents, sizeof(run->input.documents));
    memcpy(run->values.input.documents, wait->input.documents, sizeof(run->values.input.documents));
}

struct rc_rule_wait *rc_rule_wait_keep(struct rc_rule_run *run)
{
    struct rc_rule_wait *wait = rc_rule_wait_of(run->engines, run->client);
    if (wait != NULL && wait_fill(wait, run, false)) { /* it may have set something since */
        run_borrow(run, wait);
        return wait;
    }
    if (wait != NULL) {
        return NULL;
    }
    wait = calloc(1, sizeof(*wait));
    if (wait == NULL || !wait_fill(wait, run, false)) {
        free(wait);
        return NULL;
    }
    struct rc_rule_wait **bucket = bucket_of(run->engines, run->client);
    wait->engines = run->engines;
    wait->client = run->client;
    wait->random = run->random;
    wait->next = *bucket;
    *bucket = wait;
    run_borrow(run, wait);
    return wait;
}

struct rc_rule_wait *rc_rule_wait_depart(struct rc_rule_run *run, void (*goes_on)(struct rc_rule_wait *wait))
{
    uint32_t count = 0;
    for (const struct rc_rule_wait *other = run->engines->departed; other != NULL; other = other->next) {
        count++;
    }
    struct rc_rule_wait *wait = count < RC_RULE_DEPARTED_MAX ? calloc(1, sizeof(*wait)) : NULL;
    if (wait == NULL || !wait_fill(wait, run, true)) {
        free(wait);
        return NULL;
    }
    wait->engines = run->engines;
    wait->goes_on = goes_on;
    wait->next = run->engines->departed;
    run->engines->departed = wait;
    return wait;
}

void rc_rule_wait_apply(const struct rc_rule_wait *wait, struct rc_rule_run *run)
{
    memcpy(run->input.documents, wait->input.documents, sizeof(run->input.documents));
    run->input.address = wait->input.address;
    run->input.now_ms = wait->input.now_ms;
    memcpy(run->input.random, wait->input.random, sizeof(run->input.random));
    run->input.answers = wait->asked && wait->open == 0 && !wait->failed ? wait->answers : NULL;
}

void rc_rule_wait_end(struct rc_rule_wait *wait)
{
    if (wait == NULL) {
        return;
    }
    struct rc_rule_wait **at = wait->client != 0 ? bucket_of(wait->engines, wait->client) : &wait->engines->departed;
    while (*at != wait) {
        RC_ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = wait->next;
    for (uint32_t i = 0; i < RC_EVENT_QUESTIONS_MAX; i++) { /* some came before any was asked */
        if (wait->questions[i].token != 0) {
            rc_asks_end(wait->engines->clients->asks, wait->questions[i].token);
        }
        free(wait->questions[i].json);
    }
    free(wait->memory);
    free(wait);
}

void rc_rule_waits_close(struct rc_engines *engines)
{
    while (engines->departed != NULL) {
        rc_rule_wait_end(engines->departed);
    }
    for (uint32_t i = 0; i < RC_RULE_WAIT_BUCKETS; i++) {
        while (engines->waits[i] != NULL) {
            rc_rule_wait_end(engines->waits[i]);
        }
    }
}
