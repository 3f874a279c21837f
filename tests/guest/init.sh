#!/bin/sh
# The first process of a User-Mode-Linux guest, whose root is the host's, not to be written to. It makes
# control groups of one version (GUEST_VERSION), has the tests run that need them, as root and as an ordinary
# user, and tells how that went. Nothing but the last line of "all is well" counts as good.
VERSION=$GUEST_VERSION
CGROUP=/sys/fs/cgroup
FAILED=
RUNS=0

end() {
    echo "guest: control groups v$VERSION: $1"
    echo o > /proc/sysrq-trigger
    sleep 60
    exit 1
}

# A process that runs in the group $1 what else it is given.
within() {
    sh -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$@"
}

# Runs tests, which are called $1 here. That none was left out is known by the last line: it tells of no other.
tests() {
    name=$1
    shift
    RUNS=$((RUNS + 1))
    "$@" "$GUEST_PYTHON" -m pytest -q -rs -p no:cacheprovider -p no:randomly --basetemp="/tmp/tests-$RUNS" $TESTS \
        > /tmp/told 2>&1
    cat /tmp/told
    last=$(tail -n 1 /tmp/told)
    echo "guest: control groups v$VERSION, $name: $last"
    echo "$last" | grep -Eq '^[1-9][0-9]* passed in ' || FAILED="$FAILED, $name"
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /tmp
mkdir -p /dev/shm
mount -t tmpfs tmpfs /dev/shm
ip link set lo up 2>/dev/null || ifconfig lo up
cd "$GUEST_ROOT" || end "there is no $GUEST_ROOT"

export HOME=/tmp NO_COLOR=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$GUEST_ROOT/src"
found=$("$GUEST_PYTHON" -c 'import sys, pytest_ralph as ralph; print(sys.base_prefix, ralph.__file__)')
PREFIX=${found%% *}
[ "${found#* }" = "$GUEST_ROOT/src/pytest_ralph/__init__.py" ] || end "tests would be of ${found#* }"

# The ordinary user is who owns the files, for those may be nobody else's to read; else one who has none. Where
# such a one cannot come to them, because they are in the home of root, what lies before them is opened.
USER_ID=$(stat -c %u "$GUEST_ROOT")
AS_USER="setpriv --reuid=$USER_ID --regid=$USER_ID --clear-groups"
if [ "$USER_ID" = 0 ]; then
    USER_ID=1000
    AS_USER="setpriv --reuid=$USER_ID --regid=$USER_ID --clear-groups"
    mkdir /tmp/open-1 /tmp/open-2
    mount --bind "$GUEST_ROOT" /tmp/open-1
    mount --bind "$PREFIX" /tmp/open-2
    count=0
    for path in "$GUEST_ROOT" "$PREFIX"; do
        count=$((count + 1))
        while ! $AS_USER test -x "$path/."; do
            before=$path
            while ! $AS_USER test -x "$(dirname "$before")/."; do before=$(dirname "$before"); done
            mount -t tmpfs -o mode=755 tmpfs "$before" || break
            mkdir -p "$path" && mount --bind "/tmp/open-$count" "$path"
        done
    done
    umount /tmp/open-1 /tmp/open-2
fi
cd "$GUEST_ROOT" || end "there is no $GUEST_ROOT"
$AS_USER "$GUEST_PYTHON" -c pass || end "user $USER_ID cannot run $GUEST_PYTHON"

if [ "$VERSION" = 2 ]; then
    mount -t cgroup2 none "$CGROUP" || end "the kernel has none"
    echo +memory > "$CGROUP/cgroup.subtree_control"
    mkdir "$CGROUP/ralph" "$CGROUP/unit" "$CGROUP/elsewhere" /tmp/readonly
    echo +memory > "$CGROUP/ralph/cgroup.subtree_control"
    # What systemd does for Delegate=memory: https://systemd.io/CGROUP_DELEGATION.
    for name in . $(cat /sys/kernel/cgroup/delegate); do
        [ ! -e "$CGROUP/unit/$name" ] || chown "$USER_ID:$USER_ID" "$CGROUP/unit/$name"
    done
else
    mount -t cgroup -o memory memory "$CGROUP" || end "the kernel has none"
    mkdir "$CGROUP/ralph" "$CGROUP/unit" /tmp/readonly
    chown "$USER_ID:$USER_ID" "$CGROUP/unit"
fi
mount --bind "$CGROUP/ralph" /tmp/readonly && mount -o remount,bind,ro /tmp/readonly

TESTS="tests/guest/test_kernel.py tests/guest/test_v$VERSION.py"
export RALPH_TEST_CGROUP="$CGROUP/ralph"
export RALPH_TEST_CGROUP_CLOSED="/tmp/readonly:/tmp/readonly is not delegated to this user: no group can be made"
tests root
export RALPH_TEST_CGROUP="$CGROUP/unit"
export RALPH_TEST_CGROUP_CLOSED="$CGROUP/ralph:$CGROUP/ralph is not delegated to this user: no group can be made"
if [ "$VERSION" = 2 ]; then
    tests "an ordinary user" within "$CGROUP/unit" $AS_USER tests/guest/in-group.sh
    TESTS=tests/guest/test_kernel.py::test_a_closed_directory_is_refused
    export RALPH_TEST_CGROUP_CLOSED="$CGROUP/unit:no process can be moved into a group in $CGROUP/unit"
    tests "an ordinary user outside" within "$CGROUP/elsewhere" $AS_USER
else
    # There, a process may be moved from wherever it is.
    tests "an ordinary user" $AS_USER
fi
[ -z "$FAILED" ] || end "failed: ${FAILED#, }"
end "all is well"
