/* pressure: see pressure.h. */
#include "worker/gate/pressure.h"

static uint8_t causes_of(struct rc_pressure *pressure, const struct rc_pressure_limits *limits,
                         const struct rc_pressure_sample *sample)
{
    const uint8_t before = pressure->causes;
    uint8_t causes = 0;

    const bool long_turn = limits->turn_ms > 0 && sample->turn_ms >= limits->turn_ms;
    if (before & RC_PRESSURE_TURN) {
        causes |= limits->turn_ms > 0 && (uint64_t)sample->turn_ms * 2 >= limits->turn_ms ? RC_PRESSURE_TURN : 0;
    } else if (long_turn && pressure->long_turn) {
        causes |= RC_PRESSURE_TURN;
    }
    pressure->long_turn = long_turn;

    const uint64_t queued = sample->queued; /* times 4: 64 bits */
    if (sample->backlog > 0 &&
        ((before & RC_PRESSURE_QUEUE) ? queued * 4 >= sample->backlog : queued * 4 >= (uint64_t)sample->backlog * 3)) {
        causes |= RC_PRESSURE_QUEUE;
    }

    const bool held = (before & RC_PRESSURE_MEMORY) != 0;
    const uint64_t most = held ? limits->memory_bytes - limits->memory_bytes / 10 : limits->memory_bytes;
    const uint64_t least = held ? limits->available_bytes + limits->available_bytes / 4 : limits->available_bytes;
    if ((limits->memory_bytes > 0 && sample->memory_bytes >= most) ||
        (limits->available_bytes > 0 && sample->available_bytes < least)) {
        causes |= RC_PRESSURE_MEMORY;
    }
    return causes;
}

bool rc_pressure_update(struct rc_pressure *pressure, const struct rc_pressure_limits *limits,
                        const struct rc_pressure_sample *sample)
{
    const uint8_t level = pressure->level;
    pressure->causes = causes_of(pressure, limits, sample);
    if (pressure->causes == 0) {
        const uint32_t calm_ms = level == RC_PRESSURE_SHEDDING ? RC_PRESSURE_SHED_CALM_MS : RC_PRESSURE_PAUSE_CALM_MS;
        if (level != RC_PRESSURE_NONE && sample->now_ms - pressure->pressed_ms >= calm_ms) {
            pressure->level = RC_PRESSURE_NONE;
        }
        return pressure->level != level;
    }
    pressure->pressed_ms = sample->now_ms;
    if (level == RC_PRESSURE_NONE) {
        pressure->why = 0;
        pressure->since_ms = sample->now_ms;
        pressure->level = RC_PRESSURE_PAUSED;
    }
    pressure->why |= pressure->causes;
    if ((pressure->causes & RC_PRESSURE_QUEUE) || sample->now_ms - pressure->since_ms >= RC_PRESSURE_SHED_MS) {
        pressure->level = RC_PRESSURE_SHEDDING;
    }
    return pressure->level != level;
}
