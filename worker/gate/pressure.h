/*
 * pressure: when a worker has more to do, or less memory, than is good for the clients that it has.
 *
 * A state machine over samples that the worker takes ten times a second (worker/overload). Pure, time is given by the caller
 * (milliseconds of any clock that goes forward; 32 bits, which may wrap). Nothing fails.
 *
 * Three causes, each with its own hysteresis, so that a value at its limit does not flap:
 *   TURN    a pass of the loop took longer than the limit, in two samples in a row (one long fan-out is no overload);
 *           over again below half of it
 *   QUEUE   a listener's accept queue is three quarters full; over again below a quarter
 *   MEMORY  the worker has more than its limit, or the host has less left than is to stay free; over again 10 % below it, or 25 %
 *           above it
 *
 *            a cause, but QUEUE            a second later still, or QUEUE
 *   NONE ─────────────────────▶ PAUSED ──────────────────────────────────▶ SHEDDING
 *    ▲ ▲ └───────────────────────── QUEUE ────────────────────────────────▶ │
 *    │ └── 200 ms without a cause ──┘                                       │
 *    └─────────────────────── a second without a cause ─────────────────────┘
 *
 * PAUSED: nobody is accepted, newcomers wait in the accept queue; a short peak passes and nobody is refused. SHEDDING: it
 * lasts, or the queue would overflow: newcomers are told to come again later.
 */
#ifndef RC_WORKER_GATE_PRESSURE_H
#define RC_WORKER_GATE_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

#define RC_PRESSURE_SAMPLE_MS 100u     /* how often a sample is to be taken */
#define RC_PRESSURE_SHED_MS 1000u      /* PAUSED for so long becomes SHEDDING */
#define RC_PRESSURE_PAUSE_CALM_MS 200u /* without a cause, to the end of PAUSED */
#define RC_PRESSURE_SHED_CALM_MS 1000u /* and of SHEDDING */

enum rc_pressure_level { RC_PRESSURE_NONE, RC_PRESSURE_PAUSED, RC_PRESSURE_SHEDDING };

enum rc_pressure_cause {
    RC_PRESSURE_TURN = 1u << 0,
    RC_PRESSURE_QUEUE = 1u << 1,
    RC_PRESSURE_MEMORY = 1u << 2,
};

struct rc_pressure_limits {
    uint32_t turn_ms;         /* 0 = no limit */
    uint64_t memory_bytes;    /* 0 = no limit */
    uint64_t available_bytes; /* 0 = no limit */
};

struct rc_pressure_sample {
    uint32_t now_ms;
    uint32_t turn_ms;         /* longest pass since the last sample */
    uint32_t queued;          /* of the fullest accept queue */
    uint32_t backlog;         /* its room; 0 = not known */
    uint64_t memory_bytes;    /* of the worker; 0 = not known */
    uint64_t available_bytes; /* of the host; UINT64_MAX = not known */
};

/* Zeroed = NONE. */
struct rc_pressure {
    uint8_t level;       /* enum rc_pressure_level */
    uint8_t causes;      /* enum rc_pressure_cause, or-ed: now */
    uint8_t why;         /* all causes since the level was NONE */
    bool long_turn;      /* the last sample had one */
    uint32_t since_ms;   /* when PAUSED began */
    uint32_t pressed_ms; /* when there was a cause last */
};

/* Takes a sample into account; true when the level changed. */
bool rc_pressure_update(struct rc_pressure *pressure, const struct rc_pressure_limits *limits,
                        const struct rc_pressure_sample *sample);

#endif
