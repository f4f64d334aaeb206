#!/bin/sh
# gpu_check.sh [ROOT]: are the kernels right on this GPU? Needs the driver and cuBLAS; meant for under five minutes,
# fourteen at most by its limits.
# One line per step, what failed behind it, a verdict. Exit 0 good, 1 something failed, 2 cannot.
#
# LOGS=folder keeps what every step said. ROWS (all), MINUTES (1.5) of random cases, SEED; SANITIZER (60) seconds for
# each tool of compute-sanitizer. BACKEND=emu, a small LARGE and MINUTES try the script itself where there is no GPU;
# PATIENCE multiplies its limits, for busy machines. ROOT holds suites/ and tests/vectors/, and the program in bin/ (a
# bundle) or build/; the default is the folder above this file. BIN names another folder of the program.
backend=${BACKEND:-cuda} large=${LARGE:-2147483648} seconds=${SANITIZER:-60} patience=${PATIENCE:-1}
root=${1:-$(dirname "$0")/..}
. "$(dirname "$0")/gpu_open.sh"
out=$(mktemp -d) || exit 2
trap 'rm -rf "$out"' EXIT
[ -z "$LOGS" ] || mkdir -p "$LOGS" || exit 2

open_backend "$out/first" || { cat "$out/first" >&2; exit 2; }
head -n 1 "$out/first"
[ $backend = emu ] || sleep 2 # the driver still counts what just ran as load
timeout $((60 * patience)) "$mhcbench" doctor --backend $backend 2>&1 | grep '^  ! '

passed=0 failed=0 skipped=0 number=0
keep() {
    number=$((number + 1))
    [ -z "$LOGS" ] || cp "$out/log" "$LOGS/$number.log"
}
failing() {
    failed=$((failed + 1))
    echo "FAILED $name: exit $1"
    grep -v '^ok\|  pass  ' "$out/log" | head -n 30
}
# step NAME COMMAND...: exit 0 is good
step() {
    name=$1
    shift
    start=$(date +%s)
    "$@" >"$out/log" 2>&1
    code=$?
    keep
    if [ $code = 0 ]; then
        passed=$((passed + 1))
        echo "good   $name  ($(($(date +%s) - start)) s)  $(tail -n 1 "$out/log")"
    else
        failing $code
    fi
    return $code
}

# A kernel that breaks the device fails all rows behind it in its process: one process per row says which it is.
one_by_one() {
    grep -q 'illegal\|misaligned\|unspecified launch\|hardware\|crashed\|stopped' "$out/log" || return
    echo "       row by row, a process each:"
    before=$failed
    rows=$("$mhcbench" list --operations --backend $backend | awk '/^  [a-z][a-z-]*[.]/ { print $1 }' | sort -u)
    for row in $rows; do
        timeout -k 5 $((30 * patience)) "$mhcbench" check $backend --operation "$row" --trials 6 \
            --seed "${SEED:-1}" >"$out/log" 2>&1 || {
            echo "FAILED $row: exit $?"
            failed=$((failed + 1))
            grep -v '^ok' "$out/log" | sed -n '2,4p'
        }
    done
    [ "$failed" != "$before" ] || echo "       none fails by itself on few cases"
}

# Largest difference of the curves of two runs of one suite, as a share of 1 + the size; more than 1e-3 fails.
same_curves() {
    for which in cpu64 "$backend"; do
        timeout $((60 * patience)) "$mhcbench" run "$1" --backend "$which" --out "$out/$which.h5" --overwrite -q ||
            return
        "$mhcbench" export "$out/$which.h5" --what curves | grep -v '^#' | cut -d, -f1,3- >"$out/$which.csv" || return
    done
    paste -d, "$out/cpu64.csv" "$out/$backend.csv" | awk -F, '
        NR == 1 { columns = NF / 2; next }
        { for (k = 1; k <= columns; k++) {
              a = $k; b = $(k + columns)
              if ((a == "") != (b == "")) { print "line " NR ": one is not finite"; bad = 1 }
              d = a - b; if (d < 0) d = -d
              s = a < 0 ? -a : a
              share = d / (1 + s)
              if (share > worst) { worst = share; where = "line " NR ", column " k }
              count++
          } }
        END { printf "%d values, worst difference %.2g (%s)\n", count, worst, where
              exit bad || count == 0 || !(worst <= 1e-3) }'
}

cat >"$out/study.suite" <<END
set --study propagate --depth 12 --width 128 --tokens 64 --sequence 32 --alpha 0.2 --rms-eps 0.01 --hidden 256
set --measure gain+stream+gradient
--block hc,mhc,identity,hc-static --recompute keep,3
--block resnet --streams 1 --branch mlp
--block mhc --branch attention --convention v4
END

if [ -x "$bin/semantics" ] && [ $backend = cuda ]; then
    step "instructions mean what the emulator says" timeout $((60 * patience)) "$bin/semantics"
    grep '^clusters' "$out/log"
fi
step "every operation on random cases, guarded, poisoned, twice" timeout -k 5 $((180 * patience)) "$mhcbench" \
    check $backend ${ROWS:+--operation "$ROWS"} --minutes "${MINUTES:-1.5}" --seed "${SEED:-1}" ||
    one_by_one
step "vectors" timeout -k 5 $((60 * patience)) "$mhcbench" verify "$root/tests/vectors/public.h5" --backend $backend
step "vectors, bf16" timeout -k 5 $((60 * patience)) "$mhcbench" \
    verify "$root/tests/vectors/public.h5" --backend $backend --type bf16
step "arrays of more than $large elements" timeout -k 5 $((120 * patience)) "$mhcbench" \
    check $backend --operation 'mhc.*' --large "$large"
step "the deep stack gives the same study as cpu64" same_curves "$out/study.suite"

# sanitized TOOL: rows of small cases under a tool. Our kernels alone are watched, except by initcheck, which has to see
# all that is written, and is kept from GEMMs, that others wrote, and from copies of scratch, of which a row need not
# use all.
sanitized() {
    rows='*' watch='--kernel-name kns=_kernel'
    case $1 in
    memcheck) watch="$watch --report-api-errors no --padding 512" ;;
    initcheck) rows='[hinrs]* m[hi]* a[cd]* attention-core.*' watch='--check-api-memory-access no' ;;
    esac
    end=$(($(date +%s) + seconds))
    set -f
    for glob in $rows; do
        left=$((end - $(date +%s)))
        [ $left -gt 0 ] || return 124
        timeout -k 5 $left "$sanitizer" --tool $1 --target-processes all --error-exitcode 1 --print-limit 20 $watch \
            "$mhcbench" check $backend --tight --trials 1 --size 600 --operation "$glob" || return
    done
}
# What a tool says before its time is over.
findings='Invalid\|Misaligned\|Error: Race\|Error: Potential\|Warning: Race\|Warning: Potential\|Uninit\|Barrier'
findings="$findings\|Divergent\|Program hit"
toolkit=/usr/local/cuda
sanitizer=$(command -v compute-sanitizer ||
    ls $toolkit/bin/compute-sanitizer $toolkit/compute-sanitizer/compute-sanitizer 2>/dev/null | head -n 1)
for tool in memcheck racecheck synccheck initcheck; do
    name="compute-sanitizer $tool"
    if [ -z "$sanitizer" ]; then
        echo "skipped $name: it is not installed"
        skipped=$((skipped + 1))
        continue
    fi
    sanitized $tool >"$out/log" 2>&1
    code=$?
    keep
    rows=$(grep -c '^ok' "$out/log")
    if [ $code = 0 ]; then
        passed=$((passed + 1))
        echo "good   $name  ($rows rows)  $(grep 'ERROR SUMMARY\|RACECHECK SUMMARY' "$out/log" | tail -n 1)"
    elif [ $code = 124 ] || [ $code = 137 ] && ! grep -q "^========= *\($findings\)\|^FAIL" "$out/log"; then
        skipped=$((skipped + 1))
        echo "skipped $name: silent on the $rows rows that $seconds s were enough for; SANITIZER=300 goes on"
    else
        failing $code
    fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
