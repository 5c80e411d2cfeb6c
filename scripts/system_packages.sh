#!/bin/sh
# Makes sure the programs that no Python wheel carries are there: a C++ compiler, make and perl for
# Verilator, OpenSTA for timing, Icarus Verilog as the second simulator. Installs them when run as root on
# a Debian-like machine, otherwise names them and the command to type.
set -eu
packages=""
need() {
    command -v "$1" >/dev/null 2>&1 || packages="$packages $2"
}
need g++ g++
need make make
need perl perl
need sta opensta
need iverilog iverilog
[ -z "$packages" ] && exit 0
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing system packages:$packages"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086  # one word a package
    apt-get install -y -qq --no-install-recommends $packages >/dev/null
else
    echo "These programs are missing:$packages. Type: sudo apt-get install$packages" >&2
    exit 1
fi
