#include "suites/worker/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "suites/worker/worker.h"

#define EVERY 2.0 /* seconds */

bool progress_on_terminal(void) {
    const char *kind = getenv("TERM");
    return isatty(STDERR_FILENO) && !getenv("NO_COLOR") && strcmp(kind ? kind : "dumb", "dumb");
}

void clock_text(double seconds, char text[CLOCK_SIZE]) {
    const double most = 1e8;
    const long s = seconds < most ? (long)(seconds + 0.5) : (long)most;
    if (s >= 3600)
        snprintf(text, CLOCK_SIZE, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(text, CLOCK_SIZE, "%02ld:%02ld", s / 60, s % 60);
}

void progress_append_rate(char *text, size_t size, int64_t done, double elapsed, double left) {
    char eta[CLOCK_SIZE];
    size_t used = strlen(text);
    if (done > 0 && elapsed > 0)
        used += (size_t)snprintf(text + used, size - used, " %.3g/s", (double)done / elapsed);
    clock_text(left, eta);
    if (left >= 0)
        snprintf(text + used, size - used, " ETA %s", eta);
}

void progress_tell(struct progress *p, int64_t done, int64_t total, const char *what) {
    const double now = worker_now(), elapsed = now - p->begin;
    char text[80];
    if (!p->begin)
        p->begin = p->told = now;
    if (now - p->told < EVERY || !progress_on_terminal())
        return;
    snprintf(text, sizeof text, "[%lld/%lld]", (long long)done, (long long)total);
    progress_append_rate(text, sizeof text, done, elapsed,
                         done > 0 ? elapsed * (double)(total - done) / (double)done : -1);
    fprintf(stderr, "%s  %s\n", text, what);
    p->told = now;
}
