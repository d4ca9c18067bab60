/*
 * key_print: the value of a key (key.h) as a file has it, and what a reader is told of keys and sections.
 */
#ifndef RC_COMMON_CONFIG_KEY_PRINT_H
#define RC_COMMON_CONFIG_KEY_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/config/key.h"

/* Writes the value in TOML. Secrets are masked: keys as "***", a URL's password too. */
void rc_config_key_print(FILE *out, const struct rc_config_key *key, const void *item);

/* What it takes: "size from 64KiB to 1GiB", "one of "a", "b"". 320 bytes hold every one; what does not fit is cut off. */
void rc_config_key_type_format(char *out, size_t capacity, const struct rc_config_key *key);
/* True for a text that has no default and must not be empty. */
bool rc_config_key_must_be_given(const struct rc_config_key *key);
/* "[server]", "[[event.emit]]"; 80 bytes hold every one. */
void rc_config_section_heading(char *out, size_t capacity, const struct rc_config_section *section);

#endif
