package pool

import (
	"time"

	"recado/modem"
)

// decision is what happens to a message after an attempt that did not succeed.
type decision struct {
	retry bool
	// after is how long the message waits first.
	after time.Duration
	// avoid keeps it off the SIM that just refused it.
	avoid bool
	// reason is the stable code of a message that fails.
	reason string
}

const (
	backoffFirst = 5 * time.Second
	backoffMost  = 30 * time.Minute
	busyFirst    = 2 * time.Second
	busyMost     = 30 * time.Second
	// longFirst is for codes that say the network is out for a good while.
	longFirst = 10 * time.Minute
)

// retryLimit is how often a refusal is tried again where the code says little
// or nothing good comes of trying for long. Codes that are not here are tried
// until the message's validity ends.
var retryLimit = map[string]int{
	"cms_27":  4, // destination out of order
	"cms_81":  1,
	"cms_98":  1,
	"cms_111": 2,
	"cms_127": 3,
	"cms_255": 2,
	"cms_304": 1, // invalid PDU mode parameter: once more after the mode was set anew
	"cms_305": 1,
	"error":   1, // a bare ERROR after the PDU
}

// oneOtherSIM are refusals that may be the subscription's fault or the
// recipient's: one other SIM is asked before the message fails.
var oneOtherSIM = map[string]bool{"cms_10": true, "cms_21": true, "cms_196": true}

// longWait are codes that ask for a long pause from the first time on.
var longWait = map[string]bool{"cms_27": true, "cms_38": true}

// decide says what becomes of a message whose attempt was refused or never
// left. failures counts its failed attempts so far, this one not included;
// others says that another SIM could take it.
func decide(o modem.Outcome, failures int, others bool) decision {
	switch o.Class {
	case modem.ClassRecipient, modem.ClassContent:
		return decision{reason: "rejected"}
	case modem.ClassSIM:
		if oneOtherSIM[o.Code] && (failures > 0 || !others) {
			return decision{reason: "rejected"}
		}
		if others {
			return decision{retry: true, avoid: true}
		}
		return decision{retry: true, after: backoff(backoffFirst, failures, backoffMost)}
	case modem.ClassBusy:
		return decision{retry: true, after: backoff(busyFirst, failures, busyMost)}
	case modem.ClassDevice, modem.ClassStorage, modem.ClassUnknown:
		if o.Verdict == modem.NotSent {
			// The message is not to blame: another line may take it at once, this
			// one only after its own pause.
			if others {
				return decision{retry: true, avoid: true}
			}
			return decision{retry: true, after: backoff(time.Second, failures, time.Minute)}
		}
	}
	if limit, ok := limitOf(o.Code); ok && failures >= limit {
		return decision{reason: "rejected"}
	}
	first := backoffFirst
	if longWait[o.Code] {
		first = longFirst
	}
	return decision{retry: true, after: backoff(first, failures, backoffMost), avoid: others && longWait[o.Code]}
}

func limitOf(code string) (int, bool) {
	if n, ok := retryLimit[code]; ok {
		return n, true
	}
	// 224–254 are application specific (TS 23.040 9.2.3.22): two more tries.
	if len(code) == len("cms_224") && code >= "cms_224" && code <= "cms_254" {
		return 2, true
	}
	return 0, false
}

// backoff doubles first for each failure so far, up to most.
func backoff(first time.Duration, failures int, most time.Duration) time.Duration {
	d := first
	for range failures {
		if d >= most/2 {
			return most
		}
		d *= 2
	}
	return min(d, most)
}
