/* What the Makefile makes of a machine: the commands that it would run, with stand-ins for NVIDIA's tools. */
#include "tests/command.h"

TestSuite(make, .init = enter, .fini = leave, .timeout = 1800);

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

/* A list of GPUs; clusters are for those that have them. */
Test(make, builds_for_a_list_of_architectures) {
    stand_in("nvcc", "#!/bin/sh\n" RELEASE "12.4, V12.4.131'\n");
    GOOD("env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL PATH=$PWD:$PATH make -n -C $R $PWD/none/cluster_costs "
         "$PWD/none/cuda/kernels/adamw.o B=$PWD/none NVCC=$PWD/nvcc CUDA_ARCH=80,90,90-ptx V=1");
    cr_expect(strstr(out, "-gencode=arch=compute_80,code=sm_80 -gencode=arch=compute_90,code=sm_90 "
                          "-gencode=arch=compute_90,code=compute_90 "),
              "%s", out);
    char *probe = strstr(out, "/none/cluster_costs");
    cr_assert(probe, "%s", out);
    GOOD("env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL PATH=$PWD:$PATH make -n -C $R $PWD/none/cluster_costs "
         "B=$PWD/none NVCC=$PWD/nvcc CUDA_ARCH=80,90,90-ptx V=1 | grep 'cluster_costs.cu'");
    cr_expect(!strstr(out, "sm_80") && strstr(out, "sm_90"), "%s", out);
    GOOD("env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u CUDA_ARCH PATH=$PWD:$PATH make -n -C $R bundle B=$PWD/none "
         "NVCC=$PWD/nvcc INSTALL=");
    cr_expect(strstr(out, "CUDA_ARCH=80,90,90-ptx"), "%s", out);
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

/* A real make of this repository into a folder of its own. */
#define MAKE "env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -C $R B=$PWD/own NVCC=$PWD/nvcc CUDA_ARCH=80 "

/* What a build states of its flags is true of every object: another flag makes them again, the same ones do not. */
Test(make, another_flag_makes_objects_again) {
    stand_in("nvcc", "#!/bin/sh\ncase $* in *--version*) " RELEASE
                     "13.0, V13.0.1';; *-o*) while [ \"$1\" != -o ]; do shift; done; echo >\"$2\";; esac\n");
    static const char *const objects[][3] = {
        {"cpu_ref/operations.o", "LEVEL=-O0", "compile"},    {"cpu_ref/operations.o", "ARCH=x86-64", "compile"},
        {"cpu_ref/resnet.f32.o", "SANITIZE=-g3", "compile"}, {"emu/kernels/host/fibre.o", "EMULEVEL=-O0", "compile"},
        {"cuda/kernels/adamw.o", "CUDA_ARCH=90", "nvcc "},   {"cpu_ref/library.shared.o", "CC='gcc -g3'", "compile"}};
    for (size_t k = 0; k < sizeof objects / sizeof *objects; k++) {
        const char *object = objects[k][0], *flag = objects[k][1], *made = objects[k][2];
        GOOD(MAKE "$PWD/own/%s", object);
        GOOD(MAKE "$PWD/own/%s", object);
        cr_expect(!strstr(out, made), "made again for nothing:\n%s", out);
        GOOD(MAKE "%s $PWD/own/%s", flag, object);
        cr_expect(strstr(out, made), "%s did not make %s again:\n%s", flag, object, out);
        GOOD(MAKE "%s $PWD/own/%s", flag, object);
        cr_expect(!strstr(out, made), "made again for nothing:\n%s", out);
    }
}

/* make has one exit code for all that failed: the gate's own is said, and the script that keeps it. */
Test(make, regress_says_its_own_exit_code) {
    GOOD("mkdir -p own/base/abc && touch own/base/abc/libmhc_cpu.so");
    stand_in("git", "#!/bin/sh\necho abc\n");
    stand_in("own/mhcbench", "#!/bin/sh\nexit 3\n");
    int code = sh("PATH=$PWD:$PATH; env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -n -C $R NVCC= B=$PWD/own regress "
                  "BASE=old LIBS=cpu ARGS=\"--operation 'mhc.*'\"");
    cr_expect(code == 2 && strstr(err, "regress: exit 3, of which make makes 2") &&
                  strstr(err, "/own \"old\" \"cpu\" --operation 'mhc.*'\n"),
              "exit %d\n%s", code, err);
    cr_expect(sh("cd $R && PATH=$OLDPWD:$PATH sh tests/tools/regress.sh $OLDPWD/own old cpu") == 3, "%s%s", out, err);
}

/* What failed somewhere in pages of output is named again where one looks. */
Test(make, failed_tests_are_named_at_the_end) {
    static const char text[] =
        "#!/bin/sh\ncat >$0.json <<'END'\n{\n  \"passed\": 1,\n  \"failed\": 2,\n  \"errored\": 1,\n  \"skipped\": 0,\n"
        "  \"test_suites\": [\n    {\n      \"name\": \"room\",\n      \"tests\": [\n        {\n"
        "          \"name\": \"good\",\n          \"status\": \"PASSED\"\n        },\n        {\n"
        "          \"name\": \"wrong\",\n          \"status\": \"FAILED\",\n        },\n        {\n"
        "          \"name\": \"slow\",\n          \"status\": \"ERRORED\",\n        }\n      ]\n    }\n  "
        "]\n}\nEND\nexit 1\n";
    stand_in("fails", text);
    stand_in("none", "#!/bin/sh\nexit 0\n");
    stand_in("ends", "#!/bin/sh\nprintf '\"passed\": 2,\n\"failed\": 0,\n\"skipped\": 0,\n' >$0.json\nexit 23\n");
    int code = sh("sh $R/tests/tools/run.sh build ./fails ./none ./ends");
    cr_expect(code == 1 && strstr(out, "failed:\n  ./fails: room::wrong\n  ./fails: room::slow\n  ./none: no test ran\n"
                                       "  ./ends: ended with 23, though each of its tests passed\n"
                                       "3 passed, 4 failed, 0 skipped\n"),
              "exit %d\n%s%s", code, out, err);
}
