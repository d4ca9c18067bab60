/*
 * reference: the tables of commands and of configuration keys for programs, as JSON: `ringcast help --json`, `ringcast help-config --json`.
 *
 * Constant; any process may call. The caller owns what is returned and decrefs it; NULL: there is no memory for it.
 */
#ifndef RC_ACCEPTOR_CONSOLE_REFERENCE_H
#define RC_ACCEPTOR_CONSOLE_REFERENCE_H

#include <jansson.h>

#include "acceptor/console/commands.h"

/* {"version", "exit_codes", "commands":[{"name", "summary", "details", "failed", "options":[{"option", "alias", "value", "help", "required"}]}]},
 * null for what there is not; `topic` not NULL: that command alone. */
json_t *rc_reference_commands(const struct rc_command *topic);

/* {"version", "sections":[{"section", "help", "keys":[{"key", "type", "default", "change", "required", "help"}]}],
 * "environment":[{"name", "help"}]}. "default" is as a file has it: true or false, number, text, list of texts; of [[event]] rows
 * and claims their TOML as text. "change" is "reload" or "restart". */
json_t *rc_reference_config(void);

#endif
