# Sourced by the scenarios of this folder. After it, `loadtest FLAG...` is `hotgraph loadtest` with the target, the
# model and the options that the scenario was started with; options of the command line win. With --help it prints
# the comment at the head of the scenario, and ends.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../venv.sh"

case " $* " in *" --help "* | *" -h "*)
  awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
  exit ;;
esac

TARGET=127.0.0.1:8500 MODEL=digits
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then TARGET=$1; shift; fi
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then MODEL=$1; shift; fi
MORE=("$@")

loadtest() {
  ensure_venv loadtest
  "$VENV/bin/hotgraph" loadtest "$TARGET" "$MODEL" "$@" ${MORE[@]+"${MORE[@]}"}
}
