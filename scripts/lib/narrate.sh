# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the script that sources this
# SPDX-License-Identifier: Apache-2.0
# Text for people who follow a script: headings, explanations, and commands with what they print. Colours on a
# terminal only (and never with NO_COLOR, https://no-color.org).

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  style_title=$'\e[1;36m' style_command=$'\e[1m' style_good=$'\e[32m' style_off=$'\e[0m'
else
  style_title='' style_command='' style_good='' style_off=''
fi

title() { printf '\n%s== %s%s\n' "$style_title" "$*" "$style_off"; }
say() { printf '%s\n' "$@"; }
good() { printf '%s%s%s\n' "$style_good" "$*" "$style_off"; }

indent() { sed 's/^/    /'; }

# show TEXT COMMAND...: prints "$ TEXT", runs COMMAND, indents its output. Ends the script when the command fails.
show() {
  local text=$1 status=0
  shift
  printf '\n  %s$ %s%s\n' "$style_command" "$text" "$style_off"
  "$@" 2>&1 | indent || status=$?
  ((status == 0)) || die "failed with status $status: $text"
}
