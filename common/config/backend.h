/*
 * backend: what the values of a [[backend]] mean: its URLs, its breaker, its calls.
 *
 * Pure; any process may call. What fails is what a person wrote: one sentence without the key's name and place.
 */
#ifndef RC_COMMON_CONFIG_BACKEND_H
#define RC_COMMON_CONFIG_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/config/values.h"

/* What a backend is asked. The first RC_BACKEND_UNTIED_COUNT are those of `calls`; the others are asked for by a row, or an emit. */
enum rc_backend_call_kind {
    RC_BACKEND_CONNECT,
    RC_BACKEND_DISCONNECT,
    RC_BACKEND_SUBSCRIBE,
    RC_BACKEND_PUBLISH,
    RC_BACKEND_REFRESH,
    RC_BACKEND_UNTIED_COUNT,
    RC_BACKEND_EVENT = RC_BACKEND_UNTIED_COUNT,
    RC_BACKEND_ACK,
    RC_BACKEND_WEBHOOK,
    RC_BACKEND_CALL_KINDS,
    RC_BACKEND_HEALTH = RC_BACKEND_CALL_KINDS, /* of nobody, and counted nowhere: worker/backend/look.h */
};

/* "connect", ... */
const char *rc_backend_call_name(enum rc_backend_call_kind kind);
/* The call of that name among those of `calls`; -1: none. */
int rc_backend_call_of(const char *name);
/* Is that call in the backend's `calls`? */
bool rc_backend_calls(const struct rc_config_backend *backend, enum rc_backend_call_kind kind);

/* The first backend whose `calls` have it: its index in config->backends, or -1. */
int rc_backend_of_call(const struct rc_config *config, enum rc_backend_call_kind kind);

/* Are there listeners for links ([link])? */
bool rc_config_links_listen(const struct rc_config *config);

/* The backend of that name: its index in config->backends, or -1. */
int rc_backend_find(const struct rc_config *config, struct rc_span name);

/* What a backend is known by for longer than until the next reload, which may give indexes to others: a hash of its name. */
uint32_t rc_backend_mark(const struct rc_config *config, uint32_t index);
/* The backend of that mark: its index in config->backends, or RC_CONFIG_BACKENDS_MAX: a reload has taken it away. */
uint32_t rc_backend_marked(const struct rc_config *config, uint32_t mark);

enum rc_backend_scheme { RC_BACKEND_HTTP, RC_BACKEND_HTTPS, RC_BACKEND_UNIX };

/* One of a backend's `url`; spans point into its text. */
struct rc_backend_url {
    enum rc_backend_scheme scheme;
    struct rc_span host;   /* of HTTP and HTTPS: a name, or an address without brackets; of UNIX: the socket's path */
    struct rc_span target; /* path and query, at least "/" */
    uint16_t port;         /* of HTTP and HTTPS */
};

/* http://host[:port][/target], https://..., unix:/path/of/the/socket[:/target]. No user, no fragment. -EINVAL with a sentence. */
int rc_backend_url_parse(struct rc_backend_url *url, const char *text, struct rc_err *err);

/* "5/10s": failures in a row, or half of 4 times as many in that time; "" is never. -EINVAL with a sentence. */
int rc_backend_breaker_parse(const char *text, uint32_t *failures, uint64_t *within_ms, struct rc_err *err);

/* What must hold across keys: names that differ, [[event]] rows that ask and socketio.unknown_event name backends that are there. -EINVAL
 * with the remedy. */
int rc_config_backends_check(const struct rc_config *config, struct rc_err *err);

#endif
