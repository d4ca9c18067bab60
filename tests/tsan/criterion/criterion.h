/*
 * A stand-in for Criterion in the TSan flavour only: Criterion's own runner cannot start under ThreadSanitizer (its
 * arena must lie where TSan keeps shadow memory: "Could not initialize inheritable arena").
 *
 * The same test source compiles against both, as long as it keeps to what is here: Test with .init, .fini, .disabled,
 * .signal, .exit_code and .timeout; TestSuite with .init, .fini and .disabled; the classic cr_assert… and cr_expect…
 * macros. Each test runs in a child process of its own, as in Criterion; a report of TSan in it is a failure. The
 * runner is tests/tsan/runner.c.
 */
#ifndef RC_TESTS_TSAN_CRITERION_CRITERION_H
#define RC_TESTS_TSAN_CRITERION_CRITERION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The fields of Criterion that tests here use; the times are seconds. */
struct rc_tsan_options {
    void (*init)(void);
    void (*fini)(void);
    bool disabled;
    int signal;
    int exit_code;
    double timeout;
    const char *description;
};

/* One test, or a suite's defaults when `run` is NULL. Static storage, linked by the runner, never freed. */
struct rc_tsan_test {
    const char *suite;
    const char *name;
    void (*run)(void);
    struct rc_tsan_options options;
    struct rc_tsan_test *next;
};

void rc_tsan_register(struct rc_tsan_test *test);

/* Says what failed; with `fatal` the test ends here. The message may be NULL. */
void rc_tsan_failed(const char *file, int line, const char *what, bool fatal, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

#define Test(suite_name, test_name, ...)                                                                          \
    static void suite_name##_##test_name##_impl(void);                                                            \
    static struct rc_tsan_test suite_name##_##test_name##_test = {.suite = #suite_name,                           \
                                                                  .name = #test_name,                             \
                                                                  .run = suite_name##_##test_name##_impl,         \
                                                                  .options = {.description = NULL, __VA_ARGS__}}; \
    __attribute__((constructor)) static void suite_name##_##test_name##_register(void)                            \
    {                                                                                                             \
        rc_tsan_register(&suite_name##_##test_name##_test);                                                       \
    }                                                                                                             \
    static void suite_name##_##test_name##_impl(void)

#define TestSuite(suite_name, ...)                                                                   \
    static struct rc_tsan_test suite_name##_suite = {.suite = #suite_name,                           \
                                                     .options = {.description = NULL, __VA_ARGS__}}; \
    __attribute__((constructor)) static void suite_name##_suite_register(void)                       \
    {                                                                                                \
        rc_tsan_register(&suite_name##_suite);                                                       \
    }                                                                                                \
    struct rc_tsan_test

/* The message is optional, so it is "" plus whatever was given: a literal, as in Criterion. */
#define RC_TSAN_CHECK(fatal, condition, what, ...)                            \
    do {                                                                      \
        if (!(condition))                                                     \
            rc_tsan_failed(__FILE__, __LINE__, what, fatal, " " __VA_ARGS__); \
    } while (0)

#define cr_assert(c, ...) RC_TSAN_CHECK(true, c, #c, __VA_ARGS__)
#define cr_assert_not(c, ...) RC_TSAN_CHECK(true, !(c), "not " #c, __VA_ARGS__)
#define cr_assert_eq(a, b, ...) RC_TSAN_CHECK(true, (a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...) RC_TSAN_CHECK(true, (a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...) RC_TSAN_CHECK(true, (a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...) RC_TSAN_CHECK(true, (a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...) RC_TSAN_CHECK(true, (a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...) RC_TSAN_CHECK(true, (a) >= (b), #a " >= " #b, __VA_ARGS__)
#define cr_assert_null(a, ...) RC_TSAN_CHECK(true, (a) == NULL, #a " is NULL", __VA_ARGS__)
#define cr_assert_not_null(a, ...) RC_TSAN_CHECK(true, (a) != NULL, #a " is not NULL", __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) RC_TSAN_CHECK(true, strcmp(a, b) == 0, #a " equals " #b, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) RC_TSAN_CHECK(true, strcmp(a, b) != 0, #a " differs from " #b, __VA_ARGS__)
#define cr_assert_arr_eq(a, b, size, ...) RC_TSAN_CHECK(true, memcmp(a, b, size) == 0, #a " equals " #b, __VA_ARGS__)
#define cr_assert_fail(...) RC_TSAN_CHECK(true, false, "reached", __VA_ARGS__)
#define cr_fail(...) cr_assert_fail(__VA_ARGS__)

#define cr_expect(c, ...) RC_TSAN_CHECK(false, c, #c, __VA_ARGS__)
#define cr_expect_not(c, ...) RC_TSAN_CHECK(false, !(c), "not " #c, __VA_ARGS__)
#define cr_expect_eq(a, b, ...) RC_TSAN_CHECK(false, (a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_expect_neq(a, b, ...) RC_TSAN_CHECK(false, (a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_expect_lt(a, b, ...) RC_TSAN_CHECK(false, (a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_expect_leq(a, b, ...) RC_TSAN_CHECK(false, (a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_expect_gt(a, b, ...) RC_TSAN_CHECK(false, (a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_expect_geq(a, b, ...) RC_TSAN_CHECK(false, (a) >= (b), #a " >= " #b, __VA_ARGS__)
#define cr_expect_null(a, ...) RC_TSAN_CHECK(false, (a) == NULL, #a " is NULL", __VA_ARGS__)
#define cr_expect_not_null(a, ...) RC_TSAN_CHECK(false, (a) != NULL, #a " is not NULL", __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...) RC_TSAN_CHECK(false, strcmp(a, b) == 0, #a " equals " #b, __VA_ARGS__)
#define cr_expect_arr_eq(a, b, size, ...) RC_TSAN_CHECK(false, memcmp(a, b, size) == 0, #a " equals " #b, __VA_ARGS__)

#define cr_log_info(...) (printf(__VA_ARGS__), putchar('\n'))
#define cr_skip_test(...) exit(0)

#endif
