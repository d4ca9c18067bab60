/* backend_health: see backend_health.h. */
#include "common/metrics/backend_health.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"

void rc_backend_health_register(struct rc_report *own, uint32_t index, const char *name)
{
    RC_ASSERT(index < RC_BACKENDS_MAX);
    struct rc_backend_health *health = &own->backend_health[index];
    char kept[RC_BACKEND_NAME_MAX] = "";
    memcpy(kept, name, strnlen(name, sizeof(kept) - 1));
    if (strncmp(kept, health->name, sizeof(kept)) != 0) {
        rc_backend_health_retire(own, index);
        atomic_store_explicit(&health->success_ms, 0, memory_order_relaxed);
        atomic_store_explicit(&health->failure_ms, 0, memory_order_relaxed);
        atomic_store_explicit(&health->failures, 0, memory_order_relaxed);
        atomic_store_explicit(&health->wrong_s, 0, memory_order_relaxed);
        memcpy(health->name, kept, sizeof(kept));
    }
    /* BH1 pairs with BH2: who sees it registered sees its name. */
    atomic_store_explicit(&health->state, RC_BACKEND_REGISTERED, memory_order_release);
}

void rc_backend_health_retire(struct rc_report *own, uint32_t index)
{
    RC_ASSERT(index < RC_BACKENDS_MAX);
    atomic_store_explicit(&own->backend_health[index].state, RC_BACKEND_UNUSED, memory_order_relaxed);
}

void rc_backend_health_note(struct rc_report *own, uint32_t index, bool answered)
{
    RC_ASSERT(index < RC_BACKENDS_MAX);
    struct rc_backend_health *health = &own->backend_health[index];
    if (answered) {
        atomic_store_explicit(&health->wrong_s, 0, memory_order_relaxed);
    } else {
        const uint64_t failures = atomic_load_explicit(&health->failures, memory_order_relaxed);
        atomic_store_explicit(&health->failures, failures + 1, memory_order_relaxed);
    }
    atomic_store_explicit(answered ? &health->success_ms : &health->failure_ms, rc_clock_ms(), memory_order_relaxed);
}

void rc_backend_health_note_wrong(struct rc_report *own, uint32_t index, bool wrong)
{
    RC_ASSERT(index < RC_BACKENDS_MAX);
    atomic_store_explicit(&own->backend_health[index].wrong_s, wrong ? (uint32_t)(rc_clock_ms() / 1000) + 1 : 0,
                          memory_order_relaxed);
}

/* In the same millisecond: the worse. */
static bool is_failing(uint64_t success_ms, uint64_t failure_ms)
{
    return failure_ms != 0 && failure_ms >= success_ms;
}

uint64_t rc_backend_health_failed_ms(const struct rc_report *own, uint32_t index)
{
    RC_ASSERT(index < RC_BACKENDS_MAX);
    const struct rc_backend_health *health = &own->backend_health[index];
    const uint64_t failure_ms = atomic_load_explicit(&health->failure_ms, memory_order_relaxed);
    return is_failing(atomic_load_explicit(&health->success_ms, memory_order_relaxed), failure_ms) ? failure_ms : 0;
}

static void summary_add(struct rc_backend_summary *summary, const struct rc_backend_health *health, bool *found)
{
    /* BH2 pairs with BH1. */
    if (atomic_load_explicit(&health->state, memory_order_acquire) != RC_BACKEND_REGISTERED) {
        return;
    }
    const uint64_t success_ms = atomic_load_explicit(&health->success_ms, memory_order_relaxed);
    const uint64_t failure_ms = atomic_load_explicit(&health->failure_ms, memory_order_relaxed);
    *found = true;
    memcpy(summary->name, health->name, sizeof(summary->name) - 1); /* another process's bytes: the last stays NUL */
    for (char *c = summary->name; *c != '\0'; c++) {
        *c = *c >= ' ' && *c <= '~' ? *c : '?';
    }
    summary->success_ms = success_ms > summary->success_ms ? success_ms : summary->success_ms;
    summary->failure_ms = failure_ms > summary->failure_ms ? failure_ms : summary->failure_ms;
    summary->failures += atomic_load_explicit(&health->failures, memory_order_relaxed);
}

bool rc_backend_health_get(const struct rc_control *control, uint32_t index, struct rc_backend_summary *summary)
{
    bool found = false;
    *summary = (struct rc_backend_summary){.failures = 0};
    summary_add(summary, &control->relay->report.backend_health[index], &found);
    for (uint32_t i = 0; i < control->worker_count; i++) {
        summary_add(summary, &control->workers[i]->backend_health[index], &found);
    }
    summary->failing = is_failing(summary->success_ms, summary->failure_ms);
    return found;
}

/* What a report says of it; NULL: nothing. */
static const struct rc_backend_health *health_of(const struct rc_report *report, uint32_t index)
{
    const struct rc_backend_health *health = &report->backend_health[index];
    /* BH2 */
    return atomic_load_explicit(&health->state, memory_order_acquire) == RC_BACKEND_REGISTERED ? health : NULL;
}

static uint64_t later_of(uint64_t one_ms, const _Atomic uint64_t *other_ms)
{
    const uint64_t its_ms = atomic_load_explicit(other_ms, memory_order_relaxed);
    return its_ms > one_ms ? its_ms : one_ms;
}

/* The latest of all reports. */
struct latest {
    uint64_t success_ms;
    uint64_t failure_ms;
    uint64_t wrong_ms;
};

static void latest_add(struct latest *latest, const struct rc_report *report, uint32_t index)
{
    const struct rc_backend_health *health = health_of(report, index);
    if (health != NULL) {
        const uint64_t wrong_ms = UINT64_C(1000) * atomic_load_explicit(&health->wrong_s, memory_order_relaxed);
        latest->success_ms = later_of(latest->success_ms, &health->success_ms);
        latest->failure_ms = later_of(latest->failure_ms, &health->failure_ms);
        latest->wrong_ms = wrong_ms > latest->wrong_ms ? wrong_ms : latest->wrong_ms;
    }
}

static struct latest latest_of(const struct rc_control *control, uint32_t index)
{
    struct latest latest = {0};
    RC_ASSERT(index < RC_BACKENDS_MAX);
    latest_add(&latest, &control->relay->report, index);
    for (uint32_t i = 0; i < control->worker_count; i++) {
        latest_add(&latest, control->workers[i], index);
    }
    return latest;
}

uint64_t rc_backend_health_heard_ms(const struct rc_control *control, uint32_t index)
{
    const struct latest latest = latest_of(control, index);
    return latest.success_ms > latest.failure_ms ? latest.success_ms : latest.failure_ms;
}

uint64_t rc_backend_health_wrong_ms(const struct rc_control *control, uint32_t index)
{
    const struct latest latest = latest_of(control, index);
    return latest.wrong_ms > latest.success_ms ? latest.wrong_ms : 0;
}

void rc_backend_health_note_look(struct rc_report *own, uint32_t index, uint64_t now_ms)
{
    RC_ASSERT(index < RC_CONFIG_BACKENDS_MAX);
    atomic_store_explicit(&own->backend_looked_s[index], (uint32_t)(now_ms / 1000), memory_order_relaxed);
}

uint64_t rc_backend_health_looked_ms(const struct rc_control *control, uint32_t index, uint32_t self)
{
    uint32_t looked_s = 0;
    RC_ASSERT(index < RC_CONFIG_BACKENDS_MAX);
    for (uint32_t i = 0; i < control->worker_count; i++) {
        const uint32_t its_s =
            i == self ? 0 : atomic_load_explicit(&control->workers[i]->backend_looked_s[index], memory_order_relaxed);
        looked_s = its_s > looked_s ? its_s : looked_s;
    }
    return (uint64_t)looked_s * 1000;
}
