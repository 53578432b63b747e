#!/usr/bin/env bash
# A real SLURM on this one host: cluster.sh start|stop DIR.
#
# Four nodes of 4 CPUs, 512 GB and 2 GPUs each, all of it only claimed; partitions cpu and gpu. Configuration, state and logs
# are in DIR. As root, without munge. With accounting where slurmdbd and mariadbd are installed; else squeue is all there is.
# /etc/slurm/slurm.conf becomes a link into DIR (Snakemake's jobs drop SLURM_CONF), and one that is there already is an error.
set -euo pipefail

NODES=(n1 n2 n3 n4)
LINK=/etc/slurm/slurm.conf

fail() {
    echo "cluster.sh: $1" >&2
    exit 2
}

has() { command -v "$1" >/dev/null; }

with_accounting() { has slurmdbd && has mariadbd; }

with_cgroups() { [ -d /sys/fs/cgroup/freezer ] && [ -d /sys/fs/cgroup/memory ] && [ -d /sys/fs/cgroup/cpuset ]; }

# until_true SECONDS WHAT COMMAND...
until_true() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt $deadline ] || fail "$what (logs: $D/log)"
        sleep 0.2
    done
}

listens() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

all_idle() { [ "$(sinfo --noheader --Node --partition cpu --format '%N %t' 2>/dev/null | grep -c ' idle$')" = ${#NODES[@]} ]; }

queue_empty() { [ -z "$(squeue --noheader 2>/dev/null)" ]; }

# Gone, or a zombie that nobody has reaped.
ended() { ! grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" 2>/dev/null; }

accounting_conf() {
    if with_accounting; then
        echo "AccountingStorageType=accounting_storage/slurmdbd"
        echo "AccountingStorageHost=127.0.0.1"
        echo "AccountingStoragePort=6916"
        echo "AccountingStoreFlags=job_comment"
        echo "AccountingStorageTRES=gres/gpu"
    else
        echo "AccountingStorageType=accounting_storage/none"
    fi
}

tracking_conf() {
    if with_cgroups; then
        echo "ProctrackType=proctrack/cgroup"
        echo "TaskPlugin=task/cgroup"
    else
        echo "ProctrackType=proctrack/linuxproc"
        echo "TaskPlugin=task/none"
        echo "JobAcctGatherParams=OverMemoryKill"
    fi
}

nodes_conf() {
    local port=6918 host=$1 node
    echo "NodeName=DEFAULT CPUs=4 RealMemory=512000 Gres=gpu:a100:2"
    for node in "${NODES[@]}"; do
        echo "NodeName=$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port++))"
    done
    echo "PartitionName=DEFAULT Nodes=n[1-4] DefaultTime=10 MaxTime=1-0 DefMemPerCPU=500 State=UP"
    echo "PartitionName=cpu Default=YES"
    echo "PartitionName=gpu"
}

write_conf() {
    local host
    host=$(hostname -s)
    cat >"$D/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=6917
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool/%n
SlurmctldPidFile=$D/slurmctld.pid
SlurmdPidFile=$D/slurmd-%n.pid
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdLogFile=$D/log/slurmd-%n.log
MpiDefault=none
MailProg=/bin/true
GresTypes=gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=30
KillWait=2
MinJobAge=3600
$(accounting_conf)
$(tracking_conf)
$(nodes_conf "$host")
CONF
    echo "NodeName=n[1-4] Name=gpu Type=a100 File=$D/dev/nvidia[0-1]" >"$D/gres.conf"
    cat >"$D/cgroup.conf" <<CONF
CgroupAutomount=no
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
ConstrainRAMSpace=yes
AllowedRAMSpace=100
CONF
}

start_accounting() {
    mariadb-install-db --no-defaults --user=root --datadir="$D/db" --auth-root-authentication-method=normal \
        --skip-test-db >"$D/log/mariadb.log" 2>&1
    mariadbd --no-defaults --user=root --datadir="$D/db" --socket="$D/my.sock" --skip-networking \
        --pid-file="$D/mariadbd.pid" >>"$D/log/mariadb.log" 2>&1 &
    until_true 30 "mariadbd does not start" test -S "$D/my.sock"
    cat >"$D/slurmdbd.conf" <<CONF
AuthType=auth/none
DbdHost=$(hostname -s)
DbdAddr=127.0.0.1
DbdPort=6916
SlurmUser=root
PidFile=$D/slurmdbd.pid
LogFile=$D/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct
CONF
    chmod 600 "$D/slurmdbd.conf"
    MYSQL_UNIX_PORT="$D/my.sock" slurmdbd
    until_true 30 "slurmdbd does not start" listens 6916
}

start() {
    [ "$(id -u)" = 0 ] || fail "the daemons and the GPUs' device files need root"
    has slurmctld && has slurmd || fail "no slurmctld and slurmd; apt-get install slurm-wlm"
    [ ! -e "$LINK" ] && [ ! -L "$LINK" ] || fail "$LINK is there: this host belongs to a cluster"
    mkdir -p "$D"/{state,spool,log,dev} "$(dirname "$LINK")"
    mknod -m 666 "$D/dev/nvidia0" c 1 3 # /dev/null's numbers: a device that holds nothing
    mknod -m 666 "$D/dev/nvidia1" c 1 3
    write_conf
    ln -s "$D/slurm.conf" "$LINK"
    trap stop EXIT # all of it or nothing
    if with_accounting; then start_accounting; fi
    slurmctld
    for node in "${NODES[@]}"; do
        mkdir -p "$D/spool/$node"
        slurmd -N "$node"
    done
    until_true 30 "the nodes do not become idle" all_idle
    trap - EXIT
}

# stop_daemon PIDFILE
stop_daemon() {
    [ -s "$1" ] || return 0
    local pid
    pid=$(<"$1")
    kill -TERM "$pid" 2>/dev/null || return 0
    for _ in {1..50}; do
        if ended "$pid"; then return 0; fi
        sleep 0.2
    done
    kill -KILL "$pid" 2>/dev/null || true
}

# What outlived its job: the processes in the nodes' control groups, and the empty groups.
kill_leftovers() {
    local node file pid
    for node in "${NODES[@]}"; do
        while IFS= read -r file; do
            while IFS= read -r pid; do kill -KILL "$pid" 2>/dev/null || true; done <"$file"
        done < <(find /sys/fs/cgroup/*/"slurm_$node" -name cgroup.procs 2>/dev/null)
        find /sys/fs/cgroup/*/"slurm_$node" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
}

stop() {
    [ "$(readlink "$LINK" 2>/dev/null)" = "$D/slurm.conf" ] || fail "$LINK does not lead into $D: not this cluster"
    scancel --user root 2>/dev/null || true
    (until_true 20 "jobs are left in the queue" queue_empty) || true
    for node in "${NODES[@]}"; do stop_daemon "$D/slurmd-$node.pid"; done
    for daemon in slurmctld slurmdbd mariadbd; do stop_daemon "$D/$daemon.pid"; done
    kill_leftovers
    rm -f "$LINK"
}

[ $# = 2 ] && [[ $1 = start || $1 = stop ]] || fail "usage: cluster.sh start|stop DIR"
[ "$1" = stop ] || mkdir -p "$2"
D=$(cd "$2" && pwd)
export SLURM_CONF=$D/slurm.conf # gres.conf and cgroup.conf are looked for beside it
"$1"
