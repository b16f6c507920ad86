#!/bin/sh
# Installs what tests/real runs against, where apt and pip can: D-Bus, gnome-keyring, strace, tmux, and the Azure CLI in a
# virtual environment of its own, kept outside the checkout by version so that it is built once per machine.
# What is missing afterwards is a loud skip for a contributor and a failure when CI=true (tests/real/conftest.py).
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)

missing=""
for program in dbus-daemon gnome-keyring-daemon strace tmux; do
	command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
if [ -n "$missing" ] && command -v apt-get >/dev/null 2>&1; then
	root=""
	[ "$(id -u)" = 0 ] || root="sudo -n"
	echo "Installing dbus, gnome-keyring, strace and tmux (missing:$missing) …"
	$root apt-get update -qq >/dev/null &&
		DEBIAN_FRONTEND=noninteractive $root apt-get install -qq -y --no-install-recommends dbus gnome-keyring strace tmux \
			>/dev/null || echo "could not install:$missing" >&2
fi

version=$(sed -n 's/^azure-cli==\([0-9.]*\).*/\1/p' "$here/requirements/az.txt")
az="${XDG_CACHE_HOME:-$HOME/.cache}/entraclaw-setup/az-$version"
if [ ! -e "$az/ready" ]; then
	echo "Installing the Azure CLI $version into $az (once, about a minute) …"
	rm -rf "$az"
	# the requirements are the whole closure of the commands in use, so pip has nothing to resolve
	"$here/.venv/bin/python" -m venv "$az" &&
		"$az/bin/pip" install -qq --disable-pip-version-check --no-deps --require-hashes -r "$here/requirements/az.txt" &&
		touch "$az/ready" || echo "could not install the Azure CLI" >&2
fi
exit 0
