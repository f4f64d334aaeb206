#!/bin/sh
# gpu_check.sh [ROOT]: are the kernels right on this GPU? Needs the driver and cuBLAS; meant for under five minutes, twelve at most by its limits.
# One line a step, what failed behind it, a verdict. Exit 0 good, 1 something failed, 2 cannot.
#
# BACKEND=emu, a small LARGE and MINUTES try the script itself where there is no GPU.
# ROOT holds suites/ and tests/vectors/, and the program in bin/ (a bundle) or build/; the default is the folder above this file.
backend=${BACKEND:-cuda} large=${LARGE:-2147483648}
root=${1:-$(dirname "$0")/..}
for bin in "$root/bin" "$root/build"; do
    [ -x "$bin/mhcbench" ] && break
done
mhcbench=$bin/mhcbench
[ -x "$mhcbench" ] || { echo "gpu_check: no mhcbench in $root/bin or $root/build" >&2; exit 2; }
out=$(mktemp -d) || exit 2
trap 'rm -rf "$out"' EXIT
if ! "$mhcbench" check $backend --trials 1 --operation bench.copy >"$out/first" 2>&1; then
    cat "$out/first" >&2
    exit 2
fi
head -n 1 "$out/first"

passed=0 failed=0 skipped=0
# step NAME COMMAND...: exit 0 is good
step() {
    name=$1
    shift
    start=$(date +%s)
    if "$@" >"$out/log" 2>&1; then
        passed=$((passed + 1))
        echo "good   $name  ($(($(date +%s) - start)) s)  $(tail -n 1 "$out/log")"
    else
        echo "FAILED $name: exit $?"
        failed=$((failed + 1))
        grep -v '^ok\|  pass  ' "$out/log" | tail -n 20
    fi
}

# Largest difference of the curves of two runs of one suite, as a share of 1 + the size; more than 1e-3 fails.
same_curves() {
    for which in cpu64 "$backend"; do
        timeout 60 "$mhcbench" run "$1" --backend "$which" --out "$out/$which.h5" --overwrite -q || return
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
set --study propagate --depth 12 --width 128 --tokens 64 --sequence 32 --alpha 0.2 --rms-eps 0.01 --hidden 256 --measure gain+stream+gradient
--block hc,mhc,identity,hc-static --recompute keep,3
--block resnet --streams 1 --branch mlp
--block mhc --branch attention --convention v4
END

step "every operation on random cases, guarded, poisoned, twice" timeout 150 "$mhcbench" check $backend --minutes ${MINUTES:-1.5} --seed "${SEED:-1}"
step "vectors" timeout 60 "$mhcbench" verify "$root/tests/vectors/public.h5" --backend $backend
step "vectors, bf16" timeout 60 "$mhcbench" verify "$root/tests/vectors/public.h5" --backend $backend --type bf16
step "arrays of more than $large elements" timeout 90 "$mhcbench" check $backend --operation 'mhc.*' --large "$large"
step "the deep stack gives the same study as cpu64" same_curves "$out/study.suite"

sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
for tool in memcheck racecheck initcheck synccheck; do
    if [ -n "$sanitizer" ]; then
        step "compute-sanitizer $tool" timeout 60 "$sanitizer" --tool $tool --error-exitcode 1 --target-processes all "$mhcbench" check $backend --tight --trials 1 --size 600
    else
        echo "skipped compute-sanitizer $tool: it is not installed"
        skipped=$((skipped + 1))
    fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
