# gpu_open.sh, read by gpu_check.sh and gpu_first.sh: finds the program and opens the backend. Expects $root and
# $backend; sets $bin and $mhcbench. Ends the script with 2 where there is no program.
for bin in "${BIN:-$root/bin}" "$root/build"; do
    [ -x "$bin/mhcbench" ] && break
done
mhcbench=$bin/mhcbench
[ -x "$mhcbench" ] || { echo "$(basename "$0" .sh): no mhcbench in ${BIN:-$root/bin} or $root/build" >&2; exit 2; }

# opens LOG: does the backend open? LOG keeps what the program said.
opens() {
    timeout 120 "$mhcbench" check "$backend" --trials 1 --operation bench.copy >"$1" 2>&1
}
# find_cublas LOG: cuBLAS may come with Python's packages or lie in a toolkit that the loader does not know.
find_cublas() {
    wanted=$(sed -n 's/.*\(libcublas[A-Za-z]*\.so\.[0-9]*\): cannot open.*/\1/p' "$1" | head -n 1)
    [ "$wanted" ] || return
    for folder in /usr/local/cuda*/lib64 /usr/local/cuda*/targets/*/lib /opt/cuda*/lib64 $(python3 -c '
import glob, nvidia
print(*[lib for path in nvidia.__path__ for lib in glob.glob(path + "/*/lib")])' 2>/dev/null); do
        if [ -e "$folder/$wanted" ]; then
            export LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
            echo "export LD_LIBRARY_PATH=$LD_LIBRARY_PATH    # cuBLAS: other commands need this too"
            return
        fi
    done
}
# open_backend LOG: the same, with LD_LIBRARY_PATH set where that is what it takes; then a line says so.
open_backend() {
    opens "$1" && return
    find_cublas "$1"
    opens "$1"
}
