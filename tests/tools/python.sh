#!/bin/sh
# python.sh MODULE...: print the first python3 that has these modules, or fail. The second one is the system's, which
# has the packages of the system.
for python in "${PYTHON:-python3}" /usr/bin/python3; do
    for module; do
        "$python" -c "import $module" >/dev/null 2>&1 || continue 2
    done
    command -v "$python"
    exit 0
done
exit 1
