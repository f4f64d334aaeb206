#include "suites/command/run_keeping.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suites/case/options.h"

bool keeping_read(struct study_keeping *keeping, const char *folder, const char *every, bool dry_run) {
    struct stat about;
    char rest;
    long steps = EVERY_AUTO;
    if (every && !folder)
        return cannot("--checkpoint-every needs --checkpoints FOLDER"), false;
    if (every && strcmp(every, "auto") && (sscanf(every, "%ld%c", &steps, &rest) != 1 || steps < 1))
        return cannot("--checkpoint-every %s: a whole number of steps from 1 on, or auto", every), false;
    if (!folder)
        return true;
    if (!*folder || strlen(folder) >= sizeof keeping->folder)
        return cannot("--checkpoints needs a folder, its name not longer than %zu", sizeof keeping->folder - 1), false;
    if (!dry_run && mkdir(folder, 0777) && errno != EEXIST)
        return cannot("--checkpoints %s: %s", folder, strerror(errno)), false;
    if (!dry_run && (stat(folder, &about) || !S_ISDIR(about.st_mode) || access(folder, W_OK | X_OK)))
        return cannot("--checkpoints %s: not a folder that can be written to", folder), false;
    snprintf(keeping->folder, sizeof keeping->folder, "%s", folder);
    keeping->every = steps;
    return true;
}

bool keeping_serves(const struct suite *s) {
    for (int64_t k = 0; k < s->count; k++)
        if (studies[s->cases[k].study]->resumes)
            return true;
    return false;
}
