#!/bin/sh
# run.sh BUILD TEST...: run Criterion binaries in this order, LANES of them at once (default: as many as cores), so that
# some compute while others wait. Print what each one said when it ends, with its time, name again what failed and add
# up. A run in which no test ran has failed: Criterion itself exits 0 when a filter matches nothing or all were skipped.
build=$1
shift
# Threads that wait by spinning starve each other; Criterion's own leaks are not ours.
export OMP_WAIT_POLICY=passive LSAN_OPTIONS="suppressions=$PWD/tests/leaks.txt:print_suppressions=0"
export OPENBLAS_NUM_THREADS=1 MHCBENCH="$build/mhcbench" BUILD="$build"
# run.sh BUILD --one TEST: its report is in TEST.json, its exit code in TEST.code, what it said in TEST.log.
if [ "$1" = --one ]; then
    rm -f "$2.json" "$2.code"
    code=0 start=$(date +%s)
    "$2" -j2 --json="$2.json" $TEST_FLAGS >"$2.log" 2>&1 || code=$?
    echo "$2: $(($(date +%s) - start)) s" >>"$2.log"
    echo "$code" >"$2.code"
    exec cat "$2.log"
fi
passed=0 failed=0 skipped=0 names=
# failed_of REPORT TEST: the failed tests of a report, a line each, by the indentation that Criterion gives it.
failed_of() {
    sed -n 's/^      "name": "\(.*\)",$/suite \1/p; s/^          "name": "\(.*\)",$/test \1/p
        s/^          "status": "\(FAILED\|ERRORED\)".*/bad/p' "$1" |
        while read -r word name; do
            case $word in
            suite) suite=$name ;;
            test) own=$name ;;
            bad) echo "  $2: $suite::$own" ;;
            esac
        done
}
printf '%s\n' "$@" | xargs -P "${LANES:-$(nproc)}" -n 1 sh "$0" "$build" --one
for test; do
    report=$test.json code=$(cat "$test.code")
    count() { sed -n "s/^ *\"$1\": *\([0-9]*\),*$/\1/p" "$report" 2>/dev/null | head -n 1; }
    p=$(count passed) f=$(count failed) s=$(count skipped) # a test that crashed counts among the failed
    if [ -z "$p" ] || [ "$((${p:-0} + ${f:-0}))" = 0 ]; then
        echo "$test: no test ran" >&2
        failed=$((failed + 1)) names="$names
  $test: no test ran"
        continue
    fi
    if [ "${f:-0}" != 0 ]; then
        names="$names
$(failed_of "$report" "$test")"
    elif [ "$code" != 0 ]; then # a sanitizer of the program itself, or its end
        f=1 names="$names
  $test: ended with $code, though each of its tests passed"
    fi
    passed=$((passed + p)) failed=$((failed + ${f:-0})) skipped=$((skipped + ${s:-0}))
done
[ -z "$names" ] || echo "failed:$names"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
