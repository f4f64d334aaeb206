/* `mhcbench verify` and the public vectors, for tests. */
#ifndef VERIFY_COMMAND_H
#define VERIFY_COMMAND_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

static const char *const public_file = "tests/vectors/public.h5";

/* Exit code of `mhcbench verify ARGUMENTS`; -1 when it did not exit by itself. Its output, both streams, goes to
 * `output`. */
static inline int run_verify(const char *arguments, char *output, size_t size) {
    const char *program = getenv("MHCBENCH");
    char command[1024];
    snprintf(command, sizeof command, "timeout 60 %s verify %s 2>&1", program ? program : "build/mhcbench", arguments);
    FILE *pipe = popen(command, "r");
    cr_assert(pipe, "%s", command);
    size_t length = fread(output, 1, size - 1, pipe);
    output[length] = 0;
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#endif
