/* expiry: clients whose credential ends at some time are closed then, to the second, and those who log out. See client.h. */
#include "worker/client/client.h"

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/store/named.h"

#define EXPIRED_AT_ONCE_MAX 256u /* that a pass of the loop closes */
#define CLOCK_SET_MS 1000        /* by which the clock has been set, or was slewed, when all ends are reckoned anew */

static void client_expired(struct rc_clients *clients, uint32_t client)
{
    const struct rc_client *its = rc_truth_client(clients->truth, client);
    if (its->state != RC_CLIENT_OPEN ||
        (rc_encoding_is_pusher(its->encoding) && clients->pusher.late(clients->pusher.context, client))) {
        return;
    }
    const bool silent = its->must_say;
    struct rc_user *user = silent || its->user == 0 ? NULL : rc_truth_user(clients->truth, its->user);
    const uint64_t now_ms = rc_clock_wall_ms();
    if (user != NULL && user->session != 0 && user->expires_ms != 0 && user->expires_ms <= now_ms) {
        const uint64_t until_ms = rc_session_renewed_until(&clients->identities->sessions, user->session);
        if (until_ms != 0) {
            user->expires_ms = until_ms == UINT64_MAX ? 0 : until_ms;
        }
    }
    const uint64_t at_ms = silent ? now_ms : user == NULL ? 0 : rc_client_end_ms(user);
    if (at_ms == 0 ||
        at_ms > now_ms) { /* it was or is to be renewed, or the clock was set back, or a wheel counts no further */
        (void)rc_client_expires(
            clients, client, at_ms == 0 ? rc_client_expiry_due(clients, client) : rc_client_refresh(clients, client));
        return;
    }
    rc_metric_add(clients->metrics, RC_METRIC_IDENTITY_EXPIRED, 1);
    rc_named_log_client("identity_expired", clients->truth, client,
                        silent ? "it did not say who it is" : "its credential has expired", "");
    rc_client_send_away(clients, client, RC_CLOSE_UNAUTHORIZED, rc_close_reason(RC_CLOSE_UNAUTHORIZED));
}

/* Credentials end at a time of CLOCK_REALTIME, timers count CLOCK_MONOTONIC: where somebody has set the former (or the machine slept) all that wait for
 * their end are looked at again. Who only has to say who it is has its time by the latter. */
static void clients_follow_clock(struct rc_clients *clients)
{
    const uint64_t ahead_ms = rc_clock_wall_ms() - rc_clock_ms();
    const int64_t by_ms = (int64_t)(ahead_ms - clients->wall_ahead_ms);
    if (clients->expiry.pending == 0 || (by_ms > -CLOCK_SET_MS && by_ms < CLOCK_SET_MS)) {
        return;
    }
    clients->wall_ahead_ms = ahead_ms;
    for (uint32_t i = 1; i <= clients->hub->clients_high; i++) {
        const struct rc_client *its = rc_truth_client(clients->truth, i);
        if (its->random != 0 && its->state == RC_CLIENT_OPEN && !its->must_say && its->user != 0) {
            (void)rc_client_expires(clients, i, rc_client_expiry_due(clients, i)); /* its wheel is open */
        }
    }
}

void rc_clients_expire(struct rc_clients *clients)
{
    if (clients->expiry.nodes != NULL) {
        clients_follow_clock(clients);
    }
    for (uint32_t i = 0; clients->expiry.nodes != NULL && i < EXPIRED_AT_ONCE_MAX; i++) {
        const uint32_t client = rc_wheel_expire(&clients->expiry, clients->io->now_ds);
        if (client == RC_WHEEL_NONE) {
            return;
        }
        client_expired(clients, client);
    }
}

uint32_t rc_clients_sleep_ms(const struct rc_clients *clients, uint32_t most_ms)
{
    if (clients->expiry.nodes == NULL || clients->expiry.pending == 0) {
        return most_ms;
    }
    if (clients->expiry.now_ds < clients->io->now_ds) {
        return 0; /* more are due than one pass takes */
    }
    const uint32_t ms = rc_wheel_sleep(&clients->expiry, most_ms / RC_WHEEL_TICK_MS + 1) * RC_WHEEL_TICK_MS;
    return ms < most_ms ? ms : most_ms;
}

void rc_clients_logged_out(struct rc_clients *clients, uint32_t session)
{
    struct rc_sessions *sessions = &clients->identities->sessions;
    uint32_t first;
    while ((first = rc_session_first(sessions, session)) != 0) {
        const uint32_t client = first - 1;
        rc_client_session_left(clients, client);
        if (rc_truth_client(clients->truth, client)->state != RC_CLIENT_OPEN) {
            continue;
        }
        rc_metric_add(clients->metrics, RC_METRIC_IDENTITY_LOGGED_OUT, 1);
        rc_named_log_client("identity_logged_out", clients->truth, client, "its session is no more", "");
        rc_client_send_away(clients, client, RC_CLOSE_UNAUTHORIZED, rc_close_reason(RC_CLOSE_UNAUTHORIZED));
    }
}

void rc_clients_revoked(struct rc_clients *clients, uint32_t client, uint64_t random)
{
    if (rc_truth_named(clients->truth, client, random) == NULL ||
        rc_truth_client(clients->truth, client)->state != RC_CLIENT_OPEN) {
        return;
    }
    rc_metric_add(clients->metrics, RC_METRIC_IDENTITY_REVOKED, 1);
    rc_named_log_client("identity_revoked", clients->truth, client, "its token is revoked", "");
    rc_client_send_away(clients, client, RC_CLOSE_UNAUTHORIZED, rc_close_reason(RC_CLOSE_UNAUTHORIZED));
}
