# Keeps a room: a process and mount namespace below a folder, in which everything ends when whoever made it does.
#
#     room.sh keep FOLDER NETWORK CGROUP
#
# It reads its standard input to the end, which comes when its maker closes it or has died, however that happened. Then all that
# is in the room is killed, and the folder, the bridges in the network, and the cgroup are removed. It says "room PID": whose
# namespaces the room is; and "ready" once it can be used.

# Only the end of the input ends a room: its maker may still be cleaning up when a terminal tells everybody to go.
trap '' HUP INT TERM

# The first process in the room.
inside() {
    # Container engines keep some sockets in folders that all of a machine share: in the room they have these to themselves.
    for shared in /run/containerd /run/docker /run/containers /run/libpod; do
        mkdir -p "$shared" && mount -t tmpfs -o mode=755 tmpfs "$shared" || exit 1
    done
    echo ready
    cat <&3 >/dev/null &
    wait "$!"
    kill -KILL -1
    # The wait for each sleep reaps what has no other parent.
    for _ in $(seq 200); do
        kill -0 -1 2>/dev/null || break
        sleep 0.05
    done
}

keep() {
    folder=$1 network=$2 cgroup=$3
    exec 3<&0 </dev/null
    unshare --mount --propagation slave --pid --fork --mount-proc --kill-child sh "$0" inside &
    echo "room $!"
    wait "$!"
    ended=$?
    # With the room, its mounts have gone.
    rm -rf --one-file-system -- "$folder"
    if [ -n "$network" ]; then
        ip -o -4 address show to "$network" | sed 's/^[0-9]*: *\([^ @]*\).*/\1/' | sort -u | while read -r bridge; do
            ip link delete dev "$bridge"
        done
    fi
    for top in "/sys/fs/cgroup/$cgroup" /sys/fs/cgroup/*/"$cgroup"; do
        [ -d "$top" ] && find "$top" -depth -type d -exec rmdir {} \;
    done
    exit "$ended"
}

"$@"
