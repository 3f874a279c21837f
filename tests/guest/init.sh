#!/bin/sh
# The first and only process of a User-Mode-Linux guest, whose root is the host's, not to be written to. It
# makes a control group, has the tests run that need one, and tells how that went.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /dev/shm
mount -t cgroup2 none /sys/fs/cgroup
ip link set lo up 2>/dev/null || ifconfig lo up
echo +memory > /sys/fs/cgroup/cgroup.subtree_control
mkdir /sys/fs/cgroup/ralph
echo +memory > /sys/fs/cgroup/ralph/cgroup.subtree_control
cd "$GUEST_ROOT" || exit 1
export HOME=/tmp NO_COLOR=1 PYTHONDONTWRITEBYTECODE=1 RALPH_TEST_CGROUP=/sys/fs/cgroup/ralph
"$GUEST_PYTHON" -m pytest -q -p no:cacheprovider -p no:randomly --basetemp=/tmp/tests tests/plugin/test_cgroup.py
echo "guest: pytest exited with $?"
echo o > /proc/sysrq-trigger
sleep 60
