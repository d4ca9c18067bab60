/*
 * print: the configuration for people: help, the documented file, the reference page, and what is in force.
 * All of it from config.def.
 *
 * Any process may call; errors of the stream are the caller's to ask for (ferror).
 */
#ifndef RC_COMMON_CONFIG_PRINT_H
#define RC_COMMON_CONFIG_PRINT_H

#include <stdio.h>

#include "common/config/config.h"

/* Every key with type, bounds, default, whether a reload changes it, and help: `ringcast help-config`. */
void rc_config_print_help(FILE *out);

/* The same as the manual page ringcast.toml(5), in troff with the man macros. */
void rc_config_print_manual(FILE *out);

/* A text as troff that shows it as it is. */
void rc_config_print_troff(FILE *out, const char *text);

/* Words of `text`, each line beginning with `margin`, of a width for terminals. */
void rc_config_print_wrapped(FILE *out, const char *margin, const char *text);

/* deploy/ringcast.toml: a file that says the defaults, with all of that as comments. */
void rc_config_print_document(FILE *out);

/* docs/configuration.md. */
void rc_config_print_markdown(FILE *out);

/* Who may write, and what "auto" means in this configuration (a finished one): for `ringcast check`. */
void rc_config_print_permissions(FILE *out, const struct rc_config *config);

/* The configuration in force as a TOML file; secrets are masked. */
void rc_config_print_toml(FILE *out, const struct rc_config *config);

#endif
