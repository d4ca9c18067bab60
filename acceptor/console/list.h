/*
 * list: `ringcast clients` and `ringcast channels`: who is connected, and which channels are hot (docs/api.md), as tables or as JSON.
 *
 * Commands of cli.h: they return the exit code of the program.
 */
#ifndef RC_ACCEPTOR_CONSOLE_LIST_H
#define RC_ACCEPTOR_CONSOLE_LIST_H

#include <jansson.h>
#include <stdint.h>

struct rc_cli;

int rc_list_clients(const struct rc_cli *cli);
int rc_list_channels(const struct rc_cli *cli);

/* What --limit says, into `limit`, which is kept when it is not given; an exit code of the program. */
int rc_list_limit(const struct rc_cli *cli, uint32_t *limit);

/* "1.5M", "312": a number of bytes or messages as people read it, into `text` of 16 bytes, which is returned. */
const char *rc_list_number(char text[16], double number);

/* A member of a row of an answer: 0 when it is no number, "-" when it is no text. */
double rc_list_figure(const json_t *row, const char *name);
const char *rc_list_text(const json_t *row, const char *name);

#endif
