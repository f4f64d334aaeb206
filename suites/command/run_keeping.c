#include "suites/command/run_keeping.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suites/case/options.h"

static bool read_folder(const char *option, const char *folder, bool dry_run, char *kept, size_t size) {
    struct stat about;
    if (!folder)
        return true;
    if (!*folder || strlen(folder) >= size)
        return cannot("%s needs a folder, its name not longer than %zu", option, size - 1), false;
    if (!dry_run && mkdir(folder, 0777) && errno != EEXIST)
        return cannot("%s %s: %s", option, folder, strerror(errno)), false;
    if (!dry_run && (stat(folder, &about) || !S_ISDIR(about.st_mode) || access(folder, W_OK | X_OK)))
        return cannot("%s %s: not a folder that can be written to", option, folder), false;
    snprintf(kept, size, "%s", folder);
    return true;
}

bool keeping_read(struct study_keeping *keeping, const struct keeping_options *o, bool dry_run) {
    char rest;
    long steps = EVERY_AUTO;
    if (o->every && !o->checkpoints)
        return cannot("--checkpoint-every needs --checkpoints FOLDER"), false;
    if (o->every && strcmp(o->every, "auto") && (sscanf(o->every, "%ld%c", &steps, &rest) != 1 || steps < 1))
        return cannot("--checkpoint-every %s: a whole number of steps from 1 on, or auto", o->every), false;
    keeping->every = steps;
    return read_folder("--checkpoints", o->checkpoints, dry_run, keeping->folder, sizeof keeping->folder) &&
           read_folder("--maps", o->maps, dry_run, keeping->maps, sizeof keeping->maps);
}

bool keeping_serves(const struct study_keeping *keeping, const struct suite *s) {
    bool trains = false, maps = false;
    for (int64_t k = 0; k < s->count; k++) {
        trains |= studies[s->cases[k].study]->resumes != NULL;
        maps |= s->cases[k].study == STUDY_MAPS;
    }
    if (keeping->folder[0] && !trains)
        return cannot("--checkpoints: there is no case of study train"), false;
    if (keeping->maps[0] && !maps)
        return cannot("--maps: there is no case of study maps"), false;
    return true;
}
