/* addresses: see addresses.h. */
#include "worker/backend/addresses.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "common/text/address.h"

static void found_ip(const struct rc_backend_url *urls, uint32_t url, const struct rc_address *ip,
                     rc_backend_address_found *found, void *context)
{
    const in_port_t port = htons(urls[url].port);
    if (rc_address_is_v4(ip)) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = port};
        memcpy(&v4.sin_addr, ip->bytes + 12, 4);
        found(context, url, &v4, sizeof(v4));
    } else {
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = port};
        memcpy(&v6.sin6_addr, ip->bytes, 16);
        found(context, url, &v6, sizeof(v6));
    }
}

void rc_backend_addresses_each(const struct rc_hosts *hosts, const struct rc_backend_url *urls, uint32_t count,
                               rc_backend_address_found *found, void *context)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct rc_backend_url *url = &urls[i];
        struct rc_address ips[RC_HOST_ADDRESSES_MAX];
        struct sockaddr_un local = {.sun_family = AF_UNIX};
        if (url->scheme == RC_BACKEND_UNIX) {
            memcpy(local.sun_path, url->host.bytes, url->host.count);
            found(context, i, &local, sizeof(local));
            continue;
        }
        if (rc_address_parse(&ips[0], (const char *)url->host.bytes, url->host.count)) {
            found_ip(urls, i, &ips[0], found, context);
            continue;
        }
        const int found_count = rc_hosts_find(hosts, url->host, ips);
        for (int n = 0; n < found_count; n++) {
            found_ip(urls, i, &ips[n], found, context);
        }
    }
}
