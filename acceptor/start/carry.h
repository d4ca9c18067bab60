/*
 * carry: the configuration in force, from one build to another that has other keys.
 *
 * Functions over struct rc_settings; the texts are those that acceptor/upgrade hands over.
 */
#ifndef RC_ACCEPTOR_START_CARRY_H
#define RC_ACCEPTOR_START_CARRY_H

#include "acceptor/start/settings.h"

/*
 * A program of another build goes on: it makes its own configuration of the texts that are in force, `source` and `base`, as
 * settings->config. What only the former build knows is passed over, what only this one knows has its default until the file is read again.
 * Indices into tables stay what they were: that is checked. -EINVAL with lines in `errors`.
 */
int rc_settings_carry(struct rc_settings *settings, const char *instance_id, struct rc_config_errors *errors);
/* For it: tables with their numbers of rows, "section rows\n" each; of namespaces with their names behind it. */
int rc_settings_rows(struct rc_source *rows, const struct rc_config *config);

#endif
