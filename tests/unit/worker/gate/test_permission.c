/* Who may do what: every kind of `who`, and the names that are the server's. */
#include <criterion/criterion.h>
#include <string.h>

#include "common/records/channel_name.h"
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

Test(permission, rooms_of_sockets)
{
    const char instance[RC_SID_INSTANCE_BYTES] = {'a', 'b', '1', '-', '_'};
    cr_assert(rc_permission_socket(RC_SPAN("ab1-_AAAAAAAAAAAAAAA"), instance, false));
    cr_assert_not(rc_permission_socket(RC_SPAN("ab1-_AAAAAAAAAAAAAA"), instance, true), "a character less");
    cr_assert_not(rc_permission_socket(RC_SPAN("ab1-_AAAAAAAAAAAAAAAA"), instance, true), "one more");
    cr_assert_not(rc_permission_socket(RC_SPAN("ab1-_AAAAAAAAAAAAAA:"), instance, true));
    cr_assert_not(rc_permission_socket(RC_SPAN("Ab1-_AAAAAAAAAAAAAAA"), instance, false));
    cr_assert(rc_permission_socket(RC_SPAN("Ab1-_AAAAAAAAAAAAAAA"), instance, true), "another server's");
    cr_assert_not(rc_permission_socket(RC_SPAN("0123456789abcdef0123"), instance, true), "a room of excalidraw");
    cr_assert(rc_permission_socket(RC_SPAN("0123456789abcdef012A"), instance, true));
    cr_assert_not(rc_permission_socket(NOBODY, instance, true));
}

Test(permission, who)
{
    const struct {
        enum rc_who who;
        const char *user;
        const char *channel;
        bool allowed;
    } rows[] = {
        {RC_WHO_ANYONE, "", "a", true},       {RC_WHO_ANYONE, "u", "a", true},     {RC_WHO_USER, "", "a", false},
        {RC_WHO_USER, "u", "a", true},        {RC_WHO_NONE, "u", "a:u", false},    {RC_WHO_NONE, "", "a", false},
        {RC_WHO_OWNER, "u", "a:u", true},     {RC_WHO_OWNER, "u", "a:v", false},   {RC_WHO_OWNER, "u", "a", false},
        {RC_WHO_OWNER, "", "a:", false},      {RC_WHO_OWNER, "", "a:u", false},    {RC_WHO_OWNER, "u", "a:u:x", false},
        {RC_WHO_OWNER, "u:x", "a:u:x", true}, {RC_WHO_OWNER, "u", "a:uu", false},  {RC_WHO_OWNER, "uu", "a:u", false},
        {RC_WHO_OWNER, "u", "u", false},      {RC_WHO_DEFAULT, "u", "a:u", false}, {RC_WHO_OWNER, "U", "a:u", false},
        {RC_WHO_OWNER, "u", "", false},       {RC_WHO_MEMBER, "u", "a", false},    {RC_WHO_RULES, "u", "a:u", false},
        {(enum rc_who)77, "u", "a:u", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_assert_eq(
            rc_permission_allows(rows[i].who, rc_span_text(rows[i].user), rc_span_text(rows[i].channel), false),
            rows[i].allowed, "row %zu", i);
    }
    cr_assert_not(rc_permission_allows(RC_WHO_OWNER, RC_SPAN("u"), NOBODY, false));
    cr_assert_not(rc_permission_allows(RC_WHO_USER, NOBODY, NOBODY, false));
    cr_assert(rc_permission_allows(RC_WHO_MEMBER, NOBODY, RC_SPAN("a"), true));
    cr_assert_not(rc_permission_allows(RC_WHO_RULES, RC_SPAN("u"), RC_SPAN("a"), true));
    cr_assert_not(rc_permission_allows(RC_WHO_NONE, RC_SPAN("u"), RC_SPAN("a"), true));
}

Test(permission, who_nobody_is)
{
    static struct rc_config config;
    char longest[RC_CHANNEL_NAME_MAX];
    memset(longest, 'x', sizeof(longest));
    (void)strcpy(config.pusher_apps[0].id.text, "7");
    config.pusher_apps[0].channels = RC_PUSHER_CHANNELS_OWN;
    cr_assert_null(rc_permission_user(&config, RC_SPAN("42")));
    cr_assert_null(rc_permission_user(&config, rc_span_of(longest, 250)));
    cr_assert_null(rc_permission_user(&config, RC_SPAN("pusher-7/42")), "there is no app");
    cr_assert_not_null(rc_permission_user(&config, NOBODY));
    cr_assert_not_null(rc_permission_user(&config, rc_span_of(longest, 251)));
    cr_assert_not_null(rc_permission_user(&config, RC_SPAN("a\nb")));
    cr_assert_not_null(rc_permission_user(&config, RC_SPAN("\xff")));
    config.pusher_app_count = 1;
    cr_assert_not_null(rc_permission_user(&config, RC_SPAN("pusher-7/42")));
    cr_assert_null(rc_permission_user(&config, RC_SPAN("pusher-8/42")));
    cr_assert_null(rc_permission_user(&config, RC_SPAN("42")));
}
