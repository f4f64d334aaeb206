#!/bin/sh
# gpu_first.sh [ROOT]: what the first nine minutes on a GPU must bring, the most wanted first. Each step has a limit,
# adds what it says to $OUT/first.txt when it ends, and is skipped when too little time is left. So a run that is cut
# off at any moment leaves what it had: $OUT/work, which goes when the script ends, has the log and the records of the
# step at hand. Exit 0 good, 1 a step failed, 2 cannot.
#
#   OUT=folder SECONDS_IN_ALL=530 sh tests/gpu_first.sh     on a GPU, in the bundle's folder or a built tree
#   SMALL=1 BACKEND=emu sh tests/gpu_first.sh               tries the script where there is no GPU (TYPE=bf16)
#
# $OUT/records.tar holds the records, and is made anew after each study. ROOT is as in gpu_check.sh.
backend=${BACKEND:-cuda} all=${SECONDS_IN_ALL:-530} out=${OUT:-first}
root=${1:-$(dirname "$0")/..}
. "$(dirname "$0")/gpu_open.sh"
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 2
text=$out/first.txt work=$out/work type=${TYPE:-bf16}
rm -rf "$work" && mkdir "$work" && : >"$text" || exit 2
begin=$(date +%s)
good=0 failed=0 skipped=0 cut=0

say() { echo "$@" | tee -a "$text"; }
on_gpu() { [ "$backend" = cuda ]; }
has_clusters() { ! nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | grep -q '^[5-8]\.'; }

# take LEAST MOST SHOWN NAME COMMAND...: COMMAND within MOST seconds, if LEAST are left. Its last SHOWN lines are
# printed, and all of them are kept.
take() {
    least=$1 most=$2 shown=$3 name=$4
    shift 4
    start=$(date +%s)
    left=$((begin + all - start))
    if [ "$left" -lt "$least" ]; then
        say "--- $name: skipped, $left s left"
        skipped=$((skipped + 1))
        return 124
    fi
    [ "$most" -lt "$left" ] || most=$left
    timeout -k 3 "$most" "$@" >"$work/log" 2>&1
    code=$?
    case $code in
    0) good=$((good + 1)) ;;
    124 | 137) cut=$((cut + 1)) ;;
    *) failed=$((failed + 1)) ;;
    esac
    say "--- $name: exit $code, $(($(date +%s) - start)) s, at $(($(date +%s) - begin)) s"
    cat "$work/log" >>"$text"
    tail -n "$shown" "$work/log"
    return $code
}

# right LEAST MOST NAME MINUTES OPTIONS...: random cases, guarded, poisoned, run twice.
right() {
    least=$1 most=$2 name=$3 minutes=$4
    shift 4
    take "$least" $((most * ${patience:-1})) 14 "right: $name" \
        env $with "$mhcbench" check "$backend" --minutes "${few_minutes:-$minutes}" "$@"
}

# study WHICH FILE LEAST MOST OPTIONS...: a run and its table. A run that was cut off has the cases it finished in a
# .part.
study() {
    which=$1 file=$2 least=$3 most=$4
    shift 4
    take "$least" "$most" 14 "$file" env $with "$mhcbench" run --study "$which" --backend "$backend" \
        --type "$type" "$@" --out "$work/$file.h5" --overwrite -q
    for made in "$work/$file.h5" "$work/$file.h5.part"; do
        [ -e "$made" ] && "$mhcbench" show "$made" >"$work/log" 2>&1 && tee -a "$text" <"$work/log" && break
    done
    (cd "$work" && for record in *.h5 *.h5.part; do [ -e "$record" ] && echo "$record"; done | tar cf records -T -)
    cp "$work/records" "$out/records.tar.new" && mv "$out/records.tar.new" "$out/records.tar"
}

ops=mhc.pre,mhc.post,mhc.post_backward_y,mhc.backward,mhc.post_pre,mhc.backward_y
tokens=4096 narrow=2560 wide="4096 7168" few=1,16,128,512
step="--preset 27b --tokens 4096 --depth 4 --budget 5 --graphs on" active="--kind active" dense="--kind dense"
if [ "$SMALL" ]; then
    few_minutes=0.001 patience=20 all=${SECONDS_IN_ALL:-3600} # a busy machine is no fault of the rows
    ops=mhc.pre,mhc.backward tokens=16 narrow=64 wide=96 few=1,8
    step="--tokens 2 --depth 1 --width 8 --heads 1 --head-dim 8 --hidden 8 --budget 0.1 --rounds 2 --graphs off"
    # The emulator does not finish a step: it tries what is left of a run that is cut off.
    active= dense= step_seconds=${STEP_SECONDS:-2}
fi
with=

say "gpu_first: $(date -u +%FT%TZ), $all s, backend $backend"
if on_gpu; then
    what=name,driver_version,clocks.sm,clocks.mem,power.limit,temperature.gpu
    { nvidia-smi --query-gpu=$what --format=csv,noheader; nproc; free -g | sed -n 2p; } 2>&1 | tee -a "$text"
fi

# 1. Does it open, and do the instructions mean what the emulator says?
open_backend "$work/log" >"$work/said" || { say "it does not open:"; tee -a "$text" <"$work/log"; exit 2; }
say "opens: $(head -n 1 "$work/log")"
tee -a "$text" <"$work/said"
on_gpu && [ -x "$bin/semantics" ] && take 10 30 40 "instructions" "$bin/semantics"
take 5 30 14 doctor "$mhcbench" doctor --backend "$backend"

# 2. Are the operations of the headline right? If not, is it the clusters?
right 20 60 "mhc.*, bench.*" 0.5 --operation 'mhc.*,bench.*'
code=$?
if on_gpu && [ $code != 0 ] && [ $code != 124 ]; then
    with=MHC_CLUSTER=1
    right 20 60 "mhc.* without clusters" 0.4 --operation 'mhc.*'
    with=
fi

# 3. The kernels of the headline against a copy, at the paper's width; then with two passes.
study kernels kernels_$narrow 15 60 --operation $ops --tokens $tokens --width $narrow
with=MHC_CLUSTER=1
study kernels two_passes_$narrow 15 40 --operation mhc.pre,mhc.backward --tokens $tokens --width $narrow
with=
on_gpu && has_clusters && [ -x "$bin/cluster_costs" ] &&
    take 5 20 40 "what a cluster's meeting costs" "$bin/cluster_costs"

# 4. The headline: what a connection costs in a step.
right 15 40 "what a step is made of" 0.4 \
    --operation 'norm.*,addnorm.*,gemm.*,activation.*,hc.*,mhc-micro.*,hc-micro.*'
study overhead active "${step_seconds:-40}" "${step_seconds:-110}" $step $active
study overhead dense "${step_seconds:-40}" "${step_seconds:-100}" $step $dense

# 5. The other widths; few tokens; clusters of 8.
for width in $wide; do
    study kernels "kernels_$width" 20 80 --operation $ops --tokens $tokens --width "$width"
done
study kernels few_tokens 15 40 --operation mhc.pre --tokens $few --width $narrow
with=MHC_CLUSTER=8
study kernels clusters_of_8 10 30 --operation mhc.pre --tokens $tokens --width $narrow
with=

# 6. Does the loop tell A from A, and is everything else right?
if on_gpu; then
    [ -e "$bin/selftest_timing.gz" ] && gunzip -f "$bin/selftest_timing.gz" && chmod +x "$bin/selftest_timing"
    for selftest in "$bin/selftest_timing" "$bin/tests/selftest_timing"; do
        [ -x "$selftest" ] && take 20 60 14 "selftest of timing" "$selftest" "$backend" 40 && break
    done
fi
take 15 40 3 vectors "$mhcbench" verify "$root/tests/vectors/public.h5" --backend "$backend"
right 15 60 "every row" 0.7 --seed 2

# 7. Why is a kernel slow: stalls, and bytes of L1, L2 and memory, of one launch. Then races and addresses.
ncu=$(command -v ncu || ls /usr/local/cuda/bin/ncu /opt/nvidia/nsight-compute/*/ncu 2>/dev/null | head -n 1)
sections="--section SpeedOfLight --section WarpStateStats --section MemoryWorkloadAnalysis"
sections="$sections --section Occupancy --section LaunchStats"
for operation in pre:forward_kernel backward:backward_kernel; do
    on_gpu && [ "$ncu" ] && take 25 45 4 "ncu mhc.${operation%:*}" \
        "$ncu" --clock-control none --target-processes all --kill yes -c 1 -k "regex:${operation#*:}" $sections \
        "$mhcbench" run --study kernels --backend cuda --type bf16 --operation "mhc.${operation%:*}" --tokens $tokens \
        --width $narrow --rounds 1 --budget 0.01 --out "$work/ncu.h5" --overwrite -q
done
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null | head -n 1)
for tool in racecheck memcheck; do # racecheck does not follow stores to other blocks of a cluster
    on_gpu && [ "$sanitizer" ] && take 20 45 14 $tool \
        "$sanitizer" --tool $tool --target-processes all --error-exitcode 1 --print-limit 20 \
        "$mhcbench" check "$backend" --tight --trials 1 --size 600 --operation 'mhc.pre,mhc.backward'
done
rm -rf "$work"
say "gpu_first: $good good, $failed failed, $cut cut off, $skipped skipped, $(($(date +%s) - begin)) s"
[ "$failed" = 0 ] && [ "$good" -gt 0 ]
