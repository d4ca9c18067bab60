/*
 * engine_hostile: a million hostile inputs of Engine.IO and Socket.IO clients (tests/support/engine_storm.h): no crash, no leak, nothing in
 * use afterwards. Meant for the build with ASan.
 *
 * Environment: STRESS_INPUTS (1000000), STRESS_SEED (the first of them; each 50,000 inputs have the next).
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "tests/support/engine_storm.h"

#define ROUND 50000u

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

int main(void)
{
    const uint64_t inputs = number_of("STRESS_INPUTS", 1000000);
    uint64_t seed = number_of("STRESS_SEED", 1);
    rc_log_set_level(RC_LOG_ERROR);
    for (uint64_t done = 0; done < inputs; done += ROUND, seed++) {
        const struct engine_storm_result result = engine_storm(inputs - done < ROUND ? inputs - done : ROUND, seed);
        printf(
            "engine_hostile: seed %llu: %llu inputs, %llu requests answered, %llu upgrades, %llu events, %llu answers, %llu errors\n",
            (unsigned long long)seed, (unsigned long long)result.inputs, (unsigned long long)result.requests,
            (unsigned long long)result.upgrades, (unsigned long long)result.events, (unsigned long long)result.answers,
            (unsigned long long)result.errors);
        (void)fflush(stdout);
    }
    printf("engine_hostile: ok, %llu inputs\n", (unsigned long long)inputs);
    return 0;
}
