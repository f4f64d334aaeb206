/* What ptxas makes of the kernels is what kernels/sass.txt says. The test needs nvcc and a disassembler. */
#include "tests/command.h"

TestSuite(sass, .init = enter, .fini = leave, .timeout = 1800);

/* Kernels with n = 4 that may use local memory; kernels/NOTES.md says why. */
static bool may_use_local(const char *line) {
    static const char *const known[] = {
        "backward_kernel<4, mhc_generator<orthostochastic_map<2> >, 16>",
        "forward_kernel<4, mhc_generator<orthostochastic_map<2> >, true, 12>",
        ", true, 14>(one_pass_forward)",
        ", false, 14>(one_pass_forward)",
    };
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (strstr(line, known[k]))
            return true;
    return false;
}

/* The kernels of maps with four streams that a table gives a stack, one per line; `met`: how many there are. */
static const char *with_stack(const char *path, int *met) {
    static char table[1 << 17], found[1 << 14];
    size_t used = 0;
    read_all(path, table, sizeof table);
    found[0] = 0, *met = 0;
    for (char *line = strtok(table, "\n"); line; line = strtok(NULL, "\n")) {
        const char *kernel = strstr(line, "_kernel<4, ");
        long registers, stack;
        if (!kernel || !strstr(kernel, "_map") || may_use_local(line))
            continue;
        ++*met;
        cr_assert_eq(sscanf(line, "%ld %ld", &registers, &stack), 2, "%s", line);
        if (stack && used < sizeof found - 1)
            used += (size_t)snprintf(found + used, sizeof found - used, "%s\n", line);
    }
    return found;
}

Test(sass, is_that_of_the_table) {
    find_build();
    int code = sh("PATH=$PATH:/usr/local/cuda/bin sh $R/tests/tools/sass_table.sh $B $R/kernels/sass.txt");
    if (code == 77)
        cr_skip("%s", out);
    char path[2 * PATH_MAX];
    int met;
    snprintf(path, sizeof path, "%s/sass.txt", getenv("B"));
    const char *found = with_stack(path, &met);
    cr_expect(met >= 40 && !*found, "%d kernels of maps with n = 4; with a stack frame:\n%s", met, found);
    cr_expect(code == 0, "exit %d; `make sass-table` says what to do\n%.8000s%s", code, out, err);
}

/* An instruction as cuobjdump prints it; `control`: stall count, scoreboard set, scoreboards waited for. */
static size_t put(char *text, size_t used, int address, const char *instruction, int stall, int sets, int waits) {
    unsigned long long control = (unsigned long long)(stall | sets << 5 | 7 << 8 | waits << 11) << 41;
    return used + (size_t)sprintf(text + used, "        /*%04x*/   %s ;   /* 0x%016llx */\n      /* 0x%016llx */\n",
                                  address, instruction, 0x1ULL, control);
}

/* A loop of 16 instructions, one of them a local load, and 11 moves; a load of 16 bytes is waited for. */
static void write_listing(const char *path, int moves) {
    static char text[1 << 14];
    size_t used = (size_t)sprintf(text, " Function f:\n  REG:20 STACK:8 SHARED:0\n\t\tFunction : f\n");
    int at = 0;
    used = put(text, used, at, "MOV R1, R2", 2, 7, 0);
    used = put(text, used, at += 16, "@P0 LDG.E.128 R4, [R2.64]", 1, 0, 0);
    used = put(text, used, at += 16, "LDL R3, [R1]", 1, 1, 0);
    used = put(text, used, at += 16, "STG.E.64 [R2.64], R4", 5, 7, 1);
    for (int k = 0; k < moves; k++)
        used = put(text, used, at += 16, "IMAD.MOV.U32 R5, RZ, RZ, R6", 2, 7, 0);
    used = put(text, used, at += 16, "MEMBAR.ALL.GPU", 1, 7, 0);
    used = put(text, used, at += 16, "@P1 BRA 0x10", 5, 7, 0);
    used = put(text, used, at += 16, "EXIT", 5, 7, 0);
    write_text(path, text);
}

Test(sass, figures_of_a_listing_and_what_moved) {
    find_build();
    write_listing("one", 11);
    GOOD("$B/sass_table <one >one.txt && grep -v '^#' one.txt");
    /* 18 instructions, 12 of them moves; a turn waits 300 cycles for the load, then 5 + 22 + 1 + 5 */
    cr_expect_str_eq(out, "20 8 18 667 1 1 1 1 0 1 0 0 0 1 0 1 333 333 f\n");
    write_listing("two", 12);
    GOOD("$B/sass_table <two >two.txt");
    int code = sh("$B/sass_table two.txt one.txt");
    cr_expect(code == 1 && strstr(out, "f: instructions 18 -> 19\n") &&
                  strstr(out, "f: cycles of a turn of the longest loop 333 -> 335\n"),
              "exit %d\n%s%s", code, out, err);
    GOOD("$B/sass_table one.txt one.txt");
    cr_expect(sh("echo nothing | $B/sass_table") == 2, "%s", out);
}

Test(sass, a_stack_frame_is_found) {
    int met;
    write_text("table", "168 0 9 void backward_kernel<4, mhc_generator<free_map>, 12>(one_pass_backward)\n"
                        "168 8 9 void backward_kernel<4, mhc_generator<free_map>, 16>(one_pass_backward)\n"
                        "168 8 9 void backward_kernel<2, mhc_generator<free_map>, 16>(one_pass_backward)\n"
                        "168 8 9 void post_kernel<4, 1>(int)\n"
                        "168 8 9 void forward_kernel<4, mhc_generator<free_map>, true, 14>(one_pass_forward)\n");
    cr_expect_str_eq(with_stack("table", &met),
                     "168 8 9 void backward_kernel<4, mhc_generator<free_map>, 16>(one_pass_backward)\n");
    cr_expect_eq(met, 2);
}
