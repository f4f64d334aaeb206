#!/bin/sh
# build_info.sh CC FLAGS: the header that says what a build is made of.
revision=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
dirty=
# what the program is made of: a user's own suites and figures beside it change nothing
[ -n "$(git status --porcelain -- Makefile cpu_ref kernels analysis results suites plots 2>/dev/null)" ] && dirty=+dirty
compiler=$($1 --version 2>/dev/null | head -n 1)
cat <<END
#define PROVENANCE_VERSION "0.2.0"
#define PROVENANCE_REVISION "$revision$dirty"
#define PROVENANCE_COMPILER "$compiler"
#define PROVENANCE_FLAGS "$2"
#define PROVENANCE_BUILD PROVENANCE_REVISION ", " PROVENANCE_COMPILER ", " PROVENANCE_FLAGS
END
