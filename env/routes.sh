# The four ways to dolfinx, and how one entry of the cache is made. Read by run when no choice is on record.
# shellcheck shell=bash
# shellcheck source=lib.sh
# shellcheck source=lock.sh
# shellcheck disable=SC2154  # checkout and choice are set by run
. "$env_dir/lock.sh"

supported="0.9, 0.10 or 0.11"
is_supported() { case $1 in 0.9|0.9.*|0.10|0.10.*|0.11|0.11.*) return 0 ;; esac; return 1; }

# --- entries of the cache ------------------------------------------------------------------------------------------------------

complete() { [ -e "$1/.complete" ]; }

# make_entry NAME WHAT BUILDER [ARG...]: sees to it that $cache/NAME is complete; build/BUILDER is called with its path before ARG...
# An entry is used only once it holds .complete, which is written last. It is made where it stays, since a virtual environment does
# not survive a move. The lock is held by every process that still writes to the entry, orphans of a killed set-up too, so
# whoever gets it may throw away what lies there half-made.
make_entry() {
    local entry=$cache/$1 what=$2 status=0; shift 2
    if complete "$entry"; then return 0; fi
    { mkdir -p "$cache" && : > "$entry.lock"; } 2> /dev/null || fail "cannot write to $cache (BLOODPATCH_CACHE names another folder)"
    lock "$entry" "$what"
    if ! complete "$entry"; then
        if [ -e "$entry" ]; then
            say "an earlier set-up of $what did not finish; starting it again"
            # One file system only: a set-up that was killed may have left the host's /dev mounted in there.
            rm -rf --one-file-system -- "$entry" 2> /dev/null || rm -rf -- "$entry"
        fi
        if [ -n "$announcement" ]; then say "$announcement"; announcement=; fi
        say "making $what, once; this takes minutes (log: $entry.log)"
        build "$entry" "$@" || status=1
    fi
    unlock "$entry"
    return "$status"
}

build() {  # ENTRY BUILDER [ARG...]
    local entry=$1 builder=$2 job status=0; shift 2
    if [ "$(df -Pk "$cache" | awk 'NR == 2 {print int($4 / 1024)}')" -lt "${BLOODPATCH_ENV_NEEDS_MB:-4500}" ]; then
        say "less than ${BLOODPATCH_ENV_NEEDS_MB:-4500} MB are free at $cache (BLOODPATCH_CACHE names another folder)"
        return 1
    fi
    mkdir "$entry" || return 1
    set -m  # a process group of its own, to be stopped as a whole
    { lock_for_builder "$entry" && "$env_dir/build/$builder" "$entry" "$@" && sync && touch "$entry/.complete"; } \
        < /dev/null > "$entry.log" 2>&1 &
    job=$!
    set +m
    trap 'interrupted "$job"' INT TERM HUP
    wait "$job" || status=$?
    trap - INT TERM HUP
    if complete "$entry"; then return 0; fi
    say "that failed with status $status; the log ends:"
    tail -n 12 "$entry.log" | sed 's/^/    /' >&2
    return 1
}

interrupted() {  # GROUP of the builder
    local n=0
    kill -TERM -- "-$1" 2> /dev/null
    say "set-up interrupted; the next call starts it again"
    if ! has_flock; then  # a claim goes only when all of the group are gone, which takes them a moment
        wait "$1" 2> /dev/null || true
        while alive "-$1" && [ "$n" -lt 50 ]; do sleep 0.1; n=$((n + 1)); done
    fi
    exit 130
}

make_venv() {  # BASE (a word for what is below), PYTHON, ENTER...
    local base_name=$1; shift
    venv=venv-$(digest "$env_dir/build/venv" "$env_dir"/requirements*.txt "$env_dir/lock.txt" -- "$base_name" "$1")
    make_entry "$venv" "the Python packages" venv "$@" || { why="the packages from PyPI could not be installed"; return 1; }
    venv=$cache/$venv
}

# --- the administrator's rights ------------------------------------------------------------------------------------------------

can_admin() { [ "$(id -u)" = 0 ] || { command -v sudo > /dev/null && sudo -n true 2> /dev/null; }; }
as_admin() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null)" = installed ]; }

# apt_get NAME...: what of it is not installed yet; without the rights to do so, $why tells what to ask for.
apt_get() {
    local name missing=() log
    for name in "$@"; do installed "$name" || missing+=("$name"); done
    if [ ${#missing[@]} = 0 ]; then return 0; fi
    if ! can_admin; then why="the administrator would have to do: apt-get install ${missing[*]}"; return 1; fi
    if [ -n "$announcement" ]; then say "$announcement"; announcement=; fi
    say "installing with apt: ${missing[*]}"
    mkdir -p "$cache"; log=$cache/apt.log
    if ! { as_admin apt-get update && as_admin env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } \
        < /dev/null > "$log" 2>&1; then
        tail -n 5 "$log" | sed 's/^/    /' >&2
        why="apt could not install ${missing[*]}"
        return 1
    fi
}

# --- the routes: each says in $why why it is not to be had, or puts on record what it found ---------------------------------------

announce() {  # said once, when something has to be made
    announcement="route $1: $2"
    if [ -n "$reasons" ]; then announcement+=" (not${reasons%;})"; fi
    verbose "$announcement"
}

choose() {  # ROUTE, BASE, PREFIX: how commands are entered, and where the Python that they see lives
    route=$1 base=$2 prefix=$3
    { mkdir -p "${choice%/*}" && printf '%s\n' "$1" "$2" "$3" > "$choice.$$" && mv "$choice.$$" "$choice"; } 2> /dev/null || true
}

# 1. The active Python already has it.
try_1() {
    local name python probe version executable seen
    why="no python3 on PATH"
    for name in python3 python; do
        python=$(command -v "$name") || continue
        probe=$("$python" -c '
import importlib.util, sys
missing = [m for m in ("dolfinx", "gmsh") if importlib.util.find_spec(m) is None]
if missing:
    sys.exit("has no " + " and no ".join(missing))
if sys.version_info < (3, 12):
    sys.exit("is older than Python 3.12")
import dolfinx, gmsh
print(dolfinx.__version__, sys.executable)' 2>&1) || { why="$python ${probe##*$'\n'}"; continue; }
        probe=${probe##*$'\n'}
        version=${probe%% *} executable=${probe#* }
        if ! is_supported "$version"; then why="$python has dolfinx $version and not $supported"; continue; fi
        announce 1 "$python already imports dolfinx $version and gmsh"
        # A virtual environment of this Python would see neither its PYTHONPATH, by which dolfinx's images have it, nor, where it is one
        # itself, its packages.
        seen=$("$executable" -c '
import os, sys
given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
print("\n".join(path for path in sys.path if path and (path in given or path.endswith("-packages"))))')
        BLOODPATCH_SEEN=$seen make_venv "$version $seen" "$executable" || return 1  # for the builder alone, not for COMMAND
        choose 1 "$executable" "$venv"
        return 0
    done
    return 1
}

# 2. conda or one of its kin.
find_conda() {
    local tool
    for tool in micromamba mamba conda pixi; do
        if type -P "$tool"; then return 0; fi
    done
    for tool in "${MAMBA_EXE-}" "${CONDA_EXE-}"; do
        if [ -n "$tool" ] && [ -x "$tool" ]; then echo "$tool"; return 0; fi
    done
    return 1
}

try_2() {
    local tool name
    if ! tool=$(find_conda); then why="no conda, mamba, micromamba or pixi"; return 1; fi
    announce 2 "${tool##*/} is there: environment.yml from conda-forge"
    name=conda-$(digest "$checkout/environment.yml" "$env_dir/build/conda" -- "${tool##*/}")
    make_entry "$name" "the conda environment" conda "$tool" || { why="${tool##*/} could not make the environment"; return 1; }
    choose 2 "$tool" "$cache/$name/prefix"
}

# 3. A Debian or Ubuntu that is recent enough.
candidate() { LC_ALL=C apt-cache policy python3-dolfinx 2> /dev/null | sed -n 's/^ *Candidate: *\([0-9]*:\)\{0,1\}\([0-9.]*\).*/\2/p'; }

try_3() {
    local version packages
    if ! command -v apt-cache > /dev/null; then why="no apt here"; return 1; fi
    version=$(candidate)
    if [ -z "$version" ] && can_admin; then as_admin apt-get update < /dev/null > /dev/null 2>&1 || true; version=$(candidate); fi
    if [ -z "$version" ]; then why="apt knows no python3-dolfinx"; return 1; fi
    if ! is_supported "$version"; then why="apt has dolfinx $version and not $supported"; return 1; fi
    announce 3 "apt has dolfinx $version"
    read -rd '' -a packages < <(sed 's/#.*//' "$env_dir/debian-packages.txt") || true
    apt_get "${packages[@]}" || return 1
    make_venv "debian $version" /usr/bin/python3 || return 1
    choose 3 /usr "$venv"
}

# 4. A Debian 13 folder of our own, entered with a mount namespace.
try_4() {
    local name tools=(mmdebstrap debian-archive-keyring)
    name=root-$(digest "$env_dir/build/root" "$env_dir/debian-packages.txt" --)
    if ! complete "$cache/$name" && ! command -v apt-get > /dev/null; then why="not a Debian or Ubuntu"; return 1; fi
    if [ "$(id -u)" != 0 ]; then
        tools+=(uidmap)
        if ! unshare --user --map-root-user --mount mount -t tmpfs none /mnt 2> /dev/null; then
            why="this user may not make namespaces (the administrator allows it with sysctl kernel.unprivileged_userns_clone=1"
            why+=" or, on Ubuntu, kernel.apparmor_restrict_unprivileged_userns=0)"
            return 1
        fi
    fi
    announce 4 "a private Debian 13 folder"
    complete "$cache/$name" || apt_get "${tools[@]}" || return 1
    make_entry "$name" "the Debian 13 folder with dolfinx" root || { why="mmdebstrap could not make the folder"; return 1; }
    make_venv "$name" /usr/bin/python3 "$env_dir/enter" "$cache/$name/root" || return 1
    choose 4 "$cache/$name/root" "$venv"
}

reasons= why= announcement=
find_route() {
    local n
    for n in ${BLOODPATCH_ROUTE:-1 2 3 4}; do
        case $n in [1-4]) ;; *) fail "BLOODPATCH_ROUTE is $n; allowed are 1, 2, 3 and 4" ;; esac
        announcement=
        if "try_$n"; then return 0; fi
        reasons+=" $n, $why;"
    done
    say "found no way to dolfinx $supported and gmsh here: not${reasons%;}"
    fail "choices: (1) activate a Python that has them; (2) install conda, mamba, micromamba or pixi; (3) use Debian 13, a newer Ubuntu" \
        "or the Dockerfile; (4) on an older Debian or Ubuntu let the administrator do: apt-get install mmdebstrap uidmap"
}
