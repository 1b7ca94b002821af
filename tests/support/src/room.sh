# Keeps a room: a process and mount namespace below a folder, in which everything ends when whoever made it does.
#
# It is given the folder, a network and the name of a cgroup, and reads its standard input to the end, which comes when its
# maker closes it or has died, however that happened. Then it kills all that is in the room, and removes the folder, the
# bridges in that network, and the cgroup. It says "room PID" once the room is there: whose namespaces they are.
folder=$1 network=$2 cgroup=$3
# Only the end of the input ends a room: its maker may still be cleaning up when a terminal tells everybody to go.
trap '' HUP INT TERM

# The room's own first process. The programs of a container engine keep some sockets in folders that all engines of a machine
# share: in the room they have these to themselves.
inside='
    for shared in /run/containerd /run/docker /run/containers /run/libpod; do
        mkdir -p "$shared" && mount -t tmpfs -o mode=755 tmpfs "$shared" || exit 1
    done
    echo ready
    cat <&3 >/dev/null &
    wait "$!"
    kill -KILL -1
    # The wait for each sleep reaps what has no other parent.
    for _ in $(seq 200); do kill -0 -1 2>/dev/null || break; sleep 0.05; done
'
exec 3<&0 </dev/null
unshare --mount --propagation slave --pid --fork --mount-proc --kill-child sh -c "$inside" &
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
    [ -n "$cgroup" ] && [ -d "$top" ] && find "$top" -depth -type d -exec rmdir {} \;
done
exit "$ended"
