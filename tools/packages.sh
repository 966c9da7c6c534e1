# shellcheck shell=sh
# Install Debian packages that are missing. To be sourced.
#
#	install_packages needed|helpful NAME...
#
# needed: a failure ends the script. helpful: a failure is a warning; and nothing that is
# installed is ever removed to make room. No daemon is started: a policy-rc.d that forbids
# it is put in place meanwhile, and what was there before is put back. A daemon that came
# with a package is not started at the next boot either.

as_root=
[ "$(id -u)" -eq 0 ] || as_root=sudo

missing_packages() {
	for package; do
		case $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) in
		installed) ;;
		*) echo "$package" ;;
		esac
	done
}

policy=/usr/sbin/policy-rc.d

forbid_daemons() {
	if [ -e "$policy" ] && [ ! -e "$policy.before-holdfast" ]; then
		$as_root mv "$policy" "$policy.before-holdfast"
	fi
	printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
	$as_root chmod 755 "$policy"
}

allow_daemons() {
	if [ -e "$policy.before-holdfast" ]; then
		$as_root mv "$policy.before-holdfast" "$policy"
	else
		$as_root rm -f "$policy"
	fi
}

leave_disabled() {
	for package; do
		dpkg-query -L "$package" 2>/dev/null |
			sed -n 's|.*/systemd/system/\([^/@]*\.\(service\|socket\)\)$|\1|p' |
			while read -r unit; do
				$as_root systemctl disable "$unit" >/dev/null 2>&1 || true
			done
	done
}

# Fetching the lists once is enough.
lists_fetched=

# What may be otherwise a moment later: a mirror that does not answer, or is being brought up
# to date; or another program that installs something. `update` only warns of the first.
passing='Failed to fetch|Unable to fetch|Could not (resolve|connect)|Temporary failure|'
passing=$passing'Hash Sum mismatch|File has unexpected size|(get|acquire|obtain).* lock'
pauses='0 5 15 45'

apt_install() {
	log=$(mktemp)
	for pause in $pauses; do
		sleep "$pause"
		if {
			[ "$lists_fetched" ] || $as_root apt-get -qq -o Acquire::Retries=3 update
			$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
				-o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 \
				--no-install-recommends --no-remove install "$@"
		} >"$log" 2>&1; then
			lists_fetched=yes
			rm -f "$log"
			return 0
		fi
		lists_fetched=
		grep -qE "$passing" "$log" || break
	done
	cat "$log" >&2
	rm -f "$log"
	return 1
}

install_packages() {
	how=$1
	shift
	if ! command -v dpkg-query >/dev/null; then
		[ "$how" = helpful ] || echo "Not a Debian system; what is needed: $*" >&2
		return 0
	fi
	missing=$(missing_packages "$@" | tr '\n' ' ')
	[ "$missing" ] || return 0
	if [ "$as_root" ] && ! command -v sudo >/dev/null; then
		echo "Missing, and neither root nor sudo to install them: $missing" >&2
		[ "$how" = helpful ] && return 0
		exit 1
	fi
	echo "Installing: $missing"
	forbid_daemons
	trap 'allow_daemons' EXIT
	trap 'exit 130' INT TERM
	result=0
	# shellcheck disable=SC2086
	apt_install $missing || result=$?
	# shellcheck disable=SC2086
	leave_disabled $missing
	allow_daemons
	trap - EXIT INT TERM
	if [ "$result" -ne 0 ]; then
		echo "Could not install: $missing" >&2
		[ "$how" = helpful ] || exit 1
	fi
	return 0
}

build_packages='
	gcc libc6-dev meson ninja-build pkg-config
	libuv1-dev libssl-dev libc-ares-dev libsqlite3-dev libconfig-dev libsodium-dev
	libseccomp-dev libcurl4-openssl-dev libidn2-dev libcrypt-dev libjansson-dev libncurses-dev scdoc ca-certificates'

# Behind us in the demo, which runs it with a configuration of its own.
demo_packages='dovecot-imapd'

# For the tests; without the second list some of them skip.
test_packages='
	clang clang-format libclang-rt-14-dev libcmocka-dev python3 python3-pytest python3-pytest-xdist
	openssl curl valgrind nftables iproute2'
peer_packages='
	llvm swaks libnet-ssleay-perl msmtp postfix dovecot-core dovecot-lmtpd mutt isync
	python3-jwt python3-cryptography libfuse3-dev fuse3 libfaketime chromium rbldnsd nsd fail2ban unbound ldnsutils python3-dkim python3-nacl
	python3-flufl.bounce dovecot-imapd dovecot-pop3d offlineimap3 fetchmail testssl.sh'
# What of systemd the tests need, where there is none (a container).
command -v systemd-sysusers >/dev/null || peer_packages="$peer_packages systemd-standalone-sysusers"
