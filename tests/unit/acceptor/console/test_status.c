/* acceptor/status: how ages are shown; which limits hold; what is said of processes that have died. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acceptor/console/status.h"
#include "tests/support/supervisor_rig.h"

/* Owned by the caller. */
static char *shown(struct supervisor_rig *rig, void (*print)(FILE *out, struct rc_supervisor *supervisor))
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    cr_assert_not_null(out);
    print(out, &rig->supervisor);
    cr_assert_eq(fclose(out), 0);
    return text;
}

static void expect_shown(struct supervisor_rig *rig, const char *in_table, const char *in_json)
{
    char *table = shown(rig, rc_status_print_table);
    char *json = shown(rig, rc_status_print_json);
    cr_expect_not_null(strstr(table, in_table), "%s is not in:\n%s", in_table, table);
    cr_expect_not_null(strstr(json, in_json), "%s is not in:\n%s", in_json, json);
    free(table);
    free(json);
}

static struct supervisor_rig *rig_new(const char *config)
{
    struct supervisor_rig *rig = calloc(1, sizeof(*rig));
    cr_assert_not_null(rig);
    supervisor_rig_open(rig, config);
    return rig;
}

static void rig_free(struct supervisor_rig *rig)
{
    supervisor_rig_close(rig);
    free(rig);
}

Test(status, the_limit_is_that_of_the_workers_in_use)
{
    struct supervisor_rig *rig = rig_new("[server]\nmax_connections = 100000\n");
    struct rc_broker *broker = &rig->supervisor.broker;
    broker->plan = (struct rc_limits_plan){.slots_per_worker = 60000, .connections_max = 100000};
    broker->segments.core->slots_per_worker = 60000;
    expect_shown(rig, "limits      100000 connections, 60000 a worker", "\"connections_max\": 100000,");
    rc_broker_set_use(broker, &broker->workers[1], RC_WORKER_UNUSED);
    expect_shown(rig, "limits      60000 connections, 60000 a worker", "\"connections_max\": 60000,");
    rig_free(rig);
}

Test(status, who_has_died_is_started_again_only_where_it_is)
{
    struct supervisor_rig *rig = rig_new("");
    struct rc_child *child = &rig->supervisor.broker.workers[0];
    char *text = shown(rig, rc_status_print_table);
    cr_expect_null(strstr(text, "worker 0: "), "%s", text);
    free(text);
    child->restarts = 2;
    strcpy(child->ended, "signal 6 (ABRT)");
    expect_shown(rig, "worker 0: restarts: 2, the last after signal 6 (ABRT) (", "\"last_end\": \"signal 6 (ABRT)\"");
    child->pid = 0;
    expect_shown(rig, "worker 0: its process ended by signal 6 (ABRT); no other one is started (",
                 "\"restart_in_ms\": null");
    child->restart_due_ms = rig->supervisor.now_ms;
    expect_shown(rig, "; the next one starts now (", "\"restart_in_ms\": null");
    child->restart_due_ms = rig->supervisor.now_ms + 5000;
    expect_shown(rig, "; the next one starts in 5s (", "\"restart_in_ms\": 5000");
    child->pid = 1;
    rig_free(rig);
}

Test(status, ages_have_two_units_at_most)
{
    const struct {
        uint64_t age_ms;
        const char *text;
    } cases[] = {
        {0, "0s"},
        {999, "0s"},
        {59999, "59s"},
        {60000, "1m 0s"},
        {3599999, "59m 59s"},
        {3600000, "1h 0m"},
        {86399999, "23h 59m"},
        {86400000, "1d 0h"},
        {400ull * 86400000 + 5ull * 3600000, "400d 5h"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[32];
        rc_status_format_age(text, sizeof(text), cases[i].age_ms);
        cr_assert_str_eq(text, cases[i].text);
    }
}
