/*
 * source: the text of a configuration as it was read, kept as long as that configuration is in force: a build whose keys are others makes
 * its own configuration of it (acceptor/start/carry.h), while the file may be another one by then.
 *
 * Owned by the settings. API keys and passwords are in it: freed memory is overwritten.
 */
#ifndef RC_ACCEPTOR_START_SOURCE_H
#define RC_ACCEPTOR_START_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "acceptor/config/toml.h"
#include "common/config/config.h"

struct rc_source {
    char *text; /* owned, NUL-terminated; NULL = none */
    size_t bytes;
};

/* Reads a file into an empty one; `path` NULL: an empty text. Negative errno with a line in `errors`. */
int rc_source_read(struct rc_source *source, const char *path, struct rc_config_errors *errors);
/* A copy of these bytes in place of what it had. -ENOMEM: it has nothing. */
int rc_source_set(struct rc_source *source, const void *bytes, size_t count);
void rc_source_free(struct rc_source *source);

#endif
