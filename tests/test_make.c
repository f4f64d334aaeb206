/* What the Makefile makes of a machine: the commands that it would run, with stand-ins for NVIDIA's tools. */
#include "tests/command.h"

TestSuite(make, .init = enter, .fini = leave, .timeout = 120);

/* A program of this folder. */
static void stand_in(const char *name, const char *text) {
    write_text(name, text);
    GOOD("chmod +x %s", name);
}

/* The commands of a build from nothing are in `out`. */
static void dry_run(void) {
    GOOD("env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u NVCC -u CUDA_ARCH PATH=$PWD:$PATH make -n -C $R build B=$PWD/none "
         "NVCC=$PWD/nvcc");
}

#define RELEASE "echo 'Cuda compilation tools, release "

Test(make, complaint_is_no_architecture) {
    stand_in("nvcc", "#!/bin/sh\n" RELEASE "12.4, V12.4.131'\n");
    stand_in("nvidia-smi", "#!/bin/sh\necho 'NVIDIA-SMI has failed because it found no driver 9.0.'\nexit 9\n");
    dry_run();
    cr_expect(strstr(out, "arch=compute_90,code=sm_90 ") && !strstr(out, "NVIDIA-SMI"), "%s", out);
    stand_in("nvidia-smi", "#!/bin/sh\necho 12.0\necho 8.9\n");
    dry_run();
    cr_expect(strstr(out, "arch=compute_120,code=sm_120 ") && !strstr(out, "compute_89"), "%s", out);
}

Test(make, builds_without_an_nvcc_that_cannot) {
    const char *const cannot[][2] = {
        {"#!/bin/sh\n" RELEASE "11.8, V11.8.89'\n",
         "/nvcc: release 11.8 is older than 12.0 and has no C++20; built without"},
        {"#!/bin/sh\n" RELEASE "12.4, V12.4.131'\nfor word; do test $word != -E || exit 1; done\n",
         "/nvcc: release 12.4 finds no cublas_v2.h, the header of cuBLAS; built without the GPU library\n"},
        {"#!/bin/sh\nexit 127\n", "/nvcc: it does not say its release; built without"},
    };
    for (size_t k = 0; k < sizeof cannot / sizeof *cannot; k++) {
        stand_in("nvcc", cannot[k][0]);
        dry_run();
        cr_expect(strstr(out, cannot[k][1]) && strstr(out, "libmhc_emu.so") && !strstr(out, "libmhc_cuda.so"),
                  "wanted `%s` in\n%.2000s", cannot[k][1], out);
    }
}
