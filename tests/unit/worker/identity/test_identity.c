/* [[identity]] tables asked about one client: order, moments, what is missing, what differs; sessions with the test as the relay. */
#include "worker/identity/identity.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "acceptor/config/toml.h"
#include "common/config/config.h"
#include "common/records/query.h"
#include "tests/support/client_rig.h"

static struct client_rig c;
static struct rc_identities identities;
static struct rc_config config;
static struct rc_identity_question question;
static struct rc_judgement judgement;
static uint32_t ready;

static void on_ready(void *context, const struct rc_identity_asker *asker)
{
    (void)context;
    cr_assert_eq(asker->token, 77);
    ready++;
}

static void on_gone(void *context, uint32_t id)
{
    (void)context;
    rc_session_set_first(&identities.sessions, id, 0);
}

static void on_heard(void *context, bool answered)
{
    (void)context;
    (void)answered;
}

static void open_with(const char *tables)
{
    static struct rc_config_errors errors;
    static const struct rc_sessions_ops ops = {.ready = on_ready, .gone = on_gone, .heard = on_heard};
    char text[4096];
    (void)snprintf(text, sizeof(text),
                   "[redis]\nurl = \"redis://127.0.0.1\"\n[http]\ntrusted_proxies = [\"10.0.0.1\"]\n%s", tables);
    rc_config_defaults(&config);
    errors.count = 0;
    cr_assert_eq(rc_config_load_text(&config, text, strlen(text), "x", &errors), 0, "%s", errors.lines[0].text);
    client_rig_open(&c, 8);
    rc_sessions_open(&identities.sessions, &c.asks, &c.uplink, c.rig.metrics, 0, &c.rig.io.now_ns, &ops);
    rc_revocations_open(&identities.revocations, &c.asks, &c.uplink, c.rig.metrics, 0, &c.rig.io.now_ns,
                        &(struct rc_revocations_ops){.ready = on_ready});
    rc_identities_open(&identities, &config, 1, c.rig.control, NULL, c.rig.metrics);
    question = (struct rc_identity_question){.moment = RC_IDENTITY_ALL, .asker = {.index = 1, .token = 77}};
}

static void close_all(void)
{
    rc_asks_close(&c.asks);
    rc_identities_close(&identities);
    client_rig_close(&c);
}

TestSuite(identity, .fini = close_all);

static enum rc_identity_verdict judge(const char *auth, const char *request)
{
    question.auth = rc_span_text(auth);
    question.request = rc_span_text(request);
    rc_identities_judge(&identities, &question, &judgement);
    return judgement.verdict;
}

static void answer_session(const char *json)
{
    uint32_t type;
    struct rc_envelope_view asked;
    uint8_t data[1024];
    struct rc_query_value value = {.lives_ms = 60000, .state = json != NULL};
    cr_assert(client_rig_up(&c, &type, &asked));
    value.bytes = json == NULL ? 0 : (uint32_t)strlen(json);
    memcpy(data, &value, sizeof(value));
    memcpy(data + sizeof(value), json == NULL ? "" : json, value.bytes);
    const struct rc_envelope_view view = {
        .head = {.token = asked.head.token, .data_bytes = (uint32_t)sizeof(value) + value.bytes}, .data = data};
    rc_asks_answered(&c.asks, RC_DOWN_QUERY, &view);
}

static bool refused_as(const char *text)
{
    return judgement.verdict == RC_IDENTITY_IS_REFUSED && rc_span_equal(judgement.refused, rc_span_text(text));
}

static const char sessions_row[] = "[[identity]]\nkind = \"session\"\nfrom = [\"auth.sessionID\", \"cookie.sid\"]\n"
                                   "same = { \"auth.userId\" = \"{session.userId}\" }\nrefused = \"Unauthorized\"\n"
                                   "attributes = { name = \"{session.name}\", admin = \"{session.isAdmin}\" }\n";

Test(identity, a_session_is_waited_for_and_says_who_it_is)
{
    open_with(sessions_row);
    cr_assert_eq(judge("{\"sessionID\":\"abc\",\"userId\":\"42\"}", ""), RC_IDENTITY_IS_WAITS);
    answer_session("{\"userId\":42,\"name\":\"Ann\",\"isAdmin\":true}");
    cr_assert_eq(ready, 1);
    cr_assert_eq(judge("{\"sessionID\":\"abc\",\"userId\":\"42\"}", ""), RC_IDENTITY_IS_KNOWN);
    cr_assert(rc_span_equal(judgement.user, RC_SPAN("42")));
    cr_assert(rc_span_equal(judgement.attributes, RC_SPAN("{\"id\":\"42\",\"name\":\"Ann\",\"admin\":true}")), "%.*s",
              (int)judgement.attributes.count, (const char *)judgement.attributes.bytes);
    cr_assert(judgement.session != 0 && judgement.expires_ms != 0 && judgement.row == 1);
    (void)judge("{\"sessionID\":\"abc\",\"userId\":\"43\"}", "");
    cr_assert(refused_as("Unauthorized"), "another user's session");
    (void)judge("{\"sessionID\":\"abc\"}", "");
    cr_assert(refused_as("Unauthorized"), "what is missing is like nothing");
}

/* Decoding a text over itself is no decoding: what stands before an escape would be copied onto its neighbour. */
Test(identity, a_user_whose_id_is_written_with_escapes)
{
    open_with(
        "[[identity]]\nkind = \"session\"\nfrom = [\"auth.sessionID\"]\nattributes = { name = \"{session.name}\" }\n");
    cr_assert_eq(judge("{\"sessionID\":\"abc\"}", ""), RC_IDENTITY_IS_WAITS);
    answer_session("{\"userId\":\"a\\u00e9 longer than a word, \\\"quoted\\\" \\/ and so on\",\"name\":\"\\u0041nn\"}");
    cr_assert_eq(judge("{\"sessionID\":\"abc\"}", ""), RC_IDENTITY_IS_KNOWN);
    cr_assert(rc_span_equal(judgement.user, RC_SPAN("a\xc3\xa9 longer than a word, \"quoted\" / and so on")), "%.*s",
              (int)judgement.user.count, (const char *)judgement.user.bytes);
}

Test(identity, what_is_no_session_is_refused)
{
    static const char *const values[] = {NULL,
                                         "",
                                         "7",
                                         "[]",
                                         "{",
                                         "{}",
                                         "{\"userId\":null}",
                                         "{\"userId\":{}}",
                                         "{\"userId\":\"\"}",
                                         "{\"userId\":\"a\\u0001\"}"};
    char auth[128];
    open_with("[[identity]]\nkind = \"session\"\nfrom = [\"auth.id\"]\n");
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        (void)snprintf(auth, sizeof(auth), "{\"id\":\"s%zu\"}", i);
        cr_assert_eq(judge(auth, ""), RC_IDENTITY_IS_WAITS);
        answer_session(values[i]);
        (void)judge(auth, "");
        cr_assert(refused_as("Authentication failed"), "%s", values[i] == NULL ? "missing" : values[i]);
        cr_assert_not(judgement.unavailable);
    }
    cr_assert_eq(judge("{\"id\":\"a:b\"}", ""), RC_IDENTITY_IS_REFUSED, "no id");
    cr_assert_eq(judge("{\"id\":{}}", ""), RC_IDENTITY_IS_REFUSED);
}

Test(identity, nobody_can_say)
{
    open_with(sessions_row);
    uint32_t type;
    struct rc_envelope_view asked;
    cr_assert_eq(judge("{\"sessionID\":\"abc\"}", ""), RC_IDENTITY_IS_WAITS);
    cr_assert(client_rig_up(&c, &type, &asked));
    const struct rc_envelope_view view = {.head = {.token = asked.head.token, .code = 503}};
    rc_asks_answered(&c.asks, RC_DOWN_QUERY, &view);
    (void)judge("{\"sessionID\":\"abc\"}", "");
    cr_assert(refused_as("Service unavailable") && judgement.unavailable);
    cr_assert_eq(rc_metric_get(c.rig.metrics, RC_METRIC_IDENTITY_UNAVAILABLE), 1);
}

Test(identity, who_is_gone_is_not_told)
{
    open_with(sessions_row);
    cr_assert_eq(judge("{\"sessionID\":\"abc\"}", ""), RC_IDENTITY_IS_WAITS);
    rc_identities_forget(&identities, 77);
    rc_identities_forget(&identities, 77);
    answer_session("{}");
    cr_assert_eq(ready, 0);
}

Test(identity, the_first_table_whose_credential_is_there_decides)
{
    open_with("[[identity]]\nkind = \"proxy\"\nfrom = [\"header.X-User\"]\nrequired = false\n"
              "[[identity]]\nkind = \"session\"\nfrom = [\"auth.id\", \"cookie.sid\"]\nrefused = \"no\"\n");
    cr_assert_eq(judge("", ""), RC_IDENTITY_IS_REFUSED);
    cr_assert(refused_as("no"));
    question.later = true;
    cr_assert_eq(judge("", ""), RC_IDENTITY_IS_MISSING);
    question.known = true;
    cr_assert_eq(judge("", ""), RC_IDENTITY_IS_NOBODY);
    question.known = false;
    cr_assert_eq(judge("", "{\"header\":{\"x-user\":\"eve\"}}"), RC_IDENTITY_IS_MISSING, "no proxy wrote it");
    cr_assert_eq(judge("{\"id\":\"abc\"}", "{\"header\":{\"x-user\":\"ann\"},\"proxied\":true}"), RC_IDENTITY_IS_KNOWN);
    cr_assert(rc_span_equal(judgement.user, RC_SPAN("ann")) && judgement.row == 1);
    cr_assert_eq(judge("{\"id\":\"abc\"}", "{\"header\":{\"x-user\":\"\"},\"proxied\":true}"), RC_IDENTITY_IS_WAITS,
                 "an empty one is none");
    question.moment = RC_IDENTITY_HANDSHAKE;
    cr_assert_eq(judge("{\"id\":\"abc\"}", ""), RC_IDENTITY_IS_NOBODY, "no table is of the handshake");
    question.moment = RC_IDENTITY_ROW;
    question.row = 0;
    cr_assert_eq(judge("{\"id\":\"abc\"}", "{\"header\":{\"x-user\":\"bob\"},\"proxied\":true}"), RC_IDENTITY_IS_KNOWN);
}
