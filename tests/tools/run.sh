#!/bin/sh
# run.sh BUILD TEST...: run Criterion binaries one after the other and add up. A run in which no test ran has failed: Criterion itself
# exits 0 when a filter matches nothing or everything was skipped.
build=$1
shift
# Threads that wait by spinning starve each other; Criterion's own leaks are not ours.
export OMP_WAIT_POLICY=passive LSAN_OPTIONS="suppressions=$PWD/tests/leaks.txt:print_suppressions=0"
export OPENBLAS_NUM_THREADS=1 MHCBENCH="$build/mhcbench" BUILD="$build"
passed=0 failed=0 skipped=0 broken=0
for test; do
    report=$test.json
    rm -f "$report"
    "$test" -j2 --json="$report" $TEST_FLAGS || broken=1
    count() { sed -n "s/^ *\"$1\": *\([0-9]*\),*$/\1/p" "$report" 2>/dev/null | head -n 1; }
    p=$(count passed) f=$(count failed) e=$(count errored) s=$(count skipped)
    if [ -z "$p" ] || [ "$((${p:-0} + ${f:-0} + ${e:-0}))" = 0 ]; then
        echo "$test: no test ran" >&2
        failed=$((failed + 1))
        continue
    fi
    passed=$((passed + p)) failed=$((failed + ${f:-0} + ${e:-0})) skipped=$((skipped + ${s:-0}))
done
[ "$broken" = 1 ] && [ "$failed" = 0 ] && failed=1
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
