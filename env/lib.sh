# Shared by run and routes.sh: where things are kept, how they speak.
# shellcheck shell=bash
# shellcheck disable=SC2154  # checkout is set by run

env_dir=$checkout/env
own_cache=${XDG_CACHE_HOME:-${HOME:-$(cd ~ && pwd)}/.cache}/bloodpatch/env
cache=${BLOODPATCH_CACHE:-$own_cache}

say() { printf 'bloodpatch: %s\n' "$*" >&2; }
verbose() { if [ -n "${BLOODPATCH_ENV_VERBOSE-}" ]; then say "$@"; fi; }
fail() { say "$@"; exit 2; }

# Twelve digits that stand for the contents of the files before "--" and for the words after it.
digest() {
    { while [ "$1" != -- ]; do cat "$1"; shift; done; printf '%s\n' "$@"; } \
        | { sha256sum 2> /dev/null || shasum -a 256; } | cut -c1-12
}
