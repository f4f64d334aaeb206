/* What tests may know of tests/fake_device.c: how long its calls take, and what was asked of it. */
#ifndef FAKE_DEVICE_H
#define FAKE_DEVICE_H

#include "cpu_ref/operations.h"

#define FAKE_DEVICE_HERTZ 1.5e9
#define FAKE_DEVICE_CALL 3e-4    /* mhc.post_backward_y */
#define FAKE_DEVICE_SHORT 1e-6   /* the same at width 13 */
#define FAKE_DEVICE_COPY 1e-4    /* bench.copy */
#define FAKE_DEVICE_LATENCY 5e-6 /* of the first call after a rest */
#define FAKE_DEVICE_CACHE ((int64_t)1 << 20)

/* Symbol `fake_device_log` of the library. */
struct fake_device_log {
    long calls, holds, stamps[2], most_held; /* most_held: calls queued while the queue was held */
};

#endif
