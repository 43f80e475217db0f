/* events.h: the curves of a run as a TensorBoard event file.
 *
 * Records in TFRecord's frame: u64 length, masked CRC-32C of the length, the bytes, their masked
 * CRC-32C; little-endian. A record is a protobuf Event with one scalar
 * (tensorflow/core/util/event.proto). The file follows from the history alone and only grows with
 * it; wall_time is the seconds since the run began, in steps, so that TensorBoard's "relative" axis
 * is right and its clock says 1970. */
#ifndef MK_RUNS_EVENTS_H
#define MK_RUNS_EVENTS_H

#include "base/buf.h"
#include "runs/history.h"

#define EVENTS_NAME "events.out.tfevents.0.minke" /* TensorBoard looks for "tfevents" */

/* Writes beside and renames. */
int events_write(const char *path, const struct history *h, struct mk_error *err);
/* CRC-32C (Castagnoli). */
uint32_t events_crc32c(const void *data, size_t n);

#endif
