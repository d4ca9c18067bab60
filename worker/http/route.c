/* route: see route.h. */
#include "worker/http/route.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/http/cors.h"
#include "worker/http/origin.h"
#include "worker/http/upgrade.h"

void rc_routes_add(struct rc_routes *routes, const struct rc_route_set *set)
{
    RC_ASSERT(routes->count < RC_ROUTE_SETS_MAX);
    routes->sets[routes->count++] = *set;
}

static const struct rc_route *route_in(const struct rc_route_set *set, const char *path)
{
    for (size_t i = 0; i < set->count; i++) {
        const char *its = set->routes[i].path;
        if (strcmp(path + strlen(set->below), its) == 0 || strcmp(its, RC_ROUTE_ANY) == 0) {
            return &set->routes[i];
        }
    }
    return NULL;
}

/* The resource of a path, and the set that it is in, or that has everything below where it would be. */
static const struct rc_route *find_route(const struct rc_routes *routes, const char *path,
                                         const struct rc_route_set **set)
{
    *set = NULL;
    for (size_t i = 0; i < routes->count; i++) {
        const char *below = routes->sets[i].below;
        if (strncmp(path, below, strlen(below)) == 0) {
            const struct rc_route *route = route_in(&routes->sets[i], path);
            if (route != NULL || below[0] != '\0') {
                *set = &routes->sets[i];
                return route;
            }
        }
    }
    return routes->other == NULL ? NULL : routes->other(routes->context, path);
}

static bool method_in(const char *methods, struct rc_http_view method)
{
    struct rc_http_view rest = {methods, strlen(methods)};
    struct rc_http_view one;
    while (rc_http_list_next(&rest, &one)) {
        if (one.bytes == method.bytes && memcmp(one.text, method.text, one.bytes) == 0) {
            return true;
        }
    }
    return false;
}

/* OPTIONS, a browser's preflight or not. Nobody has to be allowed anything to ask. */
static void answer_options(struct rc_exchange *exchange, const char *methods, enum rc_cors_verdict verdict)
{
    if (methods == NULL) {
        rc_exchange_error(exchange, (struct rc_exchange_answer){.status = 404, .message = "not found"});
        return;
    }
    if (verdict == RC_CORS_REFUSED && rc_cors_is_preflight(exchange->request)) {
        rc_exchange_error(exchange,
                          (struct rc_exchange_answer){
                              .status = 403,
                              .message = "this page may not ask so: see http.allowed_origins, http.cors_methods and "
                                         "http.cors_headers"});
        return;
    }
    char allow[64];
    (void)snprintf(allow, sizeof(allow), "%s, OPTIONS", methods);
    rc_exchange_answer(exchange, &(struct rc_exchange_answer){.status = 204, .allow = allow});
}

/* A request for a resource, or for none. */
static void answer_resource(const struct rc_routes *routes, struct rc_exchange *exchange,
                            const struct rc_route_set *set, const struct rc_route *route)
{
    if (set != NULL) {
        exchange->user = set->user;
        if (set->admit != NULL && !set->admit(set->context, exchange)) {
            return;
        }
    }
    struct rc_exchange_answer answer = {0};
    if (route == NULL) {
        answer.status = 404;
        answer.message = set == NULL ? "not found" : set->missing;
    } else if (route->allow != NULL && !method_in(route->methods, exchange->request->method_text)) {
        answer.status = 405;
        answer.allow = route->allow;
        answer.message = route->wrong;
    } else if (route->shown != NULL && !exchange->local && !route->shown(&exchange->exchanges->config->http)) {
        answer.status = route->hidden;
        answer.message = route->why_hidden;
    } else {
        if (!route->says_begun) {
            rc_exchange_begun(exchange);
        }
        route->run(set == NULL ? routes->context : set->context, exchange, route);
        return;
    }
    rc_exchange_error(exchange, answer);
}

/* False: it was answered. */
static bool decode_path(struct rc_exchange *exchange, char path[RC_ROUTE_PATH_BYTES_MAX])
{
    if (exchange->request->version == RC_HTTP_0_9) {
        /* Who asks so could not tell the head from the body; a page that makes a browser write here neither. */
        rc_exchange_error(exchange, (struct rc_exchange_answer){.status = 400, .message = "malformed request line"});
        return false;
    }
    const int bytes = rc_http_path_decode(exchange->request->path, path, RC_ROUTE_PATH_BYTES_MAX - 1);
    if (bytes == -ENOSPC) {
        rc_exchange_error(exchange, (struct rc_exchange_answer){.status = 404, .message = "not found"});
        return false;
    }
    if (bytes < 0) {
        rc_exchange_error(exchange, (struct rc_exchange_answer){
                                        .status = 400, .message = "the path is not correctly percent-encoded"});
        return false;
    }
    path[bytes] = '\0';
    return true;
}

/* Of everything but what is below a set that takes bodies. */
static bool body_fits(struct rc_exchange *exchange)
{
    const struct rc_http_request *request = exchange->request;
    if (request->has_content_length && request->content_length > exchange->exchanges->config->limits.max_body_bytes) {
        rc_exchange_error(
            exchange, (struct rc_exchange_answer){.status = 413, .message = "the body is larger than limits.max_body"});
        return false;
    }
    return true;
}

/* Does a page of this server ask it, as the dashboard does? Entries of http.allowed_origins are about other pages. */
static bool asks_itself(const struct rc_http_request *request)
{
    uint32_t index = 0;
    const struct rc_http_view *origin = rc_http_header_next(request, "Origin", &index);
    return origin != NULL && rc_http_header_next(request, "Origin", &index) == NULL &&
           rc_origin_own(rc_span_of(origin->text, origin->bytes), rc_span_of(request->host.text, request->host.bytes));
}

void rc_routes_begin(const struct rc_routes *routes, struct rc_exchange *exchange)
{
    const struct rc_http_request *request = exchange->request;
    const struct rc_route_set *set = NULL;
    char path[RC_ROUTE_PATH_BYTES_MAX];
    if (!decode_path(exchange, path)) {
        return;
    }
    const bool upgrade = request->version == RC_HTTP_1_1 && rc_http_upgrade_wanted(request); /* RFC 9110 7.8 */
    const struct rc_route *route = find_route(routes, path, &set);
    const char *methods = strcmp(path, "*") == 0 ? "GET, HEAD, POST" /* of the server (RFC 9110 9.3.7) */
                          : route != NULL        ? route->methods
                                                 : NULL;
    enum rc_cors_verdict verdict = RC_CORS_NONE;
    if (!upgrade) {
        struct rc_exchanges *exchanges = exchange->exchanges;
        verdict = rc_cors_judge_configured(&exchanges->config->http, request, methods == NULL ? "" : methods,
                                           exchanges->cors, sizeof(exchanges->cors));
        exchange->cors = exchanges->cors;
    }
    const bool below = set != NULL && set->below[0] != '\0';
    if (below && !upgrade && request->method != RC_HTTP_OPTIONS) {
        if (verdict == RC_CORS_REFUSED && request->method != RC_HTTP_GET && request->method != RC_HTTP_HEAD &&
            !asks_itself(request)) {
            /* The browser would only hide the answer from the page; what it asks for would be done. */
            exchange->keep_alive = false;
            rc_exchange_error(exchange,
                              (struct rc_exchange_answer){
                                  .status = 403, .message = "this origin is not allowed: see http.allowed_origins"});
            return;
        }
        answer_resource(routes, exchange, set, route);
        return;
    }
    if ((route == NULL || !route->takes_body) && !body_fits(exchange)) {
        return;
    }
    if (upgrade) {
        rc_exchange_begun(exchange);
        routes->upgrade(routes->upgrade_context, exchange, path);
    } else if (request->method == RC_HTTP_OPTIONS) {
        answer_options(exchange, methods, verdict);
    } else {
        answer_resource(routes, exchange, set, route);
    }
}
