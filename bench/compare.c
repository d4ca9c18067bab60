/* compare: see compare.h. */
#include "bench/compare.h"

#include "bench/arguments.h"
#include "bench/floor.h"
#include "bench/report.h"

#include "common/base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDES_MAX (RC_BENCH_VERSUS_MAX + 2)

struct side {
    struct rc_bench_options options;
    bool floor;
};

static int run_side(struct rc_bench_compare *compare, const struct side *side, struct rc_bench_result *result,
                    struct rc_err *err)
{
    int rc;
    if (side->floor) {
        struct rc_bench_floor floor;
        rc = rc_bench_floor_start(&floor, &side->options, err);
        if (rc != 0) {
            return rc;
        }
        const struct rc_bench_options changed = rc_bench_floor_options(&floor, &side->options);
        rc = rc_bench_run(&changed, result, err);
        rc_bench_floor_stop(&floor);
    } else {
        rc = rc_bench_run(&side->options, result, err);
    }
    if (rc == 0) {
        compare->clean = compare->clean && rc_bench_result_clean(&side->options, result);
        if (result->broken_off && result->connections == 0 && result->seconds <= 0) {
            return rc_err_set(err, -ECONNABORTED, "%s: %s", result->label, result->error);
        }
    }
    return rc;
}

/* One table: all sides in turn, `repeat` times. */
static int measure_side(struct rc_bench_compare *compare, const struct side *sides, uint32_t side_count,
                        struct rc_err *err)
{
    const uint32_t repeat = sides[0].options.repeat;
    struct rc_bench_result *const runs = calloc((size_t)repeat * side_count, sizeof(*runs));
    RC_ASSERT(runs != NULL);
    int rc = 0;
    for (uint32_t i = 0; i < repeat && rc == 0; i++) {
        for (uint32_t s = 0; s < side_count && rc == 0; s++) {
            struct rc_bench_result *const result = &runs[(size_t)s * repeat + i];
            rc = run_side(compare, &sides[s], result, err);
            /* A server to compare with that cannot do it is told in the table; it does not take the others' figures away. */
            rc = rc == -ECONNABORTED && s > 0 && !sides[s].floor ? 0 : rc;
        }
    }
    if (rc == 0 && compare->result_count + side_count > RC_BENCH_RESULTS_MAX) {
        rc = rc_err_set(err, -E2BIG, "more than %u results; sweep over fewer values", RC_BENCH_RESULTS_MAX);
    }
    if (rc == 0) {
        struct rc_bench_result *const medians = &compare->results[compare->result_count];
        for (uint32_t s = 0; s < side_count; s++) {
            rc_bench_result_median(&runs[(size_t)s * repeat], repeat, &medians[s]);
            medians[s].sweep_value = compare->options->sweep_count > 0 ? sides[s].options.sweep_value : 0;
        }
        rc_bench_report_table(stdout, &sides[0].options, medians, side_count);
        for (uint32_t s = 1; s < side_count; s++) {
            rc_bench_report_ratio(stdout, &medians[0], &medians[s]);
        }
        fflush(stdout);
        compare->result_count += side_count;
    }
    free(runs);
    return rc;
}

static int measure_server(struct rc_bench_compare *compare, const struct rc_bench_options *options, bool with_floor,
                          struct rc_err *err)
{
    struct side *const sides = calloc(SIDES_MAX, sizeof(*sides));
    RC_ASSERT(sides != NULL);
    uint32_t count = 0;
    sides[count++].options = *options;
    if (with_floor) {
        sides[count].options = *options;
        sides[count++].floor = true;
    }
    for (uint32_t i = 0; i < options->versus_count; i++) {
        const struct rc_bench_versus *const versus = &options->versus[i];
        struct rc_bench_options *const other = &sides[count++].options;
        *other = *options;
        other->label = versus->label;
        other->protocol = versus->protocol;
        other->url = versus->url;
        other->subscribe_url = versus->subscribe_url[0] != '\0' ? versus->subscribe_url : NULL;
        memcpy(other->server_pids, versus->pids, sizeof(versus->pids));
        other->server_pid_count = versus->pid_count;
    }
    const int rc = measure_side(compare, sides, count, err);
    free(sides);
    return rc;
}

static int measure_floor(struct rc_bench_compare *compare, const struct rc_bench_options *options, struct rc_err *err)
{
    struct side *const side = calloc(1, sizeof(*side));
    RC_ASSERT(side != NULL);
    side->options = *options;
    side->floor = true;
    const int rc = measure_side(compare, side, 1, err);
    free(side);
    return rc;
}

/* `floor all`: every floor there is, with both engines. */
static int measure_all_floors(struct rc_bench_compare *compare, const struct rc_bench_options *options,
                              struct rc_err *err)
{
    static const struct {
        const char *scenario;
        uint32_t connections; /* 0: as the options say */
        uint32_t coalesce;
        uint32_t window;
        double rate;
    } all[] = {
        {"fanout", 0, 1, 2, 0}, {"fanout", 0, 16, 16, 0}, {"fanout", 0, 32, 32, 0},
        {"echo", 100, 1, 1, 0}, {"connect", 64, 1, 0, 0}, {"latency", 1, 1, 0, 200},
    };
    struct side *const sides = calloc(2, sizeof(*sides));
    RC_ASSERT(sides != NULL);
    int rc = 0;
    for (size_t i = 0; i < RC_ARRAY_COUNT(all) && rc == 0; i++) {
        for (uint32_t engine = 0; engine < 2; engine++) {
            struct side *const side = &sides[engine];
            side->floor = true;
            side->options = *options;
            side->options.scenario = all[i].scenario;
            side->options.engine = (enum rc_bench_engine)engine;
            side->options.coalesce = all[i].coalesce;
            side->options.window = all[i].window;
            side->options.rate = all[i].rate;
            side->options.connections = all[i].connections > 0 ? all[i].connections : options->connections;
        }
        rc = measure_side(compare, sides, 2, err);
    }
    free(sides);
    return rc;
}

int rc_bench_compare_run(struct rc_bench_compare *compare, const struct rc_bench_options *options, struct rc_err *err)
{
    *compare = (struct rc_bench_compare){.options = options, .clean = true};
    compare->results = calloc(RC_BENCH_RESULTS_MAX, sizeof(*compare->results));
    RC_ASSERT(compare->results != NULL);
    const bool floor = strcmp(options->command, "floor") == 0;
    const bool with_floor = strcmp(options->command, "compare-floor") == 0;
    int rc = 0;
    const uint32_t points = options->sweep_count > 0 ? options->sweep_count : 1;
    for (uint32_t i = 0; i < points && rc == 0; i++) {
        struct rc_bench_options point = *options;
        if (options->sweep_count > 0) {
            rc_bench_arguments_at(&point, i);
        }
        if (floor) {
            rc = strcmp(point.scenario, "all") == 0 ? measure_all_floors(compare, &point, err)
                                                    : measure_floor(compare, &point, err);
        } else {
            rc = measure_server(compare, &point, with_floor, err);
        }
    }
    return rc;
}

void rc_bench_compare_free(struct rc_bench_compare *compare)
{
    free(compare->results);
    compare->results = NULL;
}
