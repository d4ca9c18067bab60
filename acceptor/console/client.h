/*
 * client: the other end of the console: finds running brokers' sockets, sends one request, copies the answer.
 *
 * Used by the sub-commands of `ringcast`, in a process of their own.
 */
#ifndef RC_ACCEPTOR_CONSOLE_CLIENT_H
#define RC_ACCEPTOR_CONSOLE_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/un.h>

#include "common/base/err.h"
#include "common/config/config.h"

#define RC_CLIENT_BROKERS_MAX 64
#define RC_CLIENT_ANSWER_MS 2000u /* what a broker gets to say who it is, or that it lives */
#define RC_CLIENT_SILENCE_MS 3000u

struct rc_client_broker {
    char socket[sizeof(((struct sockaddr_un *)0)->sun_path)];
    pid_t pid;   /* 0 = not known */
    bool silent; /* it did not say who it is in time: what follows is not known */
    bool busy;   /* nor can that be known of one that turned us away all the time, since it answers as many as it can */
    char instance[RC_INSTANCE_ID_MAX + 1];
    char config[1024]; /* real path of its file; "" = it has none */
};

/* Brokers that run on this host, as far as their sockets lie in the folders of rc_console_folders. */
struct rc_client_brokers {
    unsigned count;
    unsigned foreign; /* more of them that only another user may ask */
    unsigned silent;  /* of which it is not known who they are: of `items`, or left out */
    unsigned busy;    /* the same */
    unsigned
        doubtful; /* sockets in a folder that anybody writes to, of another user: not asked, anybody may have made them */
    struct rc_client_broker items[RC_CLIENT_BROKERS_MAX];
};

/* Asks each socket that something listens on who it is; who turns us away is asked again, for RC_CLIENT_ANSWER_MS. `config` (NULL = all): only those
 * that run with this file. Those of which that is not known are left out then, and counted. */
void rc_client_find(struct rc_client_brokers *brokers, const char *config);

/* A connection to the control socket at `path`; `timeout_ms` is for each of connecting, sending and receiving. Negative errno; -EAGAIN: nobody
 * accepts. */
int rc_client_connect(const char *path, uint64_t timeout_ms);

/* Why no connection could be had: `rc` with `err`. */
int rc_client_unreached(struct rc_err *err, const char *path, int rc);

/* Sends `request` to the socket at `path` and copies the answer after its first line to `out` as it comes, which takes as long as the
 * broker lives: one that says nothing for RC_CLIENT_SILENCE_MS is asked for its version. 0 when the first line was "ok", -EBADMSG when it
 * was "error", else negative errno with `err` set; -ETIMEDOUT: it hangs. */
int rc_client_ask(const char *path, const char *request, FILE *out, struct rc_err *err);

/* The whole answer at its end, without its first line, to be freed. NULL with `err`, which is what it says first where the broker refuses. */
char *rc_client_text(const char *path, const char *request, struct rc_err *err);

#endif
