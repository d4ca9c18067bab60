/* common/config/variable: which environment variables are ours, and which were meant to be. */
#include "common/config/variable.h"

#include <criterion/criterion.h>
#include <string.h>

Test(variable, ours_are_known_by_their_whole_name)
{
    cr_expect(rc_config_variable_ours("REDIS_URL=redis://x"));
    cr_expect(rc_config_variable_ours("RINGCAST_API_KEY="));
    cr_expect_not(rc_config_variable_ours("REDIS_URLS=1"));
    cr_expect_not(rc_config_variable_ours("REDIS=1"));
    cr_expect_not(rc_config_variable_ours("PATH=/bin"));
    cr_expect_not(rc_config_variable_ours(""));
}

Test(variable, a_misspelt_one_gets_a_line_with_the_nearest_and_without_its_value)
{
    char *environment[] = {"PATH=/bin",
                           "RINGCAST_API_KEY=a",
                           "RINGCAST_APIKEY=secret",
                           "RINGCAST_MAX_CONNECTIONS=5",
                           "RINGCAST_QUICKSTART=1",
                           NULL};
    struct rc_config_errors warnings = {0};
    rc_config_variables_unknown(environment, &warnings);
    cr_assert_eq(warnings.count, 2);
    cr_expect_str_eq(
        warnings.lines[0].text,
        "environment variable RINGCAST_APIKEY is not known and sets nothing: did you mean RINGCAST_API_KEY?");
    cr_expect_str_eq(warnings.lines[1].text,
                     "environment variable RINGCAST_MAX_CONNECTIONS is not known and sets nothing");
}

/* What a build does by it, it does not say to have no effect; the children read it, which ours are kept from. */
Test(variable, what_tests_set_is_known_to_the_builds_that_heed_it)
{
    char *environment[] = {"RINGCAST_KERNEL_WITHOUT=vault", "RINGCAST_POISON=x", "RINGCAST_DIES_WITHIN=9",
                           "RINGCAST_DIES_FILE=/tmp/x", NULL};
    struct rc_config_errors warnings = {0};
    rc_config_variables_unknown(environment, &warnings);
#if defined(__SANITIZE_ADDRESS__)
    cr_expect_eq(warnings.count, 0);
#elif defined(RC_DEBUG)
    cr_expect_eq(warnings.count, 2);
#else
    cr_expect_eq(warnings.count, 3);
#endif
    for (size_t i = 0; environment[i] != NULL; i++) {
        cr_expect_not(rc_config_variable_ours(environment[i]), "%s", environment[i]);
    }
}

Test(variable, a_long_name_is_cut)
{
    char name[512];
    memset(name, 'X', sizeof(name));
    memcpy(name, "RINGCAST_", 9);
    name[sizeof(name) - 1] = '\0';
    char *environment[] = {name, NULL};
    struct rc_config_errors warnings = {0};
    rc_config_variables_unknown(environment, &warnings);
    cr_assert_eq(warnings.count, 1);
    cr_expect_lt(strlen(warnings.lines[0].text), 160);
}
