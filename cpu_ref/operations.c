/* The data and the costs of operations.def. */
#include "cpu_ref/operations.h"

/* Descriptions of natural inputs. */
#define NORMAL .size = 1
#define FAN_IN(letter) .size = 1, .fan_in = letter
#define AROUND(mean, share) .size = share, .around = mean
#define ONE_OF(letter) .fan_in = letter
#define NEAR(mean, share, letter) .around = mean, .size = share, .fan_in = letter
#define NEAR_IDENTITY(share, letter) .diagonal = true, .around = 1, .size = share, .fan_in = letter

#define ARGUMENT(text, letters, kind) .name = text, .extents = letters, .role = kind
#define IN(name, extents, role, natural) {ARGUMENT(#name, extents, MHC_##role), .direction = MHC_IN, natural},
#define OUT(name, extents, role) {ARGUMENT(#name, extents, MHC_##role), .direction = MHC_OUT},
#define OPERATION(id, text, flops, bytes, arguments) \
    const char op_##id##_name[] = text;              \
    const struct mhc_arg op_##id##_args[] = {arguments{.name = NULL}};
#include MHC_OPERATIONS
#undef OPERATION

/* What formulas speak of: extents under their letters, bytes of an element of each role. */
/* clang-format off */
#define EXTENT(letter) __attribute__((unused)) const double letter = (double)mhc_extent(c, *#letter)
#define EXTENTS \
    EXTENT(T); EXTENT(n); EXTENT(C); EXTENT(S); EXTENT(K); EXTENT(Q); EXTENT(N); EXTENT(H); EXTENT(A); EXTENT(M); \
    EXTENT(V); EXTENT(R); EXTENT(W); \
    __attribute__((unused)) const double t_max = (double)c->t_max, STREAM_BYTES = (double)mhc_type_bytes(c->stream), \
        COEF_BYTES = (double)mhc_type_bytes(c->coef), PARAM_BYTES = (double)mhc_type_bytes(c->param);
/* clang-format on */
#define FLOPS(formula) formula
#define BYTES(formula) formula
#define OPERATION(id, text, flops, bytes, arguments)                                   \
    double op_##id##_flops(const struct mhc_case *c) {                                 \
        EXTENTS                                                                        \
        return flops;                                                                  \
    }                                                                                  \
    double op_##id##_traffic(const struct mhc_case *c) {                               \
        EXTENTS                                                                        \
        __attribute__((unused)) const double ONCE = mhc_bytes_once(c, op_##id##_args); \
        return bytes;                                                                  \
    }
#include MHC_OPERATIONS
