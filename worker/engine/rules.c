/* rules: see rules.h. */
#include "worker/engine/rules.h"

enum rc_engine_result rc_rules_life(struct rc_engines *engines, uint32_t client, enum rc_rules_life life,
                                    struct rc_span nsp, struct rc_span auth, uint32_t *done)
{
    (void)engines;
    (void)client;
    (void)life;
    (void)nsp;
    (void)auth;
    (void)done;
    return RC_ENGINE_DONE;
}
enum rc_engine_result rc_rules_event(struct rc_engines *engines, uint32_t client, const struct rc_operation *operation,
                                     struct rc_span args, uint32_t *done)
{
    (void)engines;
    (void)client;
    (void)operation;
    (void)args;
    (void)done;
    return RC_ENGINE_DONE;
}
