#!/bin/sh
# Makes a replica of the process that runs this: network, private folders, its own /proc. Then
# becomes the server, as PID 1. Arguments: ADDRESS LINK GATEWAY MESSAGE PROGRAM ARGUMENT...
# MESSAGE is the container's terminationMessagePath, or empty where no hook reports to it.
# Lines that start with '#' are left out.
set -e
address=$1 link=$2 gateway=$3 message=$4
shift 4
# /proc is still the sandbox's: the number that the sandbox knows this process by.
read -r pid rest </proc/self/stat
outside() { nsenter --net=/proc/1/ns/net -- "$@"; }
ip link set lo up
ip link add eth0 type veth peer name "$link" netns /proc/1/ns/net
ip address add "$address" peer "$gateway" dev eth0
ip link set eth0 up
ip route add default via "$gateway"
outside ip address add "$gateway" peer "$address" dev "$link"
outside ip link set "$link" up
# What servers write goes into memory (below /proc, which is mounted over it at the end) and is this replica's own, as in an image; what is there can
# be read.
mount -t tmpfs -o mode=755 prestop /proc
shared='' private=/dev
for folder in /run /tmp /var; do
  layers=/proc$folder
  mkdir -p "$layers/upper" "$layers/work"
  chmod "$(stat -c %a "$folder")" "$layers/upper"
  if mount -t overlay -o "lowerdir=$folder,upperdir=$layers/upper,workdir=$layers/work" overlay "$folder" 2>/dev/null ||
    # Where that is not allowed: two servers can't have the same /run/server.pid, so an empty one.
    { [ "$folder" = /run ] && mount -t tmpfs -o mode=755 run /run; }; then
    private="$private $folder"
  else
    shared="$shared $folder"
  fi
done
if [ -n "$message" ]; then
  # A /dev as runtimes make it, with the file that the kubelet gives to each container.
  mkdir /proc/dev /proc/dev/pts /proc/dev/shm
  for device in null zero full random urandom tty; do
    : >"/proc/dev/$device"
    mount --bind "/dev/$device" "/proc/dev/$device"
  done
  ln -s /proc/self/fd /proc/dev/fd
  ln -s /proc/self/fd/0 /proc/dev/stdin
  ln -s /proc/self/fd/1 /proc/dev/stdout
  ln -s /proc/self/fd/2 /proc/dev/stderr
  ln -s pts/ptmx /proc/dev/ptmx
  : >/proc/dev/termination-log
  chmod 666 /proc/dev/termination-log
  mount --rbind /dev/pts /proc/dev/pts 2>/dev/null || :
  mount --rbind /proc/dev /dev
  if [ "$message" != /dev/termination-log ]; then
    # A new file only where it is this replica's own.
    top=${message#/}
    case " $private " in
      *" /${top%%/*} "*) mkdir -p "${message%/*}" && : >>"$message" ;;
    esac
    { [ -f "$message" ] && mount --bind /dev/termination-log "$message"; } || shared="$shared no-message"
  fi
fi
mount -t tmpfs -o mode=1777 shm /dev/shm 2>/dev/null || :
mount -t proc proc /proc
echo "replica $pid$shared"
exec "$@"
