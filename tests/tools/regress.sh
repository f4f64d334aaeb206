#!/bin/sh
# regress.sh BUILD REVISION LIBRARIES [OPTION...]: builds the libraries of another revision aside, in a worktree of its
# own, and gates this build's against them: cpu for accuracy and speed, emu for accuracy, cuda where there is a GPU.
# What is built is kept in BUILD/base for the next time; tables as JSON and JUnit are left in BUILD/regress. Exit: 1 a
# regression, 2 not compared, 3 ambiguous, 0 none of these.
build=$1 base=$2 libraries=$3
[ $# -ge 3 ] && shift 3
if [ -z "$base" ]; then
    echo "usage: make regress BASE=<revision> [LIBS='cpu emu'] [ARGS='--operation mhc.* --budget 2']" >&2
    exit 2
fi
revision=$(git rev-parse --verify --quiet "$base^{commit}") ||
    { echo "regress: $base is no revision of this repository (a shallow clone? git fetch --unshallow)" >&2; exit 2; }
has_gpu() { nvidia-smi -L >/dev/null 2>&1 && [ -e "$build/libmhc_cuda.so" ]; }
[ -n "$libraries" ] || libraries="cpu emu$(has_gpu && echo ' cuda')"
kept=$build/base/$revision tree=$build/base/$revision.tree

remove_tree() {
    git worktree remove --force "$tree" 2>/dev/null || rm -rf "$tree"
    git worktree prune
}

# build_base LIBRARY...: those that are not there yet.
build_base() {
    missing=
    for library; do
        [ -e "$kept/libmhc_$library.so" ] || missing="$missing build/libmhc_$library.so"
    done
    [ -n "$missing" ] || return 0
    trap remove_tree EXIT
    trap 'exit 130' INT TERM
    remove_tree
    mkdir -p "$kept" && git worktree add --quiet --force --detach "$tree" "$revision" || return 1
    for file in $missing; do
        ${MAKE:-make} --no-print-directory -C "$tree" B=build "$file" && cp "$tree/$file" "$kept/" ||
            { echo "regress: $base has no ${file#build/} that can be built here" >&2; return 1; }
    done
    remove_tree
    trap - EXIT INT TERM
}

case " $* " in *" --json"* | *" --junit"*)
    echo "regress: --json and --junit are make regress's own: the tables are left in $build/regress" >&2
    exit 2
esac
build_base cpu $libraries || exit 2
# What says which of two references is right, where they disagree; it needs Criterion.
${MAKE:-make} --no-print-directory B="$build" "$build/tests/test_paper" >/dev/null 2>&1 || :
mkdir -p "$build/regress"
worst=0
for library in $libraries; do
    echo
    code=0
    "$build/mhcbench" regress --against "$kept/libmhc_$library.so" "$library" --reference "$kept/libmhc_cpu.so" "$@" \
        --json "$build/regress/$library.json" --junit "$build/regress/$library.xml" || code=$?
    [ $code = 130 ] && exit 130
    case $code:$worst in
    1:*) worst=1 ;;
    2:[03]) worst=2 ;;
    3:0) worst=3 ;;
    0:* | 3:*) ;;
    *) [ $worst = 1 ] || worst=2 ;; # a crash is no comparison
    esac
done
echo "tables as JSON and JUnit: $build/regress"
exit $worst
