/*
 * render: the metrics of all processes of a broker (common/metrics/bank.h) as Prometheus reads them.
 *
 * Functions over what the caller has; nothing fails, and banks of processes of other builds are read by name.
 */
#ifndef RC_COMMON_METRICS_RENDER_H
#define RC_COMMON_METRICS_RENDER_H

#include <stddef.h>

#include "common/metrics/bank.h"

#define RC_METRICS_RELAY (-1)
#define RC_METRICS_ACCEPTOR (-2)

/* What the exposition needs to know about one process's block. */
struct rc_metrics_source {
    const struct rc_bank *bank; /* borrowed */
    int worker;                 /* index, or one of those */
};

struct rc_exposition;

/*
 * All metrics of metrics.def. What workers count has a series for each of them, labelled `worker`; what the relay or the acceptor counts
 * has one; what all of them count has one for each process, labelled `process`, too (RC_WRITTEN_BY). A sum over a family counts nothing twice. The
 * names of requirements.md (ws_...) are one sum each, as those servers had them. Histograms are summed, cumulative with `le`.
 */
void rc_metrics_render(struct rc_exposition *to, const struct rc_metrics_source *sources, size_t count);

#endif
