#!/bin/sh
# chatproxy for the devices of a tailnet, with TLS, at the address that `tailscale serve status` shows.
# Put these two lines into /etc/chatproxy.env, which deploy/chatproxy.service reads:
#
#   ALLOWED_HOSTS=MACHINE.TAILNET.ts.net
#   TRUSTED_USER_HEADER=Tailscale-User-Login
#
# Tailscale says who it is, so nobody logs in, and each user sees their own. It replaces what clients send in that
# header, but programs on this machine can send anything. If others can log in on it, set API_TOKEN instead of
# TRUSTED_USER_HEADER: the page asks for it. Devices that have tags instead of a user need that, too.
#
# Tailscale passes on the Host and every piece of an answer at once.
set -eu
tailscale serve --bg http://127.0.0.1:11435
# The metrics are for the operator, who scrapes chatproxy directly.
tailscale serve --bg --set-path /metrics text:none
