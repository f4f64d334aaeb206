#!/bin/sh
# deps.sh INSTALL PACKAGE... [-- OPTIONAL...]: see that the packages are there. On Debian, install what is missing as
# root or, with INSTALL=1, through sudo, with 0 never; otherwise name it and stop. Elsewhere look for what the packages
# bring, also under the prefixes OPENBLAS_DIR, HDF5_DIR and JANSSON_DIR. Of optional ones say what goes without them.
install=$1
shift

# library NAME PREFIX HEADER [WORD]: under its prefix, by pkg-config, or where the compiler looks anyway, if WORD is in
# the header.
library() {
    if [ -n "$2" ]; then
        test -e "$2/include/$3"
    elif ! pkg-config --exists "$1"; then
        text=$(echo "#include <$3>" | ${CC:-gcc} -E -x c -) && echo "$text" | grep -e "${4:-.}"
    fi
}

found() {
    case $1 in
    gcc) command -v "${CC:-gcc}" ;;
    g++) command -v "${CXX:-g++}" ;;
    libc6-dev) test -e /usr/include/stdio.h ;;
    # Other BLAS libraries have a cblas.h too.
    libopenblas-dev) library openblas "$OPENBLAS_DIR" cblas.h openblas_set_num_threads ;;
    libhdf5-dev) library hdf5 "$HDF5_DIR" hdf5.h ;;
    hdf5-tools) command -v h5dump ;;
    libjansson-dev) library jansson "$JANSSON_DIR" jansson.h ;;
    gnuplot-nox) command -v gnuplot ;;
    libcriterion-dev) library criterion "" criterion/criterion.h ;;
    libgfortran-*-dev) test -e "$(${CC:-gcc} -print-file-name=libgfortran.a)" ;;
    zlib1g-dev) test -e "$(${CC:-gcc} -print-file-name=libz.a)" ;;
    libaec-dev) test -e "$(${CC:-gcc} -print-file-name=libsz.a)" ;;
    pkg-config) command -v pkg-config ;;
    python3-*) sh "$(dirname "$0")/python.sh" "${1#python3-}" ;;
    clang-format-14) command -v clang-format-14 ;;
    esac >/dev/null 2>&1
}

purpose() {
    case $1 in
    gnuplot-nox) echo "figures of plot and report" ;;
    libcriterion-dev) echo "make test" ;;
    hdf5-tools) echo "some tests, make reference-record" ;;
    pkg-config) echo "libraries are looked for where the compiler looks" ;;
    esac
}

missing= optional= needed=1
for package; do
    if [ "$package" = -- ]; then
        needed=
    elif found "$package"; then
        :
    elif [ "$needed" ]; then
        missing="$missing $package"
    else
        optional="$optional $package"
    fi
done
may_install() {
    command -v apt-get && { [ "$(id -u)" = 0 ] || [ "$install" = 1 ]; }
}
if [ -n "$optional" ] && [ "$install" != 0 ] && may_install >/dev/null 2>&1; then
    missing="$missing$optional" optional=
fi
for package in $optional; do
    echo "left out: $package ($(purpose "$package"))"
done
if [ -z "$missing" ]; then
    version() { pkg-config --modversion "$1" 2>/dev/null || echo "found"; }
    cuda() { ${NVCC:-false} --version 2>/dev/null | sed -n 's/^Cuda.*release \(.*\),.*/nvcc \1/p' | grep .; }
    echo "found: $(${CC:-gcc} --version | head -n 1); OpenBLAS $(version openblas); HDF5 $(version hdf5);" \
         "$(gnuplot --version 2>/dev/null || echo 'no gnuplot'), Criterion $(version criterion);" \
         "$(cuda || echo 'no nvcc: without the GPU library')"
    exit 0
fi

if [ "$install" != 0 ] && command -v apt-get >/dev/null 2>&1; then
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
