/*
 * What a command prints for programs: JSON in lines, as `--json` of every command has it.
 */
#ifndef RC_ACCEPTOR_CONSOLE_PRINT_JSON_H
#define RC_ACCEPTOR_CONSOLE_PRINT_JSON_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

/* `root`, indented by two, and a line's end. False: there is none (NULL), it is not UTF-8, or it could not be written. */
bool rc_json_print(FILE *out, const json_t *root);

#endif
