/*
 * route: which resource a request is for, and what of it can be said without asking that resource: 404, 405, OPTIONS, CORS, who may
 * see it, bodies that nobody takes. All of it out of tables.
 *
 * Owned by who owns the connections (worker/client), one thread; the tables are static and belong to the rooms that answer.
 */
#ifndef RC_WORKER_HTTP_ROUTE_H
#define RC_WORKER_HTTP_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/config.h"
#include "worker/http/exchange.h"

#define RC_ROUTE_ANY "*" /* path of a route: everything below its set that no route before it has */
#define RC_ROUTE_SETS_MAX 7u
#define RC_ROUTE_PATH_BYTES_MAX 256u /* of a request's path once decoded, its NUL included */

/* One resource. Static. */
struct rc_route {
    const char *path;    /* behind its set's `below` */
    const char *methods; /* "GET, HEAD": what it can be asked with; a preflight is answered so */
    const char *allow;   /* of a 405; NULL = whatever it is asked with, it answers itself */
    const char *wrong;   /* the message of a 405 */
    bool (*shown)(const struct rc_config_http *config); /* to others than this machine; NULL = always */
    uint16_t hidden;                                    /* what those are answered */
    const char *why_hidden;
    bool takes_body; /* `run` looks at how large it is */
    bool says_begun; /* `run` does nothing before rc_exchange_begun */
    /* Answers, waits, or has the body read. */
    void (*run)(void *context, struct rc_exchange *exchange, const struct rc_route *route);
    const void *detail; /* borrowed: whatever `run` wants to know beside it */
};

/* Resources that belong together. */
struct rc_route_set {
    const char *below;             /* "/api/": the set has everything below; "" = it has nothing but its routes */
    const struct rc_route *routes; /* borrowed: static */
    size_t count;
    void *context;                       /* borrowed: of the functions */
    const char *missing;                 /* the message of a 404 below `below` */
    const struct rc_exchange_user *user; /* borrowed, may be NULL: of its exchanges from before `admit` on */
    /* May the request be handled at all? False: it was answered. NULL: all may. */
    bool (*admit)(void *context, struct rc_exchange *exchange);
};

struct rc_routes {
    struct rc_route_set sets[RC_ROUTE_SETS_MAX];
    size_t count;
    void *context; /* borrowed: of the two functions */
    /* The resource of a path that no set has; NULL: there is none. */
    const struct rc_route *(*other)(void *context, const char *path);
    /* A request that wants to become a WebSocket. */
    void *upgrade_context; /* borrowed */
    void (*upgrade)(void *context, struct rc_exchange *exchange, const char *path);
};

void rc_routes_add(struct rc_routes *routes, const struct rc_route_set *set);
/* Handles a request whose head is whole: afterwards it is answered, waits, or has its body read. */
void rc_routes_begin(const struct rc_routes *routes, struct rc_exchange *exchange);

#endif
