#!/bin/sh
# The preStop hook that measures: a delay until no new connections arrive, the quit or the author's
# command, a wait until the connections are done, a report. Put into pods as
#   exec: ["/bin/sh", "-c", SCRIPT, "prestop", LEAST, MOST, QUIET, ALLOWED, EXTRA, WAIT, HOLD, REPORT,
#          TASK, SIGNAL, NAMES, COMMAND...]
# without the lines that start with '#', and with hook.sh in place of the line `@quit@`. POSIX sh;
# nothing outside of the shell is run but `sleep`, `cat` (only for HOLD, and only if there is one) and
# the command. Values are arguments, never part of this text.
#   LEAST    the delay lasts at least so many seconds
#   MOST     and at most so many; between them it ends when it is quiet
#   QUIET    it is quiet when so many seconds have passed with at most
#   ALLOWED  so many new connections; both also where the bounds are equal, for the report
#   EXTRA    seconds after that: a sidecar stays longer than the application
#   WAIT     longest time in seconds to hold the stop signal back after the task, or `none`
#   HOLD     `connections`: the wait ends when no connection to a listening port is left; or empty
#   REPORT   the file to append the report to, or empty
#   TASK     `quit`: as in hook.sh; `own`: the author's command, its exit status is that of the hook;
#            `none`
#   SIGNAL, NAMES, COMMAND   as in hook.sh
least=$1 most=$2 quiet=$3 allowed=$4 extra=$5 wait=$6 hold=$7 report=$8 task=$9
shift 9
# shellcheck disable=SC1007 # `from` is empty.
signal=$1 names=$2 now=0 from= new=0
shift 2
# Lengths of texts in bytes.
LC_ALL=C
# Hundredths of a second since the machine started; counted where the kernel does not say.
clock() {
  now=$((now + $1 * 100))
  { IFS='. ' read -r s c _ </proc/uptime; } 2>/dev/null || c=
  case $c in [0-9][0-9]) now=$((s * 100 + 1$c - 100)) ;; esac
}
# The connections that were accepted in this network namespace so far: PassiveOpens.
accepted() {
  while read -r l c _ _ _ _ opens _; do
    case $l$c in Tcp:[0-9]*) return ;; esac
  done 2>/dev/null </proc/net/snmp
  return 1
}
pause() { sleep "$1" || exit; }
clock 0
begin=$now
if [ "$least" = "$most" ] && [ -z "$report" ] || ! accepted; then
  pause "$most"
  clock "$most"
else
  # Connections are counted from `base`, which is the counter at `window`. A window ends with traffic, or
  # after as long as it may take to be quiet: what comes with pauses does not add up.
  since=$now window=$now base=$opens first=$opens
  while
    t=$((now - begin))
    [ $t -lt $((most * 100)) ] &&
      { [ $t -lt $((least * 100)) ] || [ $((now - since)) -lt $((quiet * 100)) ]; }
  do
    pause 1
    clock 1
    if ! accepted; then
      # A counter that can't be read is no silence.
      since=$now
    elif [ $((opens - base)) -gt "$allowed" ]; then
      since=$now window=$now from=$now base=$opens
    elif [ $((now - window)) -ge $((quiet * 100)) ]; then
      window=$now base=$opens
    fi
  done
  new=$((opens - first))
fi
delay=$(((now - begin) / 100))
# The last moment with more new connections than are allowed for.
last=null
[ -z "$from" ] || last=$(((from - begin) / 100))
pause "$extra"
# The tables of connections. From a pipe: bash reads a file one line at a time, and the kernel makes the
# table anew for each.
tables() {
  for f in /proc/net/tcp /proc/net/tcp6; do
    [ -r $f ] && { cat $f 2>/dev/null || while read -r l; do echo "$l"; done <$f; }
  done
}
# Reads the tables for connections of that state to these ports.
count() {
  tables | {
    n=0 p=
    while read -r _ l _ s _; do
      [ "$s" = "$1" ] || continue
      case $2 in
        '') p="$p ${l##*:} " ;;
        *" ${l##*:} "*) n=$((n + 1)) ;;
      esac
    done
    echo "${p:-$n}"
  }
}
# One line of JSON at the end of what the application has written, if the 4096 bytes that the kubelet
# reads have room for it.
tell() {
  [ -f "$report" ] || return 0
  size=0 line="{\"prestop\":{$1}}"
  while [ $size -lt 4096 ] && IFS= read -r l; do size=$((size + ${#l} + 1)) l=; done <"$report" || return 0
  [ -z "$l" ] || line="
$line"
  [ $((size + ${#l} + ${#line})) -ge 4096 ] || printf '%s\n' "$line" >>"$report"
}
seen="\"delay\":$((delay + extra)),\"last\":$last,\"new\":$new"
# The quit may end this hook with the application.
if [ "$task" != none ]; then
  tell "$seen" 2>/dev/null
  seen=
fi
# The quit may close the ports.
ports=
[ -z "$hold" ] || ports=$(count 0A '')
case $task in
  own) ("$@") ;;
  quit) (
    set -- 0 0 "$signal" "$names" "$@"
@quit@
  ) ;;
esac
status=$?
[ "$task" = none ] || seen="\"quit\":$status"
clock 0
begin=$now
if [ -n "$hold" ]; then
  # At most a fifth of the time is spent on looking.
  while
    t=$now
    left=$(count 01 "$ports")
    clock 0
    rest=$((wait - (now - begin) / 100)) p=$((1 + (now - t) / 25))
    [ "$left" -gt 0 ] && [ $rest -gt 0 ]
  do
    [ $p -lt $rest ] || p=$rest
    pause $p
    clock $p
  done
  seen="$seen,\"left\":$left"
elif [ "$wait" != none ] && [ $status = 0 ]; then
  pause "$wait"
  clock "$wait"
fi
seen="$seen,\"waited\":$(((now - begin) / 100))"
tell "${seen#,}" 2>/dev/null
exit $status
