/* What a launcher (mpirun, srun, a job array) says about this process in its environment. */
#ifndef LAUNCH_H
#define LAUNCH_H

#include <stdbool.h>
#include <stdint.h>

/* The number of this process and how many there are in all. If tasks of an array start several processes each, both
 * count. */
struct launch {
    int64_t rank, size;             /* size 1: alone, or there is no launcher */
    int64_t local_rank, local_size; /* of those on this machine; local_size 1 where it is not said */
    char by[80];                    /* "Open MPI", "Slurm array and srun"; "": no launcher */
};

/* `shards`: the size, if the user states it and the launcher gives the rank alone; 0: the launcher gives both. false:
 * the information does not suffice or contradicts itself (reported). */
bool launch_read(struct launch *, int64_t shards);

/* Makes one GPU the only visible one, also for processes that this one starts: the `number`-th, from 0, of those that
 * CUDA_VISIBLE_DEVICES lists. Without that variable it is set to the number. false: the list is shorter. */
bool launch_choose_gpu(int64_t number);

/* Cores and GPU of a process that has others beside it on its machine: its part of the threads where the launcher did
 * not bind it, and one of the GPUs that CUDA_VISIBLE_DEVICES lists, or that are there, by its local rank. */
void launch_take_device(const struct launch *);

#endif
