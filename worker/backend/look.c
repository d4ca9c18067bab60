/* look: see look.h. */
#include "worker/backend/look.h"

#include "common/metrics/backend_health.h"
#include "worker/backend/call.h"
#include "worker/backend/judge.h"
#include "worker/backend/pool.h"

static uint64_t later_of(uint64_t one_ms, uint64_t other_ms)
{
    return one_ms > other_ms ? one_ms : other_ms;
}

/* The workers before this one have their turn first. When they do as they should, one of them has asked by then, and what it hears, be it that
 * nothing comes within the timeout, is heard of here. */
static uint64_t idle_due_ms(const struct rc_backends *backends, uint32_t index)
{
    const struct rc_backend *backend = backends->current[index];
    const uint64_t others_ms = rc_backend_health_looked_ms(backends->control, index, backends->worker);
    const uint64_t heard_ms = later_of(rc_backend_health_heard_ms(backends->control, index),
                                       others_ms == 0 ? 0 : others_ms + backend->config.timeout_ms);
    return later_of(heard_ms, backend->looked_ms) + RC_BACKEND_IDLE_MS +
           (uint64_t)backends->worker * RC_BACKEND_TURN_MS;
}

/* When it is to be looked for; UINT64_MAX: it is asked just now. Links are dialled again in any case. It is asked for in each pass of the loop: what
 * others have heard, which is in their reports, is read when it may be due, and that puts it off. */
static uint64_t look_due_ms(const struct rc_backends *backends, uint32_t index, uint64_t now_ms)
{
    struct rc_backend *backend = backends->current[index];
    if (backend == NULL || backend->oldest != NULL || backend->config.kind != RC_BACKEND_KIND_HTTP) {
        return UINT64_MAX;
    }
    const uint64_t failed_ms = rc_backend_health_failed_ms(backends->control->own, index);
    if (failed_ms != 0) {
        return later_of(failed_ms, backend->looked_ms) + RC_BACKEND_LOOK_MS;
    }
    if (now_ms >= backend->idle_due_ms) {
        backend->idle_due_ms = idle_due_ms(backends, index);
    }
    return backend->idle_due_ms;
}

/* Who answers is heard of as of any call. */
static void on_looked(void *context, uint64_t token, const struct rc_backend_answer *answer)
{
    (void)context;
    (void)token;
    (void)answer;
}

void rc_backends_look(struct rc_backends *backends, uint64_t now_ms, bool may)
{
    backends->looks = may;
    for (uint32_t i = 0; may && i < backends->count; i++) {
        struct rc_backend_frame frame;
        if (look_due_ms(backends, i, now_ms) > now_ms) {
            continue;
        }
        backends->current[i]->looked_ms = now_ms;
        /* Of one that answered wrongly this may say nothing: others are to ask it, too. */
        const bool wrong = rc_judge_wrong(backends, backends->current[i], now_ms);
        if (!wrong) {
            rc_backend_health_note_look(backends->control->own, i, now_ms);
        }
        rc_backend_frame_begin(&frame, backends, RC_BACKEND_HEALTH, &(struct rc_backend_caller){.nsp = {0}});
        frame.request.leaves = true;
        (void)rc_backend_frame_call(&frame, backends, i,
                                    (struct rc_backend_waiter){.context = backends, .answered = on_looked});
    }
}

uint32_t rc_backends_look_in_ms(const struct rc_backends *backends, uint64_t now_ms, uint32_t most_ms)
{
    for (uint32_t i = 0; backends->looks && i < backends->count; i++) {
        const uint64_t due_ms = look_due_ms(backends, i, now_ms);
        const uint64_t in_ms = due_ms > now_ms ? due_ms - now_ms : 0;
        most_ms = in_ms < most_ms ? (uint32_t)in_ms : most_ms;
    }
    return most_ms;
}
