/* Who may do what: every kind of `who`, and the names that are the server's. */
#include <criterion/criterion.h>

#include <string.h>

#include "worker/gate/permission.h"

#define NOBODY ((struct rc_span){0})

Test(permission, reserved_names)
{
    cr_assert(rc_permission_reserved(RC_SPAN("*")));
    cr_assert(rc_permission_reserved(RC_SPAN("user:42")));
    cr_assert(rc_permission_reserved(RC_SPAN("user:")));
    cr_assert_not(rc_permission_reserved(RC_SPAN("user")));
    cr_assert_not(rc_permission_reserved(RC_SPAN("users:42")));
    cr_assert_not(rc_permission_reserved(RC_SPAN("User:42")));
    cr_assert_not(rc_permission_reserved(RC_SPAN("**")));
    cr_assert_not(rc_permission_reserved(RC_SPAN("x:user:42")));
}

Test(permission, who)
{
    const struct {
        enum rc_who who;
        const char *user;
        const char *channel;
        bool allowed;
    } rows[] = {
        {RC_WHO_ANYONE, "", "a", true},       {RC_WHO_ANYONE, "u", "a", true},      {RC_WHO_USER, "", "a", false},
        {RC_WHO_USER, "u", "a", true},        {RC_WHO_NONE, "u", "a:u", false},     {RC_WHO_NONE, "", "a", false},
        {RC_WHO_OWNER, "u", "a:u", true},     {RC_WHO_OWNER, "u", "a:v", false},    {RC_WHO_OWNER, "u", "a", false},
        {RC_WHO_OWNER, "", "a:", false},      {RC_WHO_OWNER, "", "a:u", false},     {RC_WHO_OWNER, "u", "a:u:x", false},
        {RC_WHO_OWNER, "u:x", "a:u:x", true}, {RC_WHO_OWNER, "u", "a:uu", false},   {RC_WHO_OWNER, "uu", "a:u", false},
        {RC_WHO_OWNER, "u", "u", false},      {RC_WHO_DEFAULT, "u", "a:u", false},  {RC_WHO_OWNER, "U", "a:u", false},
        {RC_WHO_OWNER, "u", "", false},       {(enum rc_who)77, "u", "a:u", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_assert_eq(rc_permission_allows(rows[i].who, rc_span_text(rows[i].user), rc_span_text(rows[i].channel)),
                     rows[i].allowed, "row %zu", i);
    }
    cr_assert_not(rc_permission_allows(RC_WHO_OWNER, RC_SPAN("u"), NOBODY));
    cr_assert_not(rc_permission_allows(RC_WHO_USER, NOBODY, NOBODY));
}

Test(permission, namespaces_decide_and_reserved_names_never_open)
{
    static struct rc_config config;
    rc_config_defaults(&config);
    config.namespaces[0].subscribe = RC_WHO_ANYONE;
    config.namespaces[0].publish = RC_WHO_NONE;
    config.namespaces[1] = config.namespaces[0];
    strcpy(config.namespaces[1].name, "box");
    config.namespaces[1].name_bytes = 3;
    config.namespaces[1].subscribe = RC_WHO_OWNER;
    config.namespaces[1].publish = RC_WHO_ANYONE;
    config.namespace_count = 2;
    cr_assert(rc_permission_subscribe(&config, NOBODY, RC_SPAN("news")));
    cr_assert(rc_permission_subscribe(&config, NOBODY, RC_SPAN("boxes:7")));
    cr_assert_not(rc_permission_publish(&config, RC_SPAN("u"), RC_SPAN("news")));
    cr_assert_not(rc_permission_subscribe(&config, RC_SPAN("u"), RC_SPAN("box:v")));
    cr_assert(rc_permission_subscribe(&config, RC_SPAN("u"), RC_SPAN("box:u")));
    cr_assert(rc_permission_publish(&config, NOBODY, RC_SPAN("box:v")));
    cr_assert(rc_permission_subscribe(&config, NOBODY, RC_SPAN("box")), "a name without a colon is in `default`");
    config.namespaces[0].publish = RC_WHO_ANYONE;
    cr_assert_not(rc_permission_subscribe(&config, RC_SPAN("u"), RC_SPAN("*")));
    cr_assert_not(rc_permission_publish(&config, RC_SPAN("u"), RC_SPAN("*")));
    cr_assert_not(rc_permission_subscribe(&config, RC_SPAN("u"), RC_SPAN("user:u")));
    cr_assert_not(rc_permission_publish(&config, RC_SPAN("u"), RC_SPAN("user:u")));
}
