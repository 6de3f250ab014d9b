# The four ways to dolfinx. Each try_N either records what it found with `choose` and returns 0, or says in $why why not and returns 1.
# shellcheck shell=bash
# shellcheck source=lib.sh

supported="0.9, 0.10 or 0.11"
why=

is_supported() { case $1 in 0.9|0.9.*|0.10|0.10.*|0.11|0.11.*) return 0 ;; esac; return 1; }

# choose ROUTE BASE PREFIX: how commands are entered from now on, and where the Python that they see lives.
choose() {
    route=$1 base=$2 prefix=$3
    local note=$choice.$$
    { mkdir -p "$cache" && printf '%s\n' "$1" "$2" "$3" > "$note" && mv "$note" "$choice"; } 2> /dev/null || true  # a shared cache may be read-only
}

as_admin() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
can_admin() { [ "$(id -u)" = 0 ] || { command -v sudo > /dev/null && sudo -n true 2> /dev/null; }; }

apt_install() {  # what for, names
    local purpose=$1; shift
    say "installing with apt, for $purpose: $*"
    mkdir -p "$cache"
    if ! { as_admin apt-get update && as_admin env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } \
        < /dev/null > "$cache/apt.log" 2>&1; then
        tail -n 5 "$cache/apt.log" | sed 's/^/    /' >&2
        return 1
    fi
}

# The packages from PyPI, in a virtual environment that sees its base's. The base's numpy stays: dolfinx was compiled against it.
build_venv() {  # ENTRY PYTHON [ENTER...]: ENTER is what goes before a command for it to see PYTHON
    local entry=$1 python=$2; shift 2
    unset PYTHONHOME PYTHONPATH
    "$@" "$python" -m venv --system-site-packages "$entry"
    "$@" "$entry/bin/python" -c 'import numpy, sys; print(f"numpy=={numpy.__version__}")' > "$entry/constraints.txt"
    if "$@" "$entry/bin/python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))'; then
        grep -v '^numpy==' "$env_dir/lock.txt" >> "$entry/constraints.txt"
    fi
    "$@" "$entry/bin/python" -m pip install --no-input --progress-bar off --constraint "$entry/constraints.txt" \
        --requirement "$env_dir/requirements.txt" --requirement "$env_dir/requirements-dev.txt"
    "$@" "$entry/bin/python" -c 'import dolfinx, petsc4py, gmsh, scipy, pandas, vtk, pyvista, pydantic, pint'
}

make_venv() {  # BASE (a word for what is below), PYTHON, ENTER...
    local base_name=$1; shift
    venv=venv-$(digest "$env_dir"/requirements.txt "$env_dir"/requirements-dev.txt "$env_dir"/lock.txt -- "$base_name" "$1")
    make_entry "$venv" "the Python packages" 2 build_venv "$@" || { why="the packages from PyPI could not be installed"; return 1; }
    venv=$cache/$venv
}

# 1. The active Python already has it.
try_1() {
    local python version
    why="no python3 on PATH"
    for python in python3 python; do
        python=$(command -v "$python") || continue
        if ! version=$("$python" -c '
import importlib.util as u, sys
missing = [m for m in ("dolfinx", "gmsh") if u.find_spec(m) is None]
if missing: sys.exit("has no " + " and no ".join(missing))
import dolfinx, gmsh
print(dolfinx.__version__)' 2> "${TMPDIR:-/tmp}/bloodpatch-probe.$$"); then
            why="$python $(tail -n 1 "${TMPDIR:-/tmp}/bloodpatch-probe.$$")"
            rm -f "${TMPDIR:-/tmp}/bloodpatch-probe.$$"
            continue
        fi
        rm -f "${TMPDIR:-/tmp}/bloodpatch-probe.$$"
        if ! is_supported "$version"; then why="$python has dolfinx $version, not $supported"; continue; fi
        announce 1 "$python already imports dolfinx $version and gmsh"
        make_venv "$version" "$(readlink -m "$python")" || return 1
        choose 1 "$python" "$venv"
        return 0
    done
    return 1
}

# 2. conda or one of its kin.
find_conda() {
    local tool
    for tool in micromamba mamba conda pixi; do
        if command -v "$tool"; then return 0; fi
    done
    for tool in "${MAMBA_EXE-}" "${CONDA_EXE-}"; do
        if [ -n "$tool" ] && [ -x "$tool" ]; then echo "$tool"; return 0; fi
    done
    return 1
}

build_conda() {  # ENTRY TOOL
    local entry=$1 tool=$2
    case ${tool##*/} in
        pixi) "$tool" init --import "$env_dir/../environment.yml" "$entry"; "$tool" install --manifest-path "$entry/pixi.toml"
              ln -s .pixi/envs/default "$entry/prefix" ;;
        micromamba) "$tool" create --yes --prefix "$entry/prefix" --file "$env_dir/../environment.yml" ;;
        *) "$tool" env create --yes --prefix "$entry/prefix" --file "$env_dir/../environment.yml" \
            || "$tool" env create --prefix "$entry/prefix" --file "$env_dir/../environment.yml" ;;  # --yes is newer than conda 24.3
    esac
    "$entry/prefix/bin/python" -c 'import dolfinx, gmsh'
}

try_2() {
    local tool name
    if ! tool=$(find_conda); then why="no conda, mamba, micromamba or pixi"; return 1; fi
    announce 2 "${tool##*/} is there; environment.yml from conda-forge"
    name=conda-$(digest "$checkout/environment.yml" -- "${tool##*/}")
    make_entry "$name" "the conda environment" 5 build_conda "$tool" || { why="${tool##*/} could not make the environment"; return 1; }
    choose 2 "$tool" "$cache/$name/prefix"
}

# 3. A Debian or Ubuntu that is recent enough.
candidate() { LC_ALL=C apt-cache policy python3-dolfinx 2> /dev/null | sed -n 's/^ *Candidate: *\([0-9]*:\)\{0,1\}\([0-9.]*\).*/\2/p'; }
installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null)" = installed ]; }

try_3() {
    local version package missing=()
    if ! command -v apt-cache > /dev/null; then why="no apt here"; return 1; fi
    version=$(candidate)
    if [ -z "$version" ] && can_admin; then as_admin apt-get update < /dev/null > /dev/null 2>&1 || true; version=$(candidate); fi
    if [ -z "$version" ]; then why="apt knows no python3-dolfinx"; return 1; fi
    if ! is_supported "$version"; then why="apt has dolfinx $version, not $supported"; return 1; fi
    announce 3 "apt has dolfinx $version"
    for package in $(names_in "$env_dir/debian-packages.txt"); do installed "$package" || missing+=("$package"); done
    if [ ${#missing[@]} -gt 0 ]; then
        if ! can_admin; then why="the administrator would have to install: apt-get install ${missing[*]}"; return 1; fi
        apt_install "dolfinx" "${missing[@]}" || { why="apt could not install ${missing[*]}"; return 1; }
    fi
    make_venv "debian $version" /usr/bin/python3 || return 1
    choose 3 /usr "$venv"
}

# 4. A Debian 13 folder of our own, made with mmdebstrap and entered with a mount namespace.
build_root() {  # ENTRY
    local entry=$1 packages options=(--variant=apt --aptopt='Apt::Install-Recommends "false"' --dpkgopt=force-unsafe-io
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*'
        --include="$(names_in "$env_dir/debian-packages.txt" | paste -sd,)")
    if [ "$(id -u)" = 0 ]; then
        mmdebstrap --mode=root "${options[@]}" trixie "$entry/root"
    else  # by way of a tar, so that everything belongs to the caller, who can remove it again
        mkdir "$entry/root"
        mmdebstrap --mode=unshare --format=tar "${options[@]}" trixie - \
            | tar --extract --no-same-owner --exclude='./dev/*' --directory "$entry/root"
    fi
    chmod 755 "$entry" "$entry/root"
    "$env_dir/enter" "$entry/root" /usr/bin/python3 -c 'import dolfinx, gmsh'
}

try_4() {
    local name tool needed=(mmdebstrap debian-archive-keyring) missing=()
    name=root-$(digest "$env_dir/debian-packages.txt" -- "$(declare -f build_root)")
    if ! complete "$cache/$name"; then
        if ! command -v apt-get > /dev/null; then why="not a Debian or Ubuntu"; return 1; fi
        if [ "$(id -u)" != 0 ]; then needed+=(uidmap); fi
        for tool in "${needed[@]}"; do installed "$tool" || missing+=("$tool"); done
        if [ ${#missing[@]} -gt 0 ] && ! can_admin; then
            why="the administrator would have to install: apt-get install ${missing[*]}"; return 1
        fi
    fi
    if [ "$(id -u)" != 0 ] && ! unshare --user --map-root-user --mount mount -t tmpfs none /mnt 2> /dev/null; then
        why="this user may not make namespaces (the administrator allows them with sysctl kernel.unprivileged_userns_clone=1 or, on Ubuntu, kernel.apparmor_restrict_unprivileged_userns=0)"
        return 1
    fi
    announce 4 "an older Debian or Ubuntu; a private Debian 13 folder"
    if [ ${#missing[@]} -gt 0 ]; then
        apt_install "the private Debian folder" "${missing[@]}" || { why="apt could not install ${missing[*]}"; return 1; }
    fi
    make_entry "$name" "the private Debian 13 folder with dolfinx" 2 build_root || { why="mmdebstrap could not make the folder"; return 1; }
    make_venv "$name" /usr/bin/python3 "$env_dir/enter" "$cache/$name/root" || return 1
    choose 4 "$cache/$name/root" "$venv"
}

reasons=
announce() {
    local line="route $1: $2"
    if [ -n "$reasons" ]; then line+=" (before it: ${reasons# })"; fi
    announcement=$line
    verbose "$line"
}

find_route() {
    local n
    for n in ${BLOODPATCH_ROUTE:-1 2 3 4}; do
        case $n in [1-4]) ;; *) fail "BLOODPATCH_ROUTE is $n, not 1, 2, 3 or 4" ;; esac
        if "try_$n"; then return 0; fi
        reasons+=" $n: $why;"
    done
    say "found no way to dolfinx $supported and gmsh here:"
    say "${reasons# }"
    fail "choices: (1) activate a Python that has them; (2) install conda, mamba, micromamba or pixi; (3) use Debian 13, a newer Ubuntu or" \
        "the Dockerfile; (4) on an older Debian or Ubuntu have the administrator do: apt-get install mmdebstrap uidmap"
}
