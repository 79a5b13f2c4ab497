package modem

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"recado/modem/family"
)

// ReportsMissing tells the modem that the first messages which asked for status
// reports (five are enough to be sure) got none. The modem then has reports
// come the other way of AT+CNMI's <ds>, once: some modems take a setting and
// lose what comes by it. The error says why it did not; trying again is of no
// use then, but for ErrNotReady.
func (m *Modem) ReportsMissing(ctx context.Context) error {
	return m.ask(ctx, &order{kind: orderFlip})
}

// flip changes <ds> from 1 to 2 or back.
func (s *session) flip(ctx context.Context) error {
	m := s.m
	ds := m.Snapshot().ReportsBy
	other := 3 - ds
	switch {
	case !s.serving:
		return ErrNotReady
	case ds == 0:
		return errors.New("the modem takes no setting with reports")
	case m.life.flippedTo != 0:
		return errors.New("the way of reports was changed once already")
	case !slices.ContainsFunc(s.family().CNMI, func(c family.CNMI) bool { return c.DS == other }):
		return fmt.Errorf("modems of the family %s have no other way of reports", s.family().Name)
	}
	m.life.flippedTo = other
	s.notices(ctx)
	if s.err != nil {
		return s.err
	}
	if m.Snapshot().ReportsBy != other {
		return errors.New("the modem refuses the other way of reports")
	}
	s.log(fmt.Sprintf("no reports came with ds %d of AT+CNMI: changed to %d", ds, other))
	return nil
}

// flipped is the ladder with the <ds> that was flipped to in front.
func (s *session) flipped(list []family.CNMI) []family.CNMI {
	to := s.m.life.flippedTo
	if to == 0 {
		return list
	}
	var first, rest []family.CNMI
	for _, c := range list {
		if c.DS == to {
			first = append(first, c)
		} else {
			rest = append(rest, c)
		}
	}
	return append(first, rest...)
}
