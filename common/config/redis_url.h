/*
 * redis_url: where Redis is, out of `redis.url`.
 *
 *   redis://[user[:password]@]host[:6379][/database]          one server; rediss:// and valkeys:// with TLS
 *   unix://[user[:password]@]/path/to.sock[?db=database]
 *   redis+sentinel://[…@]host[:26379],host,…/master[/database] the sentinels that know the master; rediss+sentinel://
 *   redis+cluster://[…@]host[:6379],host,…                     some nodes of a Cluster; rediss+cluster://
 *
 * User and password are percent-decoded; `:password@` is the default user's. IPv6 addresses stand in brackets. Plain memory; any
 * process may call. -EINVAL with a sentence in `err` that does not repeat the password.
 */
#ifndef RC_COMMON_CONFIG_REDIS_URL_H
#define RC_COMMON_CONFIG_REDIS_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

#define RC_REDIS_HOSTS_MAX 16
#define RC_REDIS_HOST_MAX 128       /* bytes of a host, NUL included */
#define RC_REDIS_CREDENTIAL_MAX 256 /* bytes of user, password or master, NUL included */
#define RC_REDIS_PATH_MAX 108       /* sockaddr_un */

enum rc_redis_kind { RC_REDIS_SINGLE, RC_REDIS_UNIX, RC_REDIS_SENTINEL, RC_REDIS_CLUSTER };

struct rc_redis_address {
    char host[RC_REDIS_HOST_MAX]; /* a name, an IPv4 or IPv6 address without brackets */
    uint16_t port;
};

struct rc_redis_url {
    enum rc_redis_kind kind;
    bool tls;
    uint32_t database;
    uint32_t host_count;
    struct rc_redis_address hosts[RC_REDIS_HOSTS_MAX];
    char path[RC_REDIS_PATH_MAX];           /* of UNIX */
    char user[RC_REDIS_CREDENTIAL_MAX];     /* "" = the default user */
    char password[RC_REDIS_CREDENTIAL_MAX]; /* "" = none */
    char master[RC_REDIS_CREDENTIAL_MAX];   /* of SENTINEL */
};

int rc_redis_url_parse(struct rc_redis_url *url, const char *text, struct rc_err *err);

/* "host:port" (IPv6 in brackets) or "[host]"; `default_port` where none is given. False when it is neither. */
bool rc_redis_address_parse(struct rc_redis_address *address, const char *text, size_t bytes, uint16_t default_port);

#endif
