/*
 * reload: a new configuration while the broker runs.
 *
 * The whole new file is read and checked first; a wrong one changes nothing. Then the copy that is not in force is
 * written and put in force, every child is woken, and no other reload begins before all of them have taken it over.
 * Reloads that are asked for meanwhile become one. Functions over struct rc_supervisor, called from its loop alone.
 */
#ifndef RC_ACCEPTOR_WATCH_RELOAD_H
#define RC_ACCEPTOR_WATCH_RELOAD_H

#include <stdint.h>

#include "acceptor/watch/supervisor.h"

#define RC_RELOAD_NOBODY UINT32_MAX /* instead of a console handle: asked for by a signal */

/* Asks for a reload; `handle` is told how it went. */
void rc_reload_ask(struct rc_supervisor *supervisor, uint32_t handle);

/* Logs the warnings of the configuration in force (rc_settings_warnings), and tells them `count` console handles. */
void rc_reload_warn(struct rc_supervisor *supervisor, const uint32_t *handles, uint32_t count);

/* Begins one that is wanted and may begin, and notices when the pending one is done. */
void rc_reload_progress(struct rc_supervisor *supervisor);

/* When rc_reload_progress must run again; UINT64_MAX = only after an event. */
uint64_t rc_reload_due_ms(const struct rc_supervisor *supervisor);

#endif
