#!/usr/bin/env bash
# Brings the environment $VENV to exactly what the locks say, this project on top. Called by make; may be repeated.
set -euo pipefail
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv}
LOCKS=(requirements/dev.lock requirements/models.lock)

supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
    if command -v "$candidate" >/dev/null && supported "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  echo "error: Headwater needs Python 3.11, 3.12 or 3.13; found none of these as ${PYTHON:-python3 on the PATH}." >&2
  echo "Install one, or name yours: make PYTHON=/path/to/python3.12 install" >&2
  return 1
}

# Runs a command and, where no terminal shows its own progress, says every 4 s that it still runs.
announced() {
  local what=$1 pulse=
  shift
  echo "$what"
  if [ ! -t 2 ]; then
    (while sleep 4; do echo "  ... ${SECONDS} s"; done) &
    pulse=$!
    trap 'kill $pulse 2>/dev/null || true' EXIT
  fi
  "$@" || return $?
  if [ -n "$pulse" ]; then
    kill "$pulse" && wait "$pulse" 2>/dev/null || true
    trap - EXIT
  fi
}

create() {
  local python
  python=$(find_python)
  announced "creating $VENV with $("$python" --version)" "$python" -m venv --clear "$VENV" || {
    echo "error: $python cannot create environments; on Debian and Ubuntu: apt install python3-venv" >&2
    return 1
  }
}

supported "$VENV/bin/python" || create
# After a sync pip is gone and uv is there; before it, the other way round.
if ! "$VENV/bin/uv" --version >/dev/null 2>&1; then
  "$VENV/bin/python" -m pip --version >/dev/null 2>&1 || create
  announced "installing uv" \
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.lock
fi

export VIRTUAL_ENV=$PWD/$VENV UV_PYTHON_DOWNLOADS=never
packages=$(cat "${LOCKS[@]}" | grep -c '==')
# One package comes as source only; what builds it is locked as well.
announced "installing $packages locked packages" \
  "$VENV/bin/uv" pip sync --require-hashes --build-constraints requirements/build.lock "${LOCKS[@]}"
# Last, because a sync removes what the locks do not name.
"$VENV/bin/uv" pip install --quiet --offline --no-deps --no-build-isolation --editable .
