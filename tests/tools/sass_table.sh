#!/bin/sh
# sass_table.sh BUILD TABLE: the figures of BUILD/libmhc_cuda.so into BUILD/sass.txt, and what moved from TABLE. Exit 0:
# nothing moved; 1: something did; 77: there is nothing to compare, or nothing to read it with, as one line says.
# cuobjdump and nvdisasm are looked for in PATH, in the folder CUDA_TOOLS and beside nvcc.
build=$1 table=$2
PATH=$PATH${CUDA_TOOLS:+:$CUDA_TOOLS}${NVCC:+:$(dirname "$NVCC")}
export PATH
lacks() {
    echo "sass-table: $*"
    exit 77
}
command -v nvcc >/dev/null || lacks "no nvcc: nothing to compare"
test -e "$build/libmhc_cuda.so" || lacks "no $build/libmhc_cuda.so: nothing to compare"
for tool in cuobjdump nvdisasm; do
    command -v $tool >/dev/null ||
        lacks "no $tool: pip install --target FOLDER nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm, and" \
            "CUDA_TOOLS=FOLDER/nvidia/cu13/bin"
done
release=$(nvcc --version | sed -n 's/^Cuda.*release \([0-9.]*\),.*/\1/p')
arch=$(cuobjdump --list-elf "$build/libmhc_cuda.so" |
    sed -n 's/.*\.\(sm_[0-9a-z]*\)\.cubin.*/\1/p' | sort -u | tr '\n' ' ')
mine="# nvcc $release, ${arch% }"
{
    cuobjdump -res-usage "$build/libmhc_cuda.so" 2>&1
    cuobjdump -sass "$build/libmhc_cuda.so"
} | "$build/sass_table" >"$build/sass.mangled" || exit 2
{
    echo "$mine"
    c++filt <"$build/sass.mangled"
} >"$build/sass.txt"
if [ "$(head -n 1 "$table" 2>/dev/null)" != "$mine" ]; then
    lacks "$table is not of $mine"
fi
"$build/sass_table" "$build/sass.txt" "$table" && echo "as $table" || {
    echo "what moved, from $table to $build/sass.txt; a wanted change: cp $build/sass.txt $table"
    exit 1
}
