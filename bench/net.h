/*
 * net: where to connect to, and client sockets made for load.
 *
 * A target is a plain struct owned by the caller. Sockets are blocking-agnostic TCP sockets for an io_uring ring.
 */
#ifndef RC_BENCH_NET_H
#define RC_BENCH_NET_H

#include "common/base/err.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define RC_BENCH_HOST_MAX 256
#define RC_BENCH_PATH_MAX 512

struct rc_bench_target {
    struct sockaddr_storage address;
    socklen_t address_bytes;
    bool tls;                     /* wss:// */
    bool loopback4;               /* 127.0.0.0/8: source addresses can be chosen freely */
    char host[RC_BENCH_HOST_MAX]; /* for the Host header, with the port where it is not 80 */
    char path[RC_BENCH_PATH_MAX]; /* with query; empty when the URL had none */
};

/* Reads ws://host[:port][/path] (also http://, tcp:// and, with TLS, wss:// and https://) and resolves the host. 0, -EINVAL or -EHOSTUNREACH with `err`. */
int rc_bench_net_target(struct rc_bench_target *target, const char *url, struct rc_err *err);

/* One TCP socket for connection `number` of all: RST on close (no TIME_WAIT), no Nagle, and, towards 127.0.0.0/8, a
 * source address of its own for every 250 connections, its port chosen at connect (IP_BIND_ADDRESS_NO_PORT).
 * `send_bytes`, when not 0, is what must fit into its send buffer.
 * Returns the descriptor or a negative errno. */
int rc_bench_net_socket(const struct rc_bench_target *target, uint32_t number, uint32_t send_bytes);

/* A listening socket on 127.0.0.1, cubic and without Nagle for what it accepts; `*port` becomes the chosen port.
 * Returns the descriptor or a negative errno. */
int rc_bench_net_listen(uint16_t *port);

#endif
