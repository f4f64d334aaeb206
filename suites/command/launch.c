#include "suites/command/launch.h"

#include <dirent.h>
#include <errno.h>
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "suites/case/options.h"

/* Launchers that start several processes. The first one whose rank is set counts: below mpirun, variables of srun may
 * belong to the daemon that mpirun started. */
static const struct {
    const char *name, *rank, *size, *other_size, *local_rank, *local_size;
} starters[] = {
    {"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", NULL, "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE"},
    {"MVAPICH", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", NULL, "MV2_COMM_WORLD_LOCAL_RANK",
     "MV2_COMM_WORLD_LOCAL_SIZE"},
    {"PMI", "PMI_RANK", "PMI_SIZE", NULL, "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
    {"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"},
};

/* Job arrays. `count`: tasks; `last`: the largest number; NULL if the engine does not say. Outside arrays an engine may
 * set the variable too, to a value that is no number, or to 0 where numbers begin at 1. */
static const struct {
    const char *name, *task, *first, *last, *step, *count;
    int64_t least; /* of a number */
} arrays[] = {
    {"Slurm array", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_STEP",
     "SLURM_ARRAY_TASK_COUNT", 0},
    {"PBS array", "PBS_ARRAY_INDEX", NULL, NULL, NULL, NULL, 0},
    {"PBS array", "PBS_ARRAYID", NULL, NULL, NULL, NULL, 0},
    {"LSF array", "LSB_JOBINDEX", NULL, "LSB_JOBINDEX_END", "LSB_JOBINDEX_STEP", NULL, 1},
    {"Grid Engine array", "SGE_TASK_ID", "SGE_TASK_FIRST", "SGE_TASK_LAST", "SGE_TASK_STEPSIZE", NULL, 1},
};

/* A variable that is a whole number from `least` on. Slurm's tasks per node are a list, "4(x2),3", of which the first
 * counts. */
static bool number(const char *name, int64_t least, int64_t *value) {
    const char *text = name ? getenv(name) : NULL;
    char *end = NULL;
    errno = 0;
    *value = text && *text ? strtoll(text, &end, 10) : -1;
    return end && (!*end || *end == '(' || *end == ',') && !errno && *value >= least;
}

/* A batch script of Slurm has the variables of a first process too, and starts this program once. What srun starts is a
 * step; the largest numbers stand for the script itself and for shells. */
static bool is_slurm_script(void) {
    const int64_t reserved = 0xfffffff0;
    int64_t step;
    return getenv("SLURM_JOB_ID") && (!number("SLURM_STEP_ID", 0, &step) || step >= reserved);
}

/* The process among those that its launcher started at once; size 1: alone. */
static bool read_starter(struct launch *l) {
    for (size_t k = 0; k < sizeof starters / sizeof *starters; k++) {
        if (!getenv(starters[k].rank) || (!strcmp(starters[k].name, "srun") && is_slurm_script()))
            continue;
        if (!number(starters[k].rank, 0, &l->rank) ||
            (!number(starters[k].size, 1, &l->size) && !number(starters[k].other_size, 1, &l->size)) ||
            l->rank >= l->size)
            return cannot("%s is %.40s and %s is %.40s: not a place among processes; --shard I/N states it, "
                          "--shard none takes every case",
                          starters[k].rank, getenv(starters[k].rank), starters[k].size,
                          getenv(starters[k].size) ? getenv(starters[k].size) : "not set"),
                   false;
        if (!number(starters[k].local_rank, 0, &l->local_rank))
            l->local_rank = 0;
        if (!number(starters[k].local_size, 1, &l->local_size))
            l->local_size = 1;
        if (l->size > 1)
            snprintf(l->by, sizeof l->by, "%s", starters[k].name);
        return true;
    }
    return true;
}

/* The place of a task in its array; `count` 0: this is no array. `shards`: as given to launch_read(). */
static bool read_array(int64_t shards, int64_t *index, int64_t *count, const char **name) {
    *index = *count = 0;
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays && !*count; k++) {
        int64_t task, first, last, step, tasks;
        if (!number(arrays[k].task, arrays[k].least, &task))
            continue;
        *name = arrays[k].name;
        if (shards) {
            *index = task - arrays[k].least;
            *count = 1;
            continue;
        }
        first = arrays[k].first && number(arrays[k].first, 0, &first) ? first : arrays[k].least;
        step = number(arrays[k].step, 1, &step) ? step : 1;
        if (!number(arrays[k].last, 0, &last))
            return cannot("%s=%lld: %.*s does not say of how many; --shard auto/N states N, for numbers from 0 on (see "
                          "suites/sweep.pbs); --shard none takes every case",
                          arrays[k].task, (long long)task, (int)strcspn(*name, " "), *name),
                   false;
        *count = (last - first) / step + 1;
        *index = (task - first) / step;
        const bool gaps = arrays[k].count && number(arrays[k].count, 1, &tasks) && tasks != *count;
        if (*count < 2 || first > 1 || gaps || task < first || task > last || (task - first) % step)
            return cannot("task %lld of a %s of numbers %lld to %lld%s: part of a larger one that runs again? --shard "
                          "auto/N states of how many; --shard none takes every case",
                          (long long)task, *name, (long long)first, (long long)last, gaps ? " with gaps" : ""),
                   false;
    }
    return true;
}

bool launch_read(struct launch *l, int64_t shards) {
    int64_t index, count;
    const char *name = "";
    *l = (struct launch){.size = 1, .local_size = 1};
    if (!read_starter(l) || !read_array(shards, &index, &count, &name))
        return false;
    if (count) {
        char by[sizeof l->by];
        snprintf(by, sizeof by, "%s%s%.40s", name, *l->by ? " and " : "", l->by);
        strcpy(l->by, by);
        l->rank += index * l->size;
        l->size *= count;
    }
    if (shards && !*l->by)
        return cannot("--shard auto/%lld: no launcher says which of them this is", (long long)shards), false;
    if (shards && l->rank >= shards)
        return cannot("--shard auto/%lld: the %s says number %lld; they go from 0 to %lld", (long long)shards, l->by,
                      (long long)l->rank, (long long)shards - 1),
               false;
    l->size = shards ? shards : l->size;
    return true;
}

/* Counts the GPUs of this machine in the driver's folder, without opening one; 0: none, or not known. */
static int64_t gpus_here(void) {
    DIR *folder = opendir("/proc/driver/nvidia/gpus");
    int64_t count = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    if (folder)
        closedir(folder);
    return count;
}

bool launch_choose_gpu(int64_t number) {
    const char *at = getenv("CUDA_VISIBLE_DEVICES");
    char only[256];
    for (int64_t k = 0; at && (k < number || !*at); k++) {
        if (!*at)
            return false;
        at += strcspn(at, ",");
        at += *at == ',';
    }
    if (at)
        snprintf(only, sizeof only, "%.*s", (int)strcspn(at, ","), at);
    else
        snprintf(only, sizeof only, "%lld", (long long)number);
    setenv("CUDA_VISIBLE_DEVICES", only, 1);
    return true;
}

/* Takes one of the visible GPUs, or of all GPUs, by the rank on this machine. */
static void share_gpus(int64_t local_rank) {
    const char *given = getenv("CUDA_VISIBLE_DEVICES");
    int64_t count = given ? 0 : gpus_here();
    for (const char *at = given; at && *at; at += *at == ',')
        count++, at += strcspn(at, ",");
    if (count > 1)
        launch_choose_gpu(local_rank % count);
}

void launch_take_device(const struct launch *l) {
    cpu_set_t bound;
    if (*l->by)
        share_gpus(l->local_rank);
    const int64_t cores = sysconf(_SC_NPROCESSORS_ONLN);
    const bool free_to_run = !sched_getaffinity(0, sizeof bound, &bound) && CPU_COUNT(&bound) == cores;
    if (l->local_size < 2 || getenv("OMP_NUM_THREADS") || !free_to_run)
        return;
    char threads[24];
    const int64_t own = cores / l->local_size > 1 ? cores / l->local_size : 1;
    snprintf(threads, sizeof threads, "%lld", (long long)own);
    setenv("OMP_NUM_THREADS", threads, 1); /* for its workers */
    omp_set_num_threads((int)own);
}
