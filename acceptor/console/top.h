/*
 * top: `ringcast top`: the broker live in a terminal: processes, rates, latencies, the hottest channels, the clients furthest behind, and
 * why clients ended.
 *
 * Asks the API over the control socket every --interval seconds; plain escape codes, as large as the terminal is. --once writes one
 * picture and ends, --json as one JSON object. A broker that stops answering is asked again for a while (live.h). A command of cli.h: it returns the exit code of the program.
 */
#ifndef RC_ACCEPTOR_CONSOLE_TOP_H
#define RC_ACCEPTOR_CONSOLE_TOP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct rc_cli;

int rc_top_run(const struct rc_cli *cli);

/* Tables of the answers of /api/channels?sort= and /api/clients?behind=, so many rows of them. */
void rc_top_print_channels(const json_t *channels, const char *title, size_t most, int columns);
void rc_top_print_behind(const json_t *clients, size_t most);

#endif
