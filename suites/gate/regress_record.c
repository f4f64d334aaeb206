#include "suites/gate/regress_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "results/history.h"
#include "suites/case/options.h"

/* Acts in a child process, because the file that is read may come from a stranger. */
static bool in_child(bool (*act)(const char *file, const struct regress_found *), const char *file,
                     const struct regress_found *g) {
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        bool good = act(file, g) || (cannot("%s", record_error()), false);
        fflush(NULL);
        _exit(good ? EXIT_GOOD : EXIT_CANNOT);
    }
    if (child < 0)
        return cannot("no process to read %s in", file), false;
    while (waitpid(child, &status, 0) < 0)
        ;
    if (!WIFEXITED(status))
        return cannot("%s: reading it crashed (%s); it is not a file this program wrote", file,
                      strsignal(WTERMSIG(status))),
               false;
    return WEXITSTATUS(status) == EXIT_GOOD;
}

static bool look(const char *file, const struct regress_found *unused) {
    (void)unused;
    if (access(file, F_OK))
        return true;
    struct history *h = history_read(file);
    bool good = h;
    history_release(h);
    return good;
}

/* The revision with which a library's description of its build begins: "2a1f00d31c9e+dirty". */
static void revision_of(const char *build, history_text text) {
    snprintf(text, sizeof(history_text), "%.*s", (int)strcspn(build, ","), build);
}

/* The machine's first "model name", as records store it. */
static void machine_name(history_text text) {
    static const char key[] = "model name";
    char line[256] = "";
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file) && strncmp(line, key, strlen(key)))
        line[0] = 0;
    if (file)
        fclose(file);
    const char *at = strchr(line, ':');
    at = at ? at + 1 + strspn(at + 1, " \t") : "unknown";
    snprintf(text, sizeof(history_text), "%.*s", (int)strcspn(at, "\n"), at);
}

static bool add(const char *file, const struct regress_found *g) {
    char verdicts[200] = "";
    for (int v = 0; v < MHC_VERDICTS; v++)
        snprintf(verdicts + strlen(verdicts), sizeof verdicts - strlen(verdicts), "%s%s", v ? "," : "",
                 mhc_verdict_name[v]);
    struct history *h = history_new(verdicts, 1, g->report->count, g->report->count);
    if (!h)
        return false;
    const time_t now = time(NULL);
    struct tm utc;
    revision_of(g->now, h->revision[0]);
    revision_of(g->base, h->base[0]);
    machine_name(h->machine[0]);
    strftime(h->time[0], sizeof(history_text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    for (int64_t k = 0; k < h->rows; k++) {
        const struct gate_row *r = &g->report->row[k];
        snprintf(h->name[k], sizeof(history_line), "%s", r->name);
        h->of[k] = k;
        h->verdict[k] = (uint8_t)r->verdict;
        h->ratio[k] = r->change.median;
        h->low[k] = r->change.low;
        h->high[k] = r->change.high;
    }
    bool good = history_append(file, h);
    history_release(h);
    return good;
}

bool regress_record_begin(const char *file) {
    return in_child(look, file, NULL);
}

bool regress_record_add(const char *file, const struct regress_found *g) {
    return in_child(add, file, g);
}
