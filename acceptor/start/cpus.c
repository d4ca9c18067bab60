/*
 * cpus: see cpus.h.
 */
#include "acceptor/start/cpus.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/config.h"

#define RC_CPUS_OWN_FOR_RELAY 3u /* from this many CPUs on the relay has one for itself */

int rc_cpus_read(struct rc_cpus *cpus, struct rc_err *err)
{
    cpu_set_t *set = CPU_ALLOC(RC_CPUS_MAX);
    if (set == NULL) {
        return rc_err_set(err, -ENOMEM, "no memory for the set of CPUs");
    }
    const size_t bytes = CPU_ALLOC_SIZE(RC_CPUS_MAX);
    cpus->count = 0;
    if (sched_getaffinity(0, bytes, set) != 0) {
        const int rc = -errno;
        CPU_FREE(set);
        return rc_err_set(err, rc, "cannot read the CPUs of this process: %s", strerror(-rc));
    }
    for (uint32_t id = 0; id < RC_CPUS_MAX; id++) {
        if (CPU_ISSET_S(id, bytes, set)) {
            cpus->ids[cpus->count++] = (uint16_t)id;
        }
    }
    CPU_FREE(set);
    RC_ASSERT(cpus->count > 0);
    return 0;
}

uint32_t rc_cpus_workers_auto(const struct rc_cpus *cpus)
{
    const uint32_t count = cpus->count < RC_CPUS_OWN_FOR_RELAY ? cpus->count : cpus->count - 1;
    return count < RC_WORKERS_MAX ? count : RC_WORKERS_MAX;
}

uint32_t rc_cpus_of(const struct rc_cpus *cpus, uint32_t index)
{
    if (index == RC_CPU_RELAY) {
        return cpus->ids[cpus->count - 1];
    }
    const uint32_t for_workers = cpus->count < RC_CPUS_OWN_FOR_RELAY ? cpus->count : cpus->count - 1;
    return cpus->ids[index % for_workers];
}
