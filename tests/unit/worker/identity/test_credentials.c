/* The parts of a request that the configuration names, as JSON. */
#include "worker/identity/credentials.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct rc_config config;
static struct rc_credentials_known known;
static uint8_t out[RC_CREDENTIALS_BYTES_MAX];

static void name_part(enum rc_event_source source, const char *text)
{
    struct rc_handshake_name *name = &config.handshake_names[config.handshake_name_count++];
    name->source = (uint8_t)source;
    name->bytes = (uint8_t)strlen(text);
    (void)snprintf(name->text, sizeof(name->text), "%s", text);
}

static void name_all(void)
{
    memset(&known, 0, sizeof(known));
    config.identity_count = config.handshake_name_count = 0;
    name_part(RC_EVENT_SOURCE_COOKIE, "connect.sid");
    name_part(RC_EVENT_SOURCE_QUERY, "token");
    name_part(RC_EVENT_SOURCE_HEADER, "X-User");
    name_part(RC_EVENT_SOURCE_COOKIE, "b");
}

TestSuite(credentials, .init = name_all);

static int credentials_of(const char *target, const char *headers, size_t room)
{
    static char head[65536];
    static struct rc_http_request request;
    const struct rc_http_limits limits = {.head_bytes_max = sizeof(head)};
    size_t scanned = 0;
    const char *why = "";
    const int bytes = snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", target, headers);
    cr_assert_gt(rc_http_request_parse((const uint8_t *)head, (size_t)bytes, &scanned, &limits, &request, &why), 0,
                 "%s", why);
    return rc_credentials_of(&config, &request, &known, out, room);
}

static void expect(const char *target, const char *headers, const char *json)
{
    const int bytes = credentials_of(target, headers, sizeof(out));
    cr_expect(bytes >= 0 && rc_span_equal(rc_span_of(out, (size_t)bytes), rc_span_text(json)), "%.*s instead of %s",
              bytes, (const char *)out, json);
}

Test(credentials, a_browsers_websocket_says_it_by_a_subprotocol)
{
    static const char name[] = "Sec-WebSocket-Protocol";
    static const char said[] = "{\"header\":{\"Sec-WebSocket-Protocol\":\"a.b-_.c\"}}";
    config.handshake_name_count = 0;
    name_part(RC_EVENT_SOURCE_HEADER, name);
    expect("/ws", "Sec-WebSocket-Protocol: bearer.a.b-_.c\r\n", said);
    expect("/ws", "Sec-WebSocket-Protocol: ringcast.v1, Bearer.a.b-_.c\r\n", said);
    expect("/ws", "sec-websocket-protocol: ringcast.v1\r\nSec-WebSocket-Protocol:,bearer.a.b-_.c ,\r\n", said);
    expect("/ws", "Sec-WebSocket-Protocol: ringcast.v1, bearer., bearer, xbearer.a\r\n", "");
    expect("/ws", "Sec-WebSocket-Protocol: bearer.a, bearer.a\r\n", "");
    expect("/ws", "Sec-WebSocket-Protocol: bearer.a\r\nSec-WebSocket-Protocol: bearer.b\r\n", "");
    expect("/ws", "Authorization: bearer.a\r\n", "");
}

Test(credentials, what_is_named_and_there)
{
    expect("/ws", "", "");
    expect("/ws?x=1", "Cookie: c=1\r\nOther: 1\r\n", "");
    expect("/ws?token=a%20b+c&token=d", "", "{\"query\":{\"token\":\"a b c\"}}");
    expect("/ws", "x-user: u1\r\n", "{\"header\":{\"X-User\":\"u1\"}}");
    expect("/ws", "x-user: u1\r\nX-USER: u2\r\n", "");
    expect("/ws", "Cookie: a=1; connect.sid=s%3Aid.sig; connect.sid=2\r\nCookie: b=\"quoted\"\r\n",
           "{\"cookie\":{\"connect.sid\":\"s:id.sig\",\"b\":\"quoted\"}}");
    expect("/ws", "Cookie: connect.sidx=1; b=%zz\"\r\n", "{\"cookie\":{\"b\":\"%zz\\\"\"}}");
    expect("/ws", "Cookie: b\r\nCookie: b=;;b=2\r\n", "{\"cookie\":{\"b\":\"\"}}");
    expect("/ws?token=%ff", "X-User: \xff\r\n", "");
    expect("/ws?token=t", "X-User: u\r\nCookie: b=c\r\n",
           "{\"query\":{\"token\":\"t\"},\"header\":{\"X-User\":\"u\"},\"cookie\":{\"b\":\"c\"}}");
}

Test(credentials, what_does_not_fit_is_told)
{
    const int bytes = credentials_of("/ws?token=t", "X-User: u\r\nCookie: b=c\r\n", sizeof(out));
    cr_assert_gt(bytes, 0);
    for (int room = 0; room < bytes; room++) {
        cr_assert_eq(credentials_of("/ws?token=t", "X-User: u\r\nCookie: b=c\r\n", (size_t)room), -E2BIG);
    }
    cr_assert_eq(credentials_of("/ws?token=t", "X-User: u\r\nCookie: b=c\r\n", (size_t)bytes), bytes);
}

Test(credentials, parts)
{
    const struct rc_span all = RC_SPAN("{\"query\":{\"token\":\"t\"},\"cookie\":{\"b\":\"c\"}}");
    cr_assert(rc_span_equal(rc_credentials_part(all, RC_EVENT_SOURCE_QUERY), RC_SPAN("{\"token\":\"t\"}")));
    cr_assert(rc_span_equal(rc_credentials_part(all, RC_EVENT_SOURCE_COOKIE), RC_SPAN("{\"b\":\"c\"}")));
    cr_assert_eq(rc_credentials_part(all, RC_EVENT_SOURCE_HEADER).count, 0);
    cr_assert_eq(rc_credentials_part((struct rc_span){0}, RC_EVENT_SOURCE_QUERY).count, 0);
}

Test(credentials, what_the_broker_knows_itself_is_there_for_tables_that_go_by_it_and_is_nobodys_word)
{
    known = (struct rc_credentials_known){.proxied = true, .certificate = RC_SPAN("a\"b")};
    expect("/", "", "");
    config.identity_count = 1;
    config.identities[0].kind = RC_IDENTITY_PROXY;
    expect("/", "", "{\"proxied\":true}");
    config.identities[0].kind = RC_IDENTITY_CERTIFICATE;
    expect("/", "", "{\"certificate\":\"a\\\"b\"}");
    config.identity_count = 2;
    config.identities[1].kind = RC_IDENTITY_PROXY;
    expect("/?token=t", "Cookie: b=1\r\n",
           "{\"query\":{\"token\":\"t\"},\"cookie\":{\"b\":\"1\"},\"proxied\":true,\"certificate\":\"a\\\"b\"}");
    const int all = credentials_of("/", "", sizeof(out));
    const struct rc_span said = rc_span_of(out, all > 0 ? (size_t)all : 0);
    cr_expect(rc_credentials_proxied(said) && rc_credentials_certificate(said).type == RC_JSON_STRING);
    known = (struct rc_credentials_known){.certificate = RC_SPAN("no UTF-8: \xff")};
    expect("/?proxied=true&certificate=eve", "certificate: eve\r\nproxied: true\r\nCookie: certificate=eve\r\n", "");
    name_part(RC_EVENT_SOURCE_QUERY, "proxied");
    name_part(RC_EVENT_SOURCE_QUERY, "certificate");
    const int bytes = credentials_of("/?proxied=true&certificate=eve", "", sizeof(out));
    const struct rc_span forged = rc_span_of(out, bytes > 0 ? (size_t)bytes : 0);
    cr_expect(forged.count > 0 && !rc_credentials_proxied(forged) &&
              rc_credentials_certificate(forged).type == RC_JSON_NONE);
}
