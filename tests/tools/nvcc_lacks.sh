#!/bin/sh
# nvcc_lacks.sh NVCC: what keeps this nvcc from building the kernels, in a few words; nothing where it can.
nvcc=$1
version=$($nvcc --version 2>/dev/null | sed -n 's/^Cuda.*release \([0-9]*\.[0-9]*\).*/\1/p')
if [ -z "$version" ]; then
    echo "it does not say its release"
elif [ "${version%%.*}" -lt 12 ]; then
    echo "release $version is older than 12.0 and has no C++20"
elif ! echo '#include <cublas_v2.h>' | $nvcc -E -x cu - >/dev/null 2>&1; then
    echo "release $version finds no cublas_v2.h, the header of cuBLAS"
fi
