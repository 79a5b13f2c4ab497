package queue

import "time"

// policy is what a class means. Reasons: a code is useless after ten minutes;
// an alert or an appointment is of use for a day; a campaign may take longer
// than a day to leave within the SIMs' limits.
type policy struct {
	lane     int           // 0 goes first
	valid    time.Duration // how long it may wait to be sent
	delivery Delivery
	// window is how long evidence is awaited after an answer was lost.
	window time.Duration
}

var policies = map[Class]policy{
	OTP:    {lane: 0, valid: 10 * time.Minute, delivery: AtMostOnce, window: time.Minute},
	Alert:  {lane: 1, valid: 24 * time.Hour, delivery: AtLeastOnce, window: 20 * time.Second},
	Normal: {lane: 2, valid: 24 * time.Hour, delivery: Bounded, window: 3 * time.Minute},
	Bulk:   {lane: 3, valid: 72 * time.Hour, delivery: AtMostOnce, window: 10 * time.Minute},
}

const (
	minValid = time.Minute
	// maxValid: SMSCs rarely keep a message longer than a week.
	maxValid = 7 * 24 * time.Hour
	// maxAhead is how far send_at may lie.
	maxAhead = 366 * 24 * time.Hour

	maxRecipients  = 1000
	maxReference   = 128
	maxText        = 40_000 // characters: 255 segments of GSM 7-bit hold 39,015
	defaultMaxSegs = 10
	limitSegs      = 255 // TS 23.040 9.2.3.24.1: one octet

	// avoidFor is how long a message waits for another SIM than the one that
	// failed it.
	avoidFor = time.Minute
	// keepKeys is how long an Idempotency-Key is kept: 72 h are promised.
	keepKeys = 96 * time.Hour
	// keepOrphans is how long a report without a message is kept.
	keepOrphans = 7 * 24 * time.Hour
	// keepEvents is how long events can be read again: webhooks retry for 72 h.
	keepEvents = 7 * 24 * time.Hour
)

// Reasons of a message's state: stable codes.
const (
	ReasonAnswerLost = "answer_lost" // uncertain: evidence is awaited
	ReasonNoEvidence = "no_evidence" // uncertain: for good, unless evidence comes or somebody decides
	ReasonRejected   = "rejected"    // failed: refused for good
	ReasonPartial    = "partial"     // failed: some segments left, the rest will not
	ReasonValidity   = "validity"    // expired
	ReasonResolved   = "resolved"    // failed: somebody said so
	ReasonCorrupt    = "corrupt"     // failed: what is stored of it is not what was written
	// failed: late evidence says that it was not sent, and its text is gone
	ReasonTextDeleted = "text_deleted"
)

const (
	// mostLost is how many lost answers of one segment, as it is encoded now, end
	// what is at least once. Those that this program's own ends cost do not count:
	// they say nothing of the network or the modem.
	mostLost = 3
	// mostTries bounds all lost answers of one segment, whatever cost them.
	mostTries = 10
)

// codeRestart is of an attempt whose answer was lost because Recado ended.
const codeRestart = "restart"

// losses are the lost answers of one segment of which nothing has come since.
type losses struct {
	all     int // of all editions
	counted int // of the present edition, without those that a restart cost
}

// mayRetry says whether a segment whose answer was lost is sent again after its
// window. What is at most once is not, also not a segment of a long message,
// which a phone would drop as a repeat: the network must not get the same twice.
func mayRetry(d Delivery, lost losses) bool {
	switch d {
	case AtLeastOnce:
		return lost.counted < mostLost && lost.all < mostTries
	case Bounded:
		return lost.all < 2
	}
	return false
}

// EvidenceWindow is how long evidence is awaited for a message of a class whose
// answer was lost, before its delivery decides what happens.
func EvidenceWindow(c Class) time.Duration { return policies[c].window }
