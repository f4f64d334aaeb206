/* Shares of a suite: the environment of a launcher, here a faked one, says which share a process takes. */
#include "tests/command.h"

#include "results/record.h"
#include "suites/study/shares.h"

static void enter_alone(void) {
    static const char *const known[] = {"OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "PMI_RANK",    "SLURM_PROCID",
                                        "SLURM_ARRAY_TASK_ID",  "PBS_ARRAY_INDEX",     "PBS_ARRAYID", "LSB_JOBINDEX",
                                        "SGE_TASK_ID",          "SLURM_JOB_ID"};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        unsetenv(known[k]);
    enter();
}

TestSuite(share, .init = enter_alone, .fini = leave, .timeout = 1800);

static const char suite_text[] = "set --study maps --alpha 0 --measure gain\n"
                                 "--block hc,mhc --depth 3:6:1 --seed 1:3:1\n"
                                 "--block mhc --depth 40 --tokens 8 --t-max 20,20000 --seed 1:4:1\n";
enum { CASES = 32 };

/* What launchers say, and which shard it is. */
Test(share, environments) {
    static const struct {
        const char *variables, *shard, *said;
    } good[] = {
        {"OMPI_COMM_WORLD_RANK=3 OMPI_COMM_WORLD_SIZE=4", "3/4", "shard 3/4 by Open MPI: "},
        {"OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=1 SLURM_PROCID=1 SLURM_NTASKS=2", "none", ""},
        {"OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=4 SLURM_PROCID=0 SLURM_NTASKS=2", "1/4", " by Open MPI: "},
        {"MV2_COMM_WORLD_RANK=1 MV2_COMM_WORLD_SIZE=2", "1/2", " by MVAPICH: "},
        {"PMI_RANK=2 PMI_SIZE=3", "2/3", " by PMI: "},
        {"SLURM_PROCID=1 SLURM_NTASKS=2", "1/2", " by srun: "},
        {"SLURM_JOB_ID=7 SLURM_STEP_ID=0 SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2 SLURM_NTASKS=9", "1/2", " by srun: "},
        {"SLURM_JOB_ID=7 SLURM_PROCID=0 SLURM_NTASKS=4", "none", ""}, /* the batch script itself */
        {"SLURM_JOB_ID=7 SLURM_STEP_ID=4294967291 SLURM_PROCID=0 SLURM_NTASKS=4", "none", ""},
        {"SLURM_ARRAY_TASK_ID=4 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=8 SLURM_ARRAY_TASK_STEP=4 "
         "SLURM_ARRAY_TASK_COUNT=3",
         "1/3", " by Slurm array: "},
        {"SLURM_ARRAY_TASK_ID=2 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=3 SLURM_ARRAY_TASK_COUNT=3 "
         "SLURM_PROCID=1 SLURM_NTASKS=2",
         "3/6", " by Slurm array and srun: "},
        {"LSB_JOBINDEX=3 LSB_JOBINDEX_END=5", "2/5", " by LSF array: "},
        {"LSB_JOBINDEX=0", "none", ""},
        {"SGE_TASK_ID=10 SGE_TASK_FIRST=1 SGE_TASK_LAST=10 SGE_TASK_STEPSIZE=3", "3/4", " by Grid Engine array: "},
        {"SGE_TASK_ID=undefined", "none", ""},
    };
    write_text("s.suite", suite_text);
    for (size_t k = 0; k < sizeof good / sizeof *good; k++) {
        GOOD("$M run s.suite --dry-run --shard %s >wanted", good[k].shard);
        GOOD("%s $M run s.suite --dry-run >got && cmp wanted got", good[k].variables);
        cr_expect(*good[k].said ? strstr(err, good[k].said) != NULL : !*err, "%s: %s", good[k].variables, err);
    }
    GOOD("PBS_ARRAY_INDEX=2 $M run s.suite --dry-run --shard auto/3 >got && $M run s.suite --dry-run --shard 2/3 | cmp "
         "- got");
    GOOD("LSB_JOBINDEX=3 $M run s.suite --dry-run --shard auto/3 | cmp - got");
    GOOD("OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=4 $M run s.suite --dry-run --shard 2/3 | cmp - got");
    GOOD("OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=4 $M run s.suite --dry-run --shard none | wc -l");
    cr_expect_eq(atoi(out), CASES);
}

Test(share, environments_that_do_not_suffice) {
    static const char *const bad[][2] = {
        {"PBS_ARRAY_INDEX=2 $M run s.suite --dry-run",
         "PBS_ARRAY_INDEX=2: PBS does not say of how many; --shard auto/N states N"},
        {"OMPI_COMM_WORLD_RANK=4 OMPI_COMM_WORLD_SIZE=4 $M run s.suite --dry-run", "not a place among processes"},
        {"PMI_RANK=x PMI_SIZE=4 $M run s.suite --dry-run", "PMI_RANK is x and PMI_SIZE is 4"},
        {"PMI_RANK=1 $M run s.suite --dry-run", "PMI_SIZE is not set"},
        {"SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_MIN=7 SLURM_ARRAY_TASK_MAX=7 SLURM_ARRAY_TASK_COUNT=1 $M run s.suite",
         "part of a larger one that runs again?"},
        {"SLURM_ARRAY_TASK_ID=2 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=5 SLURM_ARRAY_TASK_COUNT=3 $M run s.suite",
         "with gaps"},
        {"PBS_ARRAY_INDEX=3 $M run s.suite --dry-run --shard auto/3", "they go from 0 to 2"},
        {"$M run s.suite --dry-run --shard auto/3", "no launcher says which"},
        {"$M run s.suite --dry-run --shard auto/0", "I/N with 0 <= I < N"},
        {"$M run s.suite --dry-run --shard 0/9999999", "N at most 1000000"},
    };
    write_text("s.suite", suite_text);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        expect_refusal(bad[k][0], bad[k][1]);
}

/* Each process of a launcher has a file of its own, beside --out too; a share is gone on with as itself alone. */
Test(share, files_of_their_own) {
    write_text("s.suite", suite_text);
    GOOD("OMPI_COMM_WORLD_RANK=7 OMPI_COMM_WORLD_SIZE=11 $M run s.suite -q");
    cr_expect(exists("s.07-of-11.h5"));
    GOOD("OMPI_COMM_WORLD_RANK=7 OMPI_COMM_WORLD_SIZE=11 $M run s.suite -q --out b.h5");
    cr_expect(exists("b.07-of-11.h5") && !exists("b.h5"));
    GOOD("$M run s.suite -q --shard 1/2 && $M run s.suite -q --shard 0/2 --out own.h5");
    cr_expect(exists("s.1-of-2.h5") && exists("own.h5"));
    GOOD("mv own.h5 own.h5.part");
    expect_refusal("$M run s.suite -q --shard 1/2 --out own.h5 --resume", "is of shard 0/2, this run is of shard 1/2");
    expect_refusal("$M run s.suite -q --shard 1/2 --out own.h5 --resume=anyway", "is of shard 0/2");
    expect_refusal("$M run s.suite -q --out own.h5 --resume", "is of shard 0/2, this run is of the whole suite");
    GOOD("$M run s.suite -q --shard 0/2 --out own.h5 --resume");
    cr_expect(exists("own.h5") && !exists("own.h5.part"));
}

/* GPUs by local rank, among those that the environment lists; cores where nothing is bound. */
Test(share, devices) {
    static const char run[] = "$M run --study maps --depth 3 --seed 1:4:1 --overwrite -q --out a.h5";
    write_text("facts", "for a in CUDA_VISIBLE_DEVICES OMP_NUM_THREADS; do h5dump -a /env/$a a.1-of-4.h5 2>/dev/null | "
                        "sed -n 's/.*(0): //p'; done; true\n");
    static const char ranks[] = "OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_SIZE=4";
    GOOD("%s OMPI_COMM_WORLD_LOCAL_RANK=3 CUDA_VISIBLE_DEVICES=5,GPU-abc %s && sh facts", ranks, run);
    cr_expect_str_eq(out, "\"GPU-abc\"\n\"1\"\n");
    GOOD("%s OMPI_COMM_WORLD_LOCAL_RANK=2 CUDA_VISIBLE_DEVICES=5,GPU-abc %s && sh facts", ranks, run);
    cr_expect_str_eq(out, "\"5\"\n\"1\"\n");
    GOOD("%s OMPI_COMM_WORLD_LOCAL_RANK=2 CUDA_VISIBLE_DEVICES=3 OMP_NUM_THREADS=2 %s && sh facts", ranks, run);
    cr_expect_str_eq(out, "\"3\"\n\"2\"\n");
    unsetenv("OMP_NUM_THREADS");
    GOOD("OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_SIZE=4096 CUDA_VISIBLE_DEVICES= %s && sh "
         "facts && nproc && nproc --all",
         run);
    int own = 0, all = 0, threads = 0;
    cr_assert(sscanf(out, "\"\\000\"\n%d\n%d", &own, &all) == 2 ||
                  sscanf(out, "\"\\000\"\n\"%d\"\n%d\n%d", &threads, &own, &all) == 3,
              "%s", out);
    cr_expect_eq(threads, own == all ? 1 : 0, "%s", out); /* a process that is bound has what it is bound to */
}

/* Every case once, whatever N is; and by time, not by count. */
Test(share, cut_by_cost) {
    struct suite s;
    char why[300];
    const char *words[] = {"--study", "maps", "--depth", "4,8,512", "--t-max", "1,1000", "--seed", "1:40:1"};
    cr_assert(suite_read(&s, NULL, (char *const *)words, 8, why, sizeof why), "%s", why);
    static int32_t of[1000];
    static int64_t load[1000];
    int64_t longest = 0, sum = 0;
    for (int64_t k = 0; k < s.count; k++) {
        const int64_t cost = shares_cost(&s.cases[k]);
        longest = cost > longest ? cost : longest;
        sum += cost;
    }
    int64_t *costs = shares_costs(&s);
    for (int64_t k = 0; k < s.count; k++) /* most are those of the seed before */
        cr_expect(costs && costs[k] == shares_cost(&s.cases[k]));
    free(costs);
    for (int64_t shares = 1; shares < 300; shares += 7) {
        int64_t got[1000] = {0};
        cr_assert(shares_cut(&s, shares, of, load));
        for (int64_t k = 0; k < s.count; k++) {
            cr_assert(of[k] >= 0 && of[k] < shares);
            got[of[k]] += shares_cost(&s.cases[k]);
        }
        for (int64_t k = 0; k < shares; k++)
            cr_expect(got[k] == load[k] && load[k] <= sum / shares + longest, "share %lld of %lld", (long long)k,
                      (long long)shares);
    }
    cr_assert(shares_cut(&s, 2, of, load));
    cr_expect(llabs(load[0] - load[1]) * 100 < sum, "two shares: %lld and %lld", (long long)load[0],
              (long long)load[1]);
    suite_release(&s);
}

/* Every case, in the order of the suite, with the values of the single process. */
static void expect_equal(const char *name, const char *other, int64_t cases) {
    struct record_reader *a = record_open(name), *b = record_open(other);
    cr_assert(a && b && record_complete(a) && record_count(a) == cases && record_count(b) == cases, "%s",
              record_error());
    for (int64_t k = 0; k < cases; k++) {
        char what[300] = "key";
        cr_expect(!strcmp(record_texts(a, "key")[k], record_texts(b, "key")[k]) &&
                      !strcmp(record_texts(a, "status")[k], "done") &&
                      record_same_values(a, k, b, k, what, sizeof what),
                  "case %lld: %s", (long long)k, what);
    }
    record_close(a);
    record_close(b);
}

/* Four processes, of which one is killed and started again: cases so long that it cannot have ended before. */
static void killed_and_rerun(const char *launcher) {
    write_text("s.suite", "--study maps --measure gain --block mhc --alpha 0.01 --depth 200 --tokens 64 --streams 8 "
                          "--seed 1:16:1\n");
    write_text("rank.sh", "$M run s.suite --resume -q & echo $! >pid.$OMPI_COMM_WORLD_RANK; wait $! || true\n");
    GOOD("$M run s.suite --out whole.h5 -q --jobs 1");
    pid_t all = start(launcher);
    for (int k = 0; k < 3000 && !exists("s.2-of-4.h5.part"); k++)
        usleep(5000);
    cr_assert(exists("s.2-of-4.h5.part"), "shard 2 has not begun");
    GOOD("kill -9 $(cat pid.2)");
    cr_assert_eq(result_of(all), 0, "%s", err);
    cr_assert(exists("s.0-of-4.h5") && exists("s.1-of-4.h5") && exists("s.3-of-4.h5") && !exists("s.2-of-4.h5"));
    int code = sh("$M merge all.h5 s.*-of-4.h5*");
    cr_expect(code == 1 && strstr(err, "shard 2/4; the first: "), "exit %d: %s", code, err);
    cr_assert_eq(result_of(start(launcher)), 0, "%s", err);
    GOOD("$M merge all.h5 s.?-of-4.h5 --overwrite");
    expect_equal("all.h5", "whole.h5", 16);
    GOOD("$M run s.suite --resume --shard 3/4");
    cr_expect(strstr(err, "s.3-of-4.h5: nothing is left of shard 3/4"), "%s", err);
}

Test(share, killed_and_rerun_by_faked_launcher) {
    killed_and_rerun("for r in 0 1 2 3; do OMPI_COMM_WORLD_RANK=$r OMPI_COMM_WORLD_SIZE=4 sh rank.sh & done; wait");
}

Test(share, killed_and_rerun_by_open_mpi) {
    if (sh("mpirun --version") || !strstr(out, "Open MPI"))
        cr_skip_test("no mpirun of Open MPI: only faked variables are tried");
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    killed_and_rerun("mpirun --oversubscribe -np 4 sh rank.sh");
}

/* The committed scripts, with a launcher of this test's own. */
Test(share, job_scripts) {
    write_text("s.suite", suite_text);
    setenv("MHCBENCH", getenv("M"), 1);
    for (int k = 0; k < 2; k++)
        GOOD("SLURM_ARRAY_TASK_ID=%d SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=1 SLURM_ARRAY_TASK_COUNT=2 "
             "sh $R/suites/sweep.slurm s.suite",
             k);
    GOOD("$M merge all.h5 s.*-of-2.h5 && $M run s.suite --out whole.h5 -q");
    expect_equal("all.h5", "whole.h5", CASES);
    GOOD("rm s.1-of-2.h5; SHARDS=2 SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=1 "
         "SLURM_ARRAY_TASK_COUNT=1 sh $R/suites/sweep.slurm s.suite && test -s s.1-of-2.h5");
    for (int k = 0; k < 2; k++)
        GOOD("rm s.%d-of-2.h5 && %s=%d SHARDS=2 SUITE=s.suite sh $R/suites/sweep.pbs && test -s s.%d-of-2.h5", k,
             k ? "PBS_ARRAYID" : "PBS_ARRAY_INDEX", k, k);
    write_text("mpirun", "for r in 0 1 2; do OMPI_COMM_WORLD_RANK=$r OMPI_COMM_WORLD_SIZE=$2; export "
                         "OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE; (shift 2; exec \"$@\"); done\n");
    GOOD("chmod +x mpirun && sed -i '1i#!/bin/sh' mpirun && PATH=$PWD:$PATH sh $R/suites/sweep.mpirun s.suite -np 3 && "
         "$M merge three.h5 s.*-of-3.h5");
    expect_equal("three.h5", "whole.h5", CASES);
    /* What cannot start and what failed show in the exit code. */
    cr_expect(sh("PATH=$PWD:$PATH MHCBENCH=./none sh $R/suites/sweep.mpirun s.suite -np 3") == 2 &&
                  strstr(err, "no program ./none") && !strstr(out, "merge:"),
              "%s%s", out, err);
    static const int ends[] = {1, 2, 137};
    for (size_t k = 0; k < sizeof ends / sizeof *ends; k++) {
        char program[80];
        snprintf(program, sizeof program, "#!/bin/sh\n[ $OMPI_COMM_WORLD_RANK != 1 ] || exit %d\n", ends[k]);
        write_text("rank", program);
        GOOD("chmod +x rank");
        int code = sh("PATH=$PWD:$PATH MHCBENCH=./rank sh $R/suites/sweep.mpirun s.suite -np 3");
        cr_expect(code == ends[k] && !strstr(out, "merge:") == (code > 1), "exit %d\n%s%s", code, out, err);
    }
    GOOD("! ls -d sweep.*");
}
