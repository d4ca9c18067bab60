/*
 * history_file: the history segment (common/shm/history.h) in a file, for the next broker.
 *
 * One broker at a time has it: a lock that its acceptor and relay hold (flock(2)). What processes of this boot wrote is there, however they
 * ended; what the machine's end cut off is not, and is known by the boot and by whether the file was closed (enum rc_history_doubt).
 * A file that is none of this version and size begins anew. Owned by the segments; may wait a few seconds for a predecessor's relay to end.
 */
#ifndef RC_ACCEPTOR_START_HISTORY_FILE_H
#define RC_ACCEPTOR_START_HISTORY_FILE_H

#include "acceptor/start/segment_pair.h"
#include "common/base/err.h"

/* Opens or makes the file, of `bytes`, and maps it. 0, or negative errno with `err`: it is another broker's, or no file, or there is no room
 * for it on the disk. On failure rc_segments_close tidies up. */
int rc_history_file_open(const char *path, uint64_t bytes, struct rc_segment *segment, struct rc_err *err);
/* Nobody writes it any more: all of it is written to the disk. Nothing, if the segment is not in a file. */
void rc_history_file_closing(const struct rc_segment *segment);

#endif
