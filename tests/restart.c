/* In every test program: it restarts itself for OpenBLAS as mhcbench does, because tests compare what they compute with
 * what mhcbench computes, and other kernels have other last bits. */
#include "cpu_ref/blas_core.h"

__attribute__((constructor)) static void restart(int argc, char **argv) {
    (void)argc;
    blas_core_mend(argv);
}
