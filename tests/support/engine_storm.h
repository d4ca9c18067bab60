/*
 * engine_storm: hostile clients of Engine.IO and Socket.IO, as many inputs as wanted, drawn from a seed: packets, polls, session ids,
 * probes and frames, good, broken and in any order, while the relay answers late, the up ring is full, time passes, rows change and
 * connections break. After it nothing is left, which engine_rig_close and hub_rig_check see to.
 */
#ifndef RC_TESTS_SUPPORT_ENGINE_STORM_H
#define RC_TESTS_SUPPORT_ENGINE_STORM_H

#include <stdint.h>

struct engine_storm_result {
    uint64_t inputs;
    uint64_t requests; /* that were answered */
    uint64_t upgrades;
    uint64_t events;
    uint64_t answers; /* to what clients were asked */
    uint64_t errors;  /* of the protocol */
};

struct engine_storm_result engine_storm(uint64_t inputs, uint64_t seed);

#endif
