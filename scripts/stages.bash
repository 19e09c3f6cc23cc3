# Sourced by scripts/check and scripts/test: the environment that both give to everything they run, and stages with times.
set -euo pipefail
shopt -s inherit_errexit nullglob

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export RUST_BACKTRACE=1
export KUBEFERRY_BIN=$target/debug/kubeferry
# What CI compiles once gains nothing from incremental compilation and needs twice the disk.
if [[ -n ${CI:-} ]]; then export CARGO_INCREMENTAL=0; fi

finished=()
running=
since=0

# stage NAME COMMAND...: runs the command and remembers its time. A failure ends the script; the summary names the stage.
stage() {
  running=$1
  since=$SECONDS
  shift
  printf '\n== %s\n' "$running"
  "$@"
  finished+=("$(printf '%-8s %5d s  %s' passed $((SECONDS - since)) "$running")")
  running=
}

# skip NAME WHY: a stage that is left out, said in the summary.
skip() { finished+=("$(printf '%-8s %5s    %s: %s' skipped - "$1" "$2")"); }

summary() {
  local code=$?
  if [[ -n $running ]]; then
    finished+=("$(printf '%-8s %5d s  %s' FAILED $((SECONDS - since)) "$running")")
  fi
  ((${#finished[@]})) || return 0
  printf '\n%s: %s after %d s\n' "${0##*/}" "$([[ $code = 0 ]] && echo passed || echo FAILED)" "$SECONDS"
  printf '  %s\n' "${finished[@]}"
}
trap summary EXIT
