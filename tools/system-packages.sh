#!/bin/sh
# Installs what only the system can bring, where that is allowed: root on Debian. Without it the tests that need it are
# skipped and named, so nothing here is fatal. Arguments: Debian packages that are needed besides.
set -u

missing=
command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing="$missing chromium"
command -v openssl >/dev/null || missing="$missing openssl"
command -v promtool >/dev/null || missing="$missing prometheus" # never started, as the others below
for package in dovecot-imapd dovecot-lmtpd postfix "$@"; do
    dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done

[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed here:$missing (needs root and apt-get)"
    exit 0
fi
mkdir -p .cache
echo "installing:$missing (log in .cache/apt.log)"
export DEBIAN_FRONTEND=noninteractive
# Mail servers come along as programs for the tests: they are neither set up nor started as this machine's own.
never=/usr/sbin/policy-rc.d
if [ ! -e "$never" ]; then
    trap 'rm -f "$never"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$never" && chmod +x "$never"
fi
echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections 2>/dev/null
# shellcheck disable=SC2086  # a list of names
{ apt-get update -q && apt-get install -q -y --no-install-recommends $missing; } >.cache/apt.log 2>&1 ||
    echo "could not be installed:$missing (see .cache/apt.log)"
