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

// modemError turns an error of warthog618's at into ours.
func modemError(err error) error {
	if e, ok := errors.AsType[warthog.CMSError](err); ok {
		return codedError(string(e), true)
	}
	if e, ok := errors.AsType[warthog.CMEError](err); ok {
		return codedError(string(e), false)
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

// codedError reads what follows +CMS ERROR: or +CME ERROR:, a number or words
// that stand for one. Some modems say words of one under the name of the other.
func codedError(text string, cms bool) error {
	if n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16); err == nil {
		if cms {
			return CMSError(n)
		}
		return CMEError(n)
	}
	key := letters(text)
	asCMS, isCMS := wordsOfCMS[key]
	asCME, isCME := wordsOfCME[key]
	switch {
	case isCMS && (cms || !isCME):
		return CMSError(asCMS)
	case isCME:
		return CMEError(asCME)
	}
	return &TextError{CMS: cms, Text: text}
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
