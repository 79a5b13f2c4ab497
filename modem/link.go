package modem

import (
	"context"
	"fmt"
	"slices"
	"time"

	"recado/modem/at"
)

// LinkState is what is known of AT+CMMS=2 with a SIM (TS 27.005 3.5.6): it has the
// modem keep the link to the service centre open between one message and the next,
// which some networks thank with a shorter submission, and others with nothing.
type LinkState int8

const (
	LinkUnknown LinkState = 0
	LinkHelps   LinkState = 1
	LinkGivenUp LinkState = -1 // it is refused, does not help, or brings errors
)

// LinkMemory keeps what was found of AT+CMMS by SIM. Its owner is the pool; neither
// method may block.
type LinkMemory interface {
	Link(iccid string) LinkState
	KeepLink(iccid string, state LinkState, why string)
}

// LinkMeasure is what was measured of AT+CMMS with a SIM: the medians, over pairs
// of messages sent back to back, of what a submission takes of the modem and the
// network, from AT+CMGS to the prompt and from Ctrl-Z to the answer; and of the
// time from an answer to the next prompt.
type LinkMeasure struct {
	State                         LinkState
	Without, With                 time.Duration
	PairsWithout, PairsWith       int
	ToPromptWithout, ToPromptWith time.Duration
	// Why it was decided so, in plain words; "" while unknown.
	Why string
}

const (
	// linkPairs are measured on either side: few, because a modem that gains
	// nothing by it should not be tried for long.
	linkPairs = 8
	// linkBurst is how soon after an answer the next message belongs to the same
	// burst: the modem closes the link after 1 to 5 s (TS 27.005 3.5.6).
	linkBurst = time.Second
	// It helps when it saves a tenth of a submission, and that is more than the
	// measure's noise.
	linkGain, linkGainLeast = 10, 20 * time.Millisecond
	// linkFaults answers in a row by which the network or the modem spoils messages
	// while the link is kept open end it.
	linkFaults = 2
)

// linkTrial is what is being found out with one SIM. Owned by Run's goroutine but
// for what Modem.mu guards: see Modem.shown.
type linkTrial struct {
	state         LinkState
	without, with []linkPair
	faults        int
	why           string
}

// linkPair is one submission right behind another.
type linkPair struct{ took, toPrompt time.Duration }

// linkNow is what a session knows: the setting does not outlive the modem's power.
type linkNow struct {
	sim string // whose trial it is
	t   *linkTrial
	on  bool
	// sent are the messages since it was switched on; last is when the answer to
	// the one before came, zero when that was not accepted.
	sent int
	last time.Time
}

// linkOf is the trial of the SIM in the modem; nil when there is nothing to try.
func (s *session) linkOf() *linkTrial {
	m, sim := s.m, s.m.Snapshot().SIM.ICCID
	if m.c.More == nil || s.family().NoLink {
		return nil
	}
	if s.link.t != nil && s.link.sim == sim {
		return s.link.t
	}
	t := m.life.links[sim]
	if t == nil {
		t = &linkTrial{}
		if m.c.Links != nil && sim != "" {
			t.state = m.c.Links.Link(sim)
		}
		if m.life.links == nil {
			m.life.links = map[string]*linkTrial{}
		}
		m.life.links[sim] = t
	}
	s.link.sim, s.link.t = sim, t
	return t
}

// linkFirst has the link kept open when it is known to help, or is to be tried,
// and more messages wait: one command in a burst at the most. One that was given
// up costs nothing, but for the command that undoes it.
func (s *session) linkFirst(ctx context.Context) {
	t := s.linkOf()
	if t == nil {
		return
	}
	burst := !s.link.last.IsZero() && time.Since(s.link.last) < linkBurst
	switch {
	case t.state == LinkGivenUp, t.state == LinkUnknown && len(t.without) < linkPairs:
		if s.link.on && !burst { // undone, or another SIM's
			s.link.on = false
			s.askLink(ctx, "0")
		}
	case burst && s.link.on:
	case burst && s.link.sent < 0: // refused in this burst
	case s.m.c.More():
		err := s.askLink(ctx, "2")
		switch {
		case s.err != nil:
		case err == nil:
			s.link.on, s.link.sent = true, 0
		case s.busy(err): // it may be taken in the next burst
			s.link.sent = -1
		default:
			s.link.on = false
			s.giveUpLink(t, "the modem does not take AT+CMMS")
		}
	}
}

// askLink writes AT+CMMS; no send goes before the one that it is for.
func (s *session) askLink(ctx context.Context, n string) error {
	was := s.pairing
	s.pairing = true
	defer func() { s.pairing = was }()
	_, err := s.ask(ctx, "+CMMS="+n, confirmAnswer)
	return err
}

// linkTold draws from a submission whether keeping the link open helps. begun is
// when its AT+CMGS was written, last when the answer to the message before came.
func (s *session) linkTold(out Outcome, sub at.Submission, begun, last, answered time.Time) {
	t := s.link.t
	if t == nil || s.link.sim != s.m.Snapshot().SIM.ICCID {
		s.link.last = time.Time{}
		return
	}
	if out.Verdict != Accepted {
		s.link.last = time.Time{} // the burst is over
		if s.link.on && t.state != LinkGivenUp && (out.Class == ClassNetwork || out.Class == ClassUnknown) {
			if t.faults++; t.faults >= linkFaults {
				s.giveUpLink(t, fmt.Sprintf("%d messages in a row failed while the link was kept open", t.faults))
			}
		}
		return
	}
	t.faults = 0
	s.link.last = answered
	kept := s.link.on && s.link.sent > 0
	if s.link.on {
		s.link.sent = max(s.link.sent, 0) + 1
	}
	if t.state == LinkGivenUp || last.IsZero() || begun.Sub(last) >= linkBurst || sub.PromptAt.IsZero() || sub.SentAt.IsZero() {
		return
	}
	p := linkPair{took: sub.PromptAt.Sub(begun) + answered.Sub(sub.SentAt), toPrompt: sub.PromptAt.Sub(last)}
	switch {
	case kept && len(t.with) < linkPairs:
		t.with = append(t.with, p)
	case !s.link.on && len(t.without) < linkPairs:
		t.without = append(t.without, p)
	}
	if t.state == LinkUnknown && len(t.with) >= linkPairs && len(t.without) >= linkPairs {
		s.judgeLink(t)
	}
}

// judgeLink decides by the medians.
func (s *session) judgeLink(t *linkTrial) {
	without, with := median(t.without, tookOf), median(t.with, tookOf)
	says := fmt.Sprintf("a message took %s with the link kept open and %s without", with.Round(time.Millisecond), without.Round(time.Millisecond))
	if saved := without - with; saved < linkGainLeast || saved*linkGain < without {
		s.giveUpLink(t, says+": it does not help")
		return
	}
	s.decideLink(t, LinkHelps, says)
}

func (s *session) giveUpLink(t *linkTrial, why string) { s.decideLink(t, LinkGivenUp, why) }

func (s *session) decideLink(t *linkTrial, state LinkState, why string) {
	m := s.m
	t.state, t.why = state, why
	m.log.Info("AT+CMMS", "helps", state == LinkHelps, "why", why)
	if m.c.Links != nil && s.link.sim != "" {
		m.c.Links.KeepLink(s.link.sim, state, why)
	}
	m.showLink(t)
}

// showLink lets others read what was measured.
func (m *Modem) showLink(t *linkTrial) {
	l := LinkMeasure{State: t.state, Why: t.why, PairsWithout: len(t.without), PairsWith: len(t.with)}
	l.Without, l.With = median(t.without, tookOf), median(t.with, tookOf)
	l.ToPromptWithout, l.ToPromptWith = median(t.without, toPromptOf), median(t.with, toPromptOf)
	m.mu.Lock()
	m.linkShown = l
	m.mu.Unlock()
}

// LinkMeasure is what was found of AT+CMMS in this run with the SIM that it was
// decided for last; zero before.
func (m *Modem) LinkMeasure() LinkMeasure {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.linkShown
}

// ForgetLink has AT+CMMS tried anew with a SIM.
func (m *Modem) ForgetLink(ctx context.Context, iccid string) error {
	return m.ask(ctx, &order{kind: orderForgetLink, pin: iccid})
}

// forgetLink is the order's.
func (s *session) forgetLink(iccid string) {
	delete(s.m.life.links, iccid)
	s.link.t = nil
	s.m.showLink(&linkTrial{})
}

func tookOf(p linkPair) time.Duration     { return p.took }
func toPromptOf(p linkPair) time.Duration { return p.toPrompt }

// median of a part of the pairs; 0 for none.
func median(pairs []linkPair, part func(linkPair) time.Duration) time.Duration {
	if len(pairs) == 0 {
		return 0
	}
	d := make([]time.Duration, len(pairs))
	for i, p := range pairs {
		d[i] = part(p)
	}
	slices.Sort(d)
	return (d[(len(d)-1)/2] + d[len(d)/2]) / 2
}
