/*
 * took: what the truth says of a client without a socket that is just being given what there is for it (rc_hub_take): where it stands behind that, in
 * its replies and in each log that it gets something of. It stands there from rc_hub_got on; until then it has got nothing. Part of truth.h, and of
 * RC_TRUTH_ABI. Written by worker/hub, and by who answers with it.
 */
#ifndef RC_WORKER_STORE_TOOK_H
#define RC_WORKER_STORE_TOOK_H

#include <stdint.h>

#define RC_TOOK_MAX 64u
struct rc_truth_took_place {
    uint64_t position;
    uint32_t subscription; /* 0 = "*", or its direct log */
    uint32_t kind;         /* enum rc_piece_kind */
};
struct rc_truth_took {
    uint64_t random; /* the client's */
    uint32_t client; /* 0 = nobody is given anything */
    uint32_t count;  /* places */
    uint32_t cut_sent;
    uint32_t replies_sent;
    uint32_t late;   /* 1: there was more in the logs than it is given */
    uint32_t socket; /* and 1: whose request is answered with it; 0 = none's, or not yet */
    struct rc_truth_took_place places[RC_TOOK_MAX];
};

#endif
