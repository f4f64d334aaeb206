/* operations.def as C: for each operation its arguments as data, its cost, and a struct of pointers under their names.
 *
 *   static int pre(void *context, void *queue, const struct mhc_case *c, void *const arg[], void *save, void *work) {
 *       const struct mhc_pre_args *a = (const void *)arg;          a->x, a->phi, ..., a->u
 *   }
 *   const struct mhc_row row = {MHC_OPERATION(mhc_pre), .supports = supports, .tolerance = tolerance, .run = pre};
 *
 * A library links operations.c with its rows. One with operations of its own defines MHC_OPERATIONS as the name of
 * its own list of them. */
#ifndef OPERATIONS_H
#define OPERATIONS_H

#include "cpu_ref/operation.h"

#ifndef MHC_OPERATIONS
#define MHC_OPERATIONS "cpu_ref/operations.def"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define IN(name, extents, role, natural) const void *name;
#define OUT(name, extents, role) void *name;
#define OPERATION(id, name, flops, bytes, arguments) \
    struct __attribute__((may_alias)) id##_args {    \
        arguments                                    \
    };                                               \
    extern const char op_##id##_name[];              \
    extern const struct mhc_arg op_##id##_args[];    \
    double op_##id##_flops(const struct mhc_case *); \
    double op_##id##_traffic(const struct mhc_case *);
#include MHC_OPERATIONS
#undef OPERATION
#undef OUT
#undef IN

#define MHC_OPERATION(id) \
    .name = op_##id##_name, .args = op_##id##_args, .flops = op_##id##_flops, .traffic = op_##id##_traffic

#ifdef __cplusplus
}
#endif
#endif
