# shellcheck shell=bash
# Helpers of .ci/run: steps, things that are missing, background processes, packages of the system.

work=$(mktemp -d "${TMPDIR:-/tmp}/meshnode-ci.XXXXXX")
: >"$work/pids"
: >"$work/missing"
: >"$work/summary"
passed=0
failed=0

# note_missing WHAT: records something that this machine couldn't check or a test that skipped itself. Said at once and
# again at the end.
note_missing() {
  printf 'MISSING: %s\n' "$*"
  printf '%s\n' "$*" >>"$work/missing"
}

# background COMMAND...: starts a process whose output goes to $work/background.log, sets $background_pid, and has it
# ended with the script whatever happens.
background() {
  "$@" >>"$work/background.log" 2>&1 &
  background_pid=$!
  printf '%s\n' "$background_pid" >>"$work/pids"
}

# end_process PID: asks it to end, waits up to 10 s, then kills it. Its status is returned if it is our child.
end_process() {
  local pid=$1 i
  sed -i "/^$pid\$/d" "$work/pids" # the system may give the number to another process from now on
  kill -TERM "$pid" 2>/dev/null || return 0
  for ((i = 0; i < 100; i++)); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  if kill -0 "$pid" 2>/dev/null; then
    printf 'process %s did not end within 10 s of SIGTERM: killed\n' "$pid"
    kill -KILL "$pid" 2>/dev/null || true
    return 1
  fi
  wait "$pid" 2>/dev/null
}

# wait_for SECONDS COMMAND...: repeats the command until it succeeds.
wait_for() {
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= until)); then
      return 1
    fi
    sleep 0.2
  done
}

# end_background: ends what background() started and nobody has ended yet.
end_background() {
  local pid pids
  mapfile -t pids <"$work/pids"
  for pid in "${pids[@]}"; do
    end_process "$pid" || true
  done
}

cleanup() {
  local status=$?
  trap - EXIT INT TERM
  end_background
  rm -rf "$work"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# install PACKAGE...: installs packages of the system, where this is Debian or Ubuntu and we are root.
install() {
  if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    return 1
  fi
  printf 'installing %s\n' "$*"
  DEBIAN_FRONTEND=noninteractive apt-get update >"$work/apt.log" 2>&1 &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >>"$work/apt.log" 2>&1 && return 0
  tail -n 5 "$work/apt.log"
  return 1
}

# now, seconds_since START: the time, and the seconds with one decimal that have passed since.
now() { date +%s%N; }
seconds_since() {
  local tenths=$((($(now) - $1) / 100000000))
  printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

# step FUNCTION TITLE: runs one step in a shell of its own, under errexit. A step that fails doesn't keep the next ones
# from running; a step that returns 75 could not run here and has said what is missing.
step() {
  local fn=$1 title=$2 start status=0 took word
  printf '\n=== %s\n' "$title"
  start=$(now)
  set +e
  (
    set -euo pipefail
    trap - EXIT INT TERM
    "$fn"
  )
  status=$?
  set -e
  end_background
  took=$(seconds_since "$start")
  case $status in
    0) word=passed passed=$((passed + 1)) ;;
    75) word=missing ;;
    *) word=FAILED failed=$((failed + 1)) ;;
  esac
  printf -- '--- %s: %s (%s s)\n' "$title" "$word" "$took"
  printf '%-8s %7s s  %s\n' "$word" "$took" "$title" >>"$work/summary"
}

# finish START: the table of steps, what is missing, and as the last line how many steps passed and failed.
finish() {
  local missing
  missing=$(wc -l <"$work/missing")
  printf '\n=== Summary (%s s)\n' "$(seconds_since "$1")"
  cat "$work/summary"
  printf '\nmissing or skipped: %d\n' "$missing"
  sed 's/^/  - /' "$work/missing"
  printf '%d passed, %d failed\n' "$passed" "$failed"
  ((failed == 0))
}
