/*
 * client_files: socket.io-client's scripts for browsers, at {socketio.path}socket.io.js and so on, out of memory.
 *
 * Owned by the worker's main(), one thread. The folder is read once, when the worker starts: what is changed in it counts after
 * a restart. What cannot be read then is logged and answered 404, since the acceptor has checked it and clients that are connected
 * matter more.
 */
#ifndef RC_WORKER_HTTP_CLIENT_FILES_H
#define RC_WORKER_HTTP_CLIENT_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "common/config/client_files.h"
#include "common/config/config.h"
#include "worker/http/cached.h"
#include "worker/http/route.h"

struct rc_client_file {
    uint8_t *bytes; /* owned */
    struct rc_cached cached;
    char path[RC_CONFIG_TEXT_MAX + RC_CLIENT_FILE_NAME_BYTES_MAX];
};

struct rc_client_files {
    struct rc_client_file items[RC_CLIENT_FILES_MAX];
    struct rc_route routes[RC_CLIENT_FILES_MAX]; /* of `items`, which they point to */
    size_t count;
};

/* Reads what is there and adds its routes, which are good until it is closed. */
void rc_client_files_open(struct rc_client_files *files, const struct rc_config *config, struct rc_routes *routes);
void rc_client_files_close(struct rc_client_files *files);

#endif
