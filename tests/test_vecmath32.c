/* exp and its relatives in float32: within their ulps over all exponents, NaN and infinities kept. */
#define REAL_BITS 32
#include "tests/vecmath_ulp.h"
