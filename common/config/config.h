/*
 * config: what is done with a configuration as a whole: defaults, environment, the differences of a reload, the checks across
 * keys, and what follows from it.
 *
 * The acceptor fills one (defaults from config.def, then TOML, then environment) and publishes it; workers and the relay only
 * read. One key alone is the matter of common/config/key.h.
 */
#ifndef RC_COMMON_CONFIG_CONFIG_H
#define RC_COMMON_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/config/policies.h"
#include "common/config/values.h"

/* What was wrong with a file, one sentence a line, with its place. Owned by the caller. */
#define RC_CONFIG_ERRORS_MAX 20
struct rc_config_errors {
    uint32_t count; /* all of them; the first RC_CONFIG_ERRORS_MAX have a line */
    struct rc_err lines[RC_CONFIG_ERRORS_MAX];
};

/* Adds a line; once RC_CONFIG_ERRORS_MAX are there it only counts. */
void rc_config_errors_add(struct rc_config_errors *errors, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * The way of a configuration, at start and at every reload:
 *
 *   rc_config_defaults, rc_config_load_text (acceptor/config/toml.h), rc_config_environment,
 *   at a reload rc_config_reload_diff (before finish: who may do what depends on the listeners that stay),
 *   rc_config_finish
 */

/* Fills `config` with the defaults of config.def (including namespaces[0] = `default`). */
void rc_config_defaults(struct rc_config *config);

/* Applies the environment variables of the sources (REDIS_URL, INSTANCE_ID, SERVER_ID, PORT, LOG_LEVEL, CORS_ORIGIN,
 * CLIENT_URL, WS_HEARTBEAT_INTERVAL, WS_DEAD_INSTANCE_THRESHOLD, ENABLE_WEBSOCKET_CLUSTERING) and RINGCAST_API_KEY;
 * they win over the file. An empty variable counts as unset. -EINVAL with the variable's name and the remedy in
 * `err`. */
int rc_config_environment(struct rc_config *config, struct rc_err *err);

/* Reload, before rc_config_finish(next): each key that differs but may not change at run time gets a line in
 * `needs_restart` and keeps its old value in `next`. `old` is the finished configuration in force. Returns the number
 * of such keys. */
uint32_t rc_config_reload_diff(const struct rc_config *old, struct rc_config *next,
                               struct rc_config_errors *needs_restart);

/* Do both have the same in a section (index in rc_config_sections)? */
bool rc_config_section_equal(const struct rc_config *a, const struct rc_config *b, uint32_t index);

/* After defaults + TOML + environment: cross-key checks (ring size against message size, patterns), resolution of
 * RC_WHO_DEFAULT, instance id made up when empty. -EINVAL with the remedy in `err`. */
int rc_config_finish(struct rc_config *config, struct rc_err *err);

#endif
