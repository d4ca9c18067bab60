/*
 * The runner behind tests/tsan/criterion/criterion.h: every registered test in a child process of its own, one at a
 * time, and Criterion's closing line, which tests/run reads. Command-line options are accepted and ignored.
 */
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/tsan/criterion/criterion.h"

/* The list in order of registration, and whether the test that runs in this process has failed an expectation. */
static struct rc_tsan_test *first_test;
static struct rc_tsan_test **next_test = &first_test;
static bool expectation_failed;

void rc_tsan_register(struct rc_tsan_test *test)
{
    *next_test = test;
    next_test = &test->next;
}

void rc_tsan_failed(const char *file, int line, const char *what, bool fatal, const char *format, ...)
{
    va_list arguments;
    char message[1024];
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    printf("[----] %s:%d: failed: %s%s\n", file, line, what, message);
    fflush(stdout);
    expectation_failed = true;
    if (fatal) {
        _exit(1);
    }
}

static const struct rc_tsan_options *suite_options(const char *suite)
{
    static const struct rc_tsan_options none;
    for (struct rc_tsan_test *test = first_test; test; test = test->next) {
        if (!test->run && strcmp(test->suite, suite) == 0) {
            return &test->options;
        }
    }
    return &none;
}

/* Runs in the child; exit() and not _exit(), so that TSan reports what it has found through the exit code. */
static _Noreturn void run_here(const struct rc_tsan_test *test)
{
    const struct rc_tsan_options *suite = suite_options(test->suite);
    if (test->options.timeout > 0) {
        alarm((unsigned)test->options.timeout + 1);
    }
    if (suite->init) {
        suite->init();
    }
    if (test->options.init) {
        test->options.init();
    }
    test->run();
    if (test->options.fini) {
        test->options.fini();
    }
    if (suite->fini) {
        suite->fini();
    }
    exit(expectation_failed ? 1 : 0);
}

static bool run_in_child(const struct rc_tsan_test *test)
{
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) {
        perror("fork");
        return false;
    }
    if (child == 0) {
        run_here(test);
    }
    int status;
    if (waitpid(child, &status, 0) != child) {
        return false;
    }
    if (test->options.signal != 0) {
        return WIFSIGNALED(status) && WTERMSIG(status) == test->options.signal;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == test->options.exit_code;
}

int main(void)
{
    unsigned passing = 0;
    unsigned failing = 0;
    for (struct rc_tsan_test *test = first_test; test; test = test->next) {
        if (!test->run || test->options.disabled || suite_options(test->suite)->disabled) {
            continue;
        }
        bool passed = run_in_child(test);
        printf("[%s] %s::%s\n", passed ? "PASS" : "FAIL", test->suite, test->name);
        if (passed) {
            passing++;
        } else {
            failing++;
        }
    }
    printf("[====] Synthesis: Tested: %u | Passing: %u | Failing: %u | Crashing: 0\n", passing + failing, passing,
           failing);
    return failing > 0 ? 1 : 0;
}
