#!/bin/sh
# Brings uv into .tools/ and all locked dependencies into .venv/. Needs Python 3.11 or newer and a package index.
set -eu

UV_VERSION=0.13.9

fail() {
    echo "setup: $*" >&2
    exit 1
}

python=
for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || fail "Python 3.11 or newer is needed; PYTHON=/path/to/python3 names one"

in_venv() {
    "$python" -m venv .tools && .tools/bin/python -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
}

# A Python of Debian may have pip but no venv, or neither.
by_pip() {
    "$python" -m pip install --quiet --disable-pip-version-check --target .tools "uv==$UV_VERSION"
}

by_apt() {
    [ "$(id -u)" = 0 ] && command -v apt-get && apt-get update -q && apt-get install -q -y python3-venv && in_venv
}

from_path() {
    mkdir -p .tools/bin && ln -s "$(command -v uv)" .tools/bin/uv
}

if [ "$(.tools/bin/uv --version 2>/dev/null | cut -d ' ' -f 2)" != "$UV_VERSION" ]; then
    mkdir -p .cache
    for way in in_venv by_pip by_apt from_path; do
        rm -rf .tools
        if $way >.cache/setup.log 2>&1; then
            break
        fi
    done
    [ -x .tools/bin/uv ] || fail "uv could not be brought: install python3-venv or uv, or see .cache/setup.log"
fi

# Another active environment must not be taken for ours.
unset VIRTUAL_ENV UV_PROJECT_ENVIRONMENT
export UV_PYTHON_DOWNLOADS=never
exec .tools/bin/uv sync --frozen --all-packages --all-extras --python "$python"
