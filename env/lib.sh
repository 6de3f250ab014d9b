# Shared by the scripts of this folder: where things are kept, how they speak, how one entry of the cache is made.
# shellcheck shell=bash

env_dir=$checkout/env
cache=${BLOODPATCH_CACHE:-${XDG_CACHE_HOME:-${HOME:-$(cd ~ && pwd)}/.cache}/bloodpatch}/env

say() { printf 'bloodpatch: %s\n' "$*" >&2; }
verbose() { if [ -n "${BLOODPATCH_ENV_VERBOSE-}" ]; then say "$@"; fi; }
fail() { say "$@"; exit 2; }

# A list file without its comments.
names_in() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$@"; }

# Twelve digits that stand for the contents of the files and words given: "digest FILE... -- WORD..."
digest() {
    local files=()
    while [ "$1" != -- ]; do files+=("$1"); shift; done
    { cat /dev/null "${files[@]}"; printf '%s\n' "$@"; } | sha256sum | cut -c1-12
}

complete() { [ -e "$1/.complete" ]; }

# make_entry NAME WHAT MINUTES BUILDER [ARG...]: sees to it that $cache/NAME is complete; BUILDER is called with its path before ARG...
# An entry is used only once it holds .complete, which is written last. The lock is held by every process that still writes to the
# entry, orphans of a killed set-up too, so that whoever gets it may throw away what lies there half-made.
make_entry() {
    local entry=$cache/$1 what=$2 minutes=$3; shift 3
    if complete "$entry"; then return 0; fi
    mkdir -p "$cache" || fail "cannot write to $cache (BLOODPATCH_CACHE names another folder)"
    exec 9> "$entry.lock"
    if ! flock --nonblock 9; then
        say "another process is making $what; waiting for it"
        flock 9
    fi
    local status=0
    if ! complete "$entry"; then
        if [ -e "$entry" ]; then
            say "an earlier set-up of $what did not finish; starting it again"
            discard "$entry"
        fi
        say "making $what, once, in about $minutes min (log: $entry.log)"
        build "$entry" "$@" || status=$?
    fi
    exec 9>&-
    return "$status"
}

build() {  # ENTRY BUILDER [ARG...]
    local entry=$1 builder=$2 job status=0; shift 2
    mkdir "$entry"
    set -m  # a process group of its own, to be stopped as a whole
    { set -e; "$builder" "$entry" "$@"; sync -f "$entry"; touch "$entry/.complete"; } < /dev/null > "$entry.log" 2>&1 &
    job=$!
    set +m
    trap 'kill -TERM -- -$job 2> /dev/null; say "set-up interrupted; the next call starts it again"; exit 130' INT TERM HUP
    wait "$job" || status=$?
    trap - INT TERM HUP
    if complete "$entry"; then return 0; fi
    say "could not be made (status $status); the log ends:"
    tail -n 12 "$entry.log" | sed 's/^/    /' >&2
    return 1
}

# One file system only: a set-up that was killed may have left the host's /dev mounted in there.
discard() { rm -rf --one-file-system -- "$1"; }
