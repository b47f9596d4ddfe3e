#!/bin/sh
# Runs the models of this directory with the tools that are installed (`verifpal`, `proverif`, `cpp`), prints for every
# row what was expected and what was seen, and fails if any differs, if a tool fails, or if no tool is installed.
#
#   run.sh [FILTER]     FILTER: an extended regular expression on the printed rows
#
# VERIFPAL, PROVERIF: other commands than those names. MODEL_TIMEOUT: seconds a row may take (600).
set -u

here=$(cd "$(dirname "$0")" && pwd)
filter=${1:-.}
verifpal=${VERIFPAL:-verifpal}
proverif=${PROVERIF:-proverif}
limit=${MODEL_TIMEOUT:-600}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
same=0
differ=0
skipped=0

# $1 tool, $2 what, $3 expected, $4 seen
row() {
    if [ "$3" = "$4" ]; then
        same=$((same + 1))
        printf 'same    %-8s %-76s %s\n' "$1" "$2" "$3"
    else
        differ=$((differ + 1))
        printf 'DIFFERS %-8s %-76s expected %s, seen %s\n' "$1" "$2" "$3" "$4"
        tail -5 "$dir/log" | sed 's/^/        | /'
    fi
}

# vp WHAT SESSIONS EXPECTED FLAG...: one word a query, in the order of the file
vp() {
    what="$1, sessions: $2" sessions=$2 expected=$3
    shift 3
    printf '%s\n' "$what" | grep -Eq -- "$filter" || return 0
    if [ -z "$have_verifpal" ]; then
        skipped=$((skipped + 1))
        return 0
    fi
    cpp -P -undef -w "$@" "$here/handshake.vp.in" "$dir/model.vp"
    # the last line is one letter and one digit a query, such as a0c1: 0 no attack found, 1 attack
    timeout "$limit" "$verifpal" verify "$dir/model.vp" --sessions "$sessions" --result-code >"$dir/log" 2>&1
    status=$?
    seen=$(tail -1 "$dir/log" | grep -Ex '([a-z][01])+' | sed 's/[a-z]0/holds /g; s/[a-z]1/attack /g; s/ $//')
    [ "$status" -eq 0 ] || seen="exit status $status"
    row verifpal "$what" "$expected" "${seen:-no result}"
}

# pv WHAT EXPECTED FLAG...: one word a query, in the order of the file
pv() {
    what=$1 expected=$2
    shift 2
    printf '%s\n' "$what" | grep -Eq -- "$filter" || return 0
    if [ -z "$have_proverif" ]; then
        skipped=$((skipped + 1))
        return 0
    fi
    cpp -P -undef -w "$@" "$here/handshake.pv.in" "$dir/model.pv"
    timeout "$limit" "$proverif" "$dir/model.pv" >"$dir/log" 2>&1
    status=$?
    # a line in parentheses, "(but ... is true.)", is about a weaker query
    seen=$(grep '^RESULT [^(]' "$dir/log" | sed -n 's/.* is true\.$/true/p; s/.* is false\.$/false/p; s/.* cannot be proved\.$/unproved/p' | tr '\n' ' ' | sed 's/ $//')
    [ "$status" -eq 0 ] || seen="exit status $status"
    row proverif "$what" "$expected" "${seen:-no result}"
}

command -v cpp >/dev/null || { echo "models: cpp is not installed" >&2; exit 2; }
have_verifpal=$(command -v "$verifpal" || true)
have_proverif=$(command -v "$proverif" || true)
if [ -z "$have_verifpal$have_proverif" ]; then
    echo "models: neither verifpal nor proverif is installed" >&2
    exit 2
fi

# ---- Verifpal: claims

for suite in 0x0101 0x0201 0x0301; do
    s=-DSUITE=$suite
    vp "$suite responder authentic" 2 "holds" $s -DQ_RESPONDER
    vp "$suite responder authentic, initiator's key stolen" 2 "holds" $s -DQ_RESPONDER -DLEAK_I
    vp "$suite initiator authentic" 2 "holds" $s -DQ_INITIATOR
    case $suite in 0x0301) sessions=1 ;; *) sessions=2 ;; esac # two do not end in reasonable time
    vp "$suite initiator authentic, responder's key stolen" $sessions "holds" $s -DQ_INITIATOR -DLEAK_R
    vp "$suite offer agreed" 2 "holds" $s -DQ_OFFER
    vp "$suite name agreed, attacker answers for the graph" 2 "holds" $s -DQ_NAMES -DGRAPH_NAMES
    vp "$suite payloads secret" 2 "holds holds" $s -DQ_SECRET -DDATA
    vp "$suite ticket secret" 2 "holds" $s -DQ_TICKET
    case $suite in
    0x0101) both="attack attack" quantum="attack attack" ;;
    0x0201) both="holds holds" quantum="attack attack" ;;
    0x0301) both="holds holds" quantum="holds holds" ;;
    esac
    q="-DPASSIVE -DDATA -DQ_SECRET -DQ_TICKET"
    vp "$suite recorded; later initiator's key: payloads, ticket" 2 "holds holds holds" $s $q -DLATER_I
    vp "$suite recorded; later responder's key: payloads, ticket" 2 "holds holds attack" $s $q -DLATER_R
    vp "$suite recorded; later both keys: payloads, ticket" 2 "$both attack" $s $q -DLATER_I -DLATER_R
    [ "$suite" = 0x0101 ] ||
        vp "$suite recorded; later both keys and X25519: payloads, ticket" 2 "$quantum attack" \
            $s $q -DLATER_I -DLATER_R -DLATER_QUANTUM
done
s=-DSUITE=0x0101
vp "RETRY: cookie agreed" 1 "holds" $s -DRETRY -DQ_COOKIE
vp "RETRY: responder authentic" 1 "holds" $s -DRETRY -DQ_RESPONDER
vp "RETRY: initiator authentic" 1 "holds" $s -DRETRY -DQ_INITIATOR

# ---- Verifpal: limits. What a stolen key gives is found, so the searches above would have found it.

vp "limit: responder authentic, its own key stolen" 2 "attack" $s -DQ_RESPONDER -DLEAK_R
vp "limit: initiator authentic, both keys stolen" 2 "attack" $s -DQ_INITIATOR -DLEAK_I -DLEAK_R
vp "limit: payloads secret, both keys stolen before" 1 "attack attack" -DSUITE=0x0201 -DQ_SECRET -DDATA -DLEAK_I -DLEAK_R
vp "limit: ticket secret, responder's key stolen" 2 "attack" $s -DQ_TICKET -DLEAK_R

# ---- Verifpal: deliberate faults

vp "fault, bearer ticket: initiator authentic, responder's key stolen" 2 "attack" $s -DQ_INITIATOR -DLEAK_R -DFAULT_BEARER
vp "fault, one KEM: initiator authentic, responder's key stolen" 2 "attack" $s -DQ_INITIATOR -DLEAK_R -DFAULT_ONE_KEM
vp "fault, offer in no hash: offer agreed" 2 "attack" $s -DQ_OFFER -DFAULT_OFFER
vp "fault, names and fingerprints in neither th nor ticket: name agreed" 2 "attack" $s -DQ_NAMES -DGRAPH_NAMES \
    -DFAULT_TH_NAMES -DFAULT_TICKET_NAMES
vp "fault, cookie in no hash: cookie agreed" 1 "attack" $s -DRETRY -DQ_COOKIE -DFAULT_COOKIE
vp "fault, ticket key stolen: initiator authentic" 2 "attack" $s -DQ_INITIATOR -DLEAK_ISSUER
# Half of a binding is enough: these faults alone give no attack.
vp "half a fault, offer not in th: offer agreed" 2 "holds" $s -DQ_OFFER -DFAULT_TH_OFFER
vp "half a fault, names and fingerprints not in th: name agreed" 2 "holds" $s -DQ_NAMES -DGRAPH_NAMES -DFAULT_TH_NAMES
vp "half a fault, responder not in the ticket: name agreed" 2 "holds" $s -DQ_NAMES -DGRAPH_NAMES -DFAULT_TICKET_NAMES

# ---- ProVerif: claims

for top in 0x0201 0x0301; do
    case $top in 0x0201) t= ;; 0x0301) t=-DHYBRID ;; esac
    pv "0x0101 and $top: both can be established" "false false" $t -DQ_REACH
    pv "0x0101 and $top: responder authentic, also to one whose key is stolen" "true" $t -DQ_RESPONDER -DKCI_I
    pv "0x0101 and $top: initiator authentic, also to one whose key is stolen" "true" $t -DQ_INITIATOR -DKCI_R
    pv "0x0101 and $top: only with a ticket" "true" $t -DQ_AUTHORISED -DKCI_R
    pv "0x0101 and $top: no unknown key share" "true" $t -DQ_KEY_SHARE
    pv "0x0101 and $top: payloads authentic" "true true" $t -DQ_DATA -DDATA
    pv "$top payloads secret, also when all keys leak later" "true true" $t -DQ_SECRET_TOP -DDATA -DLATER
    pv "$top ticket secret unless the responder's key leaks" "true" $t -DQ_TICKET -DLATER
done
pv "0x0101 payloads secret unless both keys leak" "true true" -DBASE -DQ_SECRET_0101 -DDATA -DLATER
pv "0x0301 payloads secret, also when all keys and X25519 fall later" "true true" -DHYBRID -DQ_SECRET_TOP -DDATA \
    -DLATER -DQUANTUM
pv "RETRY: cookie agreed" "true true" -DBASE -DRETRY -DQ_COOKIE
pv "RETRY: responder authentic" "true" -DBASE -DRETRY -DQ_RESPONDER -DKCI_I
pv "RETRY: initiator authentic" "true" -DBASE -DRETRY -DQ_INITIATOR -DKCI_R
pv "0x0101 responder authentic, OAEP never fails" "true" -DBASE -DREJECT -DQ_RESPONDER -DKCI_I
pv "0x0101 initiator authentic, OAEP never fails" "true" -DBASE -DREJECT -DQ_INITIATOR -DKCI_R
pv "0x0201 payloads secret later, X25519 with its equation" "true true" -DEQUATION -DQ_SECRET_TOP -DDATA -DLATER

# ---- ProVerif: limits and deliberate faults

pv "limit: 0x0101 payloads after both keys" "false" -DBASE -DQ_FORWARD_0101 -DDATA -DLATER
pv "limit: ticket after the responder's key" "false" -DBASE -DQ_FORWARD_TICKET -DLATER
pv "fault, X25519 alone against a quantum computer" "false false" -DQ_SECRET_TOP -DDATA -DLATER -DQUANTUM
pv "fault, bearer ticket: initiator authentic" "false" -DBASE -DQ_INITIATOR -DKCI_R -DFAULT_BEARER
pv "fault, one KEM: initiator authentic" "false" -DBASE -DQ_INITIATOR -DKCI_R -DFAULT_ONE_KEM
pv "fault, offer in no hash: responder authentic" "false" -DQ_RESPONDER -DFAULT_OFFER
pv "fault, names and fingerprints in neither th nor ticket: key share" "false" -DBASE -DQ_KEY_SHARE \
    -DFAULT_TH_NAMES -DFAULT_TICKET_NAMES
pv "fault, ticket key stolen: initiator authentic" "false" -DBASE -DQ_INITIATOR_UNEXCUSED -DISSUER_LEAK

[ -n "$have_verifpal" ] || echo "models: verifpal is not installed, its rows were not run"
[ -n "$have_proverif" ] || echo "models: proverif is not installed, its rows were not run"
echo "models: $same as expected, $differ different, $skipped not run"
[ "$differ" -eq 0 ] && [ "$same" -gt 0 ]
