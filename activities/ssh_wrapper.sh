# Runs a command at most once for each key, whoever asks, however often, and whatever dies meanwhile.
#
# The bot sends this text as the command itself (sh -c), so nothing has to be installed.  It works as a
# forced command as well (command="/bin/sh /path/to/ssh_wrapper.sh",restrict in authorized_keys), because
# the request comes on standard input either way; an allowlist then belongs before the mkdir of "$run".
#
# Request: one value a line, with backslashes and bytes that do not print as \0ooo:
#   paramedic-1, key, state directory, limit in seconds, number of arguments, the arguments, end
# Answer: "paramedic-1 hello" before anything is touched, then one of
#   paramedic-1 done CODE NEW N N N N   followed by N bytes each of the head and tail of output and errors;
#                                       NEW is 1 where this attempt ran the command, 0 where an earlier one did
#   paramedic-1 running|lost WHY        it was begun, and its end is not known (exit 75)
#   paramedic-1 refused WHY             this attempt did nothing (exit 69)
#
# STATE/runs/KEY holds boot, until, pid, code, {out,err}.{head,tail}.  The first mkdir wins.  STATE must
# outlive a restart of the host: a result that is gone would be taken for a command that never ran.

trap : HUP PIPE  # a handler, not '': what is ignored would be ignored in the command as well
grace=5          # seconds between TERM and KILL when the limit is reached

answer() { printf 'paramedic-1 %s\n' "$*" || exit 74; }
refuse() { answer refused "$*"; exit 69; }
unsure() { answer "$@"; exit 75; }
boot() { cat /proc/sys/kernel/random/boot_id 2>/dev/null || sysctl -n kern.boottime 2>/dev/null || echo unknown; }
size() { if [ -f "$1" ]; then wc -c <"$1" | tr -d ' '; else echo 0; fi; }
show() { [ "$2" -eq 0 ] || dd if="$1" bs="$2" count=1 2>/dev/null; }

# Reads the next value.  The sentinel keeps newlines at its end, which $() would drop.
take() {
  IFS= read -r line || refuse the request is incomplete
  value=$(LC_ALL=C; printf '%b_' "$line")
  value=${value%_}
}

# A process that ended and was not collected by its parent yet is not alive.
alive() {
  kill -0 "$1" 2>/dev/null || return 1
  stat=; { read -r stat <"/proc/$1/stat"; } 2>/dev/null
  case $stat in *') Z '*) return 1 ;; esac
}

# What runs in a session of its own, where neither the connection's end nor our death reaches it.
runner=$(cat <<'RUNNER'
run=$1 limit=$2 grace=$3; shift 3
keep=8192     # bytes of each head and each tail: 32 KiB in all
retention=30  # days, after which a key is forgotten
printf '%d' $$ 1<>"$run/pid"  # in place: there is room for it even where the disk is full
mkfifo "$run/out.pipe" "$run/err.pipe" || exit 1

# Writes the head as it comes and the tail at the end.  It drains whatever comes later: a service that the
# command started may keep its output open, and a closed pipe would kill it.
capture() { { dd bs=1 count=$keep of="$1.head" 2>/dev/null; tail -c $keep >"$1.tail"; } <"$1.pipe"; }
capture "$run/out" & filters=$!
capture "$run/err" & filters="$filters $!"
timeout -k "$grace" "$limit" "$@" </dev/null >"$run/out.pipe" 2>"$run/err.pipe"
code=$?
tries=0
for filter in $filters; do
  while kill -0 "$filter" 2>/dev/null && [ $tries -lt 25 ]; do
    tries=$((tries + 1)); sleep 0.02 2>/dev/null || sleep 1
  done
done
printf '%3d' "$code" 1<>"$run/reserved"  # in place, too
mv "$run/reserved" "$run/code"
rm -f "$run/out.pipe" "$run/err.pipe"
find "$run/../." ! -name . -prune -mtime +$retention -exec rm -rf {} + 2>/dev/null
RUNNER
)

answer hello
take; [ "$value" = paramedic-1 ] || refuse this is another version of the wrapper
take; key=$value
take; state=$value
take; limit=$value
take; count=$value
case $key in '' | *[!A-Za-z0-9_-]*) refuse the key is malformed ;; esac
case $limit$count in *[!0-9]*) refuse the request is malformed ;; esac
set --
while [ $# -lt "$count" ]; do take; set -- "$@" "$value"; done
[ $# -gt 0 ] || refuse there is no command
take; [ "$value" = end ] || refuse the request is incomplete
for tool in setsid timeout mkfifo dd tail find wc tr; do
  command -v $tool >/dev/null || refuse "the host has no $tool"
done

runs=$state/runs
run=$runs/$key
[ -d "$state" ] || mkdir -p -m 700 "$state" 2>/dev/null
[ -d "$runs" ] || mkdir -p "$runs" 2>/dev/null
new=0
if mkdir "$run" 2>/dev/null; then
  new=1
  # Ours.  Where there is no room even for the result, nothing is begun.
  {
    boot >"$run/boot" && echo $(($(date +%s) + limit + 60)) >"$run/until" &&
      echo '          ' >"$run/pid" && echo '  -' >"$run/reserved"
  } 2>/dev/null || { rm -rf "$run"; refuse the state directory cannot be written; }
  setsid sh -c "$runner" paramedic "$run" "$limit" $grace "$@" </dev/null >/dev/null 2>&1 &
elif [ ! -d "$run" ]; then
  refuse the state directory cannot be written
elif [ ! -f "$run/code" ] && [ -s "$run/boot" ] && [ "$(cat "$run/boot")" != "$(boot)" ]; then
  unsure lost the host has restarted since it was begun
fi

tries=0
deadline=$(($(date +%s) + limit + grace + 5))
while [ ! -f "$run/code" ]; do
  pid=; { read -r pid <"$run/pid"; } 2>/dev/null
  if [ -n "$pid" ]; then
    alive "$pid" || [ -f "$run/code" ] || unsure lost its process has ended without a result
  elif [ $tries -gt 100 ]; then
    unsure lost it was claimed and never begun
  fi
  now=$(date +%s)
  until=$now; { read -r until <"$run/until"; } 2>/dev/null
  [ "$now" -le "$until" ] || unsure lost it should have ended by now
  [ "$now" -le "$deadline" ] || unsure running it has not ended yet
  tries=$((tries + 1))
  if [ $tries -lt 50 ]; then pause=0.02; else pause=0.2; fi
  sleep $pause 2>/dev/null || sleep 1
done

read -r code <"$run/code"
a=$(size "$run/out.head"); b=$(size "$run/out.tail"); c=$(size "$run/err.head"); d=$(size "$run/err.tail")
answer done "$code" $new "$a" "$b" "$c" "$d"
show "$run/out.head" "$a"; show "$run/out.tail" "$b"; show "$run/err.head" "$c"; show "$run/err.tail" "$d"
exit 0
