/* resolve: see resolve.h. */
#include "common/base/resolve.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct rc_resolve {
    _Atomic uint32_t users; /* caller and thread: the last one frees it */
    _Atomic bool done; /* stored last by the thread: N1 pairs with N2 in resolve_run, who sees it sees the result */
    int event_fd;      /* owner */
    int error;         /* of getaddrinfo */
    uint16_t port;
    struct rc_resolved result;
    char host[256];
};

static void resolve_keep(struct rc_resolved *out, const struct addrinfo *list)
{
    out->count = 0;
    for (; list != NULL && out->count < RC_RESOLVE_ADDRESSES_MAX; list = list->ai_next) {
        if (list->ai_addrlen <= sizeof(out->items[0].address)) {
            memcpy(&out->items[out->count].address, list->ai_addr, list->ai_addrlen);
            out->items[out->count++].bytes = list->ai_addrlen;
        }
    }
}

static int look_up(const char *host, uint16_t port, int flags, struct rc_resolved *out)
{
    char service[8];
    struct addrinfo *list = NULL;
    const struct addrinfo hints = {.ai_flags = flags | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    (void)snprintf(service, sizeof(service), "%u", port);
    out->count = 0;
    const int error = getaddrinfo(host, service, &hints, &list);
    if (error == 0) {
        resolve_keep(out, list);
        freeaddrinfo(list);
    }
    return error;
}

bool rc_resolve_numeric(const char *host, uint16_t port, struct rc_resolved *out)
{
    return look_up(host, port, AI_NUMERICHOST, out) == 0 && out->count > 0;
}

void rc_resolve_drop(struct rc_resolve *resolve)
{
    /* N3 pairs with N3 in the other one: who frees sees all that the other did with it. */
    if (atomic_fetch_sub_explicit(&resolve->users, 1, memory_order_acq_rel) == 1) {
        (void)close(resolve->event_fd);
        free(resolve);
    }
}

static void *resolve_run(void *context)
{
    struct rc_resolve *resolve = context;
    const uint64_t one = 1;
    resolve->error = look_up(resolve->host, resolve->port, AI_ADDRCONFIG, &resolve->result);
    atomic_store_explicit(&resolve->done, true, memory_order_release); /* N2 pairs with N1 in rc_resolve_take */
    (void)!write(resolve->event_fd, &one, sizeof(one));
    rc_resolve_drop(resolve);
    return NULL;
}

struct rc_resolve *rc_resolve_start(const char *host, uint16_t port)
{
    struct rc_resolve *resolve = calloc(1, sizeof(*resolve));
    pthread_attr_t attributes;
    pthread_t thread;
    if (resolve == NULL) {
        return NULL;
    }
    resolve->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (resolve->event_fd < 0 || pthread_attr_init(&attributes) != 0) {
        if (resolve->event_fd >= 0) {
            (void)close(resolve->event_fd);
        }
        free(resolve);
        return NULL;
    }
    resolve->port = port;
    (void)snprintf(resolve->host, sizeof(resolve->host), "%s", host);
    atomic_store_explicit(&resolve->users, 2, memory_order_relaxed);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    /* Signals are the main thread's: it has a descriptor for them. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&thread, &attributes, resolve_run, resolve);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    if (error != 0) {
        (void)close(resolve->event_fd);
        free(resolve);
        return NULL;
    }
    return resolve;
}

int rc_resolve_fd(const struct rc_resolve *resolve)
{
    return resolve->event_fd;
}

bool rc_resolve_take(const struct rc_resolve *resolve, struct rc_resolved *out, const char **why)
{
    if (!atomic_load_explicit(&resolve->done, memory_order_acquire)) { /* N1 */
        return false;
    }
    *out = resolve->result;
    *why = out->count == 0 ? (resolve->error != 0 ? gai_strerror(resolve->error) : "no address") : "";
    return true;
}
