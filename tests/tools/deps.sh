#!/bin/sh
# deps.sh INSTALL PACKAGE...: see that the packages are there. On Debian, install what is missing as root or, with
# INSTALL=1, through sudo; otherwise name it and stop. Elsewhere look for what the packages bring.
install=$1
shift

found() {
    case $1 in
    gcc) command -v "${CC:-gcc}" ;;
    g++) command -v "${CXX:-g++}" ;;
    libc6-dev) test -e /usr/include/stdio.h ;;
    libopenblas-dev) pkg-config --exists openblas ;;
    libhdf5-dev) pkg-config --exists hdf5 ;;
    hdf5-tools) command -v h5dump ;;
    libjansson-dev) pkg-config --exists jansson ;;
    gnuplot-nox) command -v gnuplot ;;
    libcriterion-dev) pkg-config --exists criterion ;;
    libgfortran-*-dev) test -e "$(${CC:-gcc} -print-file-name=libgfortran.a)" ;;
    zlib1g-dev) test -e "$(${CC:-gcc} -print-file-name=libz.a)" ;;
    libaec-dev) test -e "$(${CC:-gcc} -print-file-name=libsz.a)" ;;
    pkg-config) command -v pkg-config ;;
    python3-*) sh "$(dirname "$0")/python.sh" "${1#python3-}" ;;
    clang-format-14) command -v clang-format-14 ;;
    esac >/dev/null 2>&1
}

missing=
for package; do
    found "$package" || missing="$missing $package"
done
if [ -z "$missing" ]; then
    version() { pkg-config --modversion "$1" 2>/dev/null; }
    echo "found: $(${CC:-gcc} --version | head -n 1); OpenBLAS $(version openblas); HDF5 $(version hdf5); $(gnuplot --version)," \
         "Criterion $(version criterion); $(${NVCC:-false} --version 2>/dev/null | sed -n 's/^Cuda.*release \(.*\),.*/nvcc \1/p' | grep . || echo 'no nvcc: without the GPU library')"
    exit 0
fi

if command -v apt-get >/dev/null 2>&1; then
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    if [ -z "$sudo" ] || [ "$install" = 1 ]; then
        echo "installing:$missing"
        export DEBIAN_FRONTEND=noninteractive
        $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null && exit 0
        echo "could not install:$missing" >&2
        exit 1
    fi
    echo "missing packages:$missing" >&2
    echo "install them with: sudo apt-get install$missing   (or let make do it: make INSTALL=1)" >&2
else
    echo "missing (names of Debian's packages):$missing" >&2
fi
exit 1
