/* net: see net.h. */
#include "bench/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_PER_ADDRESS 250u

static int address_resolve(struct rc_bench_target *target, const char *host, const char *port, struct rc_err *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    const int rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0) {
        return rc_err_set(err, -EHOSTUNREACH, "cannot resolve %s:%s: %s; give a name or address that resolves here",
                          host, port, gai_strerror(rc));
    }
    memcpy(&target->address, found->ai_addr, found->ai_addrlen);
    target->address_bytes = found->ai_addrlen;
    freeaddrinfo(found);
    if (target->address.ss_family == AF_INET) {
        const struct sockaddr_in *const in = (const struct sockaddr_in *)&target->address;
        target->loopback4 = ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    return 0;
}

int rc_bench_net_target(struct rc_bench_target *target, const char *url, struct rc_err *err)
{
    *target = (struct rc_bench_target){0};
    const char *rest = strstr(url, "://");
    target->tls = strncmp(url, "wss:", 4) == 0 || strncmp(url, "https:", 6) == 0;
    if (rest == NULL || (strncmp(url, "ws:", 3) != 0 && strncmp(url, "http:", 5) != 0 && strncmp(url, "tcp:", 4) != 0 &&
                         !target->tls)) {
        return rc_err_set(err, -EINVAL,
                          "%s is not a URL that can be measured: give ws://host:port/path, or wss:// for TLS", url);
    }
    rest += 3;
    const size_t authority = strcspn(rest, "/?");
    if (authority == 0 || authority >= sizeof(target->host)) {
        return rc_err_set(err, -EINVAL, "%s names no host: give ws://host:port/path", url);
    }
    memcpy(target->host, rest, authority);
    const int path =
        snprintf(target->path, sizeof(target->path), "%s%s", rest[authority] == '?' ? "/" : "", rest + authority);
    if (path < 0 || (size_t)path >= sizeof(target->path)) {
        return rc_err_set(err, -EINVAL, "the path of the URL is longer than %d bytes", RC_BENCH_PATH_MAX - 1);
    }

    char host[RC_BENCH_HOST_MAX];
    memcpy(host, target->host, sizeof(host));
    char *port = strrchr(host, ':');
    const char *const bracket = strchr(host, ']');
    if (port != NULL && (bracket == NULL || port > bracket)) {
        *port++ = '\0';
    } else {
        port = NULL;
    }
    char *name = host;
    if (host[0] == '[' && host[strlen(host) - 1] == ']') {
        host[strlen(host) - 1] = '\0';
        name++;
    }
    return address_resolve(target, name, port != NULL ? port : target->tls ? "443" : "80", err);
}

int rc_bench_net_socket(const struct rc_bench_target *target, uint32_t number, uint32_t send_bytes)
{
    const int fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    const int on = 1;
    int rc = setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    rc |= setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (send_bytes > 0) {
        const int buffer = (int)send_bytes;
        rc |= setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    }
    if (target->loopback4) {
        /* 127.1.0.1 upwards, the last byte 1 to 254. */
        const uint32_t source = number / CONNECTIONS_PER_ADDRESS;
        const struct sockaddr_in from = {
            .sin_family = AF_INET,
            .sin_addr.s_addr = htonl((127u << 24) + (1u << 16) + ((source / 254) << 8) + source % 254 + 1),
        };
        rc |= setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
        rc |= bind(fd, (const struct sockaddr *)&from, sizeof(from));
    }
    if (rc != 0) {
        const int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

int rc_bench_net_listen(uint16_t *port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    const int on = 1;
    /* The system's default may be BBR; the floors and the broker are compared under the same one. Absent: as it is. */
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(at);
    if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 65535) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &bytes) != 0) {
        const int error = -errno;
        close(fd);
        return error;
    }
    *port = ntohs(at.sin_port);
    return fd;
}
