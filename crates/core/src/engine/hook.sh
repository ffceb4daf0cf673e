#!/bin/sh
# The preStop hook: delay, quit, wait. Put into pods as
#   exec: ["/bin/sh", "-c", SCRIPT, "prestop", DELAY, WAIT, SIGNAL, NAMES, COMMAND...]
# without the lines that start with '#'. POSIX sh; nothing outside of the shell is run but `sleep`
# and the command. Values are arguments, never part of this text.
#   DELAY    seconds before the application is told to quit
#   WAIT     longest time in seconds to hold the stop signal back after that, or `none`
#   SIGNAL   for PID 1, where there is no command or it fails; may be empty
#   NAMES    the names under which PID 1 is the application and gets the signal, commas between; one
#            that ends in `*` is the beginning of a name (`php-fpm*` is php-fpm8.2); empty: any
#   COMMAND  the application's own quit command and its arguments; may be absent
# Exit status: 0 the application was told and the wait is over; 1 it could not be told.
#
# Without `sleep` there is neither delay nor wait, so nothing is told: the stop signal will do.
sleep "$1" || exit
wait=$2 signal=$3 names=$4
shift 4
# The stop signal is as good as the quit. `exec` so that the hook ends before the application does.
[ "$wait" = none ] && exec "$@"
# The command finds its process by itself, whoever PID 1 is.
if [ $# -gt 0 ]; then
  # The subshell keeps a command that is also a word of the shell (`exit`) from ending the hook.
  ("$@") && exec sleep "$wait"
  printf 'prestop: %s failed with status %s\n' "$1" "$?" >&2
fi
# A signal that is right for the application may kill something else that runs in its place.
if [ -n "$signal" ] && [ -n "$names" ]; then
  IFS= read -r comm 2>/dev/null </proc/1/comm || comm=
  rest=$names, is=
  while [ -z "$is" ] && [ -n "$rest" ]; do
    name=${rest%%,*} rest=${rest#*,}
    case $name in
      *'*') name=${name%?} && case $comm in "$name"*) is=yes ;; esac ;;
      *) case $comm in "$name") is=yes ;; esac ;;
    esac
  done
  if [ -z "$is" ]; then
    printf 'prestop: PID 1 is "%s", expected %s: it is sent no signal\n' "$comm" "$names" >&2
    exit 1
  fi
fi
# Holding is enough: when PID 1 ends, the kernel ends this hook with it.
[ -n "$signal" ] && kill -s "$signal" 1 && exec sleep "$wait"
echo 'prestop: PID 1 could not be told to quit' >&2
exit 1
