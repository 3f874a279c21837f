#!/bin/sh
# Runs pytest, which is called as "$@", in the control group that was delegated to this process.
set -e
group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
mkdir "$group/pytest"
echo $$ > "$group/pytest/cgroup.procs"
echo +memory > "$group/cgroup.subtree_control"
exec "$@" --ralph-cgroup "$group"
