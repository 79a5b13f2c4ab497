package modem

import "time"

// Choice says which SIMs may try a refused message again.
type Choice uint8

const (
	// AnySIM: whichever line is free first.
	AnySIM Choice = iota
	// OtherSIM: at once another one, if there is one; else the same, after the
	// pause.
	OtherSIM
	// OneOtherSIM: another one; if there is none the stage is over.
	OneOtherSIM
	// OtherOperator: after the pause, if there is one another operator's.
	OtherOperator
)

// Degrade is what a message may be sent without when the service centre does
// not take it as it is.
type Degrade string

const (
	DegradeNone     Degrade = ""
	DegradeValidity Degrade = "validity" // without TP-VP
	DegradeClass    Degrade = "class"    // without a message class (flash)
	DegradeAlphabet Degrade = "alphabet" // in the other alphabet
)

// Stage is a time during which a message is tried again for one error.
type Stage struct {
	// Class is what the error counts as meanwhile. ClassRecipient and
	// ClassContent are the end, unless the message can be degraded.
	Class ErrorClass
	// Tries is how often the message is tried again in this stage; 0: as long as
	// it is valid.
	Tries int
	// Wait is the pause before the first of them; it doubles for each further one,
	// up to Most.
	Wait, Most time.Duration
	SIMs       Choice
	Degrade    Degrade
	// Untouched: the fault is the modem's or the SIM's alone. The message waits
	// for a line that can send, and it is not counted against it.
	Untouched bool
}

func (s Stage) over() bool {
	return s.Degrade == DegradeNone && (s.Class == ClassRecipient || s.Class == ClassContent)
}

// Plan is what becomes of a message that got an error: its stages one after the
// other. When they are spent the message fails, as of the last one's class.
type Plan []Stage

// At is the stage of a message that has been tried again so often, in a row and
// for this same error, and how many of those tries were in the stage; ok is
// false when no try is left.
func (p Plan) At(tries int) (s Stage, spent int, ok bool) {
	for _, s = range p {
		switch {
		case s.over():
			return s, tries, false
		case s.Tries == 0 || tries < s.Tries:
			return s, tries, true
		}
		tries -= s.Tries
	}
	return s, tries, false
}

// pace is what a class says of tries by itself.
func pace(c ErrorClass) Stage {
	switch c {
	case ClassNetwork:
		return Stage{Class: c, Wait: 30 * time.Second, Most: 30 * time.Minute}
	case ClassSIM:
		return Stage{Class: c, Wait: 5 * time.Second, Most: 30 * time.Minute, SIMs: OtherSIM}
	case ClassBusy:
		return Stage{Class: c, Wait: 2 * time.Second, Most: 30 * time.Second}
	case ClassRecipient, ClassContent:
		return Stage{Class: c}
	}
	return Stage{Class: c, Wait: time.Second, Most: time.Minute, SIMs: OtherSIM}
}

// Plan reads the row: its class's pace, but for what it says itself.
func (m Meaning) Plan() Plan {
	if m.Class == ClassNone {
		return nil
	}
	s := pace(m.Class)
	s.Tries, s.Degrade, s.Untouched = m.Tries, m.Degrade, m.Untouched
	if m.SIMs != AnySIM {
		s.SIMs = m.SIMs
	}
	if m.Wait > 0 {
		s.Wait, s.Most = m.Wait, max(m.Wait, s.Most)
	}
	if m.Flat {
		s.Most = s.Wait
	}
	p := Plan{s}
	if m.Then != ClassNone {
		then := pace(m.Then)
		then.Tries = m.ThenTries
		p = append(p, then)
	}
	return p
}
