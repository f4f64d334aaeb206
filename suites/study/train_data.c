/* The text of study `train`: bytes, and which of them a step reads. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cpu_ref/philox.h"
#include "suites/stack/ensemble.h"
#include "suites/study/train.h"

bool train_text_check(const struct params *p, char *why, size_t why_size) {
    struct stat file;
    int64_t needed = model_sequence(p) + 1;
    if (!p->input[0])
        return snprintf(
                   why, why_size,
                   "--study train needs --input FILE, whose bytes are the text, as suites/kjv-genesis-to-kings.txt"),
               false;
    if (!ensemble_check_input(p, why, why_size) || stat(p->input, &file))
        return false;
    int64_t readable = ensemble_readable(file.st_size), held_out = (int64_t)file.st_size - readable;
    if (readable < needed || held_out < needed)
        return snprintf(why, why_size,
                        "--input %s: has %lld bytes to train on and %lld held out, a window of --sequence takes %lld",
                        p->input, (long long)readable, (long long)held_out, (long long)needed),
               false;
    return true;
}

bool train_text_read(struct train_text *text, const struct params *p, char *why, size_t why_size) {
    struct stat about;
    *text = (struct train_text){.bytes = NULL};
    if (!train_text_check(p, why, why_size))
        return false;
    FILE *file = fopen(p->input, "rb");
    if (file && !fstat(fileno(file), &about)) {
        text->size = (int64_t)about.st_size;
        text->readable = ensemble_readable(about.st_size);
        text->bytes = malloc((size_t)text->size + 1);
    }
    bool good = text->bytes && fread(text->bytes, 1, (size_t)text->size, file) == (size_t)text->size;
    if (!good)
        snprintf(why, why_size, "--input %s cannot be read: %s", p->input,
                 file && text->bytes ? "it became shorter" : strerror(errno));
    if (file)
        fclose(file);
    return good;
}

void train_text_release(struct train_text *text) {
    free(text->bytes);
    *text = (struct train_text){.bytes = NULL};
}

int64_t train_window(const struct train_text *text, const struct params *p, int64_t step, int64_t row) {
    uint64_t places = (uint64_t)(text->readable - model_sequence(p));
    return (int64_t)(mhc_bits((uint64_t)p->seed, mhc_what("window"), (uint32_t)step, (uint64_t)row) % places);
}

int64_t train_held_out_window(const struct train_text *text, const struct params *p, int64_t k, int64_t count) {
    int64_t last = text->size - text->readable - model_sequence(p) - 1;
    return text->readable + (count > 1 ? k * last / (count - 1) : 0);
}

int64_t train_held_out_windows(const struct params *p) {
    int64_t S = model_sequence(p), tokens = p->tokens > HELD_OUT_TOKENS ? p->tokens : HELD_OUT_TOKENS;
    return (tokens + S - 1) / S;
}

double train_rate(const struct params *p, int64_t step) {
    double rate = p->learning_rate;
    if (step < p->warm_up)
        return rate * (double)step / (double)p->warm_up;
    if (p->schedule == SCHEDULE_CONSTANT || 10 * step <= 8 * p->steps)
        return rate;
    return rate * (10 * step <= 9 * p->steps ? 0.316 : 0.1);
}
