#!/bin/bash
# usage: slurm.sh install | start DIR | stop DIR
#
# A Slurm of one machine for the tests: munged, slurmctld and slurmd on 127.0.0.1, with everything they write in DIR. `start` prints
# the variables that Slurm's commands need. Exit status 77: Slurm is not here, or this user may not start it; the reason is said.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

# Inside the private Debian folder the daemons are those of the machine.
if [ -d /etc/.host ] && [ -z "${BLOODPATCH_ON_HOST_DONE-}" ]; then
    export BLOODPATCH_ON_HOST_DONE=1
    exec "$here/../../env/on-host" "$BASH" "$0" "$@"
fi

missing() { echo "$*" >&2; exit 77; }

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

install_it() {
    if command -v slurmctld > /dev/null && command -v munged > /dev/null; then exit 0; fi
    command -v apt-get > /dev/null || missing "no apt-get to install slurm-wlm and munge with"
    as_root=()
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2> /dev/null || missing "slurm-wlm and munge are not installed, and this user may not install them"
        as_root=(sudo -n)
    fi
    "${as_root[@]}" apt-get update > /dev/null || missing "apt-get update failed"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends slurm-wlm munge > /dev/null \
        || missing "apt-get could not install slurm-wlm and munge"
}

write_conf() {  # DIR
    local name; name=$(hostname -s)
    cat > "$1/slurm.conf" << CONF
ClusterName=bloodpatch
SlurmctldHost=$name(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$1/munge.socket
CredType=cred/munge
StateSaveLocation=$1/state
SlurmdSpoolDir=$1/spool
SlurmctldPidFile=$1/slurmctld.pid
SlurmdPidFile=$1/slurmd.pid
SlurmctldLogFile=$1/slurmctld.log
SlurmdLogFile=$1/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=1,bf_interval=2,sched_min_interval=0
MinJobAge=300
KillWait=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=$name NodeAddr=127.0.0.1 CPUs=4 RealMemory=64000 State=UNKNOWN
PartitionName=all Nodes=$name Default=YES MaxTime=INFINITE State=UP
CONF
}

start() {  # DIR
    local dir=$1 daemon count
    for daemon in munged slurmctld slurmd sbatch; do
        command -v "$daemon" > /dev/null || missing "$daemon is not installed (tests/studies/slurm.sh install)"
    done
    [ "$(id -u)" = 0 ] || missing "slurmd has to be started by root"
    mkdir -p "$dir/state" "$dir/spool"
    chmod 755 "$dir"
    write_conf "$dir"
    (umask 077 && head -c 128 /dev/urandom > "$dir/munge.key")
    munged --force --socket="$dir/munge.socket" --key-file="$dir/munge.key" --pid-file="$dir/munge.pid" \
        --log-file="$dir/munged.log" --seed-file="$dir/munge.seed" < /dev/null > "$dir/munged.out" 2>&1 \
        || missing "munged does not start: $(tail -n 1 "$dir/munged.out")"
    export SLURM_CONF=$dir/slurm.conf
    slurmctld -c < /dev/null > "$dir/slurmctld.out" 2>&1 || { tail -n 3 "$dir/slurmctld.out" >&2; stop "$dir"; exit 1; }
    slurmd < /dev/null > "$dir/slurmd.out" 2>&1 || { tail -n 3 "$dir/slurmd.out" >&2; stop "$dir"; exit 1; }
    for count in $(seq 100); do
        if sinfo -h -o %T 2> /dev/null | grep -qE '^(idle|mixed|allocated)'; then echo "SLURM_CONF=$SLURM_CONF"; return 0; fi
        sleep 0.2
    done
    echo "the node did not come up after $count looks" >&2
    tail -n 5 "$dir/slurmctld.log" "$dir/slurmd.log" >&2
    stop "$dir"
    exit 1
}

stop() {  # DIR
    local name pid
    for name in slurmd slurmctld munge; do
        if pid=$(cat "$1/$name.pid" 2> /dev/null); then
            kill -9 "$pid" 2> /dev/null || true  # nothing of it is kept
        fi
    done
}

case ${1-} in
    install) install_it ;;
    start) start "$2" ;;
    stop) stop "$2" ;;
    *) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
