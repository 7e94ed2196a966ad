#!/bin/sh
# Usage: stop.sh FILE. Stops the service that announced itself in FILE (`PID PORT`) and returns when it is gone.
set -eu

[ -s "$1" ] || exit 0
read -r pid _ < "$1"
kill "$pid" 2>/dev/null || { rm -f "$1"; exit 0; }

# The file goes when the service does: the pid alone would not tell an ended process from a new one.
tries=50
while [ -e "$1" ]; do
  [ "$tries" -gt 0 ] || { kill -KILL "$pid" 2>/dev/null || true; rm -f "$1"; break; }
  tries=$((tries - 1))
  sleep 0.1
done
echo "stopped $pid"
