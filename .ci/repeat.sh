# shellcheck shell=bash
# The step repeat of .ci/run, which runs only when it is named: every test package many times, as it is, with the race
# detector, and with one and with eight processors. It ends with a table. What has passed or failed is kept, by commit,
# so that a run that was interrupted goes on where it was.
#
#   REPEAT_COUNT=30              runs of each package in each mode
#   REPEAT_MODES='plain race procs1 procs8'
#   REPEAT_PKGS=./...            packages
#   REPEAT_JOBS=2                packages at once
#   REPEAT_DIR=.ci/repeat/HASH   where results and the logs of failures are kept

# repeat_one DIR MODE PACKAGE: runs one package in one mode, unless its result is there already.
repeat_one() {
  local dir=$1/$2 mode=$2 pkg=$3 name start status=0 failures log
  local -a args=(-count="${REPEAT_COUNT:-30}" -timeout 3h)
  name=${pkg#github.com/meshnode/meshnode}
  name=${name#/}
  name=${name:-root}
  log=$dir/${name//\//_}.log
  [[ -e ${log%.log}.result ]] && return 0
  mkdir -p "$dir"
  case $mode in
    plain) ;;
    race) args+=(-race) ;;
    procs*) args+=(-exec "env GOMAXPROCS=${mode#procs}") ;;
    *) printf 'no mode %q\n' "$mode" >&2; return 1 ;;
  esac
  start=$(date +%s)
  go test "${args[@]}" "$pkg" >"$log" 2>&1 || status=$?
  failures=$(grep -cE '^--- FAIL' "$log" || true)
  ((status != 0 && failures == 0)) && failures=broken # it did not build, panicked, or ran out of time
  printf '%s %s %s %s %s\n' "$name" "$mode" "${REPEAT_COUNT:-30}" "$failures" "$(($(date +%s) - start))" |
    tee "${log%.log}.result"
  [[ $failures == 0 ]] && rm -f "$log"
  return 0
}

run_repeat() {
  local dir mode bad
  dir=${REPEAT_DIR:-.ci/repeat/$(git rev-parse --short HEAD)}
  mkdir -p "$dir"
  printf 'results in %s\n' "$dir"
  export -f repeat_one
  for mode in ${REPEAT_MODES:-plain race procs1 procs8}; do
    go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' "${REPEAT_PKGS:-./...}" |
      xargs -r -P "${REPEAT_JOBS:-2}" -I PKG bash -c 'repeat_one "$@"' _ "$dir" "$mode" PKG || return 1
  done
  printf '\n%-28s %-7s %5s %9s %8s\n' package mode runs failures seconds
  cat "$dir"/*/*.result | sort | awk '
    { printf "%-28s %-7s %5d %9s %8d\n", $1, $2, $3, $4, $5; runs += $3; seconds += $5; if ($4 != "0") bad++ }
    END { printf "%d runs of packages, %d packages and modes with failures, %d s\n", runs, bad, seconds }'
  bad=$(awk '$4 != "0"' "$dir"/*/*.result | wc -l)
  ((bad == 0)) || { printf 'the logs of what failed are beside the results; remove a result to run it again\n'; return 1; }
}
