/*
 * api_rig: a worker's HTTP API in the test's own process, and somebody who calls it with the key "k".
 *
 * Included once by a test file. Everything that fails here fails the test.
 */
#ifndef RC_TESTS_SUPPORT_API_RIG_H
#define RC_TESTS_SUPPORT_API_RIG_H

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/client_rig.h"
#include "worker/api/api.h"

#define API_RIG_HEAD "HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\n"

static struct client_rig c;
static struct rc_api api;
static uint32_t caller;    /* a socket that speaks HTTP */
static int caller_fd;      /* its far end */
static char answer[16384]; /* to the last api_rig_ask */

static inline void api_rig_open(void)
{
    client_rig_open(&c, 8);
    c.rig.config->http.api_keys.count = 1;
    strcpy(c.rig.config->http.api_keys.items[0].text, "k");
    rc_api_open(&api, &c.clients);
    caller = hub_rig_socket(&c.rig, HUB_RIG_UNIX, 0, &caller_fd);
}

static inline void api_rig_close(void)
{
    rc_socket_terminated(&c.clients, caller);
    rc_api_close(&api);
    client_rig_close(&c);
    (void)close(caller_fd);
}

/* Every counter of the worker is its number and 1000, of the relay its number and `of_relay`. */
static inline void api_rig_count(uint64_t of_relay)
{
    for (uint32_t i = 0; i < RC_METRIC_COUNT; i++) {
        rc_metric_set(c.rig.metrics, i, 1000 + i);
        rc_metric_set(rc_banks_own(&c.rig.shared->relay.report.banks), i, of_relay + i);
    }
}

/* Before api_rig_close: what the rig's own check counts is true again. */
static inline void api_rig_uncount(void)
{
    rc_metric_set(c.rig.metrics, RC_METRIC_BEHIND, 0);
}

/* What is answered to a request: head and body. */
static inline const char *api_rig_ask(const char *request)
{
    uint8_t bytes[2048];
    const size_t request_bytes = strlen(request);
    cr_assert_lt(request_bytes, sizeof(bytes));
    memcpy(bytes, request, request_bytes);
    rc_socket_received(&c.clients, caller, bytes, (uint32_t)request_bytes);
    hub_rig_drain(&c.rig);
    const ssize_t count = recv(caller_fd, answer, sizeof(answer) - 1, MSG_DONTWAIT);
    cr_assert_gt(count, 0);
    answer[count] = '\0';
    return answer;
}

#endif
