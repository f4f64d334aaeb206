/* Writes safetensors files for tests, and says what a reader makes of a number stored in one. */
#ifndef SAFETENSORS_EXAMPLE_H
#define SAFETENSORS_EXAMPLE_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

struct file {
    char *header, *data;
    size_t header_size, data_size;
    FILE *head, *body;
    int64_t at;
};

static struct file *begin(void) {
    static struct file f;
    f = (struct file){.at = 0};
    f.head = open_memstream(&f.header, &f.header_size);
    f.body = open_memstream(&f.data, &f.data_size);
    fputs("{\"__metadata__\":{\"format\":\"pt\"}", f.head);
    return &f;
}

static uint16_t half_of(float value) { /* normal numbers alone, cut off */
    uint32_t bits;
    memcpy(&bits, &value, 4);
    const int exponent = (int)(bits >> 23 & 255) - 112;
    return (uint16_t)(bits >> 16 & 0x8000) | (uint16_t)(exponent > 0 ? exponent << 10 | (bits >> 13 & 1023) : 0);
}

/* What a reader makes of a value stored so. */
static double stored(double value, const char *type) {
    float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, 4);
    if (!strcmp(type, "BF16"))
        bits &= 0xffff0000u;
    memcpy(&single, &bits, 4);
    if (!strcmp(type, "F16")) {
        const uint16_t half = half_of(single);
        return half & 0x7fff ? (half >> 15 ? -1 : 1) * ldexp(1024 + (half & 1023), (half >> 10 & 31) - 25) : 0;
    }
    return single;
}

static void add(struct file *f, const char *name, const char *type, int rank, const int64_t *extent,
                const double *values) {
    int64_t elements = 1, bytes = strcmp(type, "F32") ? 2 : 4;
    fprintf(f->head, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", name, type);
    for (int k = 0; k < rank; k++) {
        elements *= extent[k];
        fprintf(f->head, "%s%lld", k ? "," : "", (long long)extent[k]);
    }
    fprintf(f->head, "],\"data_offsets\":[%lld,%lld]}", (long long)f->at, (long long)(f->at + elements * bytes));
    f->at += elements * bytes;
    for (int64_t k = 0; k < elements; k++) {
        const float single = (float)values[k];
        uint16_t half;
        memcpy(&half, (const char *)&single + 2, 2);
        if (!strcmp(type, "F16"))
            half = half_of(single);
        fwrite(bytes == 4 ? (const void *)&single : &half, (size_t)bytes, 1, f->body);
    }
}

static void finish(struct file *f, const char *path) {
    unsigned char length[8];
    fputc('}', f->head);
    fclose(f->head);
    fclose(f->body);
    for (int k = 0; k < 8; k++)
        length[k] = (unsigned char)(f->header_size >> 8 * k);
    FILE *out = fopen(path, "wb");
    cr_assert(out && fwrite(length, 1, 8, out) == 8 && fwrite(f->header, 1, f->header_size, out) == f->header_size &&
              fwrite(f->data, 1, f->data_size, out) == f->data_size && !fclose(out));
    free(f->header);
    free(f->data);
}

#endif
