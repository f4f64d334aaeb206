#!/bin/sh
# python.sh MODULE...: print the first python3 that has these modules, or fail. The packages of a system belong to its own.
for python in "${PYTHON:-python3}" /usr/bin/python3; do
    for module; do
        "$python" -c "import $module" >/dev/null 2>&1 || continue 2
    done
    command -v "$python"
    exit 0
done
exit 1
