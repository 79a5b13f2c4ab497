package modem

import (
	"cmp"
	"context"
	"time"

	"recado/modem/family"
)

// How long commands may take: the longest that drivers have needed, but where a
// line would be kept from sending by an answer that was lost.
const (
	shortAnswer   = 3 * time.Second
	regAnswer     = 5 * time.Second
	simAnswer     = 10 * time.Second
	pinAnswer     = 30 * time.Second
	radioAnswer   = 40 * time.Second
	memoryAnswer  = 12 * time.Second
	cnmiAnswer    = 10 * time.Second
	listAnswer    = 60 * time.Second
	listFirst     = 8 * time.Second
	listEach      = time.Second // for each message in the memory
	readAnswer    = 10 * time.Second
	deleteAnswer  = 12 * time.Second // SIM800: 25 s; a late OK is waited for by the resync
	confirmAnswer = 5 * time.Second
)

// identify makes the dialogue terse and finds out who answers.
func (s *session) identify(ctx context.Context) error {
	m := s.m
	m.setState(StateIdent, "")
	s.ask(ctx, "E0", shortAnswer) // an echo that stays is known again
	quiet := s.ch.Echoes()
	s.ask(ctx, "V1", shortAnswer)
	s.ask(ctx, "Q0", shortAnswer)
	// Numbers, not words; some take only the words, Wavecom only the numbers.
	if _, err := s.ask(ctx, "+CMEE=1", shortAnswer); err != nil {
		s.ask(ctx, "+CMEE=2", shortAnswer)
	}
	maker := s.identity(ctx, "+CGMI")
	model := s.identity(ctx, "+CGMM")
	firmware := s.identity(ctx, "+CGMR")
	imei := s.imei(ctx)
	before := m.Snapshot()
	if imei != "" && before.IMEI != "" && imei != before.IMEI && s.imei(ctx) != imei {
		imei = "" // only what it says twice makes it another modem
	}
	if s.err != nil {
		return s.err
	}
	// What was not told is as before, unless the rest shows another modem.
	if imei == "" || imei == before.IMEI {
		maker, model = cmp.Or(maker, before.Manufacturer), cmp.Or(model, before.Model)
	}
	s.imeiDue, s.imeiPause = time.Time{}, 0
	if imei == "" {
		s.imeiDue = time.Now()
		if maker == before.Manufacturer && model == before.Model {
			imei = before.IMEI
		}
	}
	s.echoes = s.ch.Echoes()
	s.echoStays = s.echoes > quiet
	fam := family.Match(maker, model)
	was := s.fam.Swap(fam)
	m.life.family = fam
	if before.IMEI != "" && before.IMEI != imei { // another modem in the same place
		m.life.lost, m.life.ladder, m.life.flippedTo, m.life.pace, m.life.quick = nil, ladder{}, 0, 0, false
		s.ch.SetPace(fam.Pace)
		m.update(func(n *Snapshot) { n.AmbiguousRecent, n.Restarts, n.LastError = 0, 0, "" })
		s.forgetSIM()
	}
	m.update(func(n *Snapshot) {
		n.Manufacturer, n.Model, n.Firmware, n.IMEI, n.Family = maker, model, firmware, imei, fam.Name
		n.ID = cmp.Or(imei, n.USBPath, m.c.Name)
	})
	if fam.Pace != was.Pace || fam.AfterPrompt != was.AfterPrompt ||
		fam.PromptTimeout != was.PromptTimeout || fam.ResultTimeout != was.ResultTimeout {
		return errReopen // the channel has the other family's pace
	}
	for _, cmd := range fam.Init {
		s.ask(ctx, cmd, memoryAnswer)
	}
	return s.err
}

func (s *session) identity(ctx context.Context, cmd string) string {
	lines, err := s.ask(ctx, cmd, simAnswer)
	if err != nil {
		return ""
	}
	return identity(lines, cmd)
}

// imei reads AT+CGSN: 15 digits, 14 without the check digit, 16 with the
// software version. Clones say all zeros.
func (s *session) imei(ctx context.Context) string {
	for _, cmd := range []string{"+CGSN", "+GSN"} {
		lines, err := s.ask(ctx, cmd, simAnswer)
		if err != nil {
			continue
		}
		for _, l := range lines {
			if d := digits(l); len(d) >= 14 && len(d) <= 16 && digits(d) != "" && !allZero(d) {
				return d
			}
		}
	}
	return ""
}

// untold is what the modem or its SIM has not said yet.
type untold struct {
	imeiDue             time.Time // when the IMEI is asked for again; zero: not
	imeiPause, simPause time.Duration
}

// imeiAgain asks a modem that did not tell its IMEI once more when that is due,
// ever more rarely: clones have none.
func (s *session) imeiAgain(ctx context.Context) {
	if s.err != nil || s.imeiDue.IsZero() || time.Now().Before(s.imeiDue) {
		return
	}
	s.imeiPause = min(max(2*s.imeiPause, 30*time.Second), time.Hour)
	s.imeiDue = time.Now().Add(s.imeiPause)
	imei, was := s.imei(ctx), s.m.Snapshot().IMEI
	switch {
	case s.err != nil || imei == "":
		return
	case was == "":
		s.m.update(func(n *Snapshot) { n.IMEI, n.ID = imei, imei })
	case imei != was:
		s.demand(stepIdentify, "another modem is in this place")
	}
	s.imeiDue = time.Time{}
}

func allZero(s string) bool {
	for i := range len(s) {
		if s[i] != '0' {
			return false
		}
	}
	return true
}
