/*
 * variable: the environment variables that ringcast reads. config.c gives them their effect; here is what they are called.
 */
#ifndef RC_COMMON_CONFIG_VARIABLE_H
#define RC_COMMON_CONFIG_VARIABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/config/config.h"

struct rc_config_variable {
    const char *name;
    const char *help; /* NULL: no part of the configuration, and not documented as one */
};

extern const struct rc_config_variable rc_config_variables[];
extern const size_t rc_config_variable_count;

/* Is "NAME=value" an entry of one of them? Some hold secrets, and the children, who read none, do not get them. */
bool rc_config_variable_ours(const char *entry);

/* A line in `warnings` for each entry of `environment` (as environ) that begins with RINGCAST_ and is none of them, nor
 * known to the tests of this build: a name that is misspelt sets nothing. Names only, never values. */
void rc_config_variables_unknown(char *const *environment, struct rc_config_errors *warnings);

#endif
