# shellcheck shell=bash
# The simulator's step of .ci/run.
#
#   SIM_FUZZ=60      random scenarios that must hold
#   SIM_NODES=100    nodes of the run whose speed is printed

# sim_fields FILE: the figures of a result in one line.
sim_fields() {
  tr -d '\n' <"$1" | sed -E 's/"series": *\{.*$//' | awk '
    function field(name,   m) { return match($0, "\"" name "\": *[^,}]*") ? substr($0, RSTART, RLENGTH) : "" }
    function value(name,   s) { s = field(name); sub(/^[^:]*: */, "", s); gsub(/[" ]/, "", s); return s }
    { printf "%-16s %4s nodes %7.1f s virtual %6.2f s wall %6.0fx  availability %.5f  p99 %8.2f ms  moved %s/%s\n",
        value("scenario"), value("nodes"), value("virtual_s"), value("wall_s"), value("ratio"), value("availability"),
        value("p99_ms"), value("moved_partitions"), value("moved_required") }'
}

# sim_hash FILE: the hash of a result's trace.
sim_hash() { grep -oE '"trace_hash": *"[0-9a-f]+"' "$1" | grep -oE '[0-9a-f]{64}'; }

# Every scenario that is shipped holds, in virtual time.
sim_shipped() {
  local name status=0
  for name in $("$1" sim list -o json | grep -oE '"name": *"[^"]+"' | cut -d'"' -f4); do
    if "$1" sim "$name" -o json >"$work/sim.json"; then
      sim_fields "$work/sim.json"
      sim_held=$((sim_held + 1))
    else
      printf 'FAILED: %s\n' "$name"
      "$1" sim "$name" || true
      status=1
    fi
  done
  return "$status"
}

# The same seed gives the same trace, another one another.
sim_exact() {
  local run hash first='' other
  for run in 1 2 3; do
    "$1" sim crash-one --exact --nodes 5 --duration 20s -o json >"$work/exact.json"
    hash=$(sim_hash "$work/exact.json")
    printf 'exact run %d: %s\n' "$run" "$hash"
    [[ -z $first || $hash == "$first" ]] || return 1
    first=$hash
  done
  "$1" sim crash-one --exact --nodes 5 --duration 20s --seed 2 -o json >"$work/exact.json"
  other=$(sim_hash "$work/exact.json")
  printf 'another seed: %s\n' "$other"
  [[ $other != "$first" ]]
}

# Each planted bug is found and made small; without one nothing is.
sim_fuzz() {
  local bug status
  for bug in stale-table serve-foreign retry-ambiguous no-refutation; do
    status=0
    "$1" sim fuzz --plant "$bug" --out "$work/found.yaml" -o json >"$work/fuzz.json" 2>/dev/null || status=$?
    printf '%-16s found after %s scenarios, %s faults left, %.1f s\n' "$bug" "$(json_number runs <"$work/fuzz.json")" \
      "$(json_number faults <"$work/fuzz.json")" "$(json_number wall_s <"$work/fuzz.json")"
    ((status == 1)) && (($(json_number faults <"$work/fuzz.json") <= 5)) || return 1
    "$1" sim "$work/found.yaml" >/dev/null 2>&1 && return 1 # the file must break it again
  done
  "$1" sim fuzz --runs "${SIM_FUZZ:-60}" --minutes 5 --out "$work/clean.yaml" || { cat "$work/clean.yaml"; return 1; }
}

run_sim() {
  local program=$work/meshnode sim_held=0
  go build -o "$program" ./cmd/meshnode
  sim_shipped "$program" || return 1
  printf 'scenarios that held: %d\n' "$sim_held"
  ((sim_held > 0)) || return 1
  "$program" sim crash-one --nodes "${SIM_NODES:-100}" -o json >"$work/sim.json"
  sim_fields "$work/sim.json"
  sim_exact "$program" || return 1
  sim_fuzz "$program" || return 1
  go_test "sim" -timeout 5m -run '^TestSimulator$' -tags process ./internal/proctest/ || return 1
  figures sim
}
