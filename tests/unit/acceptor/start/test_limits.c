/* acceptor/limits: what the limits allow and what is said when they are too low. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "acceptor/start/limits.h"

static struct rc_config *config_new(uint64_t max_connections)
{
    struct rc_config *config = calloc(1, sizeof(*config));
    cr_assert(config != NULL);
    rc_config_defaults(config);
    config->server.max_connections = max_connections;
    return config;
}

static int plan_for(struct rc_limits_plan *plan, const struct rc_limits *limits, const struct rc_config *config,
                    uint32_t workers, uint32_t listeners, struct rc_err *err)
{
    const struct rc_limits_counts counts = {.workers = workers, .places = workers, .listeners = listeners};
    return rc_limits_plan(plan, limits, config, &counts, err);
}

Test(limits, without_max_connections_the_whole_table_is_used)
{
    struct rc_config *config = config_new(0);
    const struct rc_limits limits = {.descriptors = 20000};
    struct rc_limits_plan plan;
    struct rc_err err;
    cr_assert_eq(plan_for(&plan, &limits, config, 2, 3, &err), 0);
    cr_assert_eq(plan.direct_descriptors, 20000);
    cr_assert_eq(plan.slots_per_worker, 20000 - RC_LIMITS_SPARE_SLOTS - 3);
    cr_assert_eq(plan.connections_max, 2 * (20000 - RC_LIMITS_SPARE_SLOTS - 3));
    free(config);
}

Test(limits, max_connections_is_shared_out_rounded_up)
{
    struct rc_config *config = config_new(1001);
    const struct rc_limits limits = {.descriptors = 20000};
    struct rc_limits_plan plan;
    struct rc_err err;
    cr_assert_eq(plan_for(&plan, &limits, config, 4, 1, &err), 0);
    cr_assert_eq(plan.slots_per_worker, 1001); /* one worker may be all that is left */
    cr_assert_eq(plan.direct_descriptors, 1001 + RC_LIMITS_SPARE_SLOTS + 1);
    cr_assert_eq(plan.connections_max, 1001);
    free(config);
}

Test(limits, a_table_is_never_larger_than_the_kernels)
{
    struct rc_config *config = config_new(0);
    const struct rc_limits limits = {.descriptors = RC_LIMITS_TABLE_MAX * 2ull};
    struct rc_limits_plan plan;
    struct rc_err err;
    cr_assert_eq(plan_for(&plan, &limits, config, 1, 1, &err), 0);
    cr_assert_eq(plan.direct_descriptors, RC_LIMITS_TABLE_MAX);
    free(config);
}

Test(limits, too_few_descriptors_say_how_many_and_how_many_workers_would_do)
{
    struct rc_config *config = config_new(1000000);
    const struct rc_limits limits = {.descriptors = 20000};
    struct rc_limits_plan plan;
    struct rc_err err;
    cr_assert_eq(plan_for(&plan, &limits, config, 2, 1, &err), -EMFILE);
    cr_assert(strstr(err.text, "LimitNOFILE=500065") != NULL, "%s", err.text);
    cr_assert(strstr(err.text, "server.workers = 51") != NULL, "%s", err.text);
    config->server.max_connections = 51 * 19935u;
    cr_assert_eq(plan_for(&plan, &limits, config, 51, 1, &err), 0);
    free(config);
}

Test(limits, workers_are_no_way_out_above_their_maximum)
{
    struct rc_config *config = config_new(100000000);
    const struct rc_limits limits = {.descriptors = 20000};
    struct rc_limits_plan plan;
    struct rc_err err;
    cr_assert_eq(plan_for(&plan, &limits, config, 2, 1, &err), -EMFILE);
    cr_assert(strstr(err.text, "server.workers") == NULL, "%s", err.text);
    free(config);
}

Test(limits, the_acceptors_own_descriptors_count)
{
    struct rc_config *config = config_new(0);
    struct rc_limits limits = {.descriptors = 65};
    struct rc_limits_plan plan;
    struct rc_err err;
    cr_assert_eq(plan_for(&plan, &limits, config, 1, 1, &err), -EMFILE);
    limits.descriptors = 256;
    cr_assert_eq(plan_for(&plan, &limits, config, 1, 1, &err), 0);
    cr_assert_eq(plan_for(&plan, &limits, config, 64, 4, &err), -EMFILE);
    free(config);
}

Test(limits, memlock_is_checked_only_where_it_counts)
{
    struct rc_config *config = config_new(0);
    struct rc_limits limits = {.memlock_bytes = 1, .memlock_counts = false};
    struct rc_err err;
    cr_assert_eq(rc_limits_check_memlock(&limits, config, 8, &err), 0);
    limits.memlock_counts = true;
    cr_assert_eq(rc_limits_check_memlock(&limits, config, 8, &err), -ENOMEM);
    cr_assert(strstr(err.text, "LimitMEMLOCK=infinity") != NULL, "%s", err.text);
    limits.memlock_bytes = rc_limits_memlock_needed(config, 8);
    cr_assert_eq(rc_limits_check_memlock(&limits, config, 8, &err), 0);
    limits.memlock_bytes = UINT64_MAX;
    cr_assert_eq(rc_limits_check_memlock(&limits, config, RC_WORKERS_MAX, &err), 0);
    free(config);
}

Test(limits, auto_takes_as_many_workers_as_may_lock_their_rings)
{
    struct rc_config *config = config_new(0);
    struct rc_limits limits = {.memlock_bytes = 8u << 20, .memlock_counts = true};
    const uint32_t fitting = rc_limits_workers_fitting(&limits, config, 64);
    cr_assert_geq(fitting, 4);
    cr_assert_lt(fitting, 64);
    cr_assert_leq(rc_limits_memlock_needed(config, fitting), limits.memlock_bytes);
    cr_assert_gt(rc_limits_memlock_needed(config, fitting + 1), limits.memlock_bytes);
    limits.memlock_bytes = 0;
    cr_assert_eq(rc_limits_workers_fitting(&limits, config, 64), 1);
    limits.memlock_counts = false;
    cr_assert_eq(rc_limits_workers_fitting(&limits, config, 64), 64);
    free(config);
}
