/*
 * toml: the configuration file. The only door to the TOML library, which is C++ and linked into the acceptor
 * alone.
 *
 * Called by the acceptor at start and at reload, and by `ringcast check`. No C++ exception leaves it. What is wrong
 * with a file is reported completely (but for syntax, where the first error ends the reading), one line an error, in
 * the file's order:
 *
 *   ringcast.toml:3:17: limits.ping_interval: the number has no unit: expected a duration such as "25s" …, found "25"
 */
#ifndef RC_ACCEPTOR_CONFIG_TOML_H
#define RC_ACCEPTOR_CONFIG_TOML_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" { /* before the include: common/ knows no C++ */
#endif

#include "common/config/config.h"

#define RC_CONFIG_FILE_MAX (1024u * 1024u) /* bytes of a configuration file */
#define RC_CONFIG_KEY_PARTS_MAX 8u         /* parts of a dotted key; ours have two */

/* Sets in `config`, which holds the defaults (rc_config_defaults), what the text of a file says; `name` stands for the file in messages. 0;
 * or -EINVAL for a wrong text with `errors` filled; `config` is then to be thrown away. */
int rc_config_load_text(struct rc_config *config, const char *text, size_t bytes, const char *name,
                        struct rc_config_errors *errors);
/* The same of a text that another build has found right: keys and sections that this one does not know are passed over. */
int rc_config_load_former(struct rc_config *config, const char *text, size_t bytes, const char *name,
                          struct rc_config_errors *errors);

#ifdef __cplusplus
}
#endif

#endif
