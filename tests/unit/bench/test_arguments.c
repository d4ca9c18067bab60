/* The command line of ringcast-bench. */
#include "bench/arguments.h"
#include "bench/scenario.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct rc_bench_options options;
static struct rc_err err;

/* The options borrow from the line, so it stays. */
static int parse(const char *text)
{
    static char *arguments[64];
    static char line[512];
    strcpy(line, text);
    int count = 0;
    arguments[count++] = (char[]){"ringcast-bench"};
    for (char *word = strtok(line, " "); word != NULL; word = strtok(NULL, " ")) {
        arguments[count++] = word;
    }
    err.text[0] = '\0';
    return rc_bench_arguments_parse(&options, count, arguments, &err);
}

Test(bench_options, defaults_of_scenarios)
{
    cr_assert_eq(parse("fanout"), 0);
    cr_assert_eq(options.window, 2);
    cr_assert_eq(options.connections, 1000);
    cr_assert_eq(options.payload_bytes, 128);
    cr_assert_eq(parse("idle"), 0);
    cr_assert(options.poll_idle && options.subscriptions == 0 && options.window == 0);
    cr_assert_eq(parse("unicast --connections 50"), 0);
    cr_assert_eq(options.channels, 50);
    cr_assert_eq(parse("recover --missed 20"), 0);
    cr_assert(options.connections == 20000 && options.missed == 20 && options.calm == 1000 && options.window == 0);
    cr_assert_float_eq(options.rate, 10.0, 1e-9);
    cr_assert_eq(parse("compare-floor"), 0);
    cr_assert_eq(options.repeat, 3);
    cr_assert_str_eq(options.scenario, "fanout");
    cr_assert_eq(parse("floor"), 0);
    cr_assert_str_eq(options.scenario, "all");
}

Test(bench_options, values)
{
    cr_assert_eq(
        parse("fanout --connections 10k --rate=2.5k --duration 1500ms --server-pid 1,22 --cpu none --slow-share 25% "
              "--payload 4KiB --allow-loss"),
        0, "%s", err.text);
    cr_assert_eq(options.connections, 10000);
    cr_assert_float_eq(options.rate, 2500.0, 1e-9);
    cr_assert_float_eq(options.duration_s, 1.5, 1e-9);
    cr_assert(options.server_pid_count == 2 && options.server_pids[1] == 22);
    cr_assert_eq(options.cpu, -1);
    cr_assert_float_eq(options.slow_share, 0.25, 1e-9);
    cr_assert_eq(options.payload_bytes, 4096);
    cr_assert(options.allow_loss && options.window == 0);
}

Test(bench_options, sweep_and_versus)
{
    cr_assert_eq(
        parse(
            "fanout --sweep connections=1k,10k,1M --versus other=socketio,ws://h:1/x,77+8,ws://h:3 --versus n=nchan,ws://h:2"),
        0, "%s", err.text);
    cr_assert_eq(options.sweep_count, 3);
    rc_bench_arguments_at(&options, 2);
    cr_assert_eq(options.connections, 1000000);
    cr_assert_eq(options.versus_count, 2);
    cr_assert_str_eq(options.versus[0].label, "other");
    cr_assert_str_eq(options.versus[0].url, "ws://h:1/x");
    cr_assert(options.versus[0].pid_count == 2 && options.versus[0].pids[1] == 8);
    cr_assert_str_eq(options.versus[0].subscribe_url, "ws://h:3");
    cr_assert_eq(options.versus[1].pid_count, 0);
}

Test(bench_options, messages_in_flight_have_publishers_and_pauses_of_their_own)
{
    cr_assert_eq(parse("fanout"), 0);
    cr_assert(options.window == 2 && rc_bench_scenario_publishers(&options) == 2);
    cr_assert_float_eq(options.think_s, 0.001, 1e-9);
    cr_assert_eq(parse("fanout --window 1"), 0);
    cr_assert(rc_bench_scenario_publishers(&options) == 1 && options.think_s == 0.0, "nothing to fall into step with");
    cr_assert_eq(parse("fanout --window 1000"), 0);
    cr_assert_eq(rc_bench_scenario_publishers(&options), 256);
    cr_assert_eq(parse("fanout --window 8 --publishers 3 --think 0"), 0);
    cr_assert(rc_bench_scenario_publishers(&options) == 3 && options.think_s == 0.0);
    cr_assert_eq(parse("fanout --rate 10"), 0);
    cr_assert_eq(rc_bench_scenario_publishers(&options), 1);
    cr_assert_eq(parse("rooms"), 0, "%s", err.text);
    cr_assert(rc_bench_scenario_publishers(&options) == 0 && options.window == 500 && options.connections == 5000);
    cr_assert_eq(parse("fanout --sweep window=1,16"), 0);
    rc_bench_arguments_at(&options, 1);
    cr_assert(rc_bench_scenario_publishers(&options) == 16 && options.think_s > 0);
    rc_bench_arguments_at(&options, 0);
    cr_assert(rc_bench_scenario_publishers(&options) == 1 && options.think_s == 0.0);
}

Test(bench_options, every_error_says_what_to_do)
{
    static const struct {
        const char *line;
        const char *says;
    } bad[] = {
        {"", "--help"},
        {"bogus", "no scenario"},
        {"fanout --bogus 1", "unknown"},
        {"fanout --rate", "needs a value"},
        {"fanout --rate x", "expected R, 0.001 to 1e+09"},
        {"fanout --payload 31", "expected BYTES, 32 to"},
        {"fanout --connections 1.5", "not possible"},
        {"fanout --rate 1 --window 1", "exclude each other"},
        {"churn --window 1", "open loop"},
        {"cross", "--subscribe-url"},
        {"fanout --publishers 0", "expected N, 1 to 10000"},
        {"rooms --publishers 3", "every connection publishes"},
        {"fanout --protocol smtp", "--protocol smtp is unknown"},
        {"fanout --server-pid 0", "not possible"},
        {"fanout --server-pid 1,,2", "not possible"},
        {"fanout --sweep bogus=1", "not possible"},
        {"fanout --sweep payload=1", "--sweep: --payload 1"},
        {"fanout --versus a=b,c", "not possible"},
        {"fanout --versus a=echo,ws://h:1,1++2", "not possible"},
        {"fanout --engine poll", "not possible"},
        {"fanout --prefix a\"b", "--prefix"},
        {"compare-floor churn", "no floor for churn"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(parse(bad[i].line), -EINVAL, "%s", bad[i].line);
        cr_assert_not_null(strstr(err.text, bad[i].says), "%s: %s", bad[i].line, err.text);
    }
}
