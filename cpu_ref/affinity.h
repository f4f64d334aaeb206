/* Where the threads of a process that this one starts may run. */
#ifndef AFFINITY_H
#define AFFINITY_H

#include <omp.h>
#include <sched.h>
#include <stdlib.h>

/* With OMP_PROC_BIND=true the first thread is bound to one place from the load of the program on, and a process that
 * it starts would have no other. This moves it to all places of OpenMP. */
static inline void affinity_unbind(void) {
    cpu_set_t all;
    CPU_ZERO(&all);
    for (int place = 0; place < omp_get_num_places(); place++) {
        int count = omp_get_place_num_procs(place), *cpu = malloc((size_t)count * sizeof *cpu);
        if (!cpu)
            return;
        omp_get_place_proc_ids(place, cpu);
        for (int k = 0; k < count; k++)
            CPU_SET((size_t)cpu[k], &all);
        free(cpu);
    }
    if (CPU_COUNT(&all))
        sched_setaffinity(0, sizeof all, &all);
}

#endif
