/* What the values of a [[backend]] mean: URLs, breakers, calls, and all of them together. */
#include "common/config/backend.h"
#include "common/config/policies.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/config.h"
#include "common/config/key_set.h"

static struct rc_config config;

static void clean(void)
{
    rc_config_defaults(&config);
}

TestSuite(config_backend, .init = clean);

static struct rc_config_backend *backend(const char *name)
{
    struct rc_config_backend *const made = &config.backends[config.backend_count++];
    rc_config_item_defaults(rc_config_section_find("backend", 7), made);
    (void)snprintf(made->name.text, sizeof(made->name.text), "%s", name);
    made->url_count = 1;
    (void)snprintf(made->urls[0].text, sizeof(made->urls[0].text), "http://127.0.0.1:3000/ringcast");
    return made;
}

static void call(struct rc_config_backend *of, const char *name)
{
    (void)snprintf(of->calls[of->call_count++].text, RC_CONFIG_TEXT_MAX, "%s", name);
}

static void expect_refused(const char *part)
{
    struct rc_err err = {""};
    cr_expect_eq(rc_config_finish(&config, &err), -EINVAL, "%s", part);
    cr_expect_not_null(strstr(err.text, part), "expected \"%s\" in \"%s\"", part, err.text);
    clean();
}

Test(config_backend, urls_are_taken_apart)
{
    static const struct {
        const char *text;
        enum rc_backend_scheme scheme;
        const char *host;
        uint16_t port;
        const char *target;
    } urls[] = {
        {"http://127.0.0.1:3000/ringcast", RC_BACKEND_HTTP, "127.0.0.1", 3000, "/ringcast"},
        {"http://app", RC_BACKEND_HTTP, "app", 80, "/"},
        {"https://app.example/a/b?c=d", RC_BACKEND_HTTPS, "app.example", 443, "/a/b?c=d"},
        {"https://[::1]:8443/x", RC_BACKEND_HTTPS, "::1", 8443, "/x"},
        {"http://[fe80::1]", RC_BACKEND_HTTP, "fe80::1", 80, "/"},
        {"unix:/run/app.sock", RC_BACKEND_UNIX, "/run/app.sock", 0, "/"},
        {"unix:/run/app.sock:/ringcast?x", RC_BACKEND_UNIX, "/run/app.sock", 0, "/ringcast?x"},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(urls); i++) {
        struct rc_backend_url url;
        struct rc_err err = {""};
        cr_expect_eq(rc_backend_url_parse(&url, urls[i].text, &err), 0, "%s: %s", urls[i].text, err.text);
        cr_expect_eq(url.scheme, urls[i].scheme, "%s", urls[i].text);
        cr_expect_eq(url.port, urls[i].port, "%s", urls[i].text);
        cr_expect(rc_span_equal(url.host, rc_span_text(urls[i].host)), "%s", urls[i].text);
        cr_expect(rc_span_equal(url.target, rc_span_text(urls[i].target)), "%s", urls[i].text);
    }
}

Test(config_backend, what_is_no_url_is_refused_with_a_sentence)
{
    static const char *const wrong[] = {"",
                                        "127.0.0.1:3000",
                                        "ftp://app/",
                                        "http://",
                                        "http:///x",
                                        "http://app:0/",
                                        "http://app:65536/",
                                        "http://app:/",
                                        "http://app:8x/",
                                        "http://user@app/",
                                        "http://user:password@app/",
                                        "http://app?x",
                                        "http://app/a b",
                                        "http://app/a#b",
                                        "http://app/\xc3\xbc",
                                        "http://[::1/",
                                        "http://[::1]x/",
                                        "http://a:b:c/",
                                        "unix:",
                                        "unix:run/app.sock",
                                        "unix:/run/app.sock:",
                                        "unix:/run/app.sock:x"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(wrong); i++) {
        struct rc_backend_url url;
        struct rc_err err = {""};
        cr_expect_eq(rc_backend_url_parse(&url, wrong[i], &err), -EINVAL, "%s", wrong[i]);
        cr_expect_gt(strlen(err.text), 10, "%s", wrong[i]);
    }
}

Test(config_backend, a_breaker_is_failures_and_a_time)
{
    uint32_t failures;
    uint64_t within_ms;
    struct rc_err err = {""};
    cr_expect_eq(rc_backend_breaker_parse("5/10s", &failures, &within_ms, &err), 0);
    cr_expect_eq(failures, 5);
    cr_expect_eq(within_ms, 10000);
    cr_expect_eq(rc_backend_breaker_parse("", &failures, &within_ms, &err), 0);
    cr_expect_eq(failures, 0);
    static const char *const wrong[] = {"5", "0/1s", "1001/1s", "5/", "5/0s", "5/10", "5/2h", "/1s", "x/1s", "-1/1s"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(wrong); i++) {
        cr_expect_eq(rc_backend_breaker_parse(wrong[i], &failures, &within_ms, &err), -EINVAL, "%s", wrong[i]);
    }
}

Test(config_backend, calls_have_names)
{
    struct rc_config_backend *const app = backend("app");
    call(app, "connect");
    call(app, "refresh");
    cr_expect(rc_backend_calls(app, RC_BACKEND_CONNECT));
    cr_expect(rc_backend_calls(app, RC_BACKEND_REFRESH));
    cr_expect_not(rc_backend_calls(app, RC_BACKEND_SUBSCRIBE));
    cr_expect_eq(rc_backend_call_of("event"), -1); /* rows say that */
    cr_expect_str_eq(rc_backend_call_name(RC_BACKEND_ACK), "ack");
    cr_expect_eq(rc_backend_find(&config, RC_SPAN("app")), 0);
    cr_expect_eq(rc_backend_find(&config, RC_SPAN("ap")), -1);
}

Test(config_backend, a_mark_finds_its_backend_wherever_a_reload_puts_it)
{
    (void)backend("first");
    (void)backend("second");
    const uint32_t mark = rc_backend_mark(&config, 1);
    cr_expect_neq(mark, rc_backend_mark(&config, 0));
    cr_expect_eq(rc_backend_marked(&config, mark), 1);
    const struct rc_config_backend second = config.backends[1];
    config.backends[1] = config.backends[0];
    config.backends[0] = second;
    cr_expect_eq(rc_backend_marked(&config, mark), 0);
    config.backend_count = 0;
    cr_expect_eq(rc_backend_marked(&config, mark), RC_CONFIG_BACKENDS_MAX);
    cr_expect_eq(rc_backend_marked(&config, rc_backend_mark(&config, 0)), RC_CONFIG_BACKENDS_MAX, "nobody's");
    clean();
}

Test(config_backend, the_defaults_are_those_of_the_manual)
{
    const struct rc_config_backend *const app = backend("app");
    cr_expect_eq(app->timeout_ms, 3000);
    cr_expect_eq(app->connections, 8);
    cr_expect_eq(app->max_waiting, 1024);
    cr_expect_eq(app->per_client, 1);
    cr_expect_eq(app->forward_count, 5);
    cr_expect_str_eq(app->forward[0].text, "cookie");
    cr_expect_eq(app->on_failure, RC_BACKEND_FAILURE_DENY);
    cr_expect_str_eq(app->breaker.text, "5/10s");
    cr_expect_eq(app->max_body_bytes, 256 * 1024);
}

Test(config_backend, tables_that_contradict_each_other_are_refused)
{
    struct rc_err err = {""};
    (void)backend("app");
    call(backend("other"), "connect");
    cr_expect_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
    clean();
    (void)backend("app");
    (void)backend("app");
    expect_refused("two [[backend]] tables named \"app\"");
    backend("app")->url_count = 0;
    expect_refused("needs a url");
    call(backend("a"), "subscribe");
    call(backend("b"), "subscribe");
    expect_refused("who decides?");
    call(backend("a"), "disconnect"); /* both may be told */
    call(backend("b"), "disconnect");
    cr_expect_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
}

Test(config_backend, links_have_secrets_and_are_not_asked)
{
    struct rc_err err;
    struct rc_config_backend *app = backend("app");
    app->kind = RC_BACKEND_KIND_LINK;
    (void)snprintf(config.socketio.link.text, sizeof(config.socketio.link.text), "app");
    expect_refused("needs `secrets`");
    app = backend("app");
    app->kind = RC_BACKEND_KIND_LINK;
    app->secret_count = 1;
    (void)snprintf(app->secrets[0].text, sizeof(app->secrets[0].text), "a-secret");
    (void)snprintf(config.socketio.link.text, sizeof(config.socketio.link.text), "app");
    cr_assert_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
    call(app, "connect");
    expect_refused("has no `calls`");
    (void)backend("app");
    (void)snprintf(config.socketio.link.text, sizeof(config.socketio.link.text), "app");
    expect_refused("socketio.link: there is no [[backend]] named \"app\" with kind = \"link\"");
    app = backend("app");
    app->kind = RC_BACKEND_KIND_LINK;
    app->secret_count = 1;
    (void)snprintf(config.socketio.unknown_event.text, sizeof(config.socketio.unknown_event.text), "backend:app");
    expect_refused("socketio.unknown_event: there is no [[backend]] named \"app\" that is asked by HTTP");
}

static struct rc_config_backend *link_backend(void)
{
    struct rc_config_backend *app = backend("app");
    app->kind = RC_BACKEND_KIND_LINK;
    app->secret_count = 1;
    (void)snprintf(app->secrets[0].text, sizeof(app->secrets[0].text), "a-secret");
    (void)snprintf(config.socketio.link.text, sizeof(config.socketio.link.text), "app");
    return app;
}

static void listen_on(struct rc_config_list *list, const char *address)
{
    (void)snprintf(list->items[list->count++].text, sizeof(list->items[0].text), "%s", address);
}

Test(config_backend, applications_that_dial_need_no_url)
{
    struct rc_err err;
    link_backend()->url_count = 0;
    expect_refused("or [link] listen, where it dials");
    link_backend()->url_count = 0;
    listen_on(&config.link.listen, "127.0.0.1:7000");
    cr_assert_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
    cr_assert(rc_config_links_listen(&config));
    cr_assert(rc_config_listeners_private(&config));
    config.socketio.link.text[0] = '\0';
    expect_refused("socketio.link names none");
    (void)link_backend();
    listen_on(&config.link.tls_listen, "0.0.0.0:7001");
    cr_assert(rc_config_serves_tls(&config));
    expect_refused("link.tls_listen needs tls.certificates");
    (void)link_backend();
    listen_on(&config.link.listen, "127.0.0.1:7000");
    listen_on(&config.link.tls_listen, "7000");
    listen_on(&config.tls.certificates, "/x.pem");
    expect_refused("is to be listened on twice");
    link_backend()->kind = RC_BACKEND_KIND_HTTP;
    config.socketio.link.text[0] = '\0';
    config.backends[0].url_count = 0;
    listen_on(&config.link.listen, "127.0.0.1:7000");
    expect_refused("needs a url");
}
