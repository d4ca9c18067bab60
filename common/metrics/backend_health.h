/*
 * backend_health: whether the backends answer (each [[backend]], and Redis about sessions), for /health/database and /metrics.
 *
 * Each process that asks backends registers them in its own report and notes how each answer went; any process reads all reports. One
 * writer for each report; nothing blocks and nothing fails.
 */
#ifndef RC_COMMON_METRICS_BACKEND_HEALTH_H
#define RC_COMMON_METRICS_BACKEND_HEALTH_H

#include <stdbool.h>

#include "common/shm/control.h"
#include "common/shm/layout.h"

enum rc_backend_state { RC_BACKEND_UNUSED, RC_BACKEND_REGISTERED };

/* The backend at `index` (below RC_BACKENDS_MAX, the same in every process) has this name, of which 95 bytes are kept, and is going to be
 * asked. Again after a reload: what is known stays if the name does. */
void rc_backend_health_register(struct rc_report *own, uint32_t index, const char *name);
/* It is not configured any more. */
void rc_backend_health_retire(struct rc_report *own, uint32_t index);
/* It answered (that nobody has this session is an answer), or it did not. */
void rc_backend_health_note(struct rc_report *own, uint32_t index, bool answered);
/* How it failed, of a failure that was noted: by what it answered, or since nothing was heard of it. It stands until another failure is noted so,
 * or it answers: also in the process that comes in this one's place. */
void rc_backend_health_note_wrong(struct rc_report *own, uint32_t index, bool wrong);
/* When it answered any process wrongly last, to the second behind it (CLOCK_MONOTONIC); 0: it did not, or has answered one behind that second. */
uint64_t rc_backend_health_wrong_ms(const struct rc_control *control, uint32_t index);
/* When it failed, if that is the last that this process heard of it: CLOCK_MONOTONIC; 0: it is not, or nothing was heard. */
uint64_t rc_backend_health_failed_ms(const struct rc_report *own, uint32_t index);
/* When any process heard of it last, one or the other; 0: none has. */
uint64_t rc_backend_health_heard_ms(const struct rc_control *control, uint32_t index);
/* This process asks it whether it answers (worker/backend/look.h), below RC_CONFIG_BACKENDS_MAX: the others need not, whatever becomes of it. */
void rc_backend_health_note_look(struct rc_report *own, uint32_t index, uint64_t now_ms);
/* When any worker but number `self` did so last, to the second before; 0: none has. */
uint64_t rc_backend_health_looked_ms(const struct rc_control *control, uint32_t index, uint32_t self);

/* A backend as all processes together found it. */
struct rc_backend_summary {
    char name[RC_BACKEND_NAME_MAX];
    uint64_t success_ms; /* CLOCK_MONOTONIC, of the last anywhere; 0 = none */
    uint64_t failure_ms;
    uint64_t failures;
    bool failing; /* the last that anybody heard of it was a failure */
};
/* False: there is none at this index. */
bool rc_backend_health_get(const struct rc_control *control, uint32_t index, struct rc_backend_summary *summary);

#endif
