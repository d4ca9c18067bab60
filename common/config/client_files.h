/*
 * client_files: the browser files of npm's socket.io-client (its folder dist) that socketio.client_files names.
 *
 * No state. The acceptor checks the folder before anything is started or reloaded, each worker reads the files when it starts. Can
 * fail for what is wrong with the folder.
 */
#ifndef RC_COMMON_CONFIG_CLIENT_FILES_H
#define RC_COMMON_CONFIG_CLIENT_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

#define RC_CLIENT_FILES_MAX 12u
#define RC_CLIENT_FILE_NAME_BYTES_MAX 32u
#define RC_CLIENT_FILE_BYTES_MAX (4u << 20)

/* "socket.io.js" and its family, the only names that are ever looked for. Static. */
extern const char *const rc_client_file_names[RC_CLIENT_FILES_MAX];

/* Reads a file of the folder. 0: `*bytes` is the caller's to free; -ENOENT: there is none; else what is wrong with it. */
int rc_client_file_read(const char *folder, const char *name, uint8_t **bytes, size_t *count, struct rc_err *err);

/* 0 when the folder has at least one script, and all of the family that it has can be read. */
int rc_client_files_check(const char *folder, struct rc_err *err);

#endif
