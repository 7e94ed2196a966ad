#!/bin/sh
# Downloads the cerebelum binary, compares its SHA-256 with the published one, and puts it where programs are.
#
#   sh install.sh [--to FOLDER] [--from URL]
#
# FOLDER defaults to ~/.local/bin, or /usr/local/bin for root. URL is a folder with the binary and SHA256SUMS; without it,
# CEREBELUM_INSTALL_FROM says where.
set -eu

fail() { echo "install.sh: $*" >&2; exit 1; }

from=${CEREBELUM_INSTALL_FROM:-}
to=
while [ $# -gt 0 ]; do
  case $1 in
    --to) [ $# -ge 2 ] || fail "--to needs a folder"; to=$2; shift 2 ;;
    --from) [ $# -ge 2 ] || fail "--from needs a URL"; from=$2; shift 2 ;;
    -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) fail "unknown option $1; see --help" ;;
  esac
done
[ -n "$from" ] || fail "where from? Give --from URL, or set CEREBELUM_INSTALL_FROM"
if [ -z "$to" ]; then
  if [ "$(id -u)" = 0 ]; then to=/usr/local/bin; else to=${HOME:?HOME is not set; give --to FOLDER}/.local/bin; fi
fi

case $(uname -s) in Linux) system=linux ;; Darwin) system=macos ;; *) fail "there is no binary for $(uname -s)" ;; esac
case $(uname -m) in
  x86_64 | amd64) machine=x86_64 ;;
  aarch64 | arm64) machine=arm64 ;;
  *) fail "there is no binary for $(uname -m)" ;;
esac
name=cerebelum-$system-$machine

if command -v curl > /dev/null; then
  fetch() { curl --fail --silent --show-error --location --retry 3 --output "$2" "$1"; }
elif command -v wget > /dev/null; then
  fetch() { wget --quiet --output-document="$2" "$1"; }
else
  fail "neither curl nor wget is here"
fi
if command -v sha256sum > /dev/null; then
  digest() { sha256sum "$1" | cut -d ' ' -f 1; }
else
  digest() { shasum -a 256 "$1" | cut -d ' ' -f 1; }
fi

mkdir -p "$to" || fail "cannot make $to"
# Beside its final place, so that moving it there is one step and never a half-written program.
work=$(mktemp -d "$to/.cerebelum-install.XXXXXX") || fail "cannot write to $to"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fetch "$from/SHA256SUMS" "$work/sums" || fail "cannot download $from/SHA256SUMS"
wanted=$(awk -v name="$name" '$2 == name || $2 == "*" name {print $1}' "$work/sums")
[ -n "$wanted" ] || fail "$from has no $name"
fetch "$from/$name" "$work/cerebelum" || fail "cannot download $from/$name"
got=$(digest "$work/cerebelum")
[ "$got" = "$wanted" ] || fail "$name is not what was published: its SHA-256 is $got, not $wanted; nothing was installed"
chmod 755 "$work/cerebelum"
said=$("$work/cerebelum" --version) || fail "the program does not start here; nothing was installed"
mv -f "$work/cerebelum" "$to/cerebelum"
echo "$said is $to/cerebelum"
case :$PATH: in *:"$to":*) ;; *) echo "note: $to is not on PATH" ;; esac
