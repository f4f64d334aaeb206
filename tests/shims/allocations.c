/* No memory for one allocation of the program's own, for a process that this is preloaded into. FAIL_AT: which, from 1;
 * 0: none. COUNT: a file that gets the number of them, a line per process. Libraries (HDF5, OpenBLAS, libc) always get
 * what they ask for, but for the texts that libc allocates on the program's behalf. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
/* A program that is built with the address sanitizer takes and frees memory of the sanitizer's. */
__attribute__((weak)) void *__interceptor_malloc(size_t size);
__attribute__((weak)) void *__interceptor_calloc(size_t count, size_t size);
__attribute__((weak)) void *__interceptor_realloc(void *old, size_t size);

static void *take(size_t size) {
    return __interceptor_malloc ? __interceptor_malloc(size) : __libc_malloc(size);
}

static struct {
    int known;
    unsigned long from, to; /* the program's code */
    long fail_at, count;
} program;

/* The first object that the dynamic linker lists is the program. */
static int find_program(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size, (void)unused;
    for (int k = 0; k < info->dlpi_phnum; k++)
        if (info->dlpi_phdr[k].p_type == PT_LOAD && info->dlpi_phdr[k].p_flags & PF_X) {
            program.from = info->dlpi_addr + info->dlpi_phdr[k].p_vaddr;
            program.to = program.from + info->dlpi_phdr[k].p_memsz;
        }
    return 1;
}

static int is_to_fail(const void *caller) {
    if (!program.known) {
        program.known = 1;
        free(take(1)); /* which starts the sanitizer, if there is one, before the functions that it watches */
        const char *at = getenv("FAIL_AT");
        program.fail_at = at ? atol(at) : 0;
        dl_iterate_phdr(find_program, NULL);
    }
    const unsigned long place = (unsigned long)caller;
    if (place < program.from || place >= program.to)
        return 0;
    return __atomic_add_fetch(&program.count, 1, __ATOMIC_RELAXED) == program.fail_at && (errno = ENOMEM);
}

void *malloc(size_t size) {
    return is_to_fail(__builtin_return_address(0)) ? NULL : take(size);
}

void *calloc(size_t count, size_t size) {
    return is_to_fail(__builtin_return_address(0)) ? NULL
           : __interceptor_calloc                  ? __interceptor_calloc(count, size)
                                                   : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
    return is_to_fail(__builtin_return_address(0)) ? NULL
           : __interceptor_realloc                 ? __interceptor_realloc(old, size)
                                                   : __libc_realloc(old, size);
}

char *strndup(const char *text, size_t most) {
    const size_t length = strnlen(text, most);
    char *copy = is_to_fail(__builtin_return_address(0)) ? NULL : take(length + 1);
    if (copy) {
        memcpy(copy, text, length);
        copy[length] = 0;
    }
    return copy;
}

char *strdup(const char *text) {
    const size_t length = strlen(text);
    char *copy = is_to_fail(__builtin_return_address(0)) ? NULL : take(length + 1);
    return copy ? memcpy(copy, text, length + 1) : NULL;
}

int vasprintf(char **text, const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    const int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    *text = length < 0 || is_to_fail(__builtin_return_address(0)) ? NULL : take((size_t)length + 1);
    return *text ? vsnprintf(*text, (size_t)length + 1, format, arguments) : -1;
}

__attribute__((destructor)) static void tell(void) {
    const char *path = getenv("COUNT");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file)
        return;
    fprintf(file, "%ld\n", program.count);
    fclose(file);
}
