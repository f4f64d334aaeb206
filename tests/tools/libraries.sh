#!/bin/sh
# libraries.sh cflags|libs LIBRARY...: flags for openblas, hdf5 and jansson. A prefix in OPENBLAS_DIR, HDF5_DIR or
# JANSSON_DIR comes first: its include/, and its lib/ or lib64/, which is also where the program looks at run time. Else
# pkg-config knows, and without it the compiler has to find them, as with an environment module.
what=$1
shift

of_prefix() { # PREFIX LIBRARY
    if [ "$what" = cflags ]; then
        echo "-I$1/include"
        return
    fi
    for folder in lib lib64; do
        [ -e "$1/$folder/lib$2.so" ] || [ -e "$1/$folder/lib$2.a" ] || continue
        echo "-L$1/$folder -Wl,-rpath,$1/$folder -l$2"
        return
    done
    echo "libraries.sh: no lib$2 in $1/lib or $1/lib64" >&2
    echo "-l$2"
}

flags=
for library; do
    case $library in
    openblas) prefix=$OPENBLAS_DIR ;;
    hdf5) prefix=$HDF5_DIR ;;
    jansson) prefix=$JANSSON_DIR ;;
    esac
    if [ -n "$prefix" ]; then
        flags="$flags $(of_prefix "$prefix" "$library")"
    elif pkg-config --exists "$library" 2>/dev/null; then
        flags="$flags $(pkg-config "--$what" "$library")"
    elif [ "$what" = libs ]; then
        flags="$flags -l$library"
    fi
done
echo $flags
