/*
 * shm: memfd segments, sealed in size. The acceptor makes them, children map the inherited descriptors.
 */
#ifndef RC_COMMON_SHM_SEGMENT_H
#define RC_COMMON_SHM_SEGMENT_H

#include <stdint.h>

#include "common/base/err.h"

/* A new memfd of `bytes` zero bytes (0 = not sized yet and not sealed), close-on-exec. The descriptor, or negative
 * errno. */
int rc_segment_create(const char *name, uint64_t bytes, struct rc_err *err);

/* Sizes a memfd made with 0 bytes and seals it; a memfd that already has this size is left alone; another size is
 * -EBADMSG. */
int rc_segment_size(int fd, uint64_t bytes, struct rc_err *err);

/* Maps the whole of a segment shared and writable; *bytes = its size. NULL with `err` set. */
void *rc_segment_map(int fd, uint64_t *bytes, struct rc_err *err);

#endif
