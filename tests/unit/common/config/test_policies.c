/* Who may do what where [[event]] rows guard rooms: "auto" must leave no way round them. */
#include "common/config/policies.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "acceptor/config/toml.h"
#include "common/config/backend.h"
#include "common/config/config.h"
#include "common/config/event_rules.h"
#include "common/records/channel_name.h"

static struct rc_config config;
static struct rc_err err;

static int finish(const char *text)
{
    struct rc_config_errors errors = {0};
    rc_config_defaults(&config);
    cr_assert_eq(rc_config_load_text(&config, text, strlen(text), "x", &errors), 0, "%s", errors.lines[0].text);
    return rc_config_finish(&config, &err);
}

static const char *of(const char *channel)
{
    static char text[128];
    const struct rc_config_namespace *const space = rc_config_namespace_of(&config, channel, strlen(channel));
    (void)snprintf(text, sizeof(text), "%s %s %s %s", rc_config_who_name(space->subscribe),
                   rc_config_who_name(space->publish), rc_config_who_name(space->presence_who),
                   rc_config_who_name(space->history_who));
    return text;
}

#define OPEN "anyone anyone anyone anyone"
#define CLOSED "rules none member member"

Test(policies, rooms_that_rows_guard_or_name_by_values_are_theirs)
{
    cr_assert_eq(
        finish(
            "[[event]]\non = \"a\"\njoin = [\"mine:{user.id}\", \"open:x\", \"watch:{args.0}\", \"{args.0}\"]\n"
            "[[event]]\non = \"b\"\nwho = \"user\"\njoin = [\"vip\", \"board:global\"]\n"
            "[[event]]\non = \"c\"\ninside = \"x\"\njoin = [\"deep:a\"]\n"
            "[[event]]\non = \"d\"\nrate = \"1/1s\"\njoin = [\"plain\", \"plain:a\"]\nleave = [\"left:{args.0}\"]\n"),
        0);
    cr_expect_eq(config.events[0].chosen_count, 1u, "so many of its rooms are looked at for rates");
    cr_expect_eq(config.events[3].chosen_count, 0u);
    cr_expect_str_eq(of("mine:1"), CLOSED);
    cr_expect_str_eq(of("mine:"), CLOSED);
    cr_expect_str_eq(of("watch:a:b"), CLOSED);
    cr_expect_str_eq(of("vip"), CLOSED);
    cr_expect_str_eq(of("board:global"), CLOSED);
    cr_expect_str_eq(of("board:other"), CLOSED);
    cr_expect_str_eq(of("deep:b"), CLOSED);
    cr_expect_str_eq(of("/admin#mine:1"), CLOSED, "a room of any namespace");
    cr_expect_str_eq(of("/admin#vip"), CLOSED);
    for (const char *const *name = (const char *const[]){"open:x", "plain", "plain:a", "left:1", "mine", "vip:x", "vi",
                                                         "vipp", "Mine:1", "default", "/admin#open:x", NULL};
         *name != NULL; name++) {
        cr_expect_str_eq(of(*name), OPEN, "%s: %s", *name, of(*name));
    }
}

/* Whom it lets in, no key says: what was said there before, and who is there, is for those who are in. */
Test(policies, where_a_backend_decides_who_subscribes_members_see_who_is_there_and_what_was_said)
{
    static const char backend[] =
        "[[backend]]\nname = \"app\"\nurl = [\"http://127.0.0.1/\"]\ncalls = [\"connect\", \"%s\"]\n"
        "[[namespace]]\nname = \"open\"\nsubscribe = \"anyone\"\n"
        "[[namespace]]\nname = \"said\"\nhistory_who = \"anyone\"\npresence_who = \"user\"\n";
    char text[512];
    (void)snprintf(text, sizeof(text), backend, "subscribe");
    cr_assert_eq(finish(text), 0);
    cr_expect_str_eq(of("room:1"), "anyone anyone member member");
    cr_expect_str_eq(of("open:1"), "anyone anyone member member");
    cr_expect_str_eq(of("said:1"), "anyone anyone user anyone");
    (void)snprintf(text, sizeof(text), backend, "publish");
    cr_assert_eq(finish(text), 0);
    cr_expect_str_eq(of("open:1"), OPEN);
}

/* An event's name is a constant as far as the file has it. */
Test(policies, rooms_called_as_the_event_are_guarded_by_its_beginning)
{
    cr_assert_eq(finish("[[event]]\non = \"mine:*\"\nwho = \"user\"\njoin = [\"{event}\"]\n"
                        "[[event]]\non = \"vip\"\nwho = \"user\"\njoin = [\"{event}\"]\n"
                        "[[event]]\non = \"in*\"\nwho = \"user\"\njoin = [\"{event}\"]\n"),
                 0);
    cr_expect_str_eq(of("mine:1"), CLOSED);
    cr_expect_str_eq(of("vip"), CLOSED);
    cr_expect_str_eq(of("inner"), OPEN);
    cr_expect_str_eq(of("in"), OPEN);
}

/* Where the first row's first room is, in the client's hands or not. */
static bool client_chooses(const char *attributes, const char *room)
{
    char text[1024];
    (void)snprintf(
        text, sizeof(text),
        "[http]\ntrusted_proxies = [\"10.0.0.1\"]\n[[identity]]\nsecret = \"a-secret-of-at-least-thirty-two-bytes\"\n"
        "%s\n[[event]]\non = \"a\"\njoin = [\"%s\"]\nack = [\"{count:%s}\"]\n",
        attributes, room, room);
    cr_assert_eq(finish(text), 0, "%s: %s", text, err.text);
    const struct rc_event_operation *const operations = rc_event_operations(&config, &config.events[0]);
    const bool chooses = (rc_event_rooms(&config, &operations[0])->flags & RC_EVENT_CLIENT_CHOOSES) != 0;
    const bool asks = (rc_event_questions(&config, &config.events[0])->room.flags & RC_EVENT_CLIENT_CHOOSES) != 0;
    cr_assert_eq(chooses, asks);
    return chooses;
}

/* What is known of a client may be what it says. */
Test(policies, attributes_that_repeat_the_clients_word_are_its_word)
{
    static const char from[] = "from = [\"auth.token\"]\n";
    char said[256];
    char vouched[256];
    (void)snprintf(said, sizeof(said), "%sattributes = { name = \"{auth.name}\", team = \"{claims.team}\" }", from);
    (void)snprintf(vouched, sizeof(vouched), "%sattributes = { team = \"{claims.team}\" }", from);
    cr_expect(client_chooses(said, "{user.team}"));
    cr_expect(client_chooses(said, "x{user.team}:y"));
    cr_expect_not(client_chooses(said, "team:{user.team}"));
    cr_expect_not(client_chooses(said, "{user.id}"));
    cr_expect_not(client_chooses(vouched, "{user.team}"));
    cr_expect_not(client_chooses(
        "kind = \"proxy\"\nfrom = [\"header.x-user\"]\nattributes = { team = \"{header.x-team}\" }", "{user.team}"));
}

Test(policies, what_a_table_says_counts)
{
    cr_assert_eq(finish("[[event]]\non = \"a\"\njoin = [\"a:{args.0}\", \"b:{args.0}\", \"c:{args.0}\"]\n"
                        "[[namespace]]\nname = \"a\"\nsubscribe = \"user\"\n"
                        "[[namespace]]\nname = \"b\"\npublish = \"member\"\nhistory_who = \"none\"\npresence = true\n"
                        "[[namespace]]\nname = \"d\"\nsubscribe = \"rules\"\n"),
                 0);
    cr_expect_str_eq(of("a:1"), "user anyone user user");
    cr_expect_str_eq(of("b:1"), "rules member member none");
    cr_expect_str_eq(of("c:1"), CLOSED);
    cr_expect_str_eq(of("d:1"), CLOSED);
    cr_expect(rc_config_namespace_of(&config, "b:1", 3)->presence);
    cr_expect_eq(config.namespace_count, 5u);
}

/* Who may is not `default`'s: what it says of all names was not said of these. */
Test(policies, a_namespace_that_is_made_is_like_default_but_for_who_may)
{
    cr_assert_eq(finish("[[event]]\non = \"a\"\njoin = [\"a:{args.0}\"]\n"
                        "[[namespace]]\nname = \"default\"\nsubscribe = \"user\"\nslow_consumer = \"skip\"\n"),
                 0);
    cr_expect_str_eq(of("a:1"), CLOSED);
    cr_expect_str_eq(of("b:1"), "user anyone user user");
    cr_expect_eq(rc_config_namespace_of(&config, "a:1", 3)->slow_consumer, RC_SLOW_SKIP);
}

Test(policies, an_end_point_does_not_join_what_is_guarded)
{
    cr_expect_eq(
        finish("[[event]]\non = \"a\"\njoin = [\"a:{args.0}\"]\n[[endpoint]]\npath = \"/x\"\njoin = [\"a:1\"]\n"),
        -EINVAL);
    cr_expect_not_null(strstr(err.text, "would let everybody in"), "%s", err.text);
    cr_expect_eq(
        finish(
            "[[event]]\non = \"a\"\njoin = [\"a:{args.0}\"]\n[[endpoint]]\npath = \"/x\"\njoin = [\"b:1\", \"*\"]\n"),
        0);
}

Test(policies, there_are_only_so_many_namespaces)
{
    static char text[16384];
    size_t used = 0;
    for (int i = 0; i < RC_CONFIG_NAMESPACES_MAX; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used,
                                 "[[event]]\non = \"e%d\"\njoin = [\"n%d:{args.0}\"]\n", i, i);
    }
    cr_expect_eq(finish(text), -EINVAL);
    cr_expect_not_null(strstr(err.text, "more than 64 channel namespaces"), "%s", err.text);
}

Test(policies, certificates_are_looked_at_where_somebody_speaks_tls)
{
    (void)snprintf(config.tls.certificates.items[config.tls.certificates.count++].text, RC_CONFIG_TEXT_MAX, "/x.pem");
    cr_expect_not(rc_config_serves_tls(&config));
    cr_expect_not(rc_config_links_listen(&config));
    config.tls.listen.count = 1;
    cr_expect(rc_config_serves_tls(&config));
    config.tls.listen.count = 0;
    config.link.tls_listen.count = 1;
    cr_expect(rc_config_serves_tls(&config));
    cr_expect(rc_config_links_listen(&config));
}

/* What travels on channels of presence events nobody may say, keep or hold back, whatever the default is. */
Test(policies, presence_events_have_a_namespace_of_their_own)
{
    cr_assert_eq(finish("[[namespace]]\nname = \"default\"\nhistory = 5\nmin_interval = \"1s\"\nslow_consumer = "
                        "\"latest\"\n[[namespace]]\nname = \"room\"\npresence_events = true\n"),
                 0, "%s", err.text);
    const char name[] = {RC_CHANNEL_PRESENCE_BYTE, 'r', 'o', 'o', 'm', ':', '1'};
    const struct rc_config_namespace *const space = rc_config_namespace_of(&config, name, sizeof(name));
    cr_assert_neq(config.presence_namespace, 0);
    cr_assert_eq(space, &config.namespaces[config.presence_namespace]);
    cr_assert_eq(space->publish, RC_WHO_NONE);
    cr_assert_eq(space->subscribe, RC_WHO_NONE);
    cr_assert_eq(space->history, 0);
    cr_assert_eq(space->min_interval_ms, 0);
    cr_assert_eq(space->slow_consumer, RC_SLOW_SKIP);
    cr_assert(rc_config_namespace_of(&config, "room:1", 6)->presence, "presence_events is presence, too");
    cr_assert_eq(rc_config_namespace_of(&config, "presence events:1", 17), &config.namespaces[0]);
    cr_assert_eq(finish(""), 0);
    cr_assert_eq(config.presence_namespace, 0);
}
