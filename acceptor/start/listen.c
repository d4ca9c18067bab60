/*
 * listen: see listen.h.
 */
#include "acceptor/start/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acceptor/start/unix_path.h"
#include "common/base/check.h"
#include "common/base/log.h"

static const struct {
    const char *name;
    const char *key; /* of the configuration */
} kinds[RC_LISTENER_KIND_COUNT] = {
    [RC_LISTENER_CLIENT] = {"client", "server.listen"},
    [RC_LISTENER_ADMIN] = {"admin", "http.admin_listen"},
    [RC_LISTENER_TLS] = {"tls", "tls.listen"},
    [RC_LISTENER_LINK] = {"link", "link.listen"},
    [RC_LISTENER_LINK_TLS] = {"link_tls", "link.tls_listen"},
};

static int listen_error(const struct rc_listen *group, int code, struct rc_err *err)
{
    const char *key = kinds[group->kind].key;
    switch (code) {
    case -EADDRINUSE:
        if (group->address.unix_socket) {
            return rc_err_set(err, code, "cannot listen on %s: another process listens there: stop it or change %s",
                              group->text, key);
        }
        return rc_err_set(err, code,
                          "cannot listen on %s: the port is in use: stop the other program (`ss -ltnp sport = :%u` "
                          "shows it) or change %s",
                          group->text, group->address.port, key);
    case -EACCES:
    case -EPERM:
        if (group->address.unix_socket) {
            return rc_err_set(err, code, "cannot listen on %s: no permission to make the socket file in its folder",
                              group->text);
        }
        return rc_err_set(err, code,
                          "cannot listen on %s: no permission for a port below %s: start as root or with "
                          "CAP_NET_BIND_SERVICE, run `sysctl -w net.ipv4.ip_unprivileged_port_start=%u`, or change %s",
                          group->text, "1024", group->address.port, key);
    case -EADDRNOTAVAIL:
        return rc_err_set(err, code,
                          "cannot listen on %s: this host has no such address (`ip address` lists them): "
                          "change %s",
                          group->text, key);
    case -EAFNOSUPPORT:
        return rc_err_set(err, code, "cannot listen on %s: IPv6 is switched off on this host: change %s", group->text,
                          key);
    case -ENOENT:
        return rc_err_set(err, code, "cannot listen on %s: the folder of the socket does not exist", group->text);
    case -EMFILE:
    case -ENFILE:
        return rc_err_set(err, code, "cannot listen on %s: too few descriptors: raise RLIMIT_NOFILE (`ulimit -n`)",
                          group->text);
    default:
        return rc_err_set(err, code, "cannot listen on %s: %s", group->text, strerror(-code));
    }
}

static int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0 ? 0 : -errno;
}

static int clamp_int(uint64_t value)
{
    return value > INT32_MAX ? INT32_MAX : (int)value;
}

/* A bound TCP socket. Congestion control is left as the host has it. */
static int bind_tcp(const struct rc_listen *group, bool share_port)
{
    const struct rc_listen_address *address = &group->address;
    const int fd = socket(address->socket.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    if (fd < 0) {
        return -errno;
    }
    int rc = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0 && share_port) {
        rc = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    if (rc == 0 && address->socket.any.sa_family == AF_INET6) {
        rc = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, group->dual_stack ? 0 : 1);
    }
    if (rc == 0 && bind(fd, &address->socket.any, address->socket_bytes) != 0) {
        rc = -errno;
    }
    if (rc != 0) {
        close(fd);
        return rc;
    }
    return fd;
}

/* One member of the group. What accepted sockets shall inherit is set before listen. */
static int open_tcp(const struct rc_listen *group)
{
    const int fd = bind_tcp(group, true);
    if (fd < 0) {
        return fd;
    }
    int rc = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (rc == 0 && group->options.notsent_lowat_bytes != 0) {
        rc = set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, clamp_int(group->options.notsent_lowat_bytes));
    }
    if (rc == 0 && group->options.send_buffer_bytes != 0) {
        /* The kernel doubles the number for its own bookkeeping. */
        rc = set_option(fd, SOL_SOCKET, SO_SNDBUF, clamp_int(group->options.send_buffer_bytes / 2));
    }
    if (rc == 0 && listen(fd, clamp_int(group->options.backlog)) != 0) {
        rc = -errno;
    }
    if (rc != 0) {
        close(fd);
        return rc;
    }
    return fd;
}

/* SO_REUSEPORT would let us share the port with a second broker of the same user, each getting half of the
 * clients. A bind without it fails when anybody listens there. */
static int check_free(const struct rc_listen *group)
{
    const int fd = bind_tcp(group, false);
    if (fd < 0) {
        return fd;
    }
    close(fd);
    return 0;
}

void rc_listen_use_ipv4(struct rc_listen *group)
{
    const struct sockaddr_in wildcard = {.sin_family = AF_INET, .sin_port = htons(group->address.port)};
    group->address.socket.v4 = wildcard;
    group->address.socket_bytes = sizeof(wildcard);
}

static int open_all_tcp(struct rc_listen *group, uint32_t workers)
{
    int rc = check_free(group);
    if (rc == -EAFNOSUPPORT && group->dual_stack) {
        rc_listen_use_ipv4(group);
        rc = check_free(group);
    }
    if (rc != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < workers; i++) {
        group->fds[i] = open_tcp(group);
        if (group->fds[i] < 0) {
            rc = group->fds[i];
            group->fds[i] = -1;
            return rc;
        }
        group->count = i + 1;
    }
    return 0;
}

static int open_unix(struct rc_listen *group)
{
    const struct sockaddr_un *local = &group->address.socket.local;
    int rc = rc_unix_path_clear(local->sun_path);
    if (rc != 0) {
        return rc;
    }
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    /* As open as a loopback port; who wants less restricts the folder. */
    if (bind(fd, &group->address.socket.any, group->address.socket_bytes) != 0 || chmod(local->sun_path, 0666) != 0 ||
        listen(fd, clamp_int(group->options.backlog)) != 0) {
        rc = -errno;
        close(fd);
        return rc;
    }
    group->unix_bound = true;
    group->fds[0] = fd;
    group->count = 1;
    return 0;
}

int rc_listen_open(struct rc_listen *group, const char *text, enum rc_listener_kind kind, uint32_t workers,
                   const struct rc_listen_options *options, struct rc_err *err)
{
    RC_ASSERT(workers >= 1 && workers <= RC_WORKERS_MAX);
    memset(group, 0, sizeof(*group));
    for (uint32_t i = 0; i < RC_WORKERS_MAX; i++) {
        group->fds[i] = -1;
    }
    group->kind = kind;
    group->options = *options;
    int rc = rc_listen_address_parse(&group->address, text, strlen(text), err);
    if (rc != 0) {
        return rc;
    }
    group->dual_stack = text[0] == '*';
    rc_listen_address_format(group->text, sizeof(group->text), &group->address);
    if (group->dual_stack) {
        snprintf(group->text, sizeof(group->text), "*:%u", group->address.port);
    }
    rc = group->address.unix_socket ? open_unix(group) : open_all_tcp(group, workers);
    if (rc != 0) {
        rc_listen_close(group);
        if (rc == -EEXIST) {
            return rc_err_set(err, rc, "cannot listen on %s: there is a file of that name that is not a socket",
                              group->text);
        }
        return listen_error(group, rc, err);
    }
    return 0;
}

const char *rc_listen_kind_name(enum rc_listener_kind kind)
{
    RC_ASSERT(kind < RC_LISTENER_KIND_COUNT);
    return kinds[kind].name;
}

int rc_listen_fd(const struct rc_listen *group, uint32_t worker)
{
    return group->address.unix_socket ? group->fds[0] : group->fds[worker];
}

int rc_listen_replace(struct rc_listen *group, uint32_t worker, struct rc_err *err)
{
    if (group->address.unix_socket) {
        return 0;
    }
    const int fd = open_tcp(group);
    if (fd < 0) {
        return listen_error(group, fd, err);
    }
    const int old = group->fds[worker];
    group->fds[worker] = fd;
    if (old >= 0) {
        close(old);
    }
    return 0;
}

void rc_listen_close_one(struct rc_listen *group, uint32_t worker)
{
    if (!group->address.unix_socket && group->fds[worker] >= 0) {
        close(group->fds[worker]);
        group->fds[worker] = -1;
    }
}

void rc_listen_describe(const struct rc_listen *group, struct rc_listener *listener)
{
    memset(listener, 0, sizeof(*listener));
    listener->kind = (uint32_t)group->kind;
    listener->loopback = group->address.loopback ? 1 : 0;
    listener->unix_socket = group->address.unix_socket ? 1 : 0;
    listener->port = group->address.port;
    snprintf(listener->address, sizeof(listener->address), "%.*s", (int)sizeof(listener->address) - 1, group->text);
}

void rc_listen_close(struct rc_listen *group)
{
    for (uint32_t i = 0; i < RC_WORKERS_MAX; i++) {
        if (group->fds[i] >= 0) {
            close(group->fds[i]);
            group->fds[i] = -1;
        }
    }
}

void rc_listen_unlink(struct rc_listen *group)
{
    if (group->unix_bound) {
        (void)rc_unix_path_clear(group->address.socket.local.sun_path);
        group->unix_bound = false;
    }
}
