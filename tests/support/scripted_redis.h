/*
 * scripted_redis: a server on loopback that answers by a test's script, and a link to it on the relay's own loop.
 *
 * Included once by a test file, whose TestSuite names scripted_close as .fini. The test sets fixture.script, opens the link and lets the
 * loop run until something is so; server and link take turns in one thread.
 */
#ifndef RC_TESTS_SUPPORT_SCRIPTED_REDIS_H
#define RC_TESTS_SUPPORT_SCRIPTED_REDIS_H

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/records/envelope.h"
#include "common/base/log.h"
#include "common/metrics/redis_health.h"
#include "relay/loop.h"
#include "relay/redis/link.h"
#include "relay/redis/losses.h"

#define PEERS_MAX 64

/* What the server does with one connection, in the order of acceptance. */
struct peer {
    int fd;
    char in[65536];
    size_t in_bytes;
};

struct fixture {
    struct rc_relay_loop loop;
    struct rc_timer serving;
    struct rc_process process;
    struct rc_metrics metrics;
    struct rc_redis_health health;
    struct rc_config_redis config;
    struct rc_redis_link *link;
    int listen_fd;
    uint16_t port;
    struct peer peers[PEERS_MAX];
    int peer_count;
    /* Answers "this" to a command that begins with the word; NULL: not answered. */
    const char *(*script)(struct fixture *f, int peer, const char *command);
    bool (*done)(struct fixture *f);
    uint64_t end_ms;
    int ups;
    int downs;
    int replies;
    int nulls;
    char order[256];
    char messages[1024];
    bool successor; /* of a relay that has died; before open_link */
    bool unknown;   /* the workers have yet to tell their interest */
    int wanted_local;
    int wanted_confirmed;
};

static struct fixture fixture;

__attribute__((unused)) static int watch(void *context, int fd, uint32_t events, rc_redis_ready *ready,
                                         void *ready_context)
{
    return rc_relay_loop_poll(&((struct fixture *)context)->loop, fd, events, ready, ready_context);
}

__attribute__((unused)) static void unwatch(void *context, int handle)
{
    rc_relay_loop_unpoll(&((struct fixture *)context)->loop, handle);
}

/* --- the server ------------------------------------------------------------------------------------------------------- */

/* Cuts one whole command off the front, as words with a space between. False when there is none. */
__attribute__((unused)) static bool take_command(struct peer *peer, char *out, size_t room)
{
    size_t at = 0;
    unsigned count = 0;
    size_t used = 0;
    int scanned = 0;
    peer->in[peer->in_bytes] = '\0';
    if (sscanf(peer->in, "*%u\r\n%n", &count, &scanned) != 1 || scanned == 0) {
        return false;
    }
    at = (size_t)scanned;
    for (unsigned i = 0; i < count; i++) {
        unsigned bytes = 0;
        scanned = 0;
        if (sscanf(peer->in + at, "$%u\r\n%n", &bytes, &scanned) != 1 || scanned == 0 ||
            at + (size_t)scanned + bytes + 2 > peer->in_bytes) {
            return false;
        }
        at += (size_t)scanned;
        used += (size_t)snprintf(out + used, room - used, "%s%.*s", i > 0 ? " " : "", (int)bytes, peer->in + at);
        at += bytes + 2;
    }
    memmove(peer->in, peer->in + at, peer->in_bytes - at);
    peer->in_bytes -= at;
    return true;
}

__attribute__((unused)) static void hang_up(struct fixture *f, int index)
{
    if (f->peers[index].fd >= 0) {
        close(f->peers[index].fd);
        f->peers[index].fd = -1;
    }
}

__attribute__((unused)) static void say(struct fixture *f, int index, const char *text)
{
    if (f->peers[index].fd >= 0) {
        cr_assert_eq(send(f->peers[index].fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    }
}

__attribute__((unused)) static void serve(struct fixture *f)
{
    static char command[70000];
    const int fd = accept4(f->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        cr_assert_lt(f->peer_count, PEERS_MAX);
        f->peers[f->peer_count++] = (struct peer){.fd = fd};
    }
    for (int i = 0; i < f->peer_count; i++) {
        struct peer *peer = &f->peers[i];
        if (peer->fd < 0) {
            continue;
        }
        const ssize_t got = recv(peer->fd, peer->in + peer->in_bytes, sizeof(peer->in) - 1 - peer->in_bytes, 0);
        if (got > 0) {
            peer->in_bytes += (size_t)got;
        } else if (got == 0) {
            hang_up(f, i);
        }
        while (peer->fd >= 0 && take_command(peer, command, sizeof(command))) {
            const char *answer = f->script(f, i, command);
            if (answer != NULL) {
                say(f, i, answer);
            }
        }
    }
}

__attribute__((unused)) static bool begins(const char *text, const char *head)
{
    return strncmp(text, head, strlen(head)) == 0;
}

/* A server as it should be. Messages of PUBLISH go nowhere. */
__attribute__((unused)) static const char *good(struct fixture *f, int peer, const char *command)
{
    static char text[1024];
    char name[256];
    (void)f;
    (void)peer;
    if (begins(command, "HELLO")) {
        return "%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n";
    }
    if (begins(command, "PING")) {
        return "+PONG\r\n";
    }
    if (sscanf(command, "SUBSCRIBE %255s", name) == 1 || sscanf(command, "PSUBSCRIBE %255s", name) == 1) {
        (void)snprintf(text, sizeof(text), ">3\r\n$%d\r\n%s\r\n$%zu\r\n%s\r\n:1\r\n", begins(command, "P") ? 10 : 9,
                       begins(command, "P") ? "psubscribe" : "subscribe", strlen(name), name);
        return text;
    }
    if (begins(command, "ECHO ")) {
        (void)snprintf(text, sizeof(text), "+%s\r\n", command + 5);
        return text;
    }
    return ":1\r\n";
}

/* --- the relay's side --------------------------------------------------------------------------------------------------- */

__attribute__((unused)) static bool turn(void *context)
{
    struct fixture *f = context;
    rc_redis_link_turn(f->link);
    serve(f);
    rc_redis_link_turn(f->link);
    if (f->done(f)) {
        rc_relay_loop_stop(&f->loop);
    }
    cr_assert_lt(rc_clock_ms(), f->end_ms, "in time");
    return false;
}

__attribute__((unused)) static bool pending(void *context)
{
    return rc_redis_link_pending(((struct fixture *)context)->link);
}

/* The server is served by turns. */
static void serve_due(void *context, uint64_t now_ms)
{
    struct fixture *f = context;
    rc_timer_set(&f->loop.timers, &f->serving, now_ms + 2, serve_due, f);
}

__attribute__((unused)) static void changed(void *context, bool up)
{
    struct fixture *f = context;
    f->ups += up;
    f->downs += !up;
}
static struct rc_redis_observer observer = {.changed = changed, .context = &fixture};

__attribute__((unused)) static void open_server(struct fixture *f)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    f->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(f->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(f->listen_fd, 64), 0);
    cr_assert_eq(getsockname(f->listen_fd, (struct sockaddr *)&address, &bytes), 0);
    f->port = ntohs(address.sin_port);
}

__attribute__((unused)) static void channel_message(void *context, struct rc_span name, struct rc_span message)
{
    struct fixture *f = context;
    const size_t used = strlen(f->messages);
    (void)snprintf(f->messages + used, sizeof(f->messages) - used, "%.*s=%.*s ", (int)name.count,
                   (const char *)name.bytes, (int)message.count, (const char *)message.bytes);
}

__attribute__((unused)) static void channel_wanted(void *context, uint64_t hash, struct rc_span name, uint32_t worker,
                                                   uint64_t token, bool confirmed)
{
    struct fixture *f = context;
    (void)hash;
    (void)name;
    (void)worker;
    (void)token;
    f->wanted_confirmed += confirmed;
    f->wanted_local += !confirmed;
}

__attribute__((unused)) static bool channel_known(void *context)
{
    return !((const struct fixture *)context)->unknown;
}

/* `before` and `behind` the port. */
__attribute__((unused)) static void open_link(const char *before, const char *behind)
{
    struct fixture *f = &fixture;
    struct rc_err err;
    const struct rc_relay_loop_ops ops = {.turn = turn, .pending = pending, .context = f};
    rc_log_set_level(RC_LOG_ERROR);
    cr_assert_eq(rc_relay_loop_open(&f->loop, &f->process, &ops, &err), 0, "%s", err.text);
    serve_due(f, rc_clock_ms());
    open_server(f);
    (void)snprintf(f->config.url.text, sizeof(f->config.url.text), "%s%u%s", before, f->port, behind);
    f->config.outbox_bytes = 1 << 20;
    f->config.outbox_max_age_ms = 60000;
    const struct rc_redis_setup setup = {.config = &f->config,
                                         .instance_id = "test",
                                         .metrics = &f->metrics,
                                         .health = &f->health,
                                         .timers = &f->loop.timers,
                                         .host = {.watch = watch, .unwatch = unwatch, .context = f},
                                         .successor = f->successor};
    cr_assert_eq(rc_redis_link_open(&f->link, &setup, &err), 0, "%s", err.text);
    const struct rc_redis_channel_ops channel = {
        .message = channel_message, .wanted = channel_wanted, .known = channel_known, .context = f, .head = "c:"};
    rc_redis_channels(f->link, &channel);
    rc_redis_observe(f->link, &observer);
}

__attribute__((unused)) static void scripted_close(void)
{
    struct fixture *f = &fixture;
    if (f->link != NULL) {
        rc_redis_link_close(f->link);
        rc_relay_loop_close(&f->loop);
    }
    for (int i = 0; i < f->peer_count; i++) {
        hang_up(f, i);
    }
    if (f->listen_fd > 0) {
        close(f->listen_fd);
    }
}

__attribute__((unused)) static void run_until(bool (*done)(struct fixture *f), uint64_t ms)
{
    struct rc_err err;
    fixture.done = done;
    fixture.end_ms = rc_clock_ms() + ms;
    fixture.loop.stopping = false;
    cr_assert_eq(rc_relay_loop_run(&fixture.loop, &err), 0, "%s", err.text);
}

__attribute__((unused)) static bool is_connected(struct fixture *f)
{
    return atomic_load(&f->health.state) == RC_REDIS_CONNECTED;
}

__attribute__((unused)) static bool is_away(struct fixture *f)
{
    return atomic_load(&f->health.state) == RC_REDIS_AWAY;
}

__attribute__((unused)) static enum rc_redis_want want(const char *name)
{
    return rc_redis_channel_want(fixture.link, rc_channel_hash(name, strlen(name)), rc_span_text(name), 0, 1);
}

__attribute__((unused)) static bool wanted_once(struct fixture *f)
{
    return f->wanted_confirmed + f->wanted_local > 0 && (f->wanted_local > 0 || f->messages[0] != '\0');
}

static uint64_t wait_end_ms;
__attribute__((unused)) static bool time_is_over(struct fixture *f)
{
    (void)f;
    return rc_clock_ms() >= wait_end_ms;
}

__attribute__((unused)) static bool wanted_once_at_all(struct fixture *f)
{
    return f->wanted_confirmed + f->wanted_local > 0;
}

#endif
