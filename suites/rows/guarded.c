#include "suites/rows/guarded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define FORBID(pointer, bytes) ASAN_POISON_MEMORY_REGION(pointer, bytes)
#define ALLOW(pointer, bytes) ASAN_UNPOISON_MEMORY_REGION(pointer, bytes)
#else
#define FORBID(pointer, bytes) ((void)(pointer), (void)(bytes))
#define ALLOW(pointer, bytes) ((void)(pointer), (void)(bytes))
#endif

enum { BAND = 16384, ALIGNMENT = 128 };

/* By doubling what is there: byte by byte it would take most of a check's time. */
static void fill(unsigned char *bytes, int64_t count, uint16_t pattern) {
    for (int64_t k = 0; k < count && k < 64; k++)
        bytes[k] = (unsigned char)(k % 2 ? pattern >> 8 : pattern);
    for (int64_t done = 64; done < count; done *= 2)
        memcpy(bytes + done, bytes, (size_t)(done < count - done ? done : count - done));
}

/* Maps whole pages and a forbidden one; the data ends less than an alignment before it. */
static void *map_pages(struct buffer *m) {
    int64_t page = sysconf(_SC_PAGESIZE), room = (m->bytes + 63) / 64 * 64;
    m->paged = true;
    m->size = (room / page + 2) * page;
    m->offset = m->size - room;
    char *block = mmap(NULL, (size_t)(m->size + page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        return NULL;
    mprotect(block + m->size, (size_t)page, PROT_NONE);
    return block;
}

bool buffer_open(const struct backend *b, struct buffer *m, int64_t bytes, const struct poison *p) {
    int64_t band = p->tight ? 0 : BAND;
    *m = (struct buffer){.bytes = bytes, .offset = band + (p->tight ? 0 : p->shift)};
    m->size = m->offset + bytes + band;
    if (p->paged && !p->tight && !b->library->memory) {
        m->block = map_pages(m);
    } else if (b->library->memory) {
        m->block = backend_allocate(b, m->size);
    } else if (posix_memalign(&m->block, ALIGNMENT, (size_t)(m->size ? m->size : 1))) {
        m->block = NULL;
    }
    m->image = malloc((size_t)m->size + 1);
    m->seen = malloc((size_t)m->size + 1);
    if (!m->block || !m->image || !m->seen)
        return buffer_close(b, m), false;
    fill(m->image, m->size, p->pattern);
    return true;
}

void buffer_close(const struct backend *b, struct buffer *m) {
    if (b->library->memory) {
        backend_release(b, m->block);
    } else {
        if (m->block)
            ALLOW(m->block, (size_t)m->size); /* however the run ended */
        if (m->paged && m->block)
            munmap(m->block, (size_t)(m->size + sysconf(_SC_PAGESIZE)));
        else
            free(m->block);
    }
    free(m->image);
    free(m->seen);
    *m = (struct buffer){0};
}

bool buffer_send(const struct backend *b, const struct buffer *m) {
    if (b->library->memory)
        return !m->size || !b->library->memory->to_device(b->context, m->block, m->image, m->size);
    memcpy(m->block, m->image, (size_t)m->size);
    FORBID(m->block, (size_t)m->offset);
    FORBID((char *)buffer_data(m) + m->bytes, (size_t)(m->size - m->offset - m->bytes));
    return true;
}

void buffer_protect(const struct buffer *m) {
    if (m->paged)
        mprotect(m->block, (size_t)m->size, PROT_READ);
}

bool buffer_fetch(const struct backend *b, const struct buffer *m) {
    if (b->library->memory)
        return !m->size || !b->library->memory->to_host(b->context, m->seen, m->block, m->size);
    ALLOW(m->block, (size_t)m->size);
    memcpy(m->seen, m->block, (size_t)m->size);
    return true;
}

bool buffer_untouched(const struct buffer *m, bool data_too, const char *name, const char *what,
                      char why[MAX_FAILURE]) {
    int64_t behind = m->offset + m->bytes;
    if (!memcmp(m->seen, m->image, (size_t)(data_too ? m->size : m->offset)) &&
        (data_too || !memcmp(m->seen + behind, m->image + behind, (size_t)(m->size - behind))))
        return true;
    for (int64_t k = 0; k < m->size; k++) {
        bool inside = k >= m->offset && k < m->offset + m->bytes;
        if ((inside && !data_too) || m->seen[k] == m->image[k])
            continue;
        if (inside)
            snprintf(why, MAX_FAILURE, "%s `%s` was changed at byte %lld of %lld", what, name,
                     (long long)(k - m->offset), (long long)m->bytes);
        else if (k < m->offset)
            snprintf(why, MAX_FAILURE, "%s `%s` was written %lld bytes before its start", what, name,
                     (long long)(m->offset - k));
        else
            snprintf(why, MAX_FAILURE, "%s `%s` was written %lld bytes behind its end", what, name,
                     (long long)(k - m->offset - m->bytes + 1));
        return false;
    }
    return true;
}

int64_t poison_left(const unsigned char *const run[2], const struct poison p[2], int64_t count, int64_t size,
                    int64_t *first) {
    int64_t unwritten = 0;
    *first = -1;
    for (int64_t e = 0; e < count; e++) {
        bool poisoned = true;
        for (int64_t b = 0; b < size; b++)
            for (int k = 0; k < 2; k++)
                poisoned = poisoned &&
                           run[k][e * size + b] == (unsigned char)(b % 2 ? p[k].pattern >> 8 : p[k].pattern);
        unwritten += poisoned;
        if (poisoned && *first < 0)
            *first = e;
    }
    return unwritten;
}
