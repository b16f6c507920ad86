#!/bin/sh
# Installs what tests/real runs against, where apt and pip can: D-Bus, gnome-keyring and its secret-tool, jq, curl,
# strace, tmux, a C compiler (for tests/shift.c), and the Azure CLI and the other real clients in virtual environments of
# their own, kept outside the checkout by version so that each is built once per machine.
# What is missing afterwards is a loud skip for a contributor and a failure when CI=true (tests/real/conftest.py).
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)

missing=""
for program in dbus-daemon gnome-keyring-daemon secret-tool jq curl strace tmux cc; do
	command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
if [ -n "$missing" ] && command -v apt-get >/dev/null 2>&1; then
	root=""
	[ "$(id -u)" = 0 ] || root="sudo -n"
	echo "Installing dbus, gnome-keyring, secret-tool, jq, curl, strace, tmux and a C compiler (missing:$missing) …"
	$root apt-get update -qq >/dev/null &&
		DEBIAN_FRONTEND=noninteractive $root apt-get install -qq -y --no-install-recommends dbus gnome-keyring \
			libsecret-tools jq curl openssl strace tmux gcc libc6-dev >/dev/null || echo "could not install:$missing" >&2
fi

# environment NAME PACKAGE WHAT: of requirements/NAME.txt, the whole closure, so that pip has nothing to resolve;
# most of their modules are never imported, so none is compiled ahead
environment() {
	version=$(sed -n "s/^$2==\([0-9.]*\).*/\1/p" "$here/requirements/$1.txt")
	folder="${XDG_CACHE_HOME:-$HOME/.cache}/entraclaw-setup/$1-$version"
	[ -e "$folder/ready" ] && return
	echo "Installing $3 $version into $folder (once, about a minute) …"
	rm -rf "$folder"
	"$here/.venv/bin/python" -m venv "$folder" &&
		"$folder/bin/pip" install -qq --disable-pip-version-check --no-compile --no-deps --require-hashes \
			-r "$here/requirements/$1.txt" &&
		touch "$folder/ready" || echo "could not install $3" >&2
}

environment az azure-cli "the Azure CLI" &
environment clients msgraph-sdk "azure-identity, msal and msgraph-sdk" &
wait
exit 0
