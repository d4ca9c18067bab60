/*
 * key_print: the value of a key (key.h) as a file has it.
 */
#ifndef RC_COMMON_CONFIG_KEY_PRINT_H
#define RC_COMMON_CONFIG_KEY_PRINT_H

#include <stdio.h>

#include "common/config/key.h"

/* Writes the value in TOML. Secrets are masked: keys as "***", a URL's password too. */
void rc_config_key_print(FILE *out, const struct rc_config_key *key, const void *item);

#endif
