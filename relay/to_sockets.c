/* to_sockets: see to_sockets.h. */
#include "relay/to_sockets.h"

#include "common/records/channel_name.h"
#include "common/records/sid.h"

bool rc_to_sockets_moved(const struct rc_to_sockets *to, const struct rc_envelope_view *view)
{
    const struct rc_comeback_move *moved =
        to->comeback == NULL ? NULL : rc_comeback_moved(to->comeback, view->head.target.random);
    struct rc_envelope_view one = *view;
    char channel[RC_CHANNEL_NAME_MAX];
    struct rc_span nsp = RC_SPAN("/");
    struct rc_span room;
    if (moved == NULL || view->head.passed >= RC_DIRECT_PASSED_MAX ||
        !rc_registry_knows(to->registry, moved->instance)) {
        return false;
    }
    one.head.passed = (uint8_t)(view->head.passed + 1);
    if (view->head.channel_bytes > 0) {
        (void)rc_channel_split(rc_span_of(view->channel, view->head.channel_bytes), &nsp, &room);
    }
    one.channel = channel;
    one.head.channel_bytes =
        (uint8_t)rc_channel_of_room(channel, sizeof(channel), nsp, rc_span_of(moved->sid, RC_SID_BYTES));
    return rc_direct_publish_socket(to->direct, moved->instance, &one);
}

bool rc_to_sockets_room(const struct rc_to_sockets *to, const struct rc_envelope_view *view)
{
    struct rc_span nsp;
    struct rc_span room;
    struct rc_sid sid;
    (void)rc_channel_split(rc_span_of(view->channel, view->head.channel_bytes), &nsp, &room);
    if (rc_sid_read(&sid, room) && to->router->setup.recovery != NULL &&
        rc_recovery_has(to->router->setup.recovery, sid.client.random)) {
        struct rc_envelope_view one = *view;
        char everybody[RC_CHANNEL_NAME_MAX];
        one.head.target = sid.client;
        one.channel = everybody;
        one.head.channel_bytes = (uint8_t)rc_channel_of_room(everybody, sizeof(everybody), nsp, (struct rc_span){0});
        (void)rc_router_deliver_behind(to->router, view->head.sequence, &one);
        const char *owner = to->comeback == NULL ? NULL : rc_comeback_owner(to->comeback, sid.client.random);
        if (owner != NULL) {
            (void)rc_direct_publish_socket(to->direct, owner, view);
        }
        return true;
    }
    const char *instance = rc_sid_read(&sid, room) ? rc_registry_of_socket(to->registry, &sid) : NULL;
    if (instance != NULL) {
        (void)rc_direct_publish_socket(to->direct, instance, view);
    }
    return instance != NULL;
}

bool rc_to_sockets_select(const struct rc_to_sockets *to, struct rc_span name, const struct rc_envelope_view *view)
{
    struct rc_span nsp;
    struct rc_span room;
    struct rc_sid sid;
    (void)rc_channel_split(name, &nsp, &room);
    if (!rc_sid_read(&sid, room)) {
        return false;
    }
    const char *maker = rc_registry_of_socket(to->registry, &sid);
    const char *owner = to->comeback == NULL ? NULL : rc_comeback_owner(to->comeback, sid.client.random);
    const struct rc_comeback_move *moved =
        to->comeback == NULL ? NULL : rc_comeback_moved(to->comeback, sid.client.random);
    if (moved != NULL && rc_registry_knows(to->registry, moved->instance)) {
        (void)rc_direct_select_socket(to->direct, moved->instance, name, view);
    } else if (owner != NULL) {
        (void)rc_direct_select_socket(to->direct, owner, name, view);
    }
    if (maker != NULL) {
        (void)rc_direct_select_socket(to->direct, maker, name, view);
    }
    return maker != NULL || owner != NULL || moved != NULL;
}
