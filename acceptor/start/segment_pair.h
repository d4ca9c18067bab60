/*
 * segment_pair: a segment as the acceptor has it: one descriptor for who writes it, one for who reads it.
 *
 * Owned by the segments (segments.h). Nothing fails here.
 */
#ifndef RC_ACCEPTOR_START_SEGMENT_PAIR_H
#define RC_ACCEPTOR_START_SEGMENT_PAIR_H

#include <stdint.h>

/* A segment that one process writes and the others have to read. */
struct rc_segment {
    int fd;        /* owned, -1 = none: for the writer */
    int reader_fd; /* owned, -1 = none: for the others */
    void *memory;  /* owned mapping */
    uint64_t bytes;
};

#endif
