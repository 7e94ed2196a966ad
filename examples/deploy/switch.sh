#!/bin/sh
# Usage: switch.sh TARGET RELEASE. Makes TARGET/current point at RELEASE. `ln -f` would remove the link first and leave
# a moment without any; a rename replaces it in one go.
set -eu

cd "$1"
rm -f .current.new
ln -s "$2" .current.new
python3 -c 'import os; os.replace(".current.new", "current")'
