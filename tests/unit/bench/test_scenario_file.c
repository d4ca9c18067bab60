/* Files of runs. */
#include "bench/scenario_file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct rc_bench_file file;
static struct rc_err err;

static void check_run(uint32_t index, const char *wanted)
{
    char line[1024] = "";
    for (uint32_t i = 0; i < file.runs[index].count; i++) {
        snprintf(line + strlen(line), sizeof(line) - strlen(line), "%s%s", i == 0 ? "" : "|",
                 file.runs[index].arguments[i]);
    }
    cr_assert_str_eq(line, wanted);
}

Test(bench_scenario_file, runs_become_command_lines)
{
    cr_assert_eq(rc_bench_file_parse(&file, "f",
                                     "# first\n"
                                     "url = \"ws://h:1/a\\\"b\" # why\n"
                                     "quiet = true\r\n"
                                     "\n"
                                     "  [[run]]\n"
                                     "scenario = 'fanout'\n"
                                     "connections = 10_000\n"
                                     "allow_loss = false\n"
                                     "[[run]] # second\n"
                                     "floor = true\n"
                                     "scenario = \"echo\"\n"
                                     "versus = [ \"a=echo,ws://h\", 'b=echo,ws://i' ]\n"
                                     "server-pid = [1, 2,]",
                                     &err),
                 0, "%s", err.text);
    cr_assert_eq(file.run_count, 2);
    cr_assert_eq(rc_bench_file_add(&file, "--repeat=2", &err), 0);
    check_run(0, "ringcast-bench|fanout|--url|ws://h:1/a\"b|--quiet|--connections|10000|--repeat=2");
    check_run(
        1,
        "ringcast-bench|compare-floor|echo|--url|ws://h:1/a\"b|--quiet|--versus|a=echo,ws://h|--versus|b=echo,ws://i|"
        "--server-pid|1|--server-pid|2|--repeat=2");
    rc_bench_file_free(&file);
}

Test(bench_scenario_file, errors_name_the_line)
{
    static const struct {
        const char *text;
        const char *says;
    } bad[] = {
        {"", "f:1: there is no [[run]]"},
        {"\n\nurl", "f:3: expected key = value"},
        {"url = \"abc\nx", "f:1: the string does not end"},
        {"url =\n", "f:1: a value is missing"},
        {"[run]\n", "f:1: expected key = value"},
        {"scenario = \"fanout\"", "f:1: scenario belongs"},
        {"[[run]]\nurl = \"a\"\n[[run]]\nscenario=\"echo\"", "f:3: the [[run]] above has no scenario"},
        {"[[run]]\nscenario = \"a\" b\n", "f:2: nothing may follow"},
        {"a = [1, 2\n", "f:1: the array does not end"},
        {"a = \"\\n\"", "f:1: only"},
        {"[[run]]\nfloor = 1\n", "f:2: floor is true or false"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(rc_bench_file_parse(&file, "f", bad[i].text, &err), -EINVAL, "%s", bad[i].text);
        cr_assert_eq(strncmp(err.text, bad[i].says, strlen(bad[i].says)), 0, "%s: %s", bad[i].text, err.text);
    }
}

Test(bench_scenario_file, every_prefix_of_a_file_ends_in_a_result_or_an_error)
{
    static const char whole[] =
        "url = \"a\"\n[[run]]\nscenario = 'echo'\nversus = [\"a=b,c\", 'd'] # x\n[[run]]\nscenario=\"idle\"\n";
    for (size_t bytes = 0; bytes < sizeof(whole); bytes++) {
        char text[sizeof(whole)];
        memcpy(text, whole, bytes);
        text[bytes] = '\0';
        if (rc_bench_file_parse(&file, "f", text, &err) == 0) {
            rc_bench_file_free(&file);
        }
    }
}

Test(bench_scenario_file, too_much_is_refused)
{
    static char text[200000] = "";
    size_t at = 0;
    for (unsigned i = 0; i < 70; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "[[run]]\nscenario=\"echo\"\n");
    }
    cr_assert_eq(rc_bench_file_parse(&file, "f", text, &err), -EINVAL);
    at = (size_t)snprintf(text, sizeof(text), "[[run]]\nscenario=\"echo\"\n");
    for (unsigned i = 0; i < 200; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "a=1\n");
    }
    cr_assert_eq(rc_bench_file_parse(&file, "f", text, &err), -EINVAL);
    cr_assert_eq(rc_bench_file_read(&file, "/nonexistent", &err), -ENOENT);
}
