/*
 * pusher: numbers and words of the Pusher Channels protocol that its codec and worker/pusher share.
 */
#ifndef RC_WORKER_PROTO_PUSHER_H
#define RC_WORKER_PROTO_PUSHER_H

#define RC_PUSHER_AUTH_MAX 160u          /* bytes of "{key}:{64 hexadecimal digits}", and of a shared secret's rest */
#define RC_PUSHER_CLIENT_EVENT "client-" /* how events of clients begin */
#define RC_PUSHER_GAP "ringcast:gap"     /* messages of a channel were lost */
#define RC_PUSHER_UNNAMED "message"      /* a message of others that has no name */

/* Added to one of the protocol's own codes to close with it: some of ours have the same numbers. */
#define RC_PUSHER_CLOSE 10000u

/* Codes of pusher:error, and of the close frame behind it. */
enum rc_pusher_code {
    RC_PUSHER_NO_APP = 4001,
    RC_PUSHER_BAD_VERSION = 4006,
    RC_PUSHER_UNSUPPORTED_VERSION = 4007,
    RC_PUSHER_NO_VERSION = 4008,
    RC_PUSHER_UNAUTHORIZED = 4009,
    RC_PUSHER_OVER_CAPACITY = 4100,
    RC_PUSHER_RECONNECT = 4200,
    RC_PUSHER_NO_PONG = 4201,
    RC_PUSHER_INACTIVE = 4202,
    RC_PUSHER_TOO_FAST = 4301, /* of a client event: the connection stays */
};

#endif
