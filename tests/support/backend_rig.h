/*
 * backend_rig: calls over a real ring to servers of the test's own, whose every byte it decides. One a file of tests, and one a test:
 *
 *     TestSuite(…, .init = begin, .fini = finish);
 *
 * begin() makes a hub, a server, and a configuration with one backend, "app"; backends_begin() opens it when the test has changed what it wants.
 */
#ifndef RC_TESTS_SUPPORT_BACKEND_RIG_H
#define RC_TESTS_SUPPORT_BACKEND_RIG_H

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/config/key_set.h"
#include "tests/support/hub_rig.h"
#include "worker/backend/backend.h"
#include "worker/backend/backend_io.h"

#define PEERS_MAX 16u
#define TOLD_MAX 64u
#define PATIENCE_MS 10000u

struct peer {
    int fd;
    char text[65536];
    size_t bytes;
};

struct server {
    int fd;
    uint16_t port;
    struct peer peers[PEERS_MAX];
    uint32_t count; /* connections that ever came */
};

struct told {
    uint64_t token;
    enum rc_backend_outcome outcome;
    uint16_t status;
    char body[256];
};

static struct hub_rig rig;
static struct rc_backends *backends;
static struct server server;
static struct server other;
static struct told told[TOLD_MAX];
static uint32_t told_count;

static inline void server_open(struct server *s)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(name);
    *s = (struct server){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    cr_assert(bind(s->fd, (struct sockaddr *)&name, sizeof(name)) == 0 && listen(s->fd, 64) == 0);
    cr_assert_eq(getsockname(s->fd, (struct sockaddr *)&name, &bytes), 0);
    s->port = ntohs(name.sin_port);
}

static inline void server_close(struct server *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->peers[i].fd >= 0) {
            (void)close(s->peers[i].fd);
        }
    }
    if (s->fd >= 0) {
        (void)close(s->fd);
    }
    s->fd = -1;
    s->count = 0;
}

/* Takes new connections, and what came on those that are there. */
static inline void server_look(struct server *s)
{
    while (s->fd >= 0 && s->count < PEERS_MAX) {
        const int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            break;
        }
        s->peers[s->count++] = (struct peer){.fd = fd};
    }
    for (uint32_t i = 0; i < s->count; i++) {
        struct peer *peer = &s->peers[i];
        const ssize_t got =
            peer->fd < 0 ? 0 : read(peer->fd, peer->text + peer->bytes, sizeof(peer->text) - 1 - peer->bytes);
        peer->bytes += got > 0 ? (size_t)got : 0;
        peer->text[peer->bytes] = '\0';
        if (got == 0 && peer->fd >= 0) {
            (void)close(peer->fd);
            peer->fd = -1;
        }
    }
}

static inline void pass(void)
{
    rc_io_run(&rig.io, rc_backends_sleep_ms(backends, 5));
    rc_io_timers(&rig.io);
    rc_backends_work(backends);
    if (rc_hub_pending(&rig.hub)) {
        rc_hub_turn(&rig.hub);
    }
    server_look(&server);
    server_look(&other);
}

/* Until that many answers were told. */
static inline void run_until_told(uint32_t count)
{
    const uint64_t end = rc_clock_ms() + PATIENCE_MS;
    while (told_count < count) {
        cr_assert_lt(rc_clock_ms(), end, "only %u of %u answers", told_count, count);
        pass();
    }
}

/* Is there a whole request in what came? */
static inline bool request_whole(const struct peer *peer)
{
    const char *end = strstr(peer->text, "\r\n\r\n");
    const char *length = strstr(peer->text, "content-length: ");
    return end != NULL && length != NULL &&
           peer->bytes >= (size_t)(end + 4 - peer->text) + strtoul(length + 16, NULL, 10);
}

static inline struct peer *run_until_asked(struct server *s, uint32_t connection)
{
    const uint64_t end = rc_clock_ms() + PATIENCE_MS;
    while (s->count <= connection || !request_whole(&s->peers[connection])) {
        cr_assert_lt(rc_clock_ms(), end, "no request on connection %u", connection);
        pass();
    }
    return &s->peers[connection];
}

static inline void answer(struct peer *peer, const char *text)
{
    peer->bytes = 0;
    peer->text[0] = '\0';
    cr_assert_eq(write(peer->fd, text, strlen(text)), (ssize_t)strlen(text));
}

#define OK(body_bytes, body) "HTTP/1.1 200 OK\r\nContent-Length: " #body_bytes "\r\n\r\n" body

static inline void on_answer(void *context, uint64_t token, const struct rc_backend_answer *its)
{
    cr_assert_eq(context, &rig);
    cr_assert_lt(told_count, TOLD_MAX);
    struct told *to = &told[told_count++];
    *to = (struct told){.token = token, .outcome = its->outcome, .status = its->status};
    (void)snprintf(to->body, sizeof(to->body), "%.*s", (int)its->body.count, (const char *)its->body.bytes);
    if (its->outcome != RC_BACKEND_ANSWERED) {
        cr_expect_gt(strlen(its->why), 5);
    }
}

static inline int call_with(enum rc_backend_call_kind kind, uint64_t token, const char *key)
{
    struct rc_backend_request request = {.kind = kind,
                                         .body = rc_span_text("{\"call\":\"x\"}"),
                                         .headers = rc_span_text("cookie: a=b\r\n"),
                                         .shared = key != NULL};
    if (key != NULL) {
        memcpy(request.key, key, strlen(key));
    }
    rc_backend_next_id(backends, request.id);
    const uint32_t before = told_count;
    const int rc = rc_backend_call(backends, 0, &request,
                                   (struct rc_backend_waiter){.context = &rig, .answered = on_answer, .token = token});
    cr_expect_eq(told_count, before, "told at once");
    return rc;
}

static inline int call(enum rc_backend_call_kind kind, uint64_t token)
{
    return call_with(kind, token, NULL);
}

static inline struct rc_config_backend *table(struct rc_config *config)
{
    struct rc_config_backend *made = &config->backends[0];
    memset(made, 0, sizeof(*made));
    rc_config_item_defaults(rc_config_section_find("backend", 7), made);
    config->backend_count = 1;
    (void)snprintf(made->name.text, sizeof(made->name.text), "app");
    made->url_count = 1;
    (void)snprintf(made->urls[0].text, sizeof(made->urls[0].text), "http://127.0.0.1:%u/ringcast", server.port);
    return made;
}

static inline void backends_begin(void)
{
    backends = rc_backends_open(rig.control, &rig.truth, &rig.io, &rig.hub, rig.config, 0);
    cr_assert_not_null(backends);
    rig.backends = backends;
    rc_io_run(&rig.io, 0); /* the clock */
}

static inline void begin(void)
{
    told_count = 0;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 64});
    server_open(&server);
    other = (struct server){.fd = -1};
    (void)table(rig.config);
}

static inline void finish(void)
{
    cr_expect_not(rc_backends_busy(backends));
    server_close(&server);
    server_close(&other);
    hub_rig_close(&rig); /* sees that no socket and no output is left */
    rc_backends_close(backends);
}

static inline void expect_told(uint32_t i, uint64_t token, enum rc_backend_outcome outcome, uint16_t status,
                               const char *body)
{
    cr_expect_eq(told[i].token, token, "%u", i);
    cr_expect_eq(told[i].outcome, outcome, "%u: %d", i, told[i].outcome);
    cr_expect_eq(told[i].status, status, "%u: %d", i, told[i].status);
    cr_expect_str_eq(told[i].body, body);
}

static inline uint64_t failures(enum rc_backend_call_kind kind, enum rc_backend_reason reason)
{
    return rig.shared->worker.backends[0].calls[kind].failures[reason];
}

#endif
