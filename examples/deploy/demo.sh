#!/bin/sh
# Deploys a small service twice. The second deployment fails half-way, because of a mistake on the "server"; it is mended
# and resumed. Everything happens in a temporary folder and on loopback, and is gone afterwards.
set -eu

cd "$(dirname "$0")/../.."
command -v cerebelum > /dev/null || { echo "cerebelum is not on PATH; \`make demo\` installs and runs it" >&2; exit 1; }
here=examples/deploy
demo=$(mktemp -d "${TMPDIR:-/tmp}/cerebelum-demo.XXXXXX")
target=$demo/greeter
export CEREBELUM_STORE="sqlite:///$demo/cerebelum.db"
unset CEREBELUM_PLUGINS PYTHONPATH PYTHONHOME

stop_services() {
  for announced in "$target"/run/*; do
    case $announced in *.log | *.new | *'*') ;; *) "$here/stop.sh" "$announced" ;; esac
  done
}
trap 'stop_services; rm -rf "$demo"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '\n\n=== %s\n' "$*"; }
fail() { printf '\nThe demo went wrong: %s\n' "$*" >&2; exit 1; }

# expect CODE COMMAND …: show the command, run it, insist on its exit code.
expect() {
  wanted=$1
  shift
  printf '\n$ %s\n' "$*"
  code=0
  "$@" || code=$?
  [ "$code" -eq 0 ] || printf '(exit code %s)\n' "$code"
  [ "$code" -eq "$wanted" ] || fail "exit code $code, expected $wanted"
}

deploy() {
  wanted=$1 version=$2
  shift 2
  expect "$wanted" cerebelum run "$here/deploy.yaml" --id "greeter-$version" \
    --input "version=$version" --input "target=$target" "$@"
}

# live VERSION: that version is what `current` points at, and its service answers.
live() {
  [ "$(readlink "$target/current")" = "releases/$1" ] || fail "current is $(readlink "$target/current"), not $1"
  read -r _ port < "$target/run/$1" || fail "$1 does not run"
  answer=$(python3 -c '
import sys, urllib.request as r
print(r.build_opener(r.ProxyHandler({})).open(f"http://127.0.0.1:{sys.argv[1]}/health", timeout=5).read().decode())
' "$port") || fail "$1 does not answer"
  printf '\nPort %s answers: %s\n' "$port" "$answer"
}

cat <<EOF
This demo deploys a small web service, as a real deployment would: test, package, unpack, switch, start, check.

  1. Version 1.0.0 is deployed.
  2. Somebody breaks the server's configuration. The deployment of 1.1.0 fails in step 11 of 15 and is rolled back.
  3. The configuration is mended, and the deployment is resumed: what was done is not done again.

Everything is in $demo and will be removed at the end.
EOF

say "1. Version 1.0.0"
mkdir -p "$target/shared"
echo '{"greeting": "Hello"}' > "$target/shared/config.json"
deploy 0 1.0.0 --quiet
live 1.0.0

say "2. Version 1.1.0, with a mistake in the server's configuration"
echo '{"greeting": "Hello"' > "$target/shared/config.json"
deploy 1 1.1.0
live 1.0.0
expect 0 cerebelum status greeter-1.1.0
artefact=$target/artefacts/greeter-1.1.0.tar.gz
built=$(ls -il "$artefact")

say "3. The configuration is mended: what would a resume do?"
echo '{"greeting": "Welcome"}' > "$target/shared/config.json"
expect 0 cerebelum resume greeter-1.1.0 --plan
expect 0 cerebelum resume greeter-1.1.0
live 1.1.0

say "What was done, and how often"
expect 0 cerebelum list
expect 0 cerebelum history greeter-1.1.0

printf '\nTimes each step was started:\n'
cerebelum history greeter-1.1.0 --json | python3 -c '
import collections, json, sys
events = [json.loads(line) for line in sys.stdin]
started = collections.Counter(e["step"] for e in events if e["type"] == "StepStarted")
for step, times in started.items():
    print(f"  {step:12} {times}")
once = "preflight revision compile test-config test-server package unpack previous smoke retire record prune rollback"
expected = dict.fromkeys(once.split(), 1) | {"switch": 2, "start": 2, "health": 4, "cleanup": 2}
sys.exit(dict(started) != expected and f"expected {expected}")
' || fail "a step ran too often, or not often enough"
[ "$(ls -il "$artefact")" = "$built" ] || fail "the artefact was built again"
[ "$(wc -l < "$target/deployments.log")" -eq 2 ] || fail "not every deployment was recorded exactly once"

stop_services
say "Everything went as described: 8 steps were kept, the artefact was built once, 1.1.0 went live."
