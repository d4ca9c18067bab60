/*
 * files: what the files that a configuration names contain, remembered by a digest, so that a reload can say which of them are others
 * now under the same name (a renewed certificate). Workers and relay read them again at each reload. Owned by the settings; read with the rights of the children's user.
 */
#ifndef RC_ACCEPTOR_START_FILES_H
#define RC_ACCEPTOR_START_FILES_H

#include <stdint.h>

#include "common/config/config.h"

#define RC_FILES_MAX \
    (2 * RC_CONFIG_LIST_MAX + 4 + RC_CONFIG_IDENTITIES_MAX * (RC_CONFIG_LIST_MAX + 3) + RC_CONFIG_BACKENDS_MAX)

struct rc_file {
    const char *key; /* static: "tls.certificates" */
    uint64_t digest; /* 0 = it is not there or cannot be read */
    int64_t
        not_after_s; /* when its certificate, or the first of its authorities, expires, in seconds since 1970; 0 = none */
    char path[RC_CONFIG_TEXT_MAX + 8];
};

struct rc_files {
    uint32_t count;
    struct rc_file items[RC_FILES_MAX];
};

/* Reads them all, each up to 1 MiB: certificates with their OCSP responses, authorities, what Redis is spoken to with, keys of tokens. */
void rc_files_read(struct rc_files *files, const struct rc_config *config);

/* Paths, separated by ", " and cut to `capacity`, of those that both have, and whose contents differ. Returns their number. */
unsigned rc_files_changed(const struct rc_files *old, const struct rc_files *next, char *text, size_t capacity);

#endif
