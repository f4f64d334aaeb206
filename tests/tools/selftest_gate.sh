#!/bin/sh
# selftest_gate.sh BUILD: does `regress` lie on this machine? A against A, 200 trials and more: SLOWER at most once in
# 100. Against a library that is 10 % slower, 100 trials and more: SLOWER at least 95 times in 100. One thread, because
# on a shared machine threads wait for each other; OMP_NUM_THREADS chooses another number. Exit 1 if it lies, 2 if it
# cannot be tried.
build=$1
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
cpu=$(realpath "$build/libmhc_cpu.so")
cp "$cpu" "$folder/same.so" &&
    ${CC:-cc} -O2 -shared -fPIC -I. -DPERCENT=10 "-DINNER=\"$cpu\"" tests/slower_library.c -o "$folder/slower.so" ||
    exit 2

# trials LIBRARY SEEDS: four operations, bound by memory, arithmetic or a GEMM, so many times each.
trials() {
    "$build/mhcbench" regress --against "$cpu" "$folder/$1" \
        --operation mhc.post,hc.pre,linear.forward,stack.entry_backward --type f32 --width 256 \
        --seed "1:$2:1" --budget 0.2 -q --json "$folder/$1.json" >"$folder/$1.txt"
    [ $? -le 1 ] || { cat "$folder/$1.txt" >&2; exit 2; }
}
count() { grep -c "^{\"verdict\": \"$2" "$folder/$1.json"; } # of a verdict, or of any

trials same.so 50
alarms=$(count same.so SLOWER) tried=$(count same.so "") wrong=0
[ "$tried" -ge 200 ] && [ $((alarms * 100)) -le "$tried" ] || wrong=1
echo "A against A, $tried trials: $alarms SLOWER (at most 1 in 100), $(count same.so FASTER) FASTER," \
     "$(count same.so AMBIGUOUS) AMBIGUOUS, $(count same.so SAME) SAME"
trials slower.so 25
caught=$(count slower.so SLOWER) tried=$(count slower.so "")
[ "$tried" -ge 100 ] && [ $((caught * 100)) -ge $((tried * 95)) ] || wrong=1
echo "10 % slower, $tried trials: $caught SLOWER (at least 95 in 100), $(count slower.so AMBIGUOUS) AMBIGUOUS," \
     "$(count slower.so SAME) SAME, $(count slower.so FASTER) FASTER"
[ $wrong = 0 ] && echo "good" || echo "NOT GOOD: is this machine busy? $build/mhcbench doctor may say"
exit $wrong
