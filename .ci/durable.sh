# shellcheck shell=bash
# The step of durable calls of .ci/run: nodes that take, make and execute transfers are killed with -9 at random, and a
# program of its own judges what is in their directories. It must find what is planted.
#
#   CRASH_KILLS=10   kills, of a sender and a receiver each
#   CRASH_SEED=N     the choices of a run that failed
#   CRASH_RATE=150   transfers a second that each node takes

run_durable() {
  local status=0 dir=$work/bank
  go_test "durable" -timeout 10m -count=1 -run '^TestCrash' -tags process ./internal/proctest/ || status=$?
  figures durable
  # The program of the README, and its checker, on directories that are used again.
  go run ./examples/transfer -data "$dir" -transfers 10 >"$work/transfer.log" || { cat "$work/transfer.log"; return 1; }
  go run ./examples/transfer -data "$dir" -transfers 10 | tail -n 1
  go run ./examples/transfer/check "$dir" || status=$?
  return "$status"
}
