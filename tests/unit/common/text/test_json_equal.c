/* json_equal: values written in several ways, and what occurs twice. */
#include "common/text/json_equal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

static struct rc_json_value scanned(const char *text)
{
    struct rc_json_value value;
    cr_assert_eq(rc_json_scan(rc_span_text(text), RC_JSON_CHECK_UTF8, &value, NULL), 0, "%s", text);
    return value;
}

static int equal(const char *a, const char *b)
{
    const struct rc_json_value left = scanned(a);
    const struct rc_json_value right = scanned(b);
    int64_t steps = 10000;
    return rc_json_equal(&left, &right, &steps);
}

Test(json_equal, the_way_of_writing_does_not_matter)
{
    static const char *const same[][2] = {
        {"1", "1.0"},
        {"\"a\"", "\"\\u0061\""},
        {"\"\\ud83d\\ude00\"", "\"😀\""},
        {"[1, 2]", "[1,2e0]"},
        {"{\"a\":1,\"b\":[{}]}", "{ \"\\u0062\" : [ { } ], \"a\" : 10e-1 }"},
        {"null", " null "},
        {"\"\\/\"", "\"/\""},
    };
    static const char *const different[][2] = {
        {"1", "\"1\""},
        {"true", "false"},
        {"null", "false"},
        {"[1,2]", "[2,1]"},
        {"[1]", "[1,1]"},
        {"[1,1]", "[1]"},
        {"{\"a\":1}", "{\"a\":2}"},
        {"{\"a\":1}", "{\"b\":1}"},
        {"{\"a\":1}", "{\"a\":1,\"b\":1}"},
        {"{\"a\":1,\"b\":1}", "{\"a\":1}"},
        {"\"a\"", "\"A\""},
        {"\"a\"", "\"ab\""},
        {"\"\\ud800\"", "\"\\ufffd\""},
        {"{}", "[]"},
        {"0", "false"},
        {"\"\\u0061b\"", "\"a\""},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(same); i++) {
        cr_expect_eq(equal(same[i][0], same[i][1]), 1, "%s", same[i][1]);
        cr_expect_eq(equal(same[i][1], same[i][0]), 1, "%s", same[i][1]);
    }
    for (size_t i = 0; i < RC_ARRAY_COUNT(different); i++) {
        cr_expect_eq(equal(different[i][0], different[i][1]), 0, "%s %s", different[i][0], different[i][1]);
    }
}

static int array_repeats(const char *text, uint32_t *index)
{
    int64_t steps = 1000000;
    return rc_json_array_repeats(rc_span_text(text), index, &steps);
}

Test(json_equal, elements_that_are_there_twice_are_found)
{
    uint32_t index = 0;
    cr_expect_eq(array_repeats("[]", &index), 0);
    cr_expect_eq(array_repeats("[1,2,3]", &index), 0);
    cr_expect_eq(array_repeats("[1,\"1\",[1],{\"1\":1},true,null,false,0,\"\",[],{}]", &index), 0);
    cr_expect_eq(array_repeats("[1,2,1.0]", &index), 1);
    cr_expect_eq(index, 2u);
    cr_expect_eq(array_repeats("[{\"a\":1,\"b\":2},5,{\"b\":2,\"a\":1}]", &index), 1);
    cr_expect_eq(index, 2u);
    cr_expect_eq(array_repeats("[[1,2],[2,1]]", &index), 0);
    cr_expect_eq(array_repeats("[\"a\",\"\\u0061\"]", &index), 1);
}

/* More than are compared at once; the double at each distance around that number. */
Test(json_equal, long_arrays_are_looked_through_completely)
{
    static const uint32_t places[] = {1, 510, 511, 512, 513, 1023, 1024, 1025, 1499};
    char *const text = malloc(20000);
    cr_assert_not_null(text);
    for (uint32_t first = 0; first < RC_ARRAY_COUNT(places); first++) {
        for (uint32_t second = 0; second < RC_ARRAY_COUNT(places); second++) {
            size_t bytes = 0;
            uint32_t index = 0;
            for (uint32_t i = 0; i < 1500; i++) {
                bytes +=
                    (size_t)sprintf(text + bytes, "%c%u", i == 0 ? '[' : ',', i == places[second] ? places[first] : i);
            }
            memcpy(text + bytes, "]", 2);
            cr_expect_eq(array_repeats(text, &index), first == second ? 0 : 1, "%u %u", places[first], places[second]);
        }
    }
    free(text);
}

static int repeats(const char *text, struct rc_json_value *name, int64_t steps)
{
    const struct rc_json_value value = scanned(text);
    return rc_json_repeats(&value, name, &steps);
}

Test(json_equal, names_that_are_there_twice_are_found_anywhere)
{
    struct rc_json_value name;
    cr_expect_eq(repeats("{\"a\":{\"a\":[{\"a\":1},{\"a\":1}]},\"b\":1}", &name, 1000), 0);
    cr_expect_eq(repeats("[1,{\"x\":{\"b\":1,\"c\":2,\"\\u0062\":3}}]", &name, 1000), 1);
    cr_expect(rc_span_equal(name.raw, RC_SPAN("\"\\u0062\"")));
    cr_expect_eq(repeats("[[[[1]]],\"a\",\"a\"]", &name, 1000), 0);
}

Test(json_equal, used_up_steps_are_told)
{
    struct rc_json_value name;
    uint32_t index;
    int64_t steps = 2;
    const struct rc_json_value value = scanned("[[1],[2],[3],[4]]");
    cr_expect_eq(rc_json_equal(&value, &value, &steps), -EOVERFLOW);
    steps = 2;
    cr_expect_eq(rc_json_array_repeats(value.raw, &index, &steps), -EOVERFLOW);
    cr_expect_eq(repeats("{\"a\":1,\"b\":1,\"c\":1}", &name, 2), -EOVERFLOW);
}
