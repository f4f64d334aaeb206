#include "results/digest.h"

#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct sha {
    uint32_t state[8], round[64]; /* round: the constants */
    uint64_t bytes;
    unsigned char block[64];
};

/* The first 32 bits of the fractional part of a root, which long double has to spare. */
static uint32_t fraction(long double root) {
    return (uint32_t)((root - floorl(root)) * 0x1p32L);
}

/* State and constants are the square and cube roots of the first primes. */
static void sha_begin(struct sha *s) {
    *s = (struct sha){.bytes = 0};
    for (int k = 0, n = 2; k < 64; n++) {
        int divisor = 2;
        while (divisor * divisor <= n && n % divisor)
            divisor++;
        if (divisor * divisor <= n)
            continue;
        if (k < 8)
            s->state[k] = fraction(sqrtl(n));
        s->round[k++] = fraction(cbrtl(n));
    }
}

static uint32_t turn(uint32_t x, int by) {
    return x >> by | x << (32 - by);
}

static void sha_block(struct sha *s) {
    uint32_t w[64], v[8];
    for (int k = 0; k < 64; k++)
        if (k < 16)
            w[k] = (uint32_t)s->block[4 * k] << 24 | (uint32_t)s->block[4 * k + 1] << 16 |
                   (uint32_t)s->block[4 * k + 2] << 8 | s->block[4 * k + 3];
        else
            w[k] = w[k - 16] + (turn(w[k - 15], 7) ^ turn(w[k - 15], 18) ^ w[k - 15] >> 3) + w[k - 7] +
                   (turn(w[k - 2], 17) ^ turn(w[k - 2], 19) ^ w[k - 2] >> 10);
    memcpy(v, s->state, sizeof v);
    for (int k = 0; k < 64; k++) {
        const uint32_t one = v[7] + (turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25)) +
                             ((v[4] & v[5]) ^ (~v[4] & v[6])) + s->round[k] + w[k];
        const uint32_t two = (turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22)) +
                             ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += one;
        v[0] = one + two;
    }
    for (int k = 0; k < 8; k++)
        s->state[k] += v[k];
}

static void sha_add(struct sha *s, const unsigned char *bytes, size_t size) {
    for (size_t k = 0; k < size; k++) {
        s->block[s->bytes++ % 64] = bytes[k];
        if (s->bytes % 64 == 0)
            sha_block(s);
    }
}

static void sha_end(struct sha *s, char text[DIGEST_SIZE]) {
    const uint64_t bits = 8 * s->bytes;
    sha_add(s, (const unsigned char[]){0x80}, 1);
    while (s->bytes % 64 != 56)
        sha_add(s, (const unsigned char[]){0}, 1);
    for (int k = 7; k >= 0; k--)
        sha_add(s, (const unsigned char[]){(unsigned char)(bits >> 8 * k)}, 1);
    for (int k = 0; k < 8; k++)
        snprintf(text + 8 * k, 9, "%08x", s->state[k]);
}

void digest_bytes(const void *bytes, size_t size, char text[DIGEST_SIZE]) {
    struct sha s;
    sha_begin(&s);
    sha_add(&s, bytes, size);
    sha_end(&s, text);
}

bool digest_file(const char *path, char text[DIGEST_SIZE]) {
    struct sha s;
    struct stat status;
    unsigned char some[16384];
    ssize_t got = -1;
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would wait for its writer */
    sha_begin(&s);
    if (file >= 0 && !fstat(file, &status) && S_ISREG(status.st_mode))
        while ((got = read(file, some, sizeof some)) > 0)
            sha_add(&s, some, (size_t)got);
    if (file >= 0)
        close(file);
    text[0] = 0;
    if (got == 0)
        sha_end(&s, text);
    return got == 0;
}
