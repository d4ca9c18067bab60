/*
 * settings: one configuration from all its sources: defaults, file, environment, and what `make run` makes up.
 *
 * Owned by the supervisor (or by `ringcast check`); large, so never on a stack. Errors are lists of lines for people,
 * each with file, line and column where there is one.
 */
#ifndef RC_ACCEPTOR_START_SETTINGS_H
#define RC_ACCEPTOR_START_SETTINGS_H

#include <stdbool.h>

#include "common/config/config.h"
#include "common/base/err.h"

#define RC_SETTINGS_KEY_BYTES 33 /* of a made-up API key, NUL included */

struct rc_settings {
    const char *path; /* borrowed: the file, NULL = none */
    char *
        real_path; /* owned: where it was at the start, by which `-c` knows a broker; NULL = none, or not a file by name */
    bool quickstart; /* an API key is made up when none is configured */
    char quickstart_key[RC_SETTINGS_KEY_BYTES];
    struct rc_config config; /* finished: what is in force */
};

/* NULL when there is no memory. `quickstart` makes up the key that stays for the life of the process. */
struct rc_settings *rc_settings_new(const char *path, bool quickstart);
void rc_settings_free(struct rc_settings *settings);

/* Reads all sources into settings->config. -EINVAL with every error in `errors`, or -ENOENT and such when the file
 * cannot be read. */
int rc_settings_load(struct rc_settings *settings, struct rc_config_errors *errors);

/* Can the files that `config` names (certificates, keys, authorities) be used by the user of the children? Not part of loading:
 * `status` and its like do not need them. 0, or negative with a line in `errors`. */
int rc_settings_check_files(const struct rc_settings *settings, const struct rc_config *config,
                            struct rc_config_errors *errors);

/* Reads all sources again into `next`, which keeps what needs a restart; those keys are listed in `needs_restart`.
 * Nothing in force changes. Errors as above. */
int rc_settings_reload(const struct rc_settings *settings, struct rc_config *next,
                       struct rc_config_errors *needs_restart, struct rc_config_errors *errors);

/* Names of the keys in which two configurations differ, separated by ", ", cut to `capacity`. Returns their number. */
unsigned rc_settings_changed(const struct rc_config *old, const struct rc_config *next, char *names, size_t capacity);

#endif
