/* event_schema: what a row's schema is about, and how a fault reads. */
#include "worker/gate/event_schema.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/schemas.h"

static struct rc_config config;
static struct rc_config_event row;
static struct rc_err err;

static enum rc_json_schema_result checked(const char *schema, const char *args)
{
    memset(&config, 0, sizeof(config));
    cr_assert_eq(rc_config_schema_add(&config, "it", 2, schema, strlen(schema), &err), 0, "%s", err.text);
    row.schema_at = rc_config_schema_find(&config, "it");
    err.text[0] = '\0';
    return rc_event_schema_check(&config, &row, rc_span_text(args), &err);
}

Test(event_schema, the_type_says_what_it_is_about)
{
    static const struct {
        const char *schema;
        const char *args;
        const char *fault; /* NULL: none */
    } cases[] = {
        {"{\"type\":\"object\",\"required\":[\"symbol\"]}", "[{\"symbol\":1},2]", NULL},
        {"{\"type\":\"object\",\"required\":[\"symbol\"]}", "[{}]", "args.0: must have a member \"symbol\""},
        {"{\"properties\":{\"symbol\":{\"minLength\":1}}}", "[{\"symbol\":\"\"}]",
         "args.0.symbol: must be at least 1 character"},
        {"{\"type\":\"object\"}", "[]", "args.0: must be there"},
        {"{\"type\":\"object\"}", "", "args.0: must be there"},
        {"{\"type\":\"array\",\"maxItems\":1}", "[1]", NULL},
        {"{\"type\":\"array\",\"maxItems\":1}", "[1,2]", "args: must have at most 1 element"},
        {"{\"type\":\"array\",\"minItems\":1}", "", "args: must have at least 1 element"},
        {"{\"type\":\"array\",\"items\":{\"items\":{\"type\":\"string\"}}}", "[1,[\"a\",2]]",
         "args.1.1: must be string"},
        {"{\"type\":[\"array\"]}", "[1]", NULL},
        {"{\"type\":[\"array\",\"string\"]}", "[1]", "args.0: must be array or string"},
        {"{\"items\":{\"type\":\"string\"}}", "[[1]]", "args.0.0: must be string"},
        {"{\"type\":\"object\",\"required\":[\"_placeholder\"]}", "[{\"_placeholder\":true,\"num\":0}]", NULL},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        cr_expect_eq(checked(cases[i].schema, cases[i].args),
                     cases[i].fault == NULL ? RC_JSON_SCHEMA_VALID : RC_JSON_SCHEMA_INVALID, "%s %s", cases[i].schema,
                     cases[i].args);
        cr_expect_str_eq(err.text, cases[i].fault == NULL ? "" : cases[i].fault);
    }
}

Test(event_schema, rows_without_one_take_anything)
{
    row.schema_at = 0;
    cr_expect_eq(rc_event_schema_check(&config, &row, RC_SPAN("[1]"), &err), RC_JSON_SCHEMA_VALID);
}

Test(event_schema, what_takes_too_long_is_told_apart)
{
    static char args[60000];
    memset(args, 'a', sizeof(args) - 1);
    memcpy(args, "[\"", 2);
    memcpy(args + sizeof(args) - 3, "\"]", 3);
    cr_expect_eq(checked("{\"pattern\":\"(?=(.|..|...|....)*b)\"}", args), RC_JSON_SCHEMA_LIMIT);
    cr_expect_str_eq(err.text, "args.0: must be simpler: checking it takes too long");
}
