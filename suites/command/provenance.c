#include "suites/command/provenance.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <gnu/libc-version.h>

#include "build_info.h"
#include "cpu_ref/blas_core.h"

enum { MAX_FACTS = 48, FACT_SIZE = 600 };
static struct record_fact facts[MAX_FACTS];
static char values[MAX_FACTS][FACT_SIZE];
static int fact_count;

static void add(const char *name, const char *value) {
    if (fact_count == MAX_FACTS || !value)
        return;
    snprintf(values[fact_count], FACT_SIZE, "%s", value);
    values[fact_count][strcspn(values[fact_count], "\n")] = 0;
    facts[fact_count] = (struct record_fact){name, values[fact_count]};
    fact_count++;
}

/* The first line of a file, or the text behind "key :" in it. */
static void add_file(const char *name, const char *path, const char *key) {
    char line[FACT_SIZE];
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (!key || !strncmp(line, key, strlen(key))) {
            const char *colon = key ? strchr(line, ':') : NULL;
            add(name, colon ? colon + 1 + strspn(colon + 1, " \t") : line);
            break;
        }
    if (file)
        fclose(file);
}

static void add_number(const char *name, long value) {
    char text[32];
    snprintf(text, sizeof text, "%ld", value);
    add(name, text);
}

const struct record_fact *provenance_facts(int *count) {
    struct utsname host;
    const struct blas_core core = blas_core_now();
    unsigned major, minor, release;
    char text[64];
    fact_count = 0;
    add("version", PROVENANCE_VERSION);
    add("revision", PROVENANCE_REVISION);
    add("compiler", PROVENANCE_COMPILER);
    add("flags", PROVENANCE_FLAGS);
    add("libc", gnu_get_libc_version());
    if (!uname(&host)) {
        add("kernel", host.release);
        add("machine", host.machine);
    }
    add_file("cpu_model", "/proc/cpuinfo", "model name");
    add_number("cpus_online", sysconf(_SC_NPROCESSORS_ONLN));
    add_file("governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", NULL);
    add_file("smt", "/sys/devices/system/cpu/smt/active", NULL);
    add_file("memory", "/proc/meminfo", "MemTotal");
    add_file("load_average", "/proc/loadavg", NULL);
    add_file("hypervisor", "/sys/hypervisor/type", NULL);
    add("openblas", core.config);
    add("openblas_core", core.name);
    blas_core_choice(&core, text, sizeof text);
    add("openblas_core_choice", text);
    H5get_libversion(&major, &minor, &release);
    snprintf(text, sizeof text, "%u.%u.%u", major, minor, release);
    add("hdf5", text);
    const char *const variables[] = {"OMP_NUM_THREADS",        "OMP_PROC_BIND",     "OMP_PLACES",
                                     "OPENBLAS_NUM_THREADS",   "OPENBLAS_CORETYPE", "CUDA_VISIBLE_DEVICES",
                                     "CUBLAS_WORKSPACE_CONFIG"};
    for (size_t k = 0; k < sizeof variables / sizeof *variables; k++)
        add(variables[k], getenv(variables[k]));
    *count = fact_count;
    return facts;
}

const char *provenance_fact(const char *name) {
    int count = fact_count;
    if (!count)
        provenance_facts(&count);
    for (int k = 0; k < count; k++)
        if (!strcmp(facts[k].name, name))
            return facts[k].value;
    return "";
}

void provenance_add(const char *name, const char *value, int *count) {
    if (*value)
        add(name, value);
    *count = fact_count;
}
