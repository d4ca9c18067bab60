/* [schemas]: kept by name, compared, shown, and bounded. */
#include "common/config/schemas.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/span.h"
#include "common/config/config.h"
#include "common/config/event_rules.h"
#include "common/text/json_schema.h"

static struct rc_config config;
static struct rc_config other;
static struct rc_err err;

static int add(struct rc_config *to, const char *name, const char *json)
{
    return rc_config_schema_add(to, name, strlen(name), json, strlen(json), &err);
}

Test(schemas, each_is_found_by_its_name_and_checks)
{
    struct rc_json_schema_fault fault;
    cr_expect_eq(rc_config_schema_find(&config, "number"), 0u);
    cr_assert_eq(add(&config, "number", "{ \"type\": \"number\" }"), 0);
    cr_assert_eq(add(&config, "text-2", "{\"type\":\"string\",\"pattern\":\"^a\"}"), 0);
    const uint32_t number = rc_config_schema_find(&config, "number");
    const uint32_t text = rc_config_schema_find(&config, "text-2");
    cr_assert_gt(number, 0u);
    cr_assert_gt(text, number);
    cr_expect_eq(rc_json_schema_validate(rc_config_schema_at(&config, number), RC_SPAN("1"), &fault),
                 RC_JSON_SCHEMA_VALID);
    cr_expect_eq(rc_json_schema_validate(rc_config_schema_at(&config, text), RC_SPAN("1"), &fault),
                 RC_JSON_SCHEMA_INVALID);
    cr_expect_eq(rc_json_schema_validate(rc_config_schema_at(&config, text), RC_SPAN("\"ab\""), &fault),
                 RC_JSON_SCHEMA_VALID);
    cr_expect(
        rc_span_equal(rc_span_of(rc_config_schema_source(&config, &config.schemas[0]), config.schemas[0].source_bytes),
                      RC_SPAN("{ \"type\": \"number\" }")));
}

/* The segment that holds a configuration lies elsewhere in each process. */
Test(schemas, a_copy_of_the_configuration_checks_alike)
{
    struct rc_json_schema_fault fault;
    cr_assert_eq(add(&config, "a", "{\"items\":{\"pattern\":\"^a\"}}"), 0);
    memcpy(&other, &config, sizeof(other));
    memset(&config, 0xff, sizeof(config));
    const void *const schema = rc_config_schema_at(&other, rc_config_schema_find(&other, "a"));
    cr_expect_eq(rc_json_schema_validate(schema, RC_SPAN("[\"ab\",\"b\"]"), &fault), RC_JSON_SCHEMA_INVALID);
    cr_expect_str_eq(fault.path, ".1");
}

Test(schemas, differences_are_seen)
{
    cr_expect(rc_config_schemas_equal(&config, &other));
    cr_assert_eq(add(&config, "a", "true"), 0);
    cr_expect_not(rc_config_schemas_equal(&config, &other));
    cr_expect_not(rc_event_rules_equal(&config, &other), "what rows ask for has changed");
    cr_assert_eq(add(&other, "a", "true"), 0);
    cr_expect(rc_config_schemas_equal(&config, &other));
    cr_assert_eq(add(&config, "b", "true"), 0);
    cr_assert_eq(add(&other, "b", "true "), 0);
    cr_expect_not(rc_config_schemas_equal(&config, &other));
}

Test(schemas, what_is_wrong_is_told)
{
    cr_expect_eq(add(&config, "", "true"), -EINVAL);
    cr_expect_eq(add(&config, "a.b", "true"), -EINVAL);
    cr_expect_eq(add(&config, "a", "{\"items\":[]}"), -EINVAL);
    cr_expect_not_null(strstr(err.text, "at \"/items\" of the schema"), "%s", err.text);
    cr_expect_eq(config.schemas_count, 0u);
    char name[80];
    memset(name, 'a', sizeof(name));
    name[64] = '\0';
    cr_expect_eq(add(&config, name, "true"), -EINVAL);
    name[63] = '\0';
    cr_expect_eq(add(&config, name, "true"), 0);
}

Test(schemas, number_and_size_are_bounded)
{
    for (unsigned i = 0; i < RC_CONFIG_SCHEMAS_MAX; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "s%u", i);
        cr_assert_eq(add(&config, name, "true"), 0);
    }
    cr_expect_eq(add(&config, "more", "true"), -EINVAL);
    /* one in which nearly all is a remark, until the store is full */
    static char json[60000];
    (void)snprintf(json, sizeof(json), "{\"$comment\":\"%*s\"}", 59000, "");
    int rc = 0;
    unsigned count = 0;
    while (rc == 0 && count < 10) {
        char name[16];
        (void)snprintf(name, sizeof(name), "s%u", count++);
        rc = add(&other, name, json);
    }
    cr_expect_eq(rc, -EINVAL);
    cr_expect_eq(count, 5u);
    cr_expect_not_null(strstr(err.text, "too large together"), "%s", err.text);
    cr_expect_eq(other.schemas_count, 4u);
}
