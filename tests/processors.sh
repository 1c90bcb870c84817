#!/usr/bin/env bash
# Runs the tests of search (pytest's marker `search`) as other processors would: tests/processors.sh [PYTHON]
#
# Annoy is compiled for the processor, OpenBLAS chooses its kernels by the processor, and numba may be missing: each of
# them changes the trees, the graph and the last bits of a sum. Four runs cover every pair of their values; `make test`
# covers the build and the kernels of this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
cache=$PWD/.cache/processors

if [ "$(uname -m)" != x86_64 ]; then
    echo "the processors of tests/processors.sh are x86-64, this is $(uname -m): nothing to run"
    exit 0
fi

# Compiles Annoy for $1 into a folder of its own, once for each version of Annoy.
build() {
    local version
    version=$("$python" -c 'from importlib.metadata import version; print(version("annoy"))')
    annoy=$cache/annoy-$version-$1
    [ -e "$annoy/done" ] && return
    # these flags replace all flags of Annoy's own, those that it cannot do without among them
    ANNOY_COMPILER_ARGS="-march=$1,-DANNOYLIB_MULTITHREADED_BUILD,-std=c++14,-O3" "$python" -m pip install --quiet \
        --no-deps --no-binary annoy --no-cache-dir --upgrade --target "$annoy" "annoy==$version"
    touch "$annoy/done"
}

# run ARCHITECTURE KERNELS on|off: the level that Annoy and numba compile for, OpenBLAS's kernels, numba
failed=0
run() {
    build "$1"
    echo "search tests: annoy $1, OpenBLAS $2, numba $3"
    local environment=(TEST_ANNOY="$annoy" TEST_NUMBA="$3" OPENBLAS_CORETYPE="$2" PYTHONPATH="$annoy:$PWD")
    # the oldest x86-64 for numba's loops too: sums in vectors of four
    [ "$1" = x86-64-v2 ] && environment+=(NUMBA_CPU_NAME=generic)
    env "${environment[@]}" "$python" -m pytest -m search --numprocesses 2 --dist loadfile --no-loadscope-reorder \
        $(grep --recursive --files-with-matches --include 'test_*.py' 'mark\.search' tests) || failed=1
}

run x86-64-v2 Nehalem on
if [[ " $(grep -m1 ^flags /proc/cpuinfo) " =~ " avx2 " && " $(grep -m1 ^flags /proc/cpuinfo) " =~ " fma " ]]; then
    run x86-64-v2 Haswell off
    run x86-64-v3 Nehalem off
    run x86-64-v3 Haswell on
else
    echo "this processor has no AVX2: the runs for x86-64-v3 are left out"
    run x86-64-v2 Nehalem off
fi
exit $failed
