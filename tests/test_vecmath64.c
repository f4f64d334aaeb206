/* exp and its relatives in float64: within their ulps over all exponents, NaN and infinities kept. */
#define REAL_BITS 64
#include "tests/vecmath_ulp.h"
