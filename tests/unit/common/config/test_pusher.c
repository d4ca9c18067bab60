/* Names of the Pusher Channels protocol: which app's a channel is, what it is, whose user; and what tables may not say. */
#include "common/config/pusher.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct rc_config config;

static void app_add(const char *id, const char *key, enum rc_pusher_channels channels)
{
    struct rc_config_pusher_app *app = &config.pusher_apps[config.pusher_app_count++];
    (void)snprintf(app->id.text, sizeof(app->id.text), "%s", id);
    (void)snprintf(app->key.text, sizeof(app->key.text), "%s", key);
    app->channels = channels;
}

static void two_apps(void)
{
    memset(&config, 0, sizeof(config));
    config.namespace_count = 1;
    app_add("7", "seven", RC_PUSHER_CHANNELS_OWN);
    app_add("8", "eight", RC_PUSHER_CHANNELS_PLAIN);
}

TestSuite(pusher, .init = two_apps);

static const char *written(size_t bytes, const char *text)
{
    static char out[RC_CHANNEL_NAME_MAX + 1];
    memcpy(out, text, bytes);
    out[bytes] = '\0';
    return out;
}

Test(pusher, what_a_channel_is_its_name_says)
{
    static const struct {
        const char *name;
        uint32_t kind;
    } all[] = {{"room", 0},
               {"private", 0},
               {"private-a", RC_PUSHER_PRIVATE},
               {"presence-a", RC_PUSHER_PRIVATE | RC_PUSHER_PRESENCE},
               {"cache-a", RC_PUSHER_CACHE},
               {"private-cache-a", RC_PUSHER_PRIVATE | RC_PUSHER_CACHE},
               {"presence-cache-a", RC_PUSHER_PRIVATE | RC_PUSHER_PRESENCE | RC_PUSHER_CACHE},
               {"private-encrypted-a", RC_PUSHER_PRIVATE | RC_PUSHER_ENCRYPTED},
               {"private-encrypted-cache-a", RC_PUSHER_PRIVATE | RC_PUSHER_ENCRYPTED | RC_PUSHER_CACHE},
               {"#server-to-user-1", RC_PUSHER_USER}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        cr_expect_eq(rc_pusher_kind_of(rc_span_text(all[i].name)), all[i].kind, "%s", all[i].name);
        cr_expect(rc_pusher_channel_valid(rc_span_text(all[i].name)), "%s", all[i].name);
    }
}

Test(pusher, a_watched_user_has_a_channel_that_nobody_else_may_use)
{
    static const char *const users[] = {"1", "a_b-@,.;Z9", "a b:c/=", "\xc3\xa4\x01"};
    char out[RC_PUSHER_NAME_MAX];
    char longest[RC_PUSHER_USER_MAX + 1];
    uint8_t scratch[RC_PUSHER_USER_MAX];
    struct rc_span name;
    for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
        const struct rc_span its = rc_span_of(out, rc_pusher_watch_write(rc_span_text(users[i]), out));
        cr_expect(rc_span_equal(rc_pusher_watch_user(its, scratch), rc_span_text(users[i])), "%s", users[i]);
        cr_expect_eq(rc_pusher_kind_of(its), RC_PUSHER_WATCH);
        cr_expect_not(rc_pusher_channel_valid(its), "no client names it");
        cr_expect_eq(rc_pusher_app_of_channel(&config, its, &name), 1, "of the app with plain channels");
        cr_expect(rc_pusher_guards(&config, its) && rc_pusher_roster(&config, its));
    }
    cr_expect(
        rc_span_equal(rc_span_of(out, rc_pusher_watch_write(RC_SPAN("a =\x7f"), out)), RC_SPAN("#watch-a=20=3D=7F")));
    memset(longest, 'x', sizeof(longest));
    cr_expect_eq(rc_pusher_watch_write(rc_span_of(longest, RC_PUSHER_USER_MAX), out), RC_PUSHER_USER_MAX + 7u);
    cr_expect_eq(rc_pusher_watch_write(rc_span_of(longest, RC_PUSHER_USER_MAX + 1), out), 0u);
    memset(longest, ' ', sizeof(longest));
    cr_expect_eq(rc_pusher_watch_write(rc_span_of(longest, 53), out), 0u, "three bytes each");
    cr_expect_eq(rc_pusher_watch_write(RC_SPAN(""), out), 0u);
    static const char *const none[] = {"#watch-", "watch-1", "#watch-=", "#watch-=4", "#watch-=4g", "#watch-=4a"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        cr_expect_eq(rc_pusher_watch_user(rc_span_text(none[i]), scratch).count, 0u, "%s", none[i]);
    }
}

Test(pusher, names_that_are_none)
{
    char longest[RC_PUSHER_NAME_MAX + 2];
    static const char *const bad[] = {"", "a b", "a:b", "a/b", "#server-to-user-", "\xc3\xa4", "a*"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_expect(!rc_pusher_channel_valid(rc_span_text(bad[i])), "%s", bad[i]);
    }
    memset(longest, 'x', sizeof(longest));
    cr_expect(rc_pusher_channel_valid(rc_span_of(longest, RC_PUSHER_NAME_MAX)));
    cr_expect(!rc_pusher_channel_valid(rc_span_of(longest, RC_PUSHER_NAME_MAX + 1)));
    cr_expect(!rc_pusher_channel_valid(rc_span_of("a\0b", 3)));
}

Test(pusher, channels_of_apps_are_apart)
{
    char out[RC_CHANNEL_NAME_MAX];
    struct rc_span name;
    bool user;
    cr_expect_str_eq(written(rc_pusher_channel_write(&config.pusher_apps[0], RC_SPAN("a"), out), out), "pusher-7:a");
    cr_expect_str_eq(written(rc_pusher_channel_write(&config.pusher_apps[1], RC_SPAN("a"), out), out), "a");
    cr_expect_eq(rc_pusher_app_of_channel(&config, RC_SPAN("pusher-7:a"), &name), 0);
    cr_expect(rc_span_equal(name, RC_SPAN("a")));
    cr_expect_eq(rc_pusher_app_of_channel(&config, RC_SPAN("a"), &name), 1);
    static const char *const nobodys[] = {"pusher-8:a", "pusher-9:a", "pusher:a", "x:a", "a b", "*", "user:1"};
    for (size_t i = 0; i < sizeof(nobodys) / sizeof(nobodys[0]); i++) {
        cr_expect_lt(rc_pusher_app_of_channel(&config, rc_span_text(nobodys[i]), &name), 0, "%s", nobodys[i]);
    }
    cr_expect(rc_span_equal(rc_pusher_name_of(RC_SPAN("pusher-7:a"), &user), RC_SPAN("a")) && !user);
    cr_expect(rc_span_equal(rc_pusher_name_of(RC_SPAN("a"), &user), RC_SPAN("a")) && !user);
}

Test(pusher, other_clients_keep_out_of_what_is_an_apps)
{
    cr_expect(rc_pusher_guards(&config, RC_SPAN("pusher-7:a")));
    cr_expect(rc_pusher_guards(&config, RC_SPAN("private-a")));
    cr_expect(rc_pusher_guards(&config, RC_SPAN("presence-a")));
    cr_expect(!rc_pusher_guards(&config, RC_SPAN("a")));
    cr_expect(!rc_pusher_guards(&config, RC_SPAN("prices:a")));
    config.pusher_app_count = 0;
    cr_expect(!rc_pusher_guards(&config, RC_SPAN("private-a")));
}

Test(pusher, users_of_apps_are_apart)
{
    char out[RC_CHANNEL_NAME_MAX];
    char longest[RC_PUSHER_USER_MAX + 1];
    bool user;
    cr_expect_str_eq(written(rc_pusher_user_write(&config.pusher_apps[0], RC_SPAN("42"), out), out), "pusher-7/42");
    cr_expect_str_eq(written(rc_pusher_user_write(&config.pusher_apps[1], RC_SPAN("42"), out), out), "42");
    cr_expect_eq(rc_pusher_user_write(&config.pusher_apps[1], RC_SPAN("pusher-7/42"), out), 0, "of another app");
    cr_expect_eq(rc_pusher_user_write(&config.pusher_apps[0], RC_SPAN(""), out), 0);
    memset(longest, 'x', sizeof(longest));
    cr_expect_gt(rc_pusher_user_write(&config.pusher_apps[0], rc_span_of(longest, RC_PUSHER_USER_MAX), out), 0);
    cr_expect_eq(rc_pusher_user_write(&config.pusher_apps[0], rc_span_of(longest, RC_PUSHER_USER_MAX + 1), out), 0);
    cr_expect(rc_pusher_user_is(&config, RC_SPAN("pusher-7/42")));
    cr_expect(rc_pusher_user_is(&config, RC_SPAN("pusher-7/")));
    cr_expect(!rc_pusher_user_is(&config, RC_SPAN("pusher-7")));
    cr_expect(!rc_pusher_user_is(&config, RC_SPAN("pusher-7:42")));
    cr_expect(!rc_pusher_user_is(&config, RC_SPAN("pusher-77/42")), "there is no such app");
    cr_expect(!rc_pusher_user_is(&config, RC_SPAN("42")));
    cr_expect(!rc_pusher_user_is(&config, RC_SPAN("")));
    cr_expect(rc_span_equal(rc_pusher_name_of(RC_SPAN("user:pusher-7/42"), &user), RC_SPAN("42")) && user);
    cr_expect(rc_span_equal(rc_pusher_name_of(RC_SPAN("user:42"), &user), RC_SPAN("42")) && user);
}

Test(pusher, who_is_there_is_kept_where_somebody_wants_to_know)
{
    cr_expect(rc_pusher_roster(&config, RC_SPAN("pusher-7:presence-a")));
    cr_expect(!rc_pusher_roster(&config, RC_SPAN("pusher-7:a")));
    config.pusher_apps[0].subscription_count = true;
    cr_expect(rc_pusher_roster(&config, RC_SPAN("pusher-7:a")));
    cr_expect(!rc_pusher_roster(&config, RC_SPAN("a")));
    struct rc_config_pusher_app *plain = &config.pusher_apps[1];
    (void)snprintf(plain->webhook_backend.text, sizeof(plain->webhook_backend.text), "hooks");
    plain->webhooks.count = 1;
    (void)snprintf(plain->webhooks.items[0].text, sizeof(plain->webhooks.items[0].text), "member_added");
    cr_expect(!rc_pusher_roster(&config, RC_SPAN("a")));
    (void)snprintf(plain->webhooks.items[0].text, sizeof(plain->webhooks.items[0].text), "channel_vacated");
    cr_expect(rc_pusher_roster(&config, RC_SPAN("a")) && rc_pusher_or_presence(&config, RC_SPAN("a")));
    cr_expect(!rc_pusher_or_presence(&config, RC_SPAN("x:a")));
}

Test(pusher, webhooks_have_names)
{
    cr_expect_eq(rc_pusher_webhook_of(RC_SPAN("cache_miss")), RC_PUSHER_CACHE_MISS);
    cr_expect_eq(rc_pusher_webhook_of(RC_SPAN("nothing")), 0);
    cr_expect_str_eq(rc_pusher_webhook_name(RC_PUSHER_VACATED), "channel_vacated");
    cr_expect(!rc_pusher_tells(&config.pusher_apps[0], RC_PUSHER_VACATED), "no backend");
}

Test(pusher, tables_that_contradict_each_other)
{
    struct rc_err err;
    cr_expect_eq(rc_config_pusher_check(&config, &err), 0);
    app_add("7", "other", RC_PUSHER_CHANNELS_OWN);
    cr_expect_lt(rc_config_pusher_check(&config, &err), 0);
    cr_expect(strstr(err.text, "the id \"7\"") != NULL, "%s", err.text);
    two_apps();
    app_add("9", "nine", RC_PUSHER_CHANNELS_PLAIN);
    cr_expect_lt(rc_config_pusher_check(&config, &err), 0);
    cr_expect(strstr(err.text, "plain") != NULL, "%s", err.text);
    two_apps();
    (void)snprintf(config.pusher_apps[0].webhook_backend.text, 8, "hooks");
    cr_expect_lt(rc_config_pusher_check(&config, &err), 0);
    cr_expect(strstr(err.text, "hooks") != NULL, "%s", err.text);
    two_apps();
    config.limits.max_message_size_bytes = config.pusher_apps[1].max_event_bytes = 1024;
    cr_expect_eq(rc_config_pusher_check(&config, &err), 0, "%s", err.text);
    config.pusher_apps[1].max_event_bytes++;
    cr_expect_lt(rc_config_pusher_check(&config, &err), 0);
    cr_expect(strstr(err.text, "\"8\": max_event_size is above limits.max_message_size") != NULL, "%s", err.text);
    two_apps();
    config.pusher_app_count = 0;
    config.endpoint_count = 1;
    config.endpoints[0].protocol = RC_ENDPOINT_PUSHER;
    cr_expect_lt(rc_config_pusher_check(&config, &err), 0);
    cr_expect(strstr(err.text, "[[pusher_app]]") != NULL, "%s", err.text);
    cr_expect_eq(rc_pusher_app_of_key(&config, RC_SPAN("seven")), -1);
}
