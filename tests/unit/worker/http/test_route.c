/* What the tables say without asking a resource: 404, 405, OPTIONS, who may see it, pages of other origins, bodies. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/support/exchange_rig.h"
#include "worker/http/route.h"

static struct rc_routes routes;
static bool local;        /* the request comes from this machine */
static bool admitted;     /* below /calls/ */
static const char *asked; /* the path of the resource that was asked */
static uint32_t counted;  /* answers below /calls/ */

static void conn_begin(void *context, struct rc_exchange *exchange)
{
    (void)context;
    exchange->local = local;
    rc_routes_begin(&routes, exchange);
}

static void say(struct rc_exchange *exchange, const char *path)
{
    asked = path;
    rc_exchange_answer(exchange, &(struct rc_exchange_answer){.status = 200});
}

static void run(void *context, struct rc_exchange *exchange, const struct rc_route *route)
{
    (void)context;
    say(exchange, route->path);
}

static void upgrade(void *context, struct rc_exchange *exchange, const char *path)
{
    (void)context;
    (void)path;
    say(exchange, "upgrade");
}

static bool shown(const struct rc_config_http *http)
{
    return http->public_metrics;
}

static bool admit(void *context, struct rc_exchange *exchange)
{
    (void)context;
    if (!admitted) {
        rc_exchange_answer(exchange, &(struct rc_exchange_answer){.status = 401, .message = "who are you?"});
    }
    return admitted;
}

static void ended(struct rc_exchange *exchange, uint16_t status)
{
    (void)exchange;
    (void)status;
    counted++;
}

static const struct rc_route *other(void *context, const char *path)
{
    static const struct rc_route point = {.path = "/ws", .methods = "GET", .run = run};
    (void)context;
    return strcmp(path, "/ws") == 0 ? &point : NULL;
}

static const struct rc_exchange_user user = {.ended = ended};
static const struct rc_route pages[] = {
    {.path = "/page", .methods = "GET, HEAD", .allow = "GET, HEAD, OPTIONS", .wrong = "only read", .run = run},
    {.path = "/secret",
     .methods = "GET, HEAD",
     .allow = "GET, HEAD, OPTIONS",
     .wrong = "only read",
     .run = run,
     .shown = shown,
     .hidden = 403,
     .why_hidden = "not yours"},
};
static const struct rc_route calls[] = {
    {.path = "do", .methods = "POST", .allow = "POST", .wrong = "a POST", .run = run},
};

static void open_all(void)
{
    config.limits.max_body_bytes = 1000;
    routes = (struct rc_routes){.other = other, .upgrade = upgrade};
    rc_routes_add(
        &routes,
        &(struct rc_route_set){
            .below = "/calls/", .routes = calls, .count = 1, .missing = "no such call", .user = &user, .admit = admit});
    rc_routes_add(&routes, &(struct rc_route_set){.below = "", .routes = pages, .count = RC_ARRAY_COUNT(pages)});
    exchange_rig_open(conn_begin);
}

static void close_all(void)
{
    rc_exchanges_close(&exchanges);
}

TestSuite(route, .init = open_all, .fini = close_all);

/* Asks on a connection of its own; true when the answer begins with this status. */
static bool ask(const char *request, const char *headers, int status)
{
    char text[2048];
    char begins[32];
    const int bytes = snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: a\r\n%s\r\n", request, headers);
    const int begin_bytes = snprintf(begins, sizeof(begins), "HTTP/1.1 %d ", status);
    asked = NULL;
    exchange_rig_feed(text, (size_t)bytes);
    cr_assert_eq(conn.place, 0);
    return strncmp(conn.out, begins, (size_t)begin_bytes) == 0;
}

static bool said(const char *part)
{
    return strstr(conn.out, part) != NULL;
}

Test(route, path_and_method_choose)
{
    cr_assert(ask("GET /page", "", 200) && strcmp(asked, "/page") == 0);
    cr_assert(ask("HEAD /pa%67e?x=/secret", "", 200) && strcmp(asked, "/page") == 0);
    cr_assert(ask("GET /nothing", "", 404) && said("not found"));
    cr_assert(ask("GET /pag", "", 404));
    cr_assert(ask("GET /pa%zz", "", 400));
    cr_assert(ask("POST /page", "", 405) && said("Allow: GET, HEAD, OPTIONS\r\n") && said("only read"));
    cr_assert(ask("GET /ws", "", 200) && strcmp(asked, "/ws") == 0);
    cr_assert(ask("DELETE /ws", "", 200), "an end point answers whatever it is asked with");
    cr_assert(ask("GET /ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n", 200) && strcmp(asked, "upgrade") == 0);
    cr_assert(ask("GET /page", "Connection: Upgrade\r\nUpgrade: websocket\r\n", 200) && strcmp(asked, "upgrade") == 0);
    char path[RC_ROUTE_PATH_BYTES_MAX + 16] = "GET /";
    memset(path + 5, 'x', RC_ROUTE_PATH_BYTES_MAX);
    cr_assert(ask(path, "", 404));
    cr_assert_eq(counted, 0);
}

Test(route, everything_below_a_set_is_its_own)
{
    admitted = false;
    cr_assert(ask("POST /calls/do", "", 401) && asked == NULL);
    cr_assert(ask("POST /calls/nothing", "", 401), "nobody learns what there is");
    admitted = true;
    cr_assert(ask("POST /calls/nothing", "", 404) && said("no such call"));
    cr_assert(ask("GET /calls/do", "", 405) && said("Allow: POST\r\n"));
    cr_assert(ask("POST /calls/do", "", 200) && strcmp(asked, "do") == 0);
    cr_assert_eq(counted, 5, "each is counted");
    cr_assert(ask("POST /calls", "", 404) && said("not found"));
    cr_assert_eq(counted, 5);
}

Test(route, hidden_ones_are_for_this_machine)
{
    config.http.public_metrics = false;
    local = false;
    cr_assert(ask("GET /secret", "", 403) && said("not yours") && asked == NULL);
    cr_assert(ask("POST /secret", "", 405));
    local = true;
    cr_assert(ask("GET /secret", "", 200));
    local = false;
    config.http.public_metrics = true;
    cr_assert(ask("GET /secret", "", 200));
}

Test(route, options_say_what_there_is)
{
    admitted = false;
    cr_assert(ask("OPTIONS /page", "", 204) && said("Allow: GET, HEAD, OPTIONS\r\n"));
    cr_assert(ask("OPTIONS /calls/do", "", 204) && said("Allow: POST, OPTIONS\r\n"));
    cr_assert(ask("OPTIONS /ws", "", 204) && said("Allow: GET, OPTIONS\r\n"));
    cr_assert(ask("OPTIONS *", "", 204) && said("Allow: GET, HEAD, POST, OPTIONS\r\n"));
    cr_assert(ask("OPTIONS /calls/nothing", "", 404));
    cr_assert(ask("OPTIONS /nothing", "", 404));
}

Test(route, pages_of_other_origins_change_nothing)
{
    static const char origin[] = "Origin: https://b.example\r\n";
    admitted = true;
    cr_assert(ask("POST /calls/do", origin, 403) && asked == NULL && conn.lingers);
    cr_assert(ask("GET /page", origin, 200) && said("Vary: Origin\r\n") && !said("Access-Control-Allow-Origin"));
    config.http.allowed_origins.count = 1;
    (void)snprintf(config.http.allowed_origins.items[0].text, sizeof(config.http.allowed_origins.items[0].text),
                   "https://b.example");
    cr_assert(ask("POST /calls/do", origin, 200) && said("Access-Control-Allow-Origin: https://b.example\r\n"));
    cr_assert(ask("OPTIONS /calls/do", "Origin: https://b.example\r\nAccess-Control-Request-Method: PUT\r\n", 403));
    config.http.allowed_origins.count = 0;
}

Test(route, pages_of_the_server_itself_may_whatever_the_entries_are)
{
    admitted = true;
    config.http.allowed_origins.count = 1;
    (void)snprintf(config.http.allowed_origins.items[0].text, sizeof(config.http.allowed_origins.items[0].text),
                   "https://b.example");
    cr_assert(ask("POST /calls/do", "Origin: http://a\r\n", 200) && !said("Access-Control-Allow-Origin"));
    cr_assert(ask("POST /calls/do", "Origin: http://a:81\r\n", 403) && asked == NULL);
    cr_assert(ask("POST /calls/do", "Origin: http://a\r\nOrigin: http://a\r\n", 403) && asked == NULL);
    cr_assert(ask("POST /calls/do", "Origin: null\r\n", 403) && asked == NULL);
    config.http.allowed_origins.count = 0;
}

Test(route, bodies_that_nobody_takes)
{
    cr_assert(ask("GET /page", "Content-Length: 1001\r\n", 413) && conn.lingers);
    cr_assert(ask("GET /page", "Content-Length: 3\r\n", 200) && conn.lingers, "thrown away while it lingers");
    cr_assert(ask("GET /page", "", 200) && !conn.lingers);
}
