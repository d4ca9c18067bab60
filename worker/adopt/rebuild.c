/* rebuild: see rebuild.h. */
#include "worker/adopt/rebuild.h"

#include "common/base/check.h"
#include "worker/store/truth_check.h"

int rc_adopt_rebuild(const struct rc_adopt *adopt, struct rc_err *err)
{
    struct rc_truth_found found;
    RC_ASSERT(adopt->truth->adopted);
    int rc = rc_truth_check(adopt->truth, &found, err);
    if (rc == 0) {
        rc_truth_account(adopt->truth, &found);
        rc = rc_hub_rebuild(adopt->hub, &found, err);
    }
    if (rc == 0 && adopt->clients != NULL) {
        rc = rc_clients_rebuild(adopt->clients, err);
    }
    if (rc == 0 && adopt->engines != NULL) {
        rc_engines_rebuild(adopt->engines, &found);
    }
    rc_truth_found_close(&found);
    return rc;
}
