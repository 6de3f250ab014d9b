# One process at a time makes an entry of the cache. Read by routes.sh.
# shellcheck shell=bash
#
# With flock the kernel holds the lock for all that have file 9 open, the builder too, and lets go of it when the last of them dies.
# Without (macOS) a folder stands for it, in which whoever makes the entry, or is about to, has an empty file of its own name,
# PROCESS@HOST or -GROUP@HOST. A process puts its file there, then looks: if nobody else who is alive has one, the lock is its own.
# Of two at once the later one to look sees the other; both may, and then both step back for a moment. The file of a dead one is
# removed by its name, so taking a lock over never takes it from somebody who was quicker.

this_host=$(uname -n)
has_flock() { command -v flock > /dev/null; }

lock() {  # ENTRY, WHAT is made there; returns when this process holds the lock
    local claims=$1.claims other number looks=0
    if has_flock; then
        exec 9> "$1.lock"
        if ! flock --nonblock 9; then say "another process is making $2; waiting for it"; flock 9; fi
        return
    fi
    # shellcheck disable=SC2064
    trap "unlock $(printf %q "$1")" EXIT
    while :; do
        other=$(rivals "$1")
        if [ -z "$other" ]; then
            claim "$1" "$$" || fail "cannot write to $claims"
            other=$(rivals "$1")
            if [ -z "$other" ]; then return; fi
            rm -f "$claims/$$@$this_host"
        fi
        other=${other%%$'\n'*} looks=$((looks + 1))
        if [ "$looks" = 2 ]; then  # at the first it may have been one that steps back as well
            number=${other%@*}
            say "another process is making $2; waiting for it (${number#-} on ${other##*@}; if it is no more, remove $claims/$other)"
        fi
        sleep "0.$((RANDOM % 900 + 100))"
    done
}

unlock() {  # ENTRY
    exec 9>&-
    rm -f "$1.claims/$$@$this_host"
    rivals "$1" > /dev/null  # a builder that still writes there keeps its claim, one that is dead loses it
    trap - EXIT
}

lock_for_builder() {  # ENTRY; called in the builder's process group, which may outlive the process that holds the lock
    if has_flock; then return; fi
    # Had that one died before, somebody else may hold the lock by now, and has removed its claim.
    claim "$1" "-$(exec sh -c 'echo $PPID')" && [ -e "$1.claims/$$@$this_host" ]
}

claim() {  # ENTRY, PROCESS or -GROUP
    { mkdir -p "$1.claims" && : > "$1.claims/$2@$this_host"; } 2> /dev/null
}

rivals() {  # ENTRY: who else has a claim, one a line; the claims of the dead are removed
    local file name
    for file in "$1.claims"/*@*; do
        name=${file##*/}
        if [ ! -e "$file" ] || [ "$name" = "$$@$this_host" ]; then continue; fi
        if [ "${name##*@}" = "$this_host" ] && ! alive "${name%@*}"; then rm -f "$file"; else echo "$name"; fi
    done
}

alive() {  # PROCESS or -GROUP; another user's may not be signalled, but is there
    local said
    said=$(LC_ALL=C; kill -0 -- "$1" 2>&1) || [[ $said == *ermitted* ]]
}
