/*
 * resolve: names to addresses without blocking who asks.
 *
 * Numeric addresses are turned at once; a name is looked up by a thread of its own that only calls getaddrinfo and ends, because
 * a resolver that does not answer holds its caller for many seconds. The result is announced through an eventfd that the caller
 * watches. One rc_resolve per lookup; who gives it up before the end leaves it to the thread, which frees it.
 */
#ifndef RC_COMMON_BASE_RESOLVE_H
#define RC_COMMON_BASE_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define RC_RESOLVE_ADDRESSES_MAX 8

struct rc_resolved {
    uint32_t count;
    struct {
        struct sockaddr_storage address;
        socklen_t bytes;
    } items[RC_RESOLVE_ADDRESSES_MAX];
};

struct rc_resolve;

/* True when `host` is numeric: *out is filled in. */
bool rc_resolve_numeric(const char *host, uint16_t port, struct rc_resolved *out);

/* Starts a lookup. NULL: no memory or no thread. */
struct rc_resolve *rc_resolve_start(const char *host, uint16_t port);
/* The eventfd to watch for POLLIN. */
int rc_resolve_fd(const struct rc_resolve *resolve);
/* After readiness: true when it has ended; *out has the addresses (count 0: `why` says what is wrong, static text). */
bool rc_resolve_take(const struct rc_resolve *resolve, struct rc_resolved *out, const char **why);
/* Ends the caller's interest. The descriptor must not be watched any more. */
void rc_resolve_drop(struct rc_resolve *resolve);

#endif
