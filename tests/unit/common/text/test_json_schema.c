/* json_schema: every keyword, its fault, what is refused when a schema is compiled, and the bounds. */
#include "common/text/json_schema.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/text/json_scan.h"

static uint64_t block[32768]; /* 256 KiB */
static struct rc_json_schema_error error;
static struct rc_json_schema_fault fault;

static int compile(const char *schema)
{
    size_t bytes = 0;
    return rc_json_schema_compile(rc_span_text(schema), block, sizeof(block), &bytes, &error);
}

static enum rc_json_schema_result validate(const char *json)
{
    return rc_json_schema_validate(block, rc_span_text(json), &fault);
}

/* `fault` NULL: valid; else "path|keyword|words". */
static const struct {
    const char *schema;
    const char *json;
    const char *fault;
} cases[] = {
    {"true", "1", NULL},
    {"false", "1", "|false|must not be there"},
    {"{}", "[{\"a\":null}]", NULL},
    {"{\"type\":\"string\"}", "\"a\"", NULL},
    {"{\"type\":\"string\"}", "1", "|type|must be string"},
    {"{\"type\":[\"null\",\"boolean\"]}", "false", NULL},
    {"{\"type\":[\"null\",\"boolean\"]}", "{}", "|type|must be boolean or null"},
    {"{\"type\":\"integer\"}", "1.0", NULL},
    {"{\"type\":\"integer\"}", "123456789012345678901234567890", NULL},
    {"{\"type\":\"integer\"}", "1.5", "|type|must be integer"},
    {"{\"type\":\"integer\"}", "\"1\"", "|type|must be integer"},
    {"{\"type\":\"number\"}", "1.5e3", NULL},
    {"{\"type\":\"array\"}", "{}", "|type|must be array"},
    {"{\"enum\":[1,\"a\",{\"b\":[null]}]}", "{\"b\":[null]}", NULL},
    {"{\"enum\":[1,\"a\"]}", "\"\\u0061\"", NULL},
    {"{\"enum\":[1,\"a\"]}", "2", "|enum|must be one of the 2 values that are allowed"},
    {"{\"enum\":[]}", "2", "|enum|must be one of the 0 values that are allowed"},
    {"{\"const\":{\"a\":1,\"b\":2}}", "{\"b\":2.0,\"a\":1}", NULL},
    {"{\"const\":false}", "0", "|const|must be false"},
    {"{\"minimum\":1.1}", "1.1", NULL},
    {"{\"minimum\":1.1}", "1.09", "|minimum|must be at least 1.1"},
    {"{\"maximum\":9007199254740992}", "9007199254740993", "|maximum|must be at most 9007199254740992"},
    {"{\"exclusiveMinimum\":0}", "0.0", "|exclusiveMinimum|must be more than 0"},
    {"{\"exclusiveMaximum\":1e2}", "100", "|exclusiveMaximum|must be less than 1e2"},
    {"{\"exclusiveMaximum\":1e2}", "99.999", NULL},
    {"{\"minimum\":5}", "\"1\"", NULL},
    {"{\"multipleOf\":0.01}", "19.99", NULL},
    {"{\"multipleOf\":0.01}", "19.999", "|multipleOf|must be a multiple of 0.01"},
    {"{\"minLength\":1}", "\"\"", "|minLength|must be at least 1 character"},
    {"{\"minLength\":2}", "\"😀\"", "|minLength|must be at least 2 characters"},
    {"{\"maxLength\":2.0}", "\"\\ud83d\\ude00é\"", NULL},
    {"{\"maxLength\":1e0}", "\"ab\"", "|maxLength|must be at most 1 character"},
    {"{\"maxLength\":12e-1}", NULL, NULL},
    {"{\"pattern\":\"^[A-Z]{1,5}$\"}", "\"ABC\"", NULL},
    {"{\"pattern\":\"^[A-Z]{1,5}$\"}", "\"abc\"", "|pattern|must match the pattern ^[A-Z]{1,5}$"},
    {"{\"pattern\":\"^\\\\u0041$\"}", "\"A\"", NULL},
    {"{\"format\":\"email\"}", "\"a@b.example\"", NULL},
    {"{\"format\":\"email\"}", "\"a\\u0040b.example\"", NULL},
    {"{\"format\":\"email\"}", "\"ab\"", "|format|must be a valid email"},
    {"{\"format\":\"date\"}", "5", NULL},
    {"{\"items\":{\"type\":\"number\"}}", "[1,2,\"x\"]", ".2|type|must be number"},
    {"{\"prefixItems\":[{\"type\":\"number\"},{\"type\":\"string\"}]}", "[1]", NULL},
    {"{\"prefixItems\":[{\"type\":\"number\"},{\"type\":\"string\"}]}", "[1,2]", ".1|type|must be string"},
    {"{\"prefixItems\":[true],\"items\":false}", "[1,2]", ".1|false|must not be there"},
    {"{\"prefixItems\":[true],\"items\":false}", "[1]", NULL},
    {"{\"contains\":{\"const\":1}}", "[2,1]", NULL},
    {"{\"contains\":{\"const\":1}}", "[2]", "|contains|must have at least 1 element of a kind"},
    {"{\"contains\":{\"const\":1},\"minContains\":2}", "[1,2]", "|contains|must have at least 2 elements of a kind"},
    {"{\"contains\":{\"const\":1},\"minContains\":0}", "[]", NULL},
    {"{\"contains\":{\"const\":1},\"maxContains\":1}", "[1,1]", "|maxContains|must have at most 1 element of a kind"},
    {"{\"minContains\":2}", "[]", NULL},
    {"{\"minItems\":1}", "[]", "|minItems|must have at least 1 element"},
    {"{\"maxItems\":1}", "[1,2]", "|maxItems|must have at most 1 element"},
    {"{\"maxItems\":0}", "[]", NULL},
    {"{\"uniqueItems\":true}", "[1,\"1\"]", NULL},
    {"{\"uniqueItems\":true}", "[1,2,1.0]", "|uniqueItems|must have no element twice, as the one at 2 is"},
    {"{\"uniqueItems\":false}", "[1,1]", NULL},
    {"{\"properties\":{\"a\":{\"type\":\"string\"},\"bb\":{\"maximum\":1}}}", "{\"bb\":2}",
     ".bb|maximum|must be at most 1"},
    {"{\"properties\":{\"a\":{\"type\":\"string\"}}}", "{\"\\u0061\":2}", ".\\u0061|type|must be string"},
    {"{\"properties\":{\"a\":{\"properties\":{\"b\":{\"items\":false}}}}}", "{\"a\":{\"b\":[0]}}",
     ".a.b.0|false|must not be there"},
    {"{\"required\":[\"a\",\"b\"]}", "{\"b\":1,\"a\":null}", NULL},
    {"{\"required\":[\"a\",\"b\"]}", "{\"a\":1}", "|required|must have a member \"b\""},
    {"{\"required\":[\"a\"]}", "[]", NULL},
    {"{\"patternProperties\":{\"^x-\":{\"type\":\"number\"}}}", "{\"x-a\":\"\"}", ".x-a|type|must be number"},
    {"{\"patternProperties\":{\"^x-\":true},\"properties\":{\"a\":true},\"additionalProperties\":false}",
     "{\"x-a\":1,\"a\":2}", NULL},
    {"{\"patternProperties\":{\"^x-\":true},\"properties\":{\"a\":true},\"additionalProperties\":false}", "{\"b\":2}",
     ".b|false|must not be there"},
    {"{\"required\":[\"a\"],\"additionalProperties\":false}", "{\"a\":2}", ".a|false|must not be there"},
    {"{\"additionalProperties\":{\"type\":\"null\"}}", "{\"a\":2}", ".a|type|must be null"},
    {"{\"propertyNames\":{\"maxLength\":2}}", "{\"abc\":2}", ".abc|maxLength|must be at most 2 characters"},
    {"{\"minProperties\":1}", "{}", "|minProperties|must have at least 1 member"},
    {"{\"maxProperties\":1}", "{\"a\":1,\"b\":1}", "|maxProperties|must have at most 1 member"},
    {"{\"dependentRequired\":{\"a\":[\"b\",\"c\"]}}", "{\"a\":1,\"b\":1}",
     "|dependentRequired|must have a member \"c\""},
    {"{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"c\":1}", NULL},
    {"{\"dependentSchemas\":{\"a\":{\"maxProperties\":1}}}", "{\"a\":1,\"b\":1}",
     "|maxProperties|must have at most 1 member"},
    {"{\"dependentSchemas\":{\"a\":false}}", "{\"b\":1}", NULL},
    {"{\"if\":{\"const\":1},\"then\":false,\"else\":{\"type\":\"string\"}}", "1", "|false|must not be there"},
    {"{\"if\":{\"const\":1},\"then\":false,\"else\":{\"type\":\"string\"}}", "2", "|type|must be string"},
    {"{\"if\":{\"const\":1},\"then\":false,\"else\":{\"type\":\"string\"}}", "\"a\"", NULL},
    {"{\"if\":false,\"then\":false}", "1", NULL},
    {"{\"then\":false,\"else\":false}", "1", NULL},
    {"{\"not\":{\"type\":\"string\"}}", "1", NULL},
    {"{\"not\":{\"type\":\"string\"}}", "\"a\"", "|not|must be something else"},
    {"{\"allOf\":[{\"minimum\":1},{\"maximum\":2}]}", "3", "|maximum|must be at most 2"},
    {"{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":2}]}", "3", NULL},
    {"{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":2}]}", "1", "|anyOf|must be one of 2 things, and is none"},
    {"{\"oneOf\":[{\"type\":\"number\"},{\"minimum\":2}]}", "1", NULL},
    {"{\"oneOf\":[{\"type\":\"number\"},{\"minimum\":2}]}", "3",
     "|oneOf|must be exactly one of 2 things, and is several"},
    {"{\"oneOf\":[{\"type\":\"string\"},{\"minimum\":2}]}", "1", "|oneOf|must be exactly one of 2 things, and is none"},
    {"{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"type\":\"string\"}}}", "1", "|type|must be string"},
    {"{\"$ref\":\"#/$defs/a~1b%25~0\",\"$defs\":{\"a/b%~\":false}}", "1", "|false|must not be there"},
    {"{\"items\":{\"$ref\":\"#/definitions/a\",\"maximum\":2},\"definitions\":{\"a\":{\"minimum\":1}}}", "[0]",
     ".0|minimum|must be at least 1"},
    {"{\"items\":{\"$ref\":\"#/definitions/a\",\"maximum\":2},\"definitions\":{\"a\":{\"minimum\":1}}}", "[3]",
     ".0|maximum|must be at most 2"},
    {"{\"properties\":{\"child\":{\"$ref\":\"#\"},\"n\":{\"type\":\"number\"}}}",
     "{\"child\":{\"child\":{\"n\":\"\"}}}", ".child.child.n|type|must be number"},
    {"{\"allOf\":[{\"$ref\":\"#/allOf/1/not\"},{\"not\":{\"type\":\"string\"}}]}", "1", "|type|must be string"},
    {"{\"title\":\"t\",\"description\":\"d\",\"default\":1,\"examples\":[1],\"$comment\":\"c\",\"$id\":\"urn:x\",\"$schema\":"
     "\"https://json-schema.org/draft/2020-12/schema\",\"deprecated\":true,\"readOnly\":true,\"writeOnly\":true}",
     "1", NULL},
    {"{}", "{\"a\":{\"b\":1,\"b\":2}}", "||must not have the member \"b\" twice"},
};

Test(json_schema, each_keyword_holds_or_says_what_is_wrong)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        char text[512];
        if (cases[i].json == NULL) {
            cr_expect_eq(compile(cases[i].schema), -EINVAL, "%s", cases[i].schema);
            continue;
        }
        cr_assert_eq(compile(cases[i].schema), 0, "%s: %s %s", cases[i].schema, error.pointer, error.what);
        const enum rc_json_schema_result result = validate(cases[i].json);
        (void)snprintf(text, sizeof(text), "%s|%s|%s", fault.path, fault.keyword, fault.words);
        cr_expect_eq(result, cases[i].fault == NULL ? RC_JSON_SCHEMA_VALID : RC_JSON_SCHEMA_INVALID, "%s %s: %s",
                     cases[i].schema, cases[i].json, text);
        cr_expect_str_eq(text, cases[i].fault == NULL ? "||" : cases[i].fault, "%s %s", cases[i].schema, cases[i].json);
    }
}

Test(json_schema, what_is_no_schema_is_refused_where_it_stands)
{
    static const struct {
        const char *schema;
        const char *pointer;
        const char *word;
    } bad[] = {
        {"", "", "not JSON"},
        {"{\"type\":}", "", "byte 8"},
        {"[]", "", "expected a schema"},
        {"{\"type\":\"string\",\"type\":\"number\"}", "", "twice"},
        {"{\"typ\":\"string\"}", "/typ", "unknown keyword"},
        {"{\"properties\":{\"a/b\":{\"items\":{\"x~y\":1}}}}", "/properties/a~1b/items/x~0y", "unknown keyword"},
        {"{\"type\":\"text\"}", "/type", "expected null, boolean"},
        {"{\"type\":[]}", "/type", "empty"},
        {"{\"properties\":{\"a\":1}}", "/properties/a", "expected a schema"},
        {"{\"properties\":[]}", "/properties", "expected an object"},
        {"{\"allOf\":[true,1]}", "/allOf/1", "expected a schema"},
        {"{\"allOf\":[]}", "/allOf", "empty"},
        {"{\"required\":\"a\"}", "/required", "expected an array"},
        {"{\"required\":[1]}", "/required", "expected a string"},
        {"{\"minLength\":-1}", "/minLength", "0, 1, 2"},
        {"{\"minLength\":1.5}", "/minLength", "0, 1, 2"},
        {"{\"minimum\":\"1\"}", "/minimum", "expected a number"},
        {"{\"multipleOf\":0}", "/multipleOf", "above 0"},
        {"{\"pattern\":\"a(\"}", "/pattern", "at byte 2"},
        {"{\"pattern\":\"\\ud83d\"}", "/pattern", "half a character"},
        {"{\"patternProperties\":{\"\\ud83d\":true}}", "/patternProperties", "half a character"},
        {"{\"pattern\":1}", "/pattern", "expected a string"},
        {"{\"patternProperties\":{\"(\":true}}", "/patternProperties", "without"},
        {"{\"format\":\"regex\"}", "/format", "date-time"},
        {"{\"uniqueItems\":1}", "/uniqueItems", "true or false"},
        {"{\"items\":[{}]}", "/items", "prefixItems"},
        {"{\"$ref\":\"#/$defs/a\"}", "/$ref", "nothing at"},
        {"{\"$ref\":\"#a\"}", "/$ref", "JSON pointer"},
        {"{\"$ref\":\"other.json\"}", "/$ref", "within the schema"},
        {"{\"$ref\":\"#/%zz\"}", "/$ref", "JSON pointer"},
        {"{\"$ref\":\"#\"}", "", "come back"},
        {"{\"$defs\":{\"a\":{\"not\":{\"$ref\":\"#/$defs/a\"}}}}", "/$defs/a/not", "come back"},
        {"{\"$defs\":{\"a\":{\"$id\":\"x\"}}}", "/$defs/a/$id", "whole schema"},
        {"{\"$schema\":\"urn:mine\"}", "/$schema", "2020-12"},
        {"{\"unevaluatedProperties\":false}", "/unevaluatedProperties", "additionalProperties"},
        {"{\"unevaluatedItems\":false}", "/unevaluatedItems", "not supported"},
        {"{\"dependencies\":{}}", "/dependencies", "dependentRequired"},
        {"{\"$dynamicRef\":\"#a\"}", "/$dynamicRef", "write $ref"},
        {"{\"$anchor\":\"a\"}", "/$anchor", "#/$defs/name"},
        {"{\"properties\":{\"\\ud800\":true}}", "/properties", "half a character"},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(bad); i++) {
        cr_expect_eq(compile(bad[i].schema), -EINVAL, "%s", bad[i].schema);
        const char *const end = error.pointer;
        cr_expect_str_eq(end, bad[i].pointer, "%s: %s", bad[i].schema, end);
        cr_expect_not_null(strstr(error.what, bad[i].word), "%s: %s", bad[i].schema, error.what);
    }
}

Test(json_schema, values_that_are_no_json_are_refused)
{
    cr_assert_eq(compile("true"), 0);
    cr_expect_eq(validate(""), RC_JSON_SCHEMA_NO_JSON);
    cr_expect_eq(validate("{\"a\":}"), RC_JSON_SCHEMA_NO_JSON);
    cr_expect_eq(validate("\"\xff\""), RC_JSON_SCHEMA_NO_JSON);
    char deep[2 * RC_JSON_DEPTH_MAX + 4];
    memset(deep, '[', RC_JSON_DEPTH_MAX + 1);
    memset(deep + RC_JSON_DEPTH_MAX + 1, ']', RC_JSON_DEPTH_MAX + 1);
    deep[2 * RC_JSON_DEPTH_MAX + 2] = '\0';
    cr_expect_eq(validate(deep), RC_JSON_SCHEMA_NO_JSON);
    cr_expect_gt(strlen(fault.words), 0u);
}

Test(json_schema, the_compiled_block_may_lie_anywhere)
{
    size_t bytes = 0;
    const struct rc_span schema = RC_SPAN(
        "{\"type\":\"object\",\"required\":[\"b\",\"a\"],\"properties\":{\"a\":{\"$ref\":\"#/$defs/x\"}},\"patternProperties\":"
        "{\"^z\":{\"enum\":[1,2]}},\"$defs\":{\"x\":{\"pattern\":\"^[a-c]+$\",\"minLength\":2}}}");
    cr_assert_eq(rc_json_schema_compile(schema, block, sizeof(block), &bytes, &error), 0);
    uint64_t *const moved = malloc(bytes);
    cr_assert_not_null(moved);
    memcpy(moved, block, bytes);
    memset(block, 0xff, sizeof(block));
    cr_expect_eq(rc_json_schema_validate(moved, RC_SPAN("{\"a\":\"abc\",\"b\":1,\"z\":2}"), &fault),
                 RC_JSON_SCHEMA_VALID);
    cr_expect_eq(rc_json_schema_validate(moved, RC_SPAN("{\"a\":\"abd\",\"b\":1}"), &fault), RC_JSON_SCHEMA_INVALID);
    /* and is the same each time, whatever lay there */
    cr_assert_eq(rc_json_schema_compile(schema, block, sizeof(block), &bytes, &error), 0);
    cr_expect_eq(memcmp(block, moved, bytes), 0);
    /* a little less room is not enough, and nothing beyond it is written */
    cr_expect_eq(rc_json_schema_compile(schema, moved, bytes - 1, &bytes, &error), -ENOBUFS);
    free(moved);
}

Test(json_schema, whether_it_is_about_a_list)
{
    cr_assert_eq(compile("{\"type\":\"array\"}"), 0);
    cr_expect(rc_json_schema_wants_array(block));
    cr_assert_eq(compile("{\"type\":[\"array\",\"null\"]}"), 0);
    cr_expect_not(rc_json_schema_wants_array(block));
    cr_assert_eq(compile("{\"items\":true}"), 0);
    cr_expect_not(rc_json_schema_wants_array(block));
}

Test(json_schema, paths_are_cut_between_characters)
{
    char json[600] = "{\"";
    for (int i = 0; i < 100; i++) {
        strcat(json, "é");
    }
    strcat(json, "\":1}");
    cr_assert_eq(compile("{\"additionalProperties\":false}"), 0);
    cr_expect_eq(validate(json), RC_JSON_SCHEMA_INVALID);
    cr_expect_eq(strlen(fault.path), RC_JSON_SCHEMA_PATH_MAX - 1 - 0u);
    cr_expect(rc_json_utf8_valid(rc_span_text(fault.path)));
}

Test(json_schema, sizes_of_schemas_are_bounded)
{
    char *const text = malloc(RC_JSON_SCHEMA_TEXT_MAX + 64);
    cr_assert_not_null(text);
    memset(text, ' ', RC_JSON_SCHEMA_TEXT_MAX);
    memcpy(text + RC_JSON_SCHEMA_TEXT_MAX - 1, "{}", 3);
    cr_expect_eq(compile(text), -EINVAL);
    cr_expect_not_null(strstr(error.what, "bytes"));
    size_t bytes = (size_t)sprintf(text, "{\"allOf\":[true");
    for (unsigned i = 0; i < RC_JSON_SCHEMA_NODES_MAX; i++) {
        bytes += (size_t)sprintf(text + bytes, ",true");
    }
    (void)sprintf(text + bytes, "]}");
    cr_expect_eq(compile(text), -EINVAL);
    cr_expect_not_null(strstr(error.what, "more than 1024 schemas"), "%s", error.what);
    bytes = (size_t)sprintf(text, "{\"required\":[\"\"");
    for (unsigned i = 0; i < 513; i++) {
        bytes += (size_t)sprintf(text + bytes, ",\"%u\"", i);
    }
    (void)sprintf(text + bytes, "]}");
    cr_expect_eq(compile(text), -EINVAL);
    /* alternatives in each other: the text of 40 `not`s */
    bytes = 0;
    for (unsigned i = 0; i < 40; i++) {
        bytes += (size_t)sprintf(text + bytes, "{\"not\":");
    }
    bytes += (size_t)sprintf(text + bytes, "true");
    memset(text + bytes, '}', 40);
    text[bytes + 40] = '\0';
    cr_expect_eq(compile(text), -EINVAL);
    cr_expect_not_null(strstr(error.what, "come back"), "%s", error.what);
    free(text);
}

/* --- what hostile values can cost ------------------------------------------------------------------------------------ */

static char *repeated(const char *begin, const char *part, size_t count, const char *end)
{
    const size_t bytes = strlen(part);
    char *const text = malloc(strlen(begin) + bytes * count + strlen(end) + 1);
    cr_assert_not_null(text);
    char *to = stpcpy(text, begin);
    for (size_t i = 0; i < count; i++) {
        to = stpcpy(to, part);
    }
    (void)stpcpy(to, end);
    return text;
}

Test(json_schema, alternatives_in_each_other_come_to_an_end)
{
    /* each level tries two ways: 2^60 of them */
    cr_assert_eq(
        compile("{\"anyOf\":[{\"items\":{\"$ref\":\"#\"},\"maxItems\":0},{\"items\":{\"$ref\":\"#\"},\"minItems\":2},"
                "{\"items\":{\"$ref\":\"#\"},\"minItems\":3}],\"type\":\"array\"}"),
        0);
    char *const deep = repeated("", "[", 60, "");
    char *const text = repeated(deep, "]", 60, "");
    cr_expect_eq(validate(text), RC_JSON_SCHEMA_LIMIT);
    cr_expect_str_eq(fault.words, "must be simpler: checking it takes too long");
    free(text);
    free(deep);
}

Test(json_schema, a_limit_is_no_failure_that_not_could_turn)
{
    cr_assert_eq(compile("{\"not\":{\"pattern\":\"(?=(?:(?=(?:(?=(?:.*)x).)*x).)*x)\"}}"), 0);
    char *const text = repeated("\"", "a", 5000, "\"");
    cr_expect_eq(validate(text), RC_JSON_SCHEMA_LIMIT);
    free(text);
}

Test(json_schema, large_values_that_are_simple_pass)
{
    cr_assert_eq(
        compile(
            "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"symbol\",\"price\"],\"properties\":{\"symbol\":"
            "{\"type\":\"string\",\"pattern\":\"^[A-Z]{1,5}$\"},\"price\":{\"type\":\"number\",\"minimum\":0}},"
            "\"additionalProperties\":false}}"),
        0);
    char *const text =
        repeated("[{\"symbol\":\"AAPL\",\"price\":1.5}", ",{\"symbol\":\"AAPL\",\"price\":123.25}", 3000, "]");
    cr_expect_eq(validate(text), RC_JSON_SCHEMA_VALID, "%s %s", fault.path, fault.words);
    free(text);
}

Test(json_schema, many_equal_parts_are_bounded)
{
    cr_assert_eq(compile("{\"uniqueItems\":true}"), 0);
    char *text = malloc(2000000);
    cr_assert_not_null(text);
    size_t bytes = 1;
    text[0] = '[';
    for (unsigned i = 0; i < 150000; i++) {
        bytes += (size_t)sprintf(text + bytes, "%s%u", i == 0 ? "" : ",", i);
    }
    memcpy(text + bytes, "]", 2);
    cr_expect_eq(validate(text), RC_JSON_SCHEMA_LIMIT);
    text[bytes = 1] = '\0';
    text[0] = '{';
    for (unsigned i = 0; i < 100000; i++) {
        bytes += (size_t)sprintf(text + bytes, "%s\"%u\":0", i == 0 ? "" : ",", i);
    }
    memcpy(text + bytes, "}", 2);
    cr_expect_eq(validate(text), RC_JSON_SCHEMA_LIMIT);
    free(text);
}
