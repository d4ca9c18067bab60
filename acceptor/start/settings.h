/*
 * settings: one configuration from all its sources: defaults, file, environment, and what `make run` makes up.
 *
 * Owned by the supervisor (or by `ringcast check`); large, so never on a stack. Errors are lists of lines for people,
 * each with file, line and column where there is one.
 */
#ifndef RC_ACCEPTOR_START_SETTINGS_H
#define RC_ACCEPTOR_START_SETTINGS_H

#include <stdbool.h>

#include "acceptor/start/files.h"
#include "acceptor/start/identity.h"
#include "acceptor/start/source.h"
#include "common/config/config.h"
#include "common/base/err.h"

#define RC_SETTINGS_KEY_BYTES 33 /* of a made-up API key, NUL included */

struct rc_settings {
    const char *path; /* borrowed: the file, NULL = none */
    char *
        real_path; /* owned: where it was at the start, by which `-c` knows a broker; NULL = none, or not a file by name */
    bool quickstart; /* an API key is made up when none is configured */
    char quickstart_key[RC_SETTINGS_KEY_BYTES];
    struct rc_config config;     /* finished: what is in force */
    struct rc_files files;       /* as they were when they were checked last */
    struct rc_identity identity; /* the children's user, while it is known: asked for once, not at each reload */
    bool identity_known;
    struct rc_source source; /* the text of `config` */
    struct rc_source base;   /* of the one before that has what only a restart changes; none: `source` has it, too */
    struct rc_source next;   /* of what rc_settings_reload has read, until rc_settings_accept */
    struct rc_source
        former_rows; /* of the program that has handed its configuration over (carry.h); none: there was none */
};

/* NULL when there is no memory. `quickstart` makes up the key that stays for the life of the process. */
struct rc_settings *rc_settings_new(const char *path, bool quickstart);
void rc_settings_free(struct rc_settings *settings);

/* Reads all sources into settings->config. -EINVAL with every error in `errors`, or -ENOENT and such when the file
 * cannot be read. */
int rc_settings_load(struct rc_settings *settings, struct rc_config_errors *errors);

/* Is there the user of the children (server.user), and can it use the files that `config` names (certificates, keys, authorities)? What
 * they contain goes into `files`. Not part of loading: `status` and its like do not need them. 0, or negative with a line in
 * `errors`. */
int rc_settings_check_files(struct rc_settings *settings, const struct rc_config *config, struct rc_files *files,
                            struct rc_config_errors *errors);

/* A certificate that expires sooner than this is warned of; deploy/prometheus alerts at the same. */
#define RC_SETTINGS_EXPIRY_DAYS 14

/* "expires in 23 hours", "expired 3 days ago"; 64 bytes hold it. True: it is to be warned of. */
bool rc_settings_expiry_format(char *text, size_t capacity, int64_t not_after_s, int64_t now_s);

/* What is not wrong with a configuration, its files and its environment but not what was meant either: keys that ask for what is
 * not built, variables that nobody reads, certificates that expire soon. One list for `check`, start and reload. */
void rc_settings_warnings(const struct rc_config *config, const struct rc_files *files,
                          struct rc_config_errors *warnings);

/* Reads all sources again into `next`, which keeps what needs a restart; those keys are listed in `needs_restart`. `files`
 * are those of `next`. Nothing in force changes. Errors as above. */
int rc_settings_reload(struct rc_settings *settings, struct rc_config *next, struct rc_files *files,
                       struct rc_config_errors *needs_restart, struct rc_config_errors *errors);

/* What rc_settings_reload has read is in force from here on; `whole`: nothing of it needs a restart. */
void rc_settings_accept(struct rc_settings *settings, const struct rc_config *next, bool whole);

/* Steps of it: everything before rc_config_finish, of a text that another build has found right; and that, with the file's name in front of what
 * is wrong. Errors as above. */
int rc_settings_former(const struct rc_settings *settings, const struct rc_source *source, struct rc_config *config,
                       struct rc_config_errors *errors);
int rc_settings_finish(const struct rc_settings *settings, struct rc_config *config, struct rc_config_errors *errors);

/* Names of the keys in which two configurations differ, separated by ", ", cut to `capacity`. Returns their number. */
unsigned rc_settings_changed(const struct rc_config *old, const struct rc_config *next, char *names, size_t capacity);

#endif
