/* Progress on stderr: "[12/134] 3.4/s ETA 00:35  mhc.pre". */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* stderr is a terminal that rewrites lines. */
bool progress_on_terminal(void);

/* "01:23", "7:01:23": a time left, in seconds. */
enum { CLOCK_SIZE = 24 };
void clock_text(double seconds, char text[CLOCK_SIZE]);

/* Appends " 3.4/s ETA 01:23" to a text of `size` bytes: `done` points in `elapsed` seconds, `left` seconds to the end;
 * left < 0: there is no end to tell. */
void progress_append_rate(char *text, size_t size, int64_t done, double elapsed, double left);

/* A command that goes through its points one after another; {0} at its start. */
struct progress {
    double begin, told; /* seconds, of worker_now() */
};

/* About to do point `done` of `total`, called `what`: a line where two seconds went by without one, on a terminal only.
 * All points count as equally long. */
void progress_tell(struct progress *, int64_t done, int64_t total, const char *what);

#endif
