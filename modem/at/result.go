package at

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	warthog "github.com/warthog618/modem/at"
)

// wordsOfCMS are the texts of AT+CMEE=2, reduced to lower-case letters, for
// +CMS ERROR (TS 27.005 3.2.5, TS 24.011 E.2, TS 23.040 9.2.3.22).
var wordsOfCMS = map[string]int{
	"unassignednumber": 1, "unassignedunallocatednumber": 1, "operatordeterminedbarring": 8, "callbarred": 10,
	"shortmessagetransferrejected": 21, "destinationoutofservice": 27, "unidentifiedsubscriber": 28,
	"facilityrejected": 29, "unknownsubscriber": 30, "networkoutoforder": 38, "temporaryfailure": 41,
	"congestion": 42, "resourcesunavailable": 47, "resourcesunavailableunspecified": 47,
	"requestedfacilitynotsubscribed": 50, "requestedfacilitynotimplemented": 69,
	"invalidshortmessagetransferreferencevalue": 81, "invalidmessageunspecified": 95, "semanticallyincorrectmessage": 95,
	"invalidmandatoryinformation": 96, "messagetypenonexistentornotimplemented": 97,
	"messagenotcompatiblewithshortmessageprotocolstate": 98, "informationelementnonexistentornotimplemented": 99,
	"protocolerrorunspecified": 111, "interworkingunspecified": 127, "scbusy": 192, "noscsubscription": 193,
	"scsystemfailure": 194, "invalidsmeaddress": 195, "destinationsmebarred": 196, "smrejectedduplicatesm": 197,
	"mefailure": 300, "smsserviceofmereserved": 301, "operationnotallowed": 302, "operationnotsupported": 303,
	"invalidpdumodeparameter": 304, "invalidtextmodeparameter": 305, "simnotinserted": 310, "usimnotinserted": 310,
	"simpinrequired": 311, "usimpinrequired": 311, "simpinnecessary": 311, "phsimpinrequired": 312,
	"phusimpinrequired": 312, "phsimpinnecessary": 312, "simfailure": 313, "usimfailure": 313, "simbusy": 314,
	"usimbusy": 314, "simwrong": 315, "usimwrong": 315, "simpukrequired": 316, "usimpukrequired": 316,
	"memoryfailure": 320, "invalidmemoryindex": 321, "memoryfull": 322,
	"smscaddressunknown": 330, "nonetworkservice": 331, "nonetwork": 331, "networktimeout": 332,
	"nocnmaacknowledgementexpected": 340, "unknownerror": 500,
}

// wordsOfCME are those of +CME ERROR (TS 27.007 9.2.1).
var wordsOfCME = map[string]int{
	"phonefailure": 0, "noconnectiontophone": 1, "phoneadaptorlinkreserved": 2, "operationnotallowed": 3,
	"operationnotsupported": 4, "phsimpinrequired": 5, "phfsimpinrequired": 6, "phfsimpukrequired": 7,
	"simnotinserted": 10, "usimnotinserted": 10, "simpinrequired": 11, "usimpinrequired": 11, "simpukrequired": 12,
	"usimpukrequired": 12, "simfailure": 13, "usimfailure": 13, "simbusy": 14, "usimbusy": 14, "simwrong": 15,
	"usimwrong": 15, "incorrectpassword": 16, "memoryfull": 20, "invalidindex": 21, "notfound": 22,
	"memoryfailure": 23, "textstringtoolong": 24, "invalidcharactersintextstring": 25, "dialstringtoolong": 26,
	"invalidcharactersindialstring": 27, "nonetworkservice": 30, "networktimeout": 31,
	"networknotallowedemergencycallsonly": 32, "networknotallowed": 32, "networkpersonalizationpinrequired": 40,
	"networkpersonalizationpukrequired": 41, "networksubsetpersonalizationpinrequired": 42,
	"networksubsetpersonalizationpukrequired": 43, "serviceproviderpersonalizationpinrequired": 44,
	"serviceproviderpersonalizationpukrequired": 45, "corporatepersonalizationpinrequired": 46,
	"corporatepersonalizationpukrequired": 47, "hiddenkeyrequired": 48, "incorrectparameters": 50,
	"commandimplementedbutcurrentlydisabled": 51, "commandabortedbyuser": 52, "unknown": 100, "unknownerror": 100,
}

// modemError turns an error of warthog618's at into ours.
func modemError(err error) error {
	if e, ok := errors.AsType[warthog.CMSError](err); ok {
		n, known := errorNumber(string(e), wordsOfCMS, map[string]int{"simpin": 317, "simpuk": 318})
		if known {
			return CMSError(n)
		}
		return &TextError{CMS: true, Text: string(e)}
	}
	if e, ok := errors.AsType[warthog.CMEError](err); ok {
		n, known := errorNumber(string(e), wordsOfCME, map[string]int{"simpin": 17, "simpuk": 18})
		if known {
			return CMEError(n)
		}
		return &TextError{Text: string(e)}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, warthog.ErrError):
		return ErrFailed
	case errors.Is(err, warthog.ErrClosed):
		return ErrGone
	}
	return err
}

// errorNumber reads a number, or words that stand for one. second are the
// numbers for the second PIN and PUK, whose texts differ only in a digit.
func errorNumber(text string, words, second map[string]int) (int, bool) {
	if n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16); err == nil {
		return int(n), true
	}
	var letters strings.Builder
	digit2 := false
	for _, r := range strings.ToLower(text) {
		if r >= 'a' && r <= 'z' {
			letters.WriteRune(r)
		}
		digit2 = digit2 || r == '2'
	}
	key := letters.String()
	if digit2 {
		key = strings.TrimPrefix(strings.TrimSuffix(strings.TrimSuffix(key, "required"), "necessary"), "u")
		n, ok := second[key]
		return n, ok
	}
	n, ok := words[key]
	return n, ok
}

// reference reads +CMGS: <mr>[,<scts>|,<ackpdu>] (TS 27.005 3.5.1, 4.3). mr is -1
// when it cannot be read, scts zero when there is none.
func reference(line string) (mr int, scts time.Time) {
	_, rest, _, _ := code(line)
	first, extra, _ := strings.Cut(rest, ",")
	n, err := strconv.ParseUint(strings.Trim(first, ` "`), 10, 8)
	if err != nil {
		return -1, time.Time{}
	}
	extra = strings.Trim(extra, ` "`)
	if t, ok := textSCTS(extra); ok {
		return int(n), t
	}
	t, _ := reportSCTS(extra)
	return int(n), t
}

// textSCTS reads yy/MM/dd,hh:mm:ss±zz, the zone in quarters of an hour.
func textSCTS(s string) (time.Time, bool) {
	if len(s) != 20 || s[17] != '+' && s[17] != '-' {
		return time.Time{}, false
	}
	quarters, err := strconv.Atoi(s[17:])
	if err != nil {
		return time.Time{}, false
	}
	t, err := time.ParseInLocation("06/01/02,15:04:05", s[:17], zone(quarters))
	return t, err == nil
}

// reportSCTS reads TP-SCTS out of an SMS-SUBMIT-REPORT for RP-ACK: first octet,
// TP-PI, TP-SCTS (TS 23.040 9.2.2.2a).
func reportSCTS(s string) (time.Time, bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) < 9 || b[0]&0x03 != 0x01 {
		return time.Time{}, false
	}
	var digits strings.Builder
	for _, o := range b[2:8] {
		lo, hi := o&0x0f, o>>4
		if lo > 9 || hi > 9 {
			return time.Time{}, false
		}
		fmt.Fprintf(&digits, "%d%d", lo, hi)
	}
	// The zone's sign is bit 3 of its first semi-octet (9.2.3.11).
	lo, hi := b[8]&0x07, b[8]>>4
	if hi > 9 {
		return time.Time{}, false
	}
	quarters := int(lo)*10 + int(hi)
	if b[8]&0x08 != 0 {
		quarters = -quarters
	}
	t, err := time.ParseInLocation("060102150405", digits.String(), zone(quarters))
	return t, err == nil
}

func zone(quarters int) *time.Location {
	return time.FixedZone("", quarters*15*60)
}
