#!/bin/sh
# Downloads the cerebelum binary, compares its SHA-256 with the published one, and puts it where programs are.
#
#   sh install.sh --from URL [--version VERSION] [--to FOLDER]
#
# URL       a folder on the web with the binary and SHA256SUMS; default: CEREBELUM_INSTALL_FROM
# VERSION   a folder below URL
# FOLDER    default: ~/.local/bin, or /usr/local/bin for root
#
# Run it again to upgrade: what was there is replaced in one step, once the new one has been verified and has started.
# Running programs keep the old one. SHA256SUMS tells a damaged download; it can be trusted as far as URL can, so that
# https is required except from this machine (--insecure takes http from anywhere), and a redirect to http is not followed.
set -eu

# All of it is read before any of it runs: half of a script must not run when the download of the script breaks off.
main() {
  from=${CEREBELUM_INSTALL_FROM:-} version='' to='' insecure=
  while [ $# -gt 0 ]; do
    case $1 in
      --from | --version | --to) [ -n "${2:-}" ] || fail "$1 needs a value" ;;
    esac
    case $1 in
      --from) from=$2; shift 2 ;;
      --version) version=$2; shift 2 ;;
      --to) to=$2; shift 2 ;;
      --insecure) insecure=yes; shift ;;
      -h | --help) usage; exit 0 ;;
      *) fail "unknown option $1; see --help" ;;
    esac
  done
  check_address
  name=$(system) || exit 1
  name=cerebelum-$name-$(machine) || exit 1
  choose_folder
  choose_tools

  mkdir -p -- "$to" || fail "cannot make $to; --to names another folder"
  [ ! -d "$to/cerebelum" ] || fail "$to/cerebelum is a folder"
  # Beside its final place, so that moving it there is one step and never a half-written program.
  work=$(mktemp -d "$to/.cerebelum-install.XXXXXX") || fail "cannot write to $to; --to names another folder"
  trap 'rm -rf "$work"' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  download
  place
}

usage() {
  echo 'sh install.sh --from URL [--version VERSION] [--to FOLDER] [--insecure]

Downloads the cerebelum binary, compares it with SHA256SUMS and puts it into FOLDER (default: ~/.local/bin, for root
/usr/local/bin). URL is a folder with both; VERSION is a folder below it. CEREBELUM_INSTALL_FROM is the default of --from.
--insecure allows http from other machines.'
}

fail() { echo "install.sh: $*" >&2; exit 1; }

check_address() {
  [ -n "$from" ] || fail "where from? Give --from URL, or set CEREBELUM_INSTALL_FROM"
  from=${from%/}
  case $version in
    '') ;;
    *[!A-Za-z0-9._+-]* | .*) fail "$version is not a version" ;;
    *) from=$from/$version ;;
  esac
  case $from in
    *[[:space:]]*) fail "there is a blank in the URL $from" ;;
    https://*) protocols=https ;;
    http://*@*) fail "a name before the host, as in $from, needs https" ;;
    http://127.0.0.1[:/]* | http://localhost[:/]* | "http://[::1]"[:/]*) protocols=http,https ;;
    http://*)
      [ -n "$insecure" ] || fail "$from is not https: anybody on the way could change both files; --insecure takes it anyway"
      protocols=http,https
      ;;
    *) fail "$from is not an https URL" ;;
  esac
}

system() {
  case $(uname -s) in
    Linux) echo linux ;;
    Darwin) echo macos ;;
    *) fail "there is no binary for $(uname -s); the package runs where Python does: docs/install.md" ;;
  esac
}

machine() {
  case $(uname -m) in
    x86_64 | amd64) echo x86_64 ;;
    aarch64 | arm64) echo arm64 ;;
    *) fail "there is no binary for $(uname -m); the package runs where Python does: docs/install.md" ;;
  esac
}

choose_folder() {
  if [ -n "$to" ]; then :
  elif [ "$(id -u)" = 0 ]; then to=/usr/local/bin
  else to=${HOME:?is not set; give --to FOLDER}/.local/bin
  fi
  case $to in /*) ;; *) to=$PWD/$to ;; esac
}

choose_tools() {
  if command -v curl > /dev/null; then
    fetch() { curl -q --fail --silent --show-error --location --proto "=$protocols" --retry 3 --output "$2" -- "$1"; }
  elif command -v wget > /dev/null; then
    # GNU wget has no option against redirects from https to http: a proxy that is not there stops them. Any other wget
    # knows no -e and fails.
    case $protocols in
      https) fetch() { wget -q -e use_proxy=on -e http_proxy=http://127.0.0.1:1 -e no_proxy= -O "$2" "$1"; } ;;
      *) fetch() { wget -q -O "$2" "$1"; } ;;
    esac
  else
    fail "neither curl nor wget is here"
  fi
  if command -v sha256sum > /dev/null; then
    digest() { sha256sum < "$1" | cut -d ' ' -f 1; }
  elif command -v shasum > /dev/null; then
    digest() { shasum -a 256 < "$1" | cut -d ' ' -f 1; }
  else
    fail "neither sha256sum nor shasum is here, so the download could not be verified"
  fi
}

download() {
  fetch "$from/SHA256SUMS" "$work/sums" || fail "cannot download $from/SHA256SUMS"
  wanted=$(awk -v name="$name" '$2 == name || $2 == "*" name {print $1}' "$work/sums")
  case $wanted in
    '') fail "$from has no $name" ;;
    *[!0-9a-f]*) fail "SHA256SUMS of $from does not name $name once, with its SHA-256" ;;
  esac
  [ ${#wanted} = 64 ] || fail "SHA256SUMS of $from is damaged: $wanted is not a SHA-256"
  fetch "$from/$name" "$work/cerebelum" || fail "cannot download $from/$name"
  got=$(digest "$work/cerebelum")
  [ "$got" = "$wanted" ] || fail "$name is not what was published: its SHA-256 is $got, not $wanted; nothing was installed"
}

place() {
  chmod 755 "$work/cerebelum"
  said=$("$work/cerebelum" --version) || {
    # Where the C library is older, or another one, the dynamic linker has said why.
    fail "the program does not start here ($(libc)); nothing was installed. The package runs where Python does: docs/install.md"
  }
  mv -f "$work/cerebelum" "$to/cerebelum" || fail "cannot replace $to/cerebelum"
  echo "$said is $to/cerebelum"
  case :$PATH: in
    *:"$to":*)
      found=$(command -v cerebelum) || found=
      [ "$found" = "$to/cerebelum" ] || echo "note: on PATH, $found comes before it"
      ;;
    *) echo "note: $to is not on PATH: add it, as in  export PATH=\"$to:\$PATH\"" ;;
  esac
  echo "to uninstall: rm '$to/cerebelum'; it unpacks itself to ~/.cache/cerebelum"
}

libc() {
  if ls /lib/ld-musl-* > /dev/null 2>&1; then echo "its C library is musl, the binary needs glibc"
  else getconf GNU_LIBC_VERSION 2> /dev/null || uname -sr
  fi
}

main "$@"
